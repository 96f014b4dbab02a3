"""Durable files: written whole, synced, and only then given their name.

`os.replace` is atomic but not durable by itself: a power cut may keep the new
name and lose the bytes, or the other way round. Hence the order, which is the point of
this module: sync the file, rename it, sync the folder.

All such steps go through a `Disk`, so that a test can let any one of them fail.
"""

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

#: Stored files are read-only: a program that was handed a path cannot change one by mistake.
READ_ONLY = 0o444
#: What a file that a user owns is created with, before the umask.
READ_WRITE = 0o666

_CHUNK_BYTES = 1 << 20

#: What a disk does on the way to a durable file.
Step: TypeAlias = Literal["create", "write", "fsync", "rename", "mkdir", "remove"]


class Disk:
    """The steps towards durable files. `before` is told of each; here it lets all pass."""

    def before(self, step: Step, path: Path) -> None:
        """Nothing to do: a subclass may raise, or end the process, instead of the step."""

    @contextmanager
    def new_file(self, folder: Path, mode: int) -> Iterator[tuple[Path, BinaryIO]]:
        """Open a fresh file in `folder`; it is synced at the end, or removed if that fails."""
        path = folder / f".{secrets.token_hex(8)}.tmp"
        self.before("create", path)
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, mode)
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123 - of a descriptor
                self.before("write", path)
                yield path, file
                file.flush()
                self.before("fsync", path)
                os.fsync(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    @contextmanager
    def whole_file(self, final: Path, folder: Path, mode: int) -> Iterator[BinaryIO]:
        """Open a file in `folder` that gets the name `final`, durably, once all is written."""
        with self.new_file(folder, mode) as (temporary, file):
            yield file
        try:
            self.publish(temporary, final)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def publish(self, temporary: Path, final: Path) -> None:
        """Give a synced file its final name, durably; its folder is created if need be."""
        self.before("rename", final)
        try:
            temporary.replace(final)
        except FileNotFoundError:
            self.make_folder(final.parent)
            temporary.replace(final)
        self.sync_folder(final.parent)

    def make_folder(self, folder: Path) -> None:
        """Create `folder` and its missing parents, each durably."""
        if folder.is_dir():
            return
        self.make_folder(folder.parent)
        self.before("mkdir", folder)
        folder.mkdir(exist_ok=True)
        self.sync_folder(folder.parent)

    def sync_folder(self, folder: Path) -> None:
        """Make the names in `folder` durable."""
        self._sync(folder, os.O_DIRECTORY)

    def sync_file(self, path: Path) -> None:
        """Make the content of a file that someone else has written durable."""
        self._sync(path, 0)

    def remove(self, path: Path) -> None:
        """Remove a file. A power cut may bring it back, which costs nothing but room."""
        self.before("remove", path)
        path.unlink(missing_ok=True)

    def _sync(self, path: Path, flags: int) -> None:
        self.before("fsync", path)
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


#: The disk as it is.
DISK = Disk()


def hashed(source: BinaryIO) -> tuple[str, int]:
    """Read all bytes in constant memory; return their digest and their number."""
    sha256 = hashlib.sha256()
    size_bytes = 0
    while chunk := source.read(_CHUNK_BYTES):
        sha256.update(chunk)
        size_bytes += len(chunk)
    return f"sha256:{sha256.hexdigest()}", size_bytes


def copy_hashed(source: BinaryIO, target: BinaryIO) -> tuple[str, int]:
    """Copy all bytes in constant memory; return their digest and their number.

    Hashing what is written, in one pass, leaves no moment for the source to change in between.
    """
    sha256 = hashlib.sha256()
    size_bytes = 0
    while chunk := source.read(_CHUNK_BYTES):
        sha256.update(chunk)
        target.write(chunk)
        size_bytes += len(chunk)
    return f"sha256:{sha256.hexdigest()}", size_bytes
