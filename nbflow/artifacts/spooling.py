"""A file for a value whose size is not known before it is written.

Most values are small, and touching the disk for each would cost more than the rest of their
function; a few are larger than the memory that is left beside them. So what is written stays in
memory up to a limit, and moves on to a file in the store's own staging folder beyond it. From
there, `put_file` only has to rename it.
"""

import io
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from nbflow import guest
from nbflow.artifacts.folders import explained
from nbflow.core.values import Artifact
from nbflow.ports import ArtifactStore

#: What is larger goes to disk, in bytes.
IN_MEMORY_BYTES = 1 << 20


class Spool(io.RawIOBase):
    """Takes what is written, in memory or in a file. Its content lasts until the block ends.

    Parameters
    ----------
    store
        Where the content will be put.

    Raises
    ------
    ArtifactError
        At the end of the block, if the disk did not take all.
    """

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._memory = io.BytesIO()
        self._file: BinaryIO | None = None
        self._path = Path()
        self._files = ExitStack()
        #: Whoever writes may take the disk's error for its own: cloudpickle's callers do.
        self._failure: OSError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with explained(f"the artifact store {self._store.ref.shown}"):
            self._files.close()
            if self._failure is not None:
                raise self._failure

    @property
    def content(self) -> bytes | Path:
        """What was written: its bytes, or the file that holds them."""
        if self._file is None:
            return self._memory.getvalue()
        try:
            self._file.flush()
        except OSError as error:
            self._failure = error
            raise
        return self._path

    def writable(self) -> bool:
        """Whether this can be written to: always."""
        return True

    def write(self, data: Any, /) -> int:
        """Take any buffer, whole."""
        size_bytes = memoryview(data).nbytes
        try:
            if self._file is None and self._memory.tell() + size_bytes > IN_MEMORY_BYTES:
                self._move_to_disk()
            (self._file or self._memory).write(data)
        except OSError as error:
            self._failure = error
            raise
        return size_bytes

    def _move_to_disk(self) -> None:
        self._path = self._files.enter_context(self._store.staging()) / "content"
        self._file = self._files.enter_context(self._path.open("xb"))
        self._file.write(self._memory.getbuffer())
        self._memory = io.BytesIO()


def load_value(artifact: Artifact, store: ArtifactStore) -> object:
    """Return the value in an artifact; a large one's bytes are never in memory beside it.

    Raises
    ------
    ArtifactError
        If its bytes are missing or damaged.
    """
    if artifact.size_bytes <= IN_MEMORY_BYTES:
        return guest.load(artifact.kind, store.get(artifact.digest))
    return guest.load_file(artifact.kind, store.path(artifact.digest))
