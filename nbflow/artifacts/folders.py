"""Where a store keeps its files: the small protocol of a place, and a local folder as one."""

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from nbflow.artifacts import files
from nbflow.artifacts.digests import digest_of_file
from nbflow.core.errors import ArtifactError

#: Errors of a full disk: no space, quota, and the file size limit of the process.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
#: What `os.link` says where the file system has no hard links.
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}


class Place(Protocol):
    """A tree of files with names like ``sha256/ab/abcdef``. What it has written is durable."""

    @property
    def url(self) -> str:
        """Where another process finds the same place."""

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes, or None if there is none."""

    def write(self, name: str, data: bytes) -> None:
        """Write a file whole, in place of any earlier one."""

    def write_once(self, name: str, data: bytes) -> bytes:
        """Write a file unless there is one; return what it holds now."""

    def staging(self) -> AbstractContextManager[Path]:
        """Make a private folder on this machine, which is removed at the end."""

    def is_staged(self, path: Path) -> bool:
        """Whether `path` lies in some folder that `staging` has made."""

    def take(self, name: str, staged: Path) -> None:
        """Move a file out of `staging`."""

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""

    def holds(self, name: str, digest: str, size_bytes: int) -> bool:
        """Whether there is such a file with this content, durably, so that no write is needed."""

    def local(self, name: str) -> Path | None:
        """Return the file, or a copy of it, on this machine; None if there is none."""

    def drop_copy(self, name: str) -> None:
        """Forget a local copy that has turned out to be damaged; an original stays as evidence."""


class LocalFolder:
    """A folder on this machine, or on a file system that machines share.

    Parameters
    ----------
    root
        The folder, absolute. It and its ``tmp`` exist.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = f"file://{root}"
        self._tmp = root / "tmp"

    @classmethod
    def create(cls, root: Path) -> "LocalFolder":
        """Create the folder if need be."""
        folder = cls(root)
        with explained(f"the artifact store {root}"):
            files.make_folder(folder._tmp)
        return folder

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes, or None if there is none."""
        with self._explained():
            try:
                return (self.root / name).read_bytes()
            except FileNotFoundError:
                return None

    def write(self, name: str, data: bytes) -> None:
        """Write a file whole, in place of any earlier one."""
        final = self.root / name
        with self._explained(), files.whole_file(final, self._tmp, files.READ_ONLY) as file:
            file.write(data)

    def write_once(self, name: str, data: bytes) -> bytes:
        """Write a file unless there is one; of several writers at once, one wins."""
        final = self.root / name
        with self._explained():
            with files.new_file(self._tmp, files.READ_ONLY) as (temporary, file):
                file.write(data)
            _link_once(temporary, final)
            files.sync_folder(final.parent)
            return final.read_bytes()

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Make a private folder on the same file system, which is removed at the end."""
        folder = self._tmp / secrets.token_hex(8)
        with self._explained():
            folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder)

    def is_staged(self, path: Path) -> bool:
        """Whether `path`, with its links followed, lies in some folder that `staging` has made."""
        return path.resolve().is_relative_to(self._tmp.resolve())

    def take(self, name: str, staged: Path) -> None:
        """Move a file out of `staging`."""
        with self._explained():
            files.sync_file(staged)
            staged.chmod(stat.S_IMODE(staged.stat().st_mode) & files.READ_ONLY)
            files.publish(staged, self.root / name)

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        return (self.root / name).is_file()

    def holds(self, name: str, digest: str, size_bytes: int) -> bool:
        """Whether the file is there and whole.

        Its content is read: a damaged file is not to be kept by the very `put` that
        could mend it. Reading costs about what hashing the new bytes did.
        """
        path = self.root / name
        with self._explained():
            try:
                if path.stat().st_size != size_bytes or digest_of_file(path) != digest:
                    return False
            except FileNotFoundError:
                return False
            # Another process may have renamed it this very moment, and not have synced yet.
            files.sync_folder(path.parent)
        return True

    def local(self, name: str) -> Path | None:
        """Return the file itself; None if there is none."""
        path = self.root / name
        return path if path.is_file() else None

    def drop_copy(self, name: str) -> None:
        """Do nothing: files here are originals."""

    def writable(self) -> bool:
        """Whether this process may add files."""
        return os.access(self._tmp, os.W_OK | os.X_OK)

    def _explained(self) -> AbstractContextManager[None]:
        return explained(f"the artifact store {self.root}")


@contextmanager
def explained(place: str) -> Iterator[None]:
    """Turn the system's errors into an `ArtifactError` that names `place` and the next step."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            what, fix = "is full", "Free some space there, then resume; what was stored stays"
        elif error.errno in _FORBIDDEN:
            what, fix = "may not be used", "Make it readable and writable, or choose another folder"
        else:
            what, fix = "cannot be used", "Check that it is a folder on a working disk"
        raise ArtifactError(f"{place} {what} ({error}). {fix}") from error


def _link_once(temporary: Path, final: Path) -> None:
    try:
        os.link(temporary, final)
    except FileExistsError:
        pass
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # Without links, the last of several first users wins. The others then take each
        # other's store for a stranger's, and send bytes along that they need not send.
        if not final.exists():
            temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)
