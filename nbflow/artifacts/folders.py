"""Where a store keeps its files: the small protocol of a place, and a local folder as one.

A clean-up must not take what someone has just put. That the bytes were there already, and
nothing had to be written, must make no difference. So a `put` that finds its bytes gives them
the present time, and a clean-up removes only what is old. Between its look at the time and the
removal, the file could still be put; hence, in a local folder, three steps: the file is renamed
into ``tmp/condemned``; then its time is looked at; then it is removed, or renamed back. Who puts
it before the first step has left the time on it, which the second step sees; who puts it later
finds nothing, and writes it anew. Who reads it in between takes it back, as it is whole.
"""

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec

from nbflow.artifacts.digests import blob_name, digest_of_file
from nbflow.artifacts.files import DISK, READ_ONLY, Disk
from nbflow.core.errors import ArtifactError

#: Errors of a full disk: no space, quota, and the file size limit of the process.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
#: Folder in ``tmp`` for artifacts that a clean-up is about to remove.
_CONDEMNED = "condemned"
#: What `os.link` says where the file system has no hard links.
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}


class Found(msgspec.Struct, frozen=True):
    """A file of a place. `modified_at` is in seconds since the epoch."""

    name: str
    size_bytes: int
    modified_at: float


class Place(Protocol):
    """A tree of files with names like ``sha256/ab/abcdef``. What it has written is durable."""

    @property
    def url(self) -> str:
        """Where another process finds the same place."""

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes, or None if there is none."""

    def reading(self, name: str) -> AbstractContextManager[BinaryIO | None]:
        """Open a file to be read once; None if there is none."""

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
        """Whether there is such a file with this content, durably, so that no write is needed.

        If so, it is as young as if it had been written now.
        """

    def touch(self, name: str, verified: Callable[[], Path]) -> bool:
        """Make a file young; whether there is one. `verified` gives a good copy, if need be."""

    def list(self, folder: str) -> Iterator[Found]:
        """Yield all files below `folder`, but none to which only a link leads."""

    def remove(self, name: str) -> None:
        """Remove a file; nothing happens if there is none."""

    def remove_old(self, name: str, before: float) -> bool:
        """Remove a file, with what lies in its ``.d``, unless it is younger; whether it was."""

    def unfinished(self) -> Iterator[Found]:
        """Yield what writers have left in ``tmp``; `modified_at` is the latest of a whole tree."""

    def remove_unfinished(self, name: str) -> None:
        """Remove what `unfinished` has named."""

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
    disk
        How files become durable; a test may have it fail.
    """

    def __init__(self, root: Path, disk: Disk = DISK) -> None:
        self.root = root
        self.url = f"file://{root}"
        self._tmp = root / "tmp"
        self._condemned = self._tmp / _CONDEMNED
        self._disk = disk

    @classmethod
    def create(cls, root: Path, disk: Disk = DISK) -> "LocalFolder":
        """Create the folder if need be."""
        folder = cls(root, disk)
        with explained(f"the artifact store {root}"):
            disk.make_folder(folder._tmp)
        return folder

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes, or None if there is none."""
        with self._explained():
            try:
                return (self.root / name).read_bytes()
            except FileNotFoundError:
                return (self.root / name).read_bytes() if self._taken_back(name) else None

    @contextmanager
    def reading(self, name: str) -> Iterator[BinaryIO | None]:
        """Open a file to be read once; None if there is none."""
        if not self.exists(name):
            yield None
            return
        with self._explained():
            file = (self.root / name).open("rb")
        with file:
            yield file

    def write(self, name: str, data: bytes) -> None:
        """Write a file whole, in place of any earlier one."""
        final = self.root / name
        with self._explained(), self._disk.whole_file(final, self._tmp, READ_ONLY) as file:
            file.write(data)

    def write_once(self, name: str, data: bytes) -> bytes:
        """Write a file unless there is one; of several writers at once, one wins."""
        final = self.root / name
        with self._explained():
            with self._disk.new_file(self._tmp, READ_ONLY) as (temporary, file):
                file.write(data)
            _link_once(temporary, final)
            self._disk.sync_folder(final.parent)
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
            self._disk.sync_file(staged)
            staged.chmod(stat.S_IMODE(staged.stat().st_mode) & READ_ONLY)
            os.utime(staged)
            self._disk.publish(staged, self.root / name)

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        return (self.root / name).is_file() or self._taken_back(name)

    def holds(self, name: str, digest: str, size_bytes: int) -> bool:
        """Whether the file is there and whole; it is young then.

        Its content is read: a damaged file is not to be kept by the very `put` that
        could mend it. Reading costs about what hashing the new bytes did.
        """
        path = self.root / name
        with self._explained():
            try:
                if path.stat().st_size != size_bytes or digest_of_file(path) != digest:
                    return False
                # Last: from here on, no clean-up takes it.
                os.utime(path)
            except FileNotFoundError:
                return False
            except PermissionError:
                # Another user's file can be replaced, but not given another time.
                return False
            # Another process may have renamed it this very moment, and not have synced yet.
            self._disk.sync_folder(path.parent)
        return True

    def touch(self, name: str, verified: Callable[[], Path]) -> bool:
        """Give a file the present time, or, if it is another user's, put a copy in its place."""
        path = self.root / name
        if not self.exists(name):
            return False
        with self._explained():
            try:
                os.utime(path)
            except FileNotFoundError:
                return self._taken_back(name)
            except PermissionError:
                with (
                    verified().open("rb") as source,
                    self._disk.whole_file(path, self._tmp, READ_ONLY) as copy,
                ):
                    shutil.copyfileobj(source, copy)
        return True

    def local(self, name: str) -> Path | None:
        """Return the file itself; None if there is none."""
        return self.root / name if self.exists(name) else None

    def drop_copy(self, name: str) -> None:
        """Do nothing: files here are originals."""

    def writable(self) -> bool:
        """Whether this process may add files."""
        return os.access(self._tmp, os.W_OK | os.X_OK)

    def list(self, folder: str) -> Iterator[Found]:
        """Yield all files below `folder`; links are not followed."""
        self._take_all_back()
        with self._explained():
            yield from _files_below(self.root / folder, folder)

    def remove(self, name: str) -> None:
        """Remove a file; nothing happens if there is none."""
        with self._explained():
            self._disk.remove(self.root / name)

    def remove_old(self, name: str, before: float) -> bool:
        """Remove a file that was last put before that time; see the module on how."""
        path = self.root / name
        condemned = self._condemned / path.name
        with self._explained(), suppress(FileNotFoundError):
            # `lstat`: a link's own time, as `list` knows none of them.
            if path.lstat().st_mtime >= before:
                return False
            self._condemned.mkdir(exist_ok=True)
            self._disk.before("rename", condemned)
            path.rename(condemned)
            if condemned.lstat().st_mtime >= before:
                condemned.rename(path)
                return False
            self._disk.before("remove", condemned)
            condemned.unlink()
            shutil.rmtree(path.with_name(f"{path.name}.d"), ignore_errors=True)
            return True
        # Someone else has removed it, or taken it back.
        return False

    def unfinished(self) -> Iterator[Found]:
        """Yield the files and folders in ``tmp``, each as one."""
        with self._explained():
            for path in self._tmp.iterdir():
                if path.name == _CONDEMNED:
                    continue
                parts = [path.lstat()]
                if path.is_dir() and not path.is_symlink():
                    parts += [inner.lstat() for inner in path.rglob("*")]
                size_bytes = sum(part.st_size for part in parts if stat.S_ISREG(part.st_mode))
                yield Found(path.name, size_bytes, max(part.st_mtime for part in parts))

    def remove_unfinished(self, name: str) -> None:
        """Remove a file or a folder in ``tmp``."""
        path = self._tmp / Path(name).name
        with self._explained():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                self._disk.remove(path)

    def _taken_back(self, name: str) -> bool:
        """Take a file back that a clean-up has condemned; whether it is there now."""
        if not name.startswith("sha256/"):
            return False
        path = self.root / name
        try:
            (self._condemned / path.name).rename(path)
            os.utime(path)
        except OSError:
            # Most often, nothing was condemned. Or another reader, or the clean-up itself, was
            # quicker to take it back; or this process may only read, and must wait for them.
            return path.is_file()
        return True

    def _take_all_back(self) -> None:
        """Take back what a clean-up has condemned that was killed before it came to an end."""
        with suppress(FileNotFoundError):
            for path in self._condemned.iterdir():
                with suppress(FileNotFoundError, ArtifactError):
                    path.rename(self.root / blob_name(f"sha256:{path.name}"))

    def _explained(self) -> AbstractContextManager[None]:
        return explained(f"the artifact store {self.root}")


def _files_below(folder: Path, name: str) -> Iterator[Found]:
    """Yield the files of a tree that may change meanwhile."""
    try:
        scan = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    with scan:
        for entry in scan:
            inner = f"{name}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield from _files_below(Path(entry.path), inner)
            elif entry.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    yield Found(inner, status.st_size, status.st_mtime)


@contextmanager
def explained(place: str, *, then: str = "then resume; what was stored stays") -> Iterator[None]:
    """Turn the system's errors into an `ArtifactError` that names `place` and the next step.

    `then` is what to do once a full disk has room again.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            what, fix = "is full", f"Free some space there, {then}"
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
