"""How a value is kept: in the journal if it is small JSON, else as an artifact.

Apart from the other modules, so that a worker that only runs functions imports neither nbformat
nor papermill.
"""

import json

import msgspec

from nbflow import guest
from nbflow.core.values import INLINE_LIMIT_BYTES, ArtifactKind, Inline, Value
from nbflow.ports import ArtifactStore


def keep_value(value: object, store: ArtifactStore) -> Value:
    """Return `value` as one that can be handed on: durable, and independent of the object.

    Raises
    ------
    Unstorable
        If it cannot be pickled.
    ArtifactError
        If the store cannot take it.
    """
    kind, data = guest.dumps(value)
    if kind == "json" and len(data) <= INLINE_LIMIT_BYTES:
        return Inline(json.loads(data))
    return store.put(
        data,
        msgspec.convert(kind, ArtifactKind),
        type_name=guest.type_name(value),
        preview=guest.preview(value),
    )
