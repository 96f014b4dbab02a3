"""`FileStore`: content addressing, verification and receipts over a place for files."""

import secrets
import shutil
import tempfile
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO

from nbflow.artifacts import names
from nbflow.artifacts.digests import blob_name, digest_in, digest_of, digest_of_file
from nbflow.artifacts.files import DISK, READ_WRITE, Disk, copy_hashed
from nbflow.artifacts.folders import LocalFolder, Place, explained
from nbflow.core.attempts import StoreRef
from nbflow.core.errors import ArtifactError
from nbflow.core.ids import AttemptId
from nbflow.core.values import Artifact, ArtifactKind
from nbflow.ports import Entry, Stored, StoredReceipt, TendedStore

_MARK = "mark"
#: Files whose content this process remembers to have verified.
_MAX_VERIFIED = 10_000


class FileStore(TendedStore):
    """Artifacts in a local folder, or at an fsspec URL. Thread-safe. Use `open` or `open_ref`.

    Parameters
    ----------
    place
        Where the files are.
    mark
        The token in the place's file ``mark``.
    """

    def __init__(self, place: Place, mark: str) -> None:
        self._place = place
        self._mark = mark
        self._verified = _Verified(_MAX_VERIFIED)

    @classmethod
    def open(
        cls, where: str | Path, *, cache_dir: Path | None = None, disk: Disk = DISK
    ) -> "FileStore":
        """Open the store at `where`, and create it if need be.

        Parameters
        ----------
        where
            A folder, or an fsspec URL.
        cache_dir
            Where local copies of remote artifacts are kept; by default in a temporary
            folder that goes with this object. A local store needs none.
        disk
            How files in a local folder become durable; a test may have it fail.

        Raises
        ------
        ArtifactError
            If the place cannot be used.
        """
        place = _place(str(where), cache_dir)
        if isinstance(place, LocalFolder):
            place = LocalFolder.create(place.root, disk)
        found = place.read(_MARK) or place.write_once(_MARK, secrets.token_hex(16).encode())
        return cls(place, found.decode())

    @classmethod
    def open_ref(cls, ref: StoreRef, *, cache_dir: Path | None = None) -> "FileStore | None":
        """Open the very store that `ref` names, from another process or machine.

        Returns
        -------
        FileStore or None
            None if this process does not share that store: it finds nothing at the URL,
            or another store, or may not write there. Bytes must be carried then.
        """
        try:
            place = _place(ref.url, cache_dir)
            found = place.read(_MARK)
        except ArtifactError:
            return None
        if found != ref.mark.encode():
            return None
        if isinstance(place, LocalFolder) and not place.writable():
            return None
        return cls(place, ref.mark)

    @property
    def ref(self) -> StoreRef:
        """How a worker finds this store; see `open_ref`."""
        return StoreRef(self._place.url, self._mark)

    def put(
        self, data: bytes, kind: ArtifactKind, *, type_name: str = "", preview: str = ""
    ) -> Artifact:
        """Store `data`; see `ArtifactStore.put`."""
        digest = digest_of(data)
        name = blob_name(digest)
        if not self._place.holds(name, digest, len(data)):
            self._place.write(name, data)
        return Artifact(kind, digest, len(data), type_name, preview)

    def put_file(
        self, path: Path, kind: ArtifactKind, *, type_name: str = "", preview: str = ""
    ) -> Artifact:
        """Store a file's content; one inside `staging` is moved, any other is copied.

        Raises
        ------
        ArtifactError
            If the file cannot be read, or its content cannot be stored.
        """
        if self._place.is_staged(path):
            with self._explained():
                digest, size_bytes = digest_of_file(path), path.stat().st_size
            self._take(path, digest, size_bytes)
        else:
            with self.staging() as folder:
                copy = folder / "content"
                digest, size_bytes = self._copy_in(path, copy)
                self._take(copy, digest, size_bytes)
        return Artifact(kind, digest, size_bytes, type_name, preview)

    def get(self, digest: str) -> bytes:
        """Return verified bytes; see `ArtifactStore.get`."""
        data = self._place.read(blob_name(digest))
        if data is None:
            raise self._missing(digest)
        found = digest_of(data)
        if found != digest:
            raise self._damaged(digest, found)
        return data

    def path(self, digest: str) -> Path:
        """Return a local file with verified bytes, which must not be changed.

        A file is read for verification once; again only if its size, time or inode changes.
        """
        path = self._local(digest)
        with self._explained():
            if not self._verified.knows(digest, path):
                found = digest_of_file(path)
                if found != digest:
                    self._place.drop_copy(blob_name(digest))
                    raise self._damaged(digest, found)
                self._verified.add(digest, path)
        return path

    def exists(self, digest: str) -> bool:
        """Whether the store has the artifact; its bytes are not looked at."""
        return self._place.exists(blob_name(digest))

    def touch(self, digest: str) -> bool:
        """Whether the store has the artifact, which is as young now as if it had been put."""
        return self._place.touch(blob_name(digest), lambda: self.path(digest))

    def materialise(self, digest: str, target: Path) -> None:
        """Write an artifact's verified bytes to a file that belongs to the user.

        `target` is replaced whole or not at all; missing folders are created.

        Raises
        ------
        ArtifactError
            If the artifact is missing or damaged, or `target` cannot be written.
        """
        source = self._local(digest)
        with explained(f"the folder {target.parent}"):
            DISK.make_folder(target.parent)
            with (
                source.open("rb") as stored,
                DISK.whole_file(target, target.parent, READ_WRITE) as copy,
            ):
                found, _ = copy_hashed(stored, copy)
                if found != digest:
                    raise self._damaged(digest, found)

    def put_receipt(self, attempt: AttemptId, data: bytes) -> None:
        """Keep an attempt's outcome, durably, in place of an earlier one.

        The epoch is no part of its name. A driver journals an attempt before it hands it over, so
        run, node and number name one attempt of one driver; and the next driver, which has
        an epoch of its own, finds the receipt by them alone. The outcome itself has its epoch: a
        node that was dropped from the flow and came back has had the same numbers before.
        """
        self._place.write(names.of_receipt(attempt), data)

    def get_receipt(self, attempt: AttemptId) -> bytes | None:
        """Return what `put_receipt` kept for the attempt, if anything."""
        return self._place.read(names.of_receipt(attempt))

    def put_entry(self, name: str, data: bytes) -> None:
        """Keep `data` under `name`; see `ArtifactStore.put_entry`."""
        self._place.write(names.of_entry(name), data)

    def get_entry(self, name: str) -> bytes | None:
        """Return what was last put under `name`, if anything."""
        return self._place.read(names.of_entry(name))

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """Yield the entries below `prefix`, or all, in no order."""
        for found in self._place.list(names.of_entries(prefix)):
            yield Entry(names.entry_of(found.name), found.size_bytes, found.modified_at)

    def remove_entry(self, name: str) -> None:
        """Forget an entry; nothing happens if there is none."""
        self._place.remove(names.of_entry(name))

    def stored(self) -> Iterator[Stored]:
        """Yield every artifact, in no order."""
        for found in self._place.list("sha256"):
            digest = digest_in(found.name)
            if digest is not None:
                yield Stored(digest, found.size_bytes, found.modified_at)

    @contextmanager
    def reading(self, digest: str) -> Iterator[BinaryIO]:
        """Open an artifact to be read once, unverified; see `TendedStore.reading`."""
        with self._place.reading(blob_name(digest)) as file:
            if file is None:
                raise self._missing(digest)
            yield file

    def remove(self, digest: str, *, before: float) -> bool:
        """Remove an artifact that was last put or touched before that time; whether it was."""
        return self._place.remove_old(blob_name(digest), before)

    def receipts(self, run: str | None = None) -> Iterator[StoredReceipt]:
        """Yield the receipts of a run, or of all runs, in no order."""
        for found in self._place.list(names.of_receipts(run)):
            attempt = names.attempt_of(found.name)
            if attempt is not None:
                yield StoredReceipt(attempt, found.size_bytes, found.modified_at)

    def remove_receipt(self, attempt: AttemptId) -> None:
        """Forget a receipt; nothing happens if there is none."""
        self._place.remove(names.of_receipt(attempt))

    def unfinished(self) -> Iterator[Entry]:
        """Yield what writers that were cut short have left behind, or are still writing."""
        for found in self._place.unfinished():
            yield Entry(found.name, found.size_bytes, found.modified_at)

    def remove_unfinished(self, name: str) -> None:
        """Remove what `unfinished` has named."""
        self._place.remove_unfinished(name)

    def staging(self) -> AbstractContextManager[Path]:
        """Make a private folder, from which `put_file` moves files; it is removed at the end."""
        return self._place.staging()

    def _take(self, staged: Path, digest: str, size_bytes: int) -> None:
        name = blob_name(digest)
        if self._place.holds(name, digest, size_bytes):
            staged.unlink()
        else:
            self._place.take(name, staged)

    def _copy_in(self, path: Path, staged: Path) -> tuple[str, int]:
        try:
            source = path.open("rb")
        except OSError as error:
            raise ArtifactError(
                f"the file {path} cannot be stored: it cannot be read ({error.strerror}). "
                "Check its name and its permissions"
            ) from error
        with source, self._explained(), staged.open("xb") as copy:
            return copy_hashed(source, copy)

    def _explained(self) -> AbstractContextManager[None]:
        return explained(f"the artifact store {self.ref.shown}")

    def _local(self, digest: str) -> Path:
        path = self._place.local(blob_name(digest))
        if path is None:
            raise self._missing(digest)
        return path

    def _missing(self, digest: str) -> ArtifactError:
        return ArtifactError(
            f"artifact {digest} is missing from the store {self.ref.shown}. Was it removed by "
            "hand, or is this another home? Run the flow that made it once more: that restores it"
        )

    def _damaged(self, digest: str, found: str) -> ArtifactError:
        return ArtifactError(
            f"artifact {digest} in the store {self.ref.shown} is damaged: its bytes hash to "
            f"{found}. Check the disk, and run the flow that made it once more: that replaces it"
        )


class _Verified:
    """The files that this process has found to be whole, the latest ones up to a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._signatures: OrderedDict[str, tuple[int, int, int]] = OrderedDict()

    def knows(self, digest: str, path: Path) -> bool:
        """Whether the file was verified, and looks as it did then."""
        signature = _signature(path)
        with self._lock:
            return self._signatures.get(digest) == signature

    def add(self, digest: str, path: Path) -> None:
        """Remember the file; the one that was added first is forgotten beyond the limit."""
        signature = _signature(path)
        with self._lock:
            self._signatures[digest] = signature
            if len(self._signatures) > self._limit:
                self._signatures.popitem(last=False)


def _signature(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _place(where: str, cache_dir: Path | None) -> Place:
    """Return the place that `where` names; a local one is not created."""
    protocol, separator, rest = where.partition("://")
    if not separator:
        return LocalFolder(Path(where).absolute())
    if protocol in ("file", "local"):
        return LocalFolder(Path(rest).absolute())
    # fsspec takes a while to import, and most stores are folders.
    from nbflow.artifacts.remote import RemoteFolder

    if cache_dir is not None:
        return RemoteFolder(where, LocalFolder.create(cache_dir.absolute()))
    temporary = Path(tempfile.mkdtemp(prefix="nbflow-cache-"))
    place = RemoteFolder(where, LocalFolder.create(temporary))
    weakref.finalize(place, shutil.rmtree, temporary, ignore_errors=True)
    return place
