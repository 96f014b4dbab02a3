"""How a value is kept: in the journal if it is small JSON, else as an artifact.

What holds a secret is not kept at all: an output is written to the journal or the store, and
handed to other nodes.

Apart from the other modules, so that a worker that only runs functions imports neither nbformat
nor papermill.
"""

import importlib.util
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

import msgspec

from nbflow import guest
from nbflow.artifacts.spooling import Spool
from nbflow.core.errors import ArtifactError
from nbflow.core.values import INLINE_LIMIT_BYTES, Artifact, ArtifactKind, Inline
from nbflow.notebooks.errors import OutputProblem
from nbflow.notebooks.masking import NO_SECRETS, Mask
from nbflow.ports import ArtifactStore


def keep_value(
    name: str, value: object, store: ArtifactStore, mask: Mask = NO_SECRETS
) -> Inline | Artifact:
    """Return the output `name` as one that can be handed on: durable, and independent of `value`.

    Raises
    ------
    Unstorable
        If it cannot be pickled.
    OutputProblem
        If it holds a secret.
    ArtifactError
        If the store cannot take it.
    """
    with Spool(store) as spool:
        kind = guest.dump(value, spool)
        content = spool.content
        refuse_secrets(name, kind, content, mask)
        if isinstance(content, bytes) and kind == "json" and len(content) <= INLINE_LIMIT_BYTES:
            return Inline(json.loads(content))
        about: _About = {
            "kind": msgspec.convert(kind, ArtifactKind),
            "type_name": guest.type_name(value),
            "preview": mask.text(guest.preview(value)),
        }
        if isinstance(content, Path):
            return store.put_file(content, **about)
        return store.put(content, **about)


class _About(TypedDict):
    """What `put` and `put_file` take besides the content."""

    kind: ArtifactKind
    type_name: str
    preview: str


def not_stored(name: str, error: ArtifactError) -> OutputProblem:
    """Return what became of an output that the store did not take, through no fault of its own."""
    return OutputProblem("OutputNotStored", f"output {name!r} could not be stored: {error}")


def refuse_secrets(name: str, kind: str, content: bytes | Path, mask: Mask) -> None:
    """Raise `OutputProblem` if the output `name`, in bytes or in a file, holds a secret."""
    if not mask.active:
        return
    leak = mask.leak_in_file(content) if isinstance(content, Path) else mask.leak(content)
    if leak is None and kind == "parquet":
        leak = next(filter(None, map(mask.leak, _uncompressed(content))), None)
    if leak is not None:
        raise OutputProblem(
            "OutputHasSecret",
            f"output {name!r} contains the secret {leak}, and outputs are stored. Hand on "
            f"something without it; a node that needs the secret takes it as a parameter",
        )


def _uncompressed(parquet: bytes | Path) -> Iterator[memoryview]:
    """Yield a table's values as they lie in memory, part by part; nothing without pyarrow."""
    if importlib.util.find_spec("pyarrow") is None:
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(io.BytesIO(parquet) if isinstance(parquet, bytes) else parquet) as file:
            for batch in file.iter_batches():
                sink = pa.BufferOutputStream()
                with pa.ipc.new_stream(sink, batch.schema) as writer:
                    writer.write_batch(batch)
                yield memoryview(sink.getvalue())
    except pa.ArrowException:
        # No table, whatever its name says. Its bytes have been searched as they are.
        return
