"""An artifact store at an fsspec URL (``s3://…``, ``gs://…``, ``memory://…``), with a local cache.

Object stores show a file when its upload is complete, and keep it by their own
promise, so names are written directly. Where a protocol does not (sftp, for one), a torn upload is
found by its hash when it is read, and replaced when its bytes are put again.

No service removes a file on the condition that it is old. So between a clean-up's look at the
time and the removal, a `put` of the same bytes is lost; it takes an artifact that nothing
has named for a whole grace period, and is named again in that very moment. `nbflow verify` finds
it.
"""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO
from weakref import WeakValueDictionary

import fsspec

from nbflow.artifacts.folders import Found, LocalFolder
from nbflow.core.errors import ArtifactError
from nbflow.core.ids import without_credentials

#: A file that was written within this time, in seconds, is young enough to be left as it is.
_YOUNG_S = 3600.0
#: What the services call the time of a file.
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")


class RemoteFolder:
    """A folder at a URL.

    Parameters
    ----------
    url
        Any URL that fsspec knows.
    cache
        Where local copies are kept.

    Raises
    ------
    ArtifactError
        If no file system is known for the URL.
    """

    def __init__(self, url: str, cache: LocalFolder) -> None:
        self.url = url.rstrip("/")
        self._cache = cache
        self._lock = threading.Lock()
        self._fetches: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()
        with self._explained():
            self._fs, self._root = _file_system(self.url)

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes, or None if there is none."""
        with self._explained():
            try:
                return bytes(self._fs.cat_file(self._path(name)))
            except FileNotFoundError:
                return None

    @contextmanager
    def reading(self, name: str) -> Iterator[BinaryIO | None]:
        """Open a file to be read once, from where it is; None if there is none."""
        if not self.exists(name):
            yield None
            return
        with self._explained():
            file = self._fs.open(self._path(name), "rb")
        with file:
            yield file

    def write(self, name: str, data: bytes) -> None:
        """Write a file whole, in place of any earlier one."""
        path = self._path(name)
        with self._explained():
            self._in_folder(path, lambda: self._fs.pipe_file(path, data))

    def write_once(self, name: str, data: bytes) -> bytes:
        """Write a file unless there is one.

        Few services can refuse to overwrite. So of several first users at once the last one
        wins, and who has read another's answer takes the store for a stranger's.
        """
        found = self.read(name)
        if found is None:
            self.write(name, data)
            found = self.read(name)
        return data if found is None else found

    def staging(self) -> AbstractContextManager[Path]:
        """Make a private folder beside the local copies."""
        return self._cache.staging()

    def is_staged(self, path: Path) -> bool:
        """Whether `path` lies in some folder that `staging` has made."""
        return self._cache.is_staged(path)

    def take(self, name: str, staged: Path) -> None:
        """Upload a file out of `staging`, and keep it as the local copy."""
        path = self._path(name)
        with self._explained():
            self._in_folder(path, lambda: self._fs.put_file(str(staged), path))
        self._cache.take(name, staged)

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        with self._explained():
            return bool(self._fs.isfile(self._path(name)))

    def holds(self, name: str, digest: str, size_bytes: int) -> bool:  # noqa: ARG002 - see below
        """Whether a young file of this name and size is there.

        To check its hash would be to fetch it. One that is not young is written again, as no
        service can just give it another time.
        """
        with self._explained():
            try:
                info = self._fs.info(self._path(name))
            except FileNotFoundError:
                return False
            return bool(info["size"] == size_bytes and self._is_young(info))

    def touch(self, name: str, verified: Callable[[], Path]) -> bool:
        """Write a file again, unless it is young; whether there is one."""
        path = self._path(name)
        with self._explained():
            try:
                young = self._is_young(self._fs.info(path))
            except FileNotFoundError:
                return False
        if not young:
            local = verified()
            with self._explained():
                self._fs.put_file(str(local), path)
        return True

    def list(self, folder: str) -> Iterator[Found]:
        """Yield all files below `folder`."""
        with self._explained():
            # Some services' clients remember their listings for good.
            self._fs.invalidate_cache()
            try:
                files = self._fs.find(self._path(folder), detail=True)
            except FileNotFoundError:
                return
        for path, info in files.items():
            name = path[path.index(self._root) + len(self._root) :].lstrip("/")
            yield Found(name, info["size"], self._modified_at(info))

    def remove(self, name: str) -> None:
        """Remove a file; nothing happens if there is none."""
        with self._explained():
            try:
                self._fs.rm_file(self._path(name))
            except FileNotFoundError:
                return

    def remove_old(self, name: str, before: float) -> bool:
        """Remove a file that was written before that time, and its local copy."""
        with self._explained():
            self._fs.invalidate_cache()
            try:
                info = self._fs.info(self._path(name))
            except FileNotFoundError:
                return False
        if self._modified_at(info) >= before:
            return False
        self.remove(name)
        self.drop_copy(name)
        shutil.rmtree(self._cache.root / f"{name}.d", ignore_errors=True)
        return True

    def unfinished(self) -> Iterator[Found]:
        """Yield what lies in the ``tmp`` of the local copies: uploads leave nothing else."""
        return self._cache.unfinished()

    def remove_unfinished(self, name: str) -> None:
        """Remove what `unfinished` has named."""
        self._cache.remove_unfinished(name)

    def local(self, name: str) -> Path | None:
        """Return the local copy, fetched now if there is none yet."""
        with self._fetching(name):
            cached = self._cache.local(name)
            if cached is None:
                self._fetch(name)
                cached = self._cache.local(name)
        return cached

    def drop_copy(self, name: str) -> None:
        """Remove the local copy, so that the next reader fetches it anew."""
        (self._cache.root / name).unlink(missing_ok=True)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _is_young(self, info: dict[str, Any]) -> bool:
        return self._modified_at(info) > time.time() - _YOUNG_S

    def _modified_at(self, info: dict[str, Any]) -> float:
        for key in _TIMES:
            at = info.get(key)
            if isinstance(at, str):
                at = datetime.fromisoformat(at)
            if isinstance(at, datetime):
                return at.timestamp()
            if at is not None:
                return float(at)
        modified: datetime = self._fs.modified(info["name"])
        return modified.timestamp()

    def _fetch(self, name: str) -> None:
        with self.staging() as folder:
            fetched = folder / "content"
            with self._explained():
                try:
                    self._fs.get_file(self._path(name), str(fetched))
                except FileNotFoundError:
                    return
            self._cache.take(name, fetched)

    def _fetching(self, name: str) -> threading.Lock:
        """Return the lock by which nodes that start together fetch their common input once."""
        with self._lock:
            lock = self._fetches.get(name)
            if lock is None:
                lock = self._fetches[name] = threading.Lock()
            return lock

    def _in_folder(self, path: str, write: Callable[[], None]) -> None:
        try:
            write()
        except FileNotFoundError:
            # Most services have no folders; asking each time would cost a round trip.
            self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            write()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            # Each service raises what its client library raises: there is no common base.
            cause = f"{type(error).__name__}: {error}"
            raise ArtifactError(
                f"the artifact store {without_credentials(self.url)} cannot be used ({cause}). "
                "Check its address and credentials, and that its fsspec package is installed"
            ) from error


def _file_system(url: str) -> tuple[Any, str]:
    fs, root = fsspec.core.url_to_fs(url)
    return fs, root.rstrip("/")
