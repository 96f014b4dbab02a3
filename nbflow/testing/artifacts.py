"""`MemoryStore`: the artifact store's contract in a dictionary."""

import io
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from nbflow.artifacts import names
from nbflow.artifacts.digests import blob_name, digest_in, digest_of
from nbflow.core.attempts import StoreRef
from nbflow.core.errors import ArtifactError
from nbflow.core.ids import AttemptId
from nbflow.core.values import Artifact, ArtifactKind
from nbflow.ports import Entry, Stored, StoredReceipt, TendedStore


class MemoryStore(TendedStore):
    """An artifact store in a dictionary. Its `ref` leads nowhere: bytes travel with the tasks.

    Parameters
    ----------
    folder
        Where `path` and `staging` put files; it exists.
    clock
        Seconds since the epoch.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._clock = clock
        self._lock = threading.Lock()
        #: name -> content and time, with names as `FileStore` gives them to files.
        self._files: dict[str, tuple[bytes, float]] = {}
        mark = secrets.token_hex(16)
        self._ref = StoreRef(f"nowhere://{mark}", mark)

    @property
    def ref(self) -> StoreRef:
        """A reference by which no worker finds anything."""
        return self._ref

    def put(
        self, data: bytes, kind: ArtifactKind, *, type_name: str = "", preview: str = ""
    ) -> Artifact:
        """Store `data`."""
        digest = digest_of(data)
        self._write(blob_name(digest), data)
        return Artifact(kind, digest, len(data), type_name, preview)

    def put_file(
        self, path: Path, kind: ArtifactKind, *, type_name: str = "", preview: str = ""
    ) -> Artifact:
        """Store a file's content."""
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ArtifactError(f"the file {path} cannot be stored: {error}") from error
        return self.put(data, kind, type_name=type_name, preview=preview)

    def get(self, digest: str) -> bytes:
        """Return the bytes that were stored."""
        data = self._read(blob_name(digest))
        if data is None:
            raise ArtifactError(f"artifact {digest} is missing from the store in memory")
        return data

    def path(self, digest: str) -> Path:
        """Return a file with the bytes; each call writes a fresh one."""
        path = self._folder / secrets.token_hex(8)
        path.write_bytes(self.get(digest))
        return path

    def exists(self, digest: str) -> bool:
        """Whether the store has the artifact."""
        return self._read(blob_name(digest)) is not None

    def touch(self, digest: str) -> bool:
        """Whether the store has the artifact, which is as young now as if it had been put."""
        data = self._read(blob_name(digest))
        if data is not None:
            self._write(blob_name(digest), data)
        return data is not None

    def materialise(self, digest: str, target: Path) -> None:
        """Write an artifact's bytes to `target`."""
        data = self.get(digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

    def put_receipt(self, attempt: AttemptId, data: bytes) -> None:
        """Keep an attempt's outcome, in place of an earlier one."""
        self._write(names.of_receipt(attempt), data)

    def get_receipt(self, attempt: AttemptId) -> bytes | None:
        """Return what `put_receipt` kept for the attempt, if anything."""
        return self._read(names.of_receipt(attempt))

    def put_entry(self, name: str, data: bytes) -> None:
        """Keep `data` under `name`."""
        self._write(names.of_entry(name), data)

    def get_entry(self, name: str) -> bytes | None:
        """Return what was last put under `name`, if anything."""
        return self._read(names.of_entry(name))

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """Yield the entries below `prefix`, or all."""
        for name, size_bytes, at in self._below(names.of_entries(prefix)):
            yield Entry(names.entry_of(name), size_bytes, at)

    def remove_entry(self, name: str) -> None:
        """Forget an entry; nothing happens if there is none."""
        self._remove(names.of_entry(name))

    def stored(self) -> Iterator[Stored]:
        """Yield every artifact."""
        for name, size_bytes, at in self._below("sha256"):
            digest = digest_in(name)
            assert digest is not None
            yield Stored(digest, size_bytes, at)

    @contextmanager
    def reading(self, digest: str) -> Iterator[BinaryIO]:
        """Open an artifact to be read once."""
        yield io.BytesIO(self.get(digest))

    def remove(self, digest: str, *, before: float) -> bool:
        """Remove an artifact that was last put or touched before that time; whether it was."""
        name = blob_name(digest)
        with self._lock:
            if name not in self._files or self._files[name][1] >= before:
                return False
            del self._files[name]
        return True

    def receipts(self, run: str | None = None) -> Iterator[StoredReceipt]:
        """Yield the receipts of a run, or of all runs."""
        for name, size_bytes, at in self._below(names.of_receipts(run)):
            attempt = names.attempt_of(name)
            assert attempt is not None
            yield StoredReceipt(attempt, size_bytes, at)

    def remove_receipt(self, attempt: AttemptId) -> None:
        """Forget a receipt; nothing happens if there is none."""
        self._remove(names.of_receipt(attempt))

    def unfinished(self) -> Iterator[Entry]:
        """Yield nothing: nothing here can be cut short."""
        return iter(())

    def remove_unfinished(self, name: str) -> None:
        """Do nothing; see `unfinished`."""

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Make a private folder, which is removed at the end."""
        with TemporaryDirectory(dir=self._folder) as folder:
            yield Path(folder)

    def _write(self, name: str, data: bytes) -> None:
        with self._lock:
            self._files[name] = (bytes(data), self._clock())

    def _read(self, name: str) -> bytes | None:
        with self._lock:
            found = self._files.get(name)
        return None if found is None else found[0]

    def _remove(self, name: str) -> None:
        with self._lock:
            self._files.pop(name, None)

    def _below(self, folder: str) -> Iterator[tuple[str, int, float]]:
        with self._lock:
            found = [(name, len(data), at) for name, (data, at) in self._files.items()]
        return (each for each in found if each[0].startswith(f"{folder}/"))
