"""An artifact store for a worker that does not share the driver's: what travels with the task.

It lives in memory for one attempt. What is put into it leaves with the outcome, and the driver
makes it durable.
"""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from nbflow.artifacts import digest_of
from nbflow.core.attempts import StoreRef
from nbflow.core.errors import ArtifactError
from nbflow.core.ids import AttemptId
from nbflow.core.values import Artifact, ArtifactKind


class CarriedStore:
    """Bytes by digest, in memory.

    Parameters
    ----------
    carried
        What the task brought along.
    ref
        The driver's store, for which this one stands in.
    scratch
        Where files are written for those who ask for a `path`.
    """

    def __init__(self, carried: Mapping[str, bytes], ref: StoreRef, scratch: Path) -> None:
        self._bytes = dict(carried)
        self._ref = ref
        self._scratch = scratch
        self._folder: Path | None = None
        #: What the attempt has added.
        self.added: dict[str, bytes] = {}

    @property
    def ref(self) -> StoreRef:
        """The store for which this one stands in."""
        return self._ref

    def put(
        self, data: bytes, kind: ArtifactKind, *, type_name: str = "", preview: str = ""
    ) -> Artifact:
        """Keep `data` for the outcome."""
        digest = digest_of(data)
        if digest not in self._bytes:
            self._bytes[digest] = self.added[digest] = bytes(data)
        return Artifact(kind, digest, len(data), type_name, preview)

    def put_file(
        self, path: Path, kind: ArtifactKind, *, type_name: str = "", preview: str = ""
    ) -> Artifact:
        """Keep a file's content for the outcome."""
        return self.put(path.read_bytes(), kind, type_name=type_name, preview=preview)

    def get(self, digest: str) -> bytes:
        """Return verified bytes; `ArtifactError` if they did not come along or are damaged."""
        try:
            data = self._bytes[digest]
        except KeyError:
            raise ArtifactError(
                f"artifact {digest} did not come along with the task, and this worker does not "
                f"see the store {self._ref.url}"
            ) from None
        if digest_of(data) != digest:
            raise ArtifactError(f"artifact {digest} was damaged on its way to the worker")
        return data

    def path(self, digest: str) -> Path:
        """Return a file with verified bytes, which lasts as long as this store."""
        data = self.get(digest)
        if self._folder is None:
            self._scratch.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix="carried-", dir=self._scratch))
        path = self._folder / digest.replace(":", "-")
        if not path.exists():
            path.write_bytes(data)
        return path

    def materialise(self, digest: str, target: Path) -> None:
        """Write verified bytes to `target`, in one step."""
        data = self.get(digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.part")
        partial.write_bytes(data)
        partial.replace(target)

    def exists(self, digest: str) -> bool:
        """Whether the artifact came along or was added."""
        return digest in self._bytes

    def put_receipt(self, attempt: AttemptId, data: bytes) -> None:
        """Nothing to do: the outcome itself travels to the driver, which makes it durable."""

    def get_receipt(self, attempt: AttemptId) -> bytes | None:
        """Return None; see `put_receipt`."""
        del attempt
        return None

    def close(self) -> None:
        """Remove the files."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
