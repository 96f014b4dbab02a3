"""Values in a few words, wherever they are told."""

import json

from nbflow.core.values import Artifact, Binding, Fields, Inline, Items, Secret, SecretText
from nbflow.drawing.words import one_line, size

_LENGTH = 60


def value_text(value: Binding, limit: int = _LENGTH) -> str:
    """Return a value in a few words: small JSON as it is, else its type, preview and size."""
    match value:
        case Inline(plain):
            return one_line(json.dumps(plain, ensure_ascii=False), limit)
        case Artifact():
            about = f"{value.type_name or value.kind} {one_line(value.preview, limit)}"
            return f"{about.rstrip()} ({size(value.size_bytes)})"
        case Items(items):
            return f"list of {len(items)}"
        case Fields(fields):
            return one_line(f"mapping of {', '.join(fields)}", limit)
        case Secret() | SecretText():
            return one_line(str(value), limit)
        case _:
            raise AssertionError(f"{value} is not resolved")
