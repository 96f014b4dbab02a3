"""Which file systems machines share, and which mount a path lies on."""

from pathlib import Path

import pytest

from nbflow.core.errors import JournalError
from nbflow.journal import SqlJournal, filesystems

#: Taken from real machines: a workstation with an NFS home, a container, WSL, gVisor.
WORKSTATION = """\
22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw,errors=remount-ro
23 22 0:21 / /proc rw,nosuid shared:12 - proc proc rw
90 22 0:52 / /home rw,relatime shared:50 - nfs4 server:/export/home rw,vers=4.2,hard
91 90 0:53 / /home/ada/local\\040disk rw,relatime - xfs /dev/sdb1 rw
92 22 0:54 / /mnt/share rw - cifs //server/share rw,vers=3.1.1
93 22 0:55 / /mnt/remote rw - fuse.sshfs ada@server: rw
94 22 0:56 / /mnt/archive rw - fuse.squashfuse archive ro
95 22 0:57 / /scratch rw shared:9 master:2 - lustre 10.0.0.1@tcp:/fs rw,flock
96 22 0:58 / /data rw - ext4 /dev/sdc1 rw
97 22 0:59 / /data rw - nfs server:/data rw
"""
CONTAINER = "600 500 0:99 / / rw,relatime - overlay overlay rw,lowerdir=/a,upperdir=/b\n"
WSL = CONTAINER.replace("overlay overlay", "ext4 /dev/sdc") + (
    "80 60 0:54 / /mnt/c rw,noatime - 9p C:\\134 rw,dirsync,aname=drvfs\n"
)
GVISOR = "1 0 0:1 / / rw - 9p none rw\n"


@pytest.mark.parametrize(
    ("mountinfo", "path", "kind", "is_network"),
    [
        (WORKSTATION, "/etc/x", "ext4", False),
        (WORKSTATION, "/home/ada/.nbflow/journal.sqlite", "nfs4", True),
        (WORKSTATION, "/home", "nfs4", True),
        (WORKSTATION, "/homes/ada", "ext4", False),
        (WORKSTATION, "/home/ada/local disk/x", "xfs", False),
        (WORKSTATION, "/mnt/share/x", "cifs", True),
        (WORKSTATION, "/mnt/remote/x", "fuse.sshfs", True),
        (WORKSTATION, "/mnt/archive/x", "fuse.squashfuse", False),
        (WORKSTATION, "/scratch/x", "lustre", True),
        (WORKSTATION, "/data/x", "nfs", True),
        (CONTAINER, "/work/x", "overlay", False),
        (WSL, "/home/ada/x", "ext4", False),
        (WSL, "/mnt/c/x", "9p", False),
        (GVISOR, "/work/x", "9p", False),
    ],
)
def test_a_path_lies_on_the_innermost_mount(mountinfo, path, kind, is_network):
    mount = filesystems.mount_of(Path(path), mountinfo)
    assert (mount.kind, mount.is_network) == (kind, is_network)


@pytest.mark.parametrize("mountinfo", ["", "garbage\n", "1 2 3\n"])
def test_where_nothing_is_known_nothing_is_refused(mountinfo):
    assert filesystems.mount_of(Path("/x"), mountinfo) is None
    filesystems.refuse_network(Path("/x"), mountinfo)


def test_a_network_file_system_is_refused_with_the_ways_out():
    with pytest.raises(JournalError, match="network file system") as caught:
        filesystems.refuse_network(Path("/home/ada/journal.sqlite"), WORKSTATION)
    for told in ("nfs4", "/home", "PostgreSQL", "home.toml", "--home", filesystems.ALLOW):
        assert told in str(caught.value)


def test_the_place_of_a_link_counts_and_not_the_link(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "here").symlink_to(tmp_path / "there")
    mountinfo = f"1 0 8:1 / / rw - ext4 x rw\n2 1 0:9 / {tmp_path}/there rw - nfs x rw\n"
    with pytest.raises(JournalError, match="nfs"):
        filesystems.refuse_network(tmp_path / "here" / "journal.db", mountinfo)


def test_a_journal_is_opened_on_a_network_file_system_only_if_asked(tmp_path, monkeypatch):
    mountinfo = f"1 0 8:1 / / rw - ext4 x rw\n2 1 0:9 / {tmp_path} rw - nfs4 server:/x rw\n"
    monkeypatch.setattr(filesystems, "mounts", lambda: mountinfo)
    with pytest.raises(JournalError, match="nfs4"):
        SqlJournal.open(tmp_path / "journal.db")
    assert list(tmp_path.iterdir()) == []
    SqlJournal.open(tmp_path / "journal.db", allow_network=True).close()


def test_this_machine_says_what_is_mounted(tmp_path):
    mount = filesystems.mount_of(tmp_path.resolve(), filesystems.mounts())
    assert mount is not None
    assert not mount.is_network
