"""An artifact store for a worker that does not share the driver's: what travels with the task.

It lives in memory for one attempt. What is put into it leaves with the outcome, and the driver
makes it durable. As worker, scheduler and driver all hold it in memory on its way, there is a limit
to what an attempt may add.
"""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from nbflow.artifacts import digest_of
from nbflow.core.attempts import StoreRef
from nbflow.core.errors import ArtifactError
from nbflow.core.ids import AttemptId
from nbflow.core.values import Artifact, ArtifactKind
from nbflow.ports import ArtifactStore, Entry

#: The most that an attempt may hand on through memory, in bytes.
LIMIT_BYTES = 1 << 30


class CarriedStore(ArtifactStore):
    """Bytes by digest, in memory.

    Parameters
    ----------
    carried
        What the task brought along.
    ref
        The driver's store, for which this one stands in.
    scratch
        Where files are written for those who ask for a `path`.
    limit_bytes
        The most that can be added.
    """

    def __init__(
        self,
        carried: Mapping[str, bytes],
        ref: StoreRef,
        scratch: Path,
        limit_bytes: int = LIMIT_BYTES,
    ) -> None:
        self._bytes = dict(carried)
        self._left_bytes = limit_bytes
        self._limit_bytes = limit_bytes
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
        """Keep `data` for the outcome; `ArtifactError` if it is too much to be carried."""
        digest = digest_of(data)
        if digest not in self._bytes:
            self._claim(len(data))
            self._bytes[digest] = self.added[digest] = bytes(data)
        return Artifact(kind, digest, len(data), type_name, preview)

    def put_file(
        self, path: Path, kind: ArtifactKind, *, type_name: str = "", preview: str = ""
    ) -> Artifact:
        """Keep a file's content for the outcome; `ArtifactError` if that is too much."""
        try:
            # Before it is in memory.
            self._require(path.stat().st_size)
            data = path.read_bytes()
        except OSError as error:
            raise ArtifactError(
                f"the file {path} cannot be stored: it cannot be read ({error.strerror}). "
                "Check its name and its permissions"
            ) from error
        return self.put(data, kind, type_name=type_name, preview=preview)

    def get(self, digest: str) -> bytes:
        """Return verified bytes; `ArtifactError` if they did not come along or are damaged."""
        try:
            data = self._bytes[digest]
        except KeyError:
            raise ArtifactError(
                f"artifact {digest} did not come along with the task, and this worker does not "
                f"see the store {self._ref.shown}"
            ) from None
        if digest_of(data) != digest:
            raise ArtifactError(f"artifact {digest} was damaged on its way to the worker")
        return data

    def path(self, digest: str) -> Path:
        """Return a file with verified bytes, which lasts as long as this store."""
        data = self.get(digest)
        folder = self._own_folder()
        path = folder / digest.replace(":", "-")
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

    def touch(self, digest: str) -> bool:
        """Whether the artifact is here; nothing cleans up here."""
        return self.exists(digest)

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Make a private folder, which is removed at the end."""
        with tempfile.TemporaryDirectory(prefix="staging-", dir=self._own_folder()) as folder:
            yield Path(folder)

    def put_entry(self, name: str, data: bytes) -> None:
        """Refuse: entries are the driver's, and it has the store."""
        del data
        raise ArtifactError(f"the entry {name} cannot be put: the store {self._ref.shown} is far")

    def get_entry(self, name: str) -> bytes | None:
        """Return None; see `put_entry`."""
        del name
        return None

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """Yield nothing; see `put_entry`."""
        del prefix
        return iter(())

    def remove_entry(self, name: str) -> None:
        """Do nothing: there are none."""

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

    def _own_folder(self) -> Path:
        if self._folder is None:
            self._scratch.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix="carried-", dir=self._scratch))
        return self._folder

    def _claim(self, size_bytes: int) -> None:
        self._require(size_bytes)
        self._left_bytes -= size_bytes

    def _require(self, size_bytes: int) -> None:
        if size_bytes > self._left_bytes:
            raise ArtifactError(
                f"{size_bytes:,} bytes are too many to be sent: this worker does not see the store "
                f"{self._ref.shown}, and an attempt can send {self._limit_bytes:,} bytes in all. "
                "Put the home on a file system that the workers share, or hand on a file's path"
            )
