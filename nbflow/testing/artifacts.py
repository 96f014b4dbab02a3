"""`MemoryStore`: the artifact store's contract in a dictionary."""

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from nbflow.artifacts.digests import blob_name, digest_of
from nbflow.core.attempts import StoreRef
from nbflow.core.errors import ArtifactError
from nbflow.core.ids import AttemptId
from nbflow.core.values import Artifact, ArtifactKind
from nbflow.ports import ArtifactStore


class MemoryStore(ArtifactStore):
    """An artifact store in a dictionary. Its `ref` leads nowhere: bytes travel with the tasks.

    Parameters
    ----------
    folder
        Where `path` and `staging` put files; it exists.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._blobs: dict[str, bytes] = {}
        self._receipts: dict[tuple[str, str, int], bytes] = {}
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
        with self._lock:
            self._blobs[blob_name(digest)] = bytes(data)
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
        with self._lock:
            data = self._blobs.get(blob_name(digest))
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
        with self._lock:
            return blob_name(digest) in self._blobs

    def materialise(self, digest: str, target: Path) -> None:
        """Write an artifact's bytes to `target`."""
        data = self.get(digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

    def put_receipt(self, attempt: AttemptId, data: bytes) -> None:
        """Keep an attempt's outcome, in place of an earlier one."""
        with self._lock:
            self._receipts[attempt.run, attempt.node, attempt.number] = data

    def get_receipt(self, attempt: AttemptId) -> bytes | None:
        """Return what `put_receipt` kept for the attempt, if anything."""
        with self._lock:
            return self._receipts.get((attempt.run, attempt.node, attempt.number))

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Make a private folder, which is removed at the end."""
        with TemporaryDirectory(dir=self._folder) as folder:
            yield Path(folder)
