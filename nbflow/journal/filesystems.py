"""Which file system a path lies on, and whether machines share it.

SQLite's writers and readers meet in locks and in shared memory, and neither reaches across
machines. Two drivers on a network file system would each believe to hold the lock, and
destroy the file. The file system's type tells: those below are made to be shared by machines.
Others that could be (9p, virtiofs, an unknown FUSE) are, where nbflow meets them, mostly the disk
of one container or virtual machine. SQLite tries those: where it finds no
shared memory, it falls back to a log without, and where it cannot lock, it says so.
"""

import re
from pathlib import Path
from typing import NamedTuple

from nbflow.core.errors import JournalError

#: The variable by which a user answers for a home on a network file system.
ALLOW = "NBFLOW_ALLOW_NETWORK_HOME"

#: Types of file systems that several machines may have mounted at once.
_NAMES = """
    acfs afs beegfs ceph cephfs cifs cvfs davfs fhgfs gfs2 glusterfs gpfs ibrix lustre mfs moosefs
    ncpfs nfs nfs4 ocfs2 orangefs panfs pvfs2 smb2 smb3 smbfs snfs stornext vxfs weka wekafs
"""

#: FUSE programs that do the same, as ``fuse.NAME``.
_FUSE_NAMES = """
    beegfs blobfuse blobfuse2 ceph ceph-fuse cephfs curlftpfs davfs davfs2 gcsfuse glusterfs goofys
    hdfs juicefs lizardfs mfs moosefs mount-s3 mountpoint-s3 quobyte rclone s3fs seaweedfs sshfs
    weed
"""

_SHARED = frozenset(_NAMES.split()) | {f"fuse.{name}" for name in _FUSE_NAMES.split()}

_ESCAPED = re.compile(r"\\([0-7]{3})")


class Mount(NamedTuple):
    """Where a file system is mounted, and of what type it is."""

    point: str
    kind: str

    @property
    def is_network(self) -> bool:
        """Whether other machines may have it mounted, too."""
        return self.kind in _SHARED


def mounts() -> str:
    """Return what the system says is mounted; empty where it does not."""
    try:
        return Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
    except OSError:
        return ""


def mount_of(path: Path, mountinfo: str) -> Mount | None:
    """Return what `path`, which is absolute and without links, lies on.

    Parameters
    ----------
    path
        A path that need not exist.
    mountinfo
        The content of ``/proc/self/mountinfo``.
    """
    best: Mount | None = None
    for line in mountinfo.splitlines():
        fields, separator, rest = line.partition(" - ")
        if not separator:
            continue
        point = _ESCAPED.sub(lambda code: chr(int(code[1], 8)), fields.split(" ")[4])
        # Of two at one place, the later one covers the earlier one.
        if path.is_relative_to(point) and (best is None or len(point) >= len(best.point)):
            best = Mount(point, rest.split(" ")[0])
    return best


def refuse_network(path: Path, mountinfo: str) -> None:
    """Refuse a file that other machines may have mounted, too.

    Raises
    ------
    JournalError
        If it lies on a network file system.
    """
    mount = mount_of(path.resolve(), mountinfo)
    if mount is not None and mount.is_network:
        raise JournalError(
            f"journal {path} lies on a network file system ({mount.kind}, mounted at "
            f"{mount.point}), across which SQLite's locks do not reach: two machines would "
            "destroy it. Choose a home on a local disk by --home, home= or NBFLOW_HOME. Or keep "
            "the journal in PostgreSQL, by a file home.toml in the home that has the line journal "
            '= "postgresql://…". Or, if no other machine will ever use this home, not even to look '
            f"at it, set {ALLOW}=1"
        )
