"""How a value is kept: in the journal if it is small JSON, else as an artifact.

What holds a secret is not kept at all: an output is written to the journal or the store, and
handed to other nodes.

Apart from the other modules, so that a worker that only runs functions imports neither nbformat
nor papermill.
"""

import importlib.util
import io
import json
from pathlib import Path

import msgspec

from nbflow import guest
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
    kind, data = guest.dumps(value)
    refuse_secrets(name, kind, data, mask)
    if kind == "json" and len(data) <= INLINE_LIMIT_BYTES:
        return Inline(json.loads(data))
    return store.put(
        data,
        msgspec.convert(kind, ArtifactKind),
        type_name=guest.type_name(value),
        preview=mask.text(guest.preview(value)),
    )


def refuse_secrets(name: str, kind: str, content: bytes | Path, mask: Mask) -> None:
    """Raise `OutputProblem` if the output `name`, in bytes or in a file, holds a secret."""
    if not mask.active:
        return
    leak = mask.leak_in_file(content) if isinstance(content, Path) else mask.leak(content)
    if leak is None and kind == "parquet":
        leak = mask.leak(_uncompressed(content))
    if leak is not None:
        raise OutputProblem(
            "OutputHasSecret",
            f"output {name!r} contains the secret {leak}, and outputs are stored. Hand on "
            f"something without it; a node that needs the secret takes it as a parameter",
        )


def _uncompressed(parquet: bytes | Path) -> memoryview | bytes:
    """Return the bytes of a table's values as they lie in memory; nothing without pyarrow."""
    if importlib.util.find_spec("pyarrow") is None:
        return b""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(parquet) if isinstance(parquet, bytes) else parquet)
    except pa.ArrowException:
        # No table, whatever its name says. Its bytes have been searched as they are.
        return b""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return memoryview(sink.getvalue())
