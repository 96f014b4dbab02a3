"""Which artifacts a run needs: what its records name, wherever in them.

Records are walked through generically, so that a new field or event is seen without
being listed here: whatever text in them is a digest counts. Only what users wrote (`Inline`) is
left out, as no text of theirs means an artifact.

One kind of reference ends before its run does. A checkpoint is of no use once its node has gone
beyond it: by a later one, or to its end.
"""

import re
from collections.abc import Iterable, Iterator

import msgspec

from nbflow.core.events import (
    AttemptSucceeded,
    CheckpointStored,
    NodeCached,
    Record,
)
from nbflow.core.run import Run
from nbflow.core.spec import Code, NodeSpec
from nbflow.core.values import Artifact, Inline

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_DIGEST_IN_BYTES = re.compile(rb"sha256:[0-9a-f]{64}")


class Reference(msgspec.Struct, frozen=True):
    """An artifact that a record names."""

    digest: str
    #: None where the record does not say.
    size_bytes: int | None
    seq: int
    node: str | None
    #: What the record names it as, for people: ``output 'model'``.
    what: str


def live_references(records: Iterable[Record]) -> Iterator[Reference]:
    """Yield all that `records`, the whole history of a run, need, in order; some twice."""
    checkpoints: dict[str, list[Reference]] = {}
    for record in records:
        found = references_in(record)
        match record.event:
            case CheckpointStored(node=node):
                checkpoints[node] = list(found)
                continue
            case AttemptSucceeded(node=node) | NodeCached(node=node):
                checkpoints.pop(node, None)
        yield from found
    for pending in checkpoints.values():
        yield from pending


def digests_of(run: Run) -> set[str]:
    """Return the artifacts that a run needs as it stands: not those of results that it had once."""
    values = (run.graph.spec, run.params, *run.nodes.values())
    return {digest for value in values for digest, *_ in _walk(value, None, ())}


def references_in(record: Record) -> Iterator[Reference]:
    """Yield the artifacts that one record names."""
    for digest, size_bytes, node, path in _walk(record.event, record.node, ()):
        yield Reference(digest, size_bytes, record.seq, node, _words(path))


def digests_in(data: bytes) -> set[str]:
    """Return all digests that stand in an entry, whatever its format."""
    return {digest.decode() for digest in _DIGEST_IN_BYTES.findall(data)}


_Place = tuple[str, int | None, str | None, tuple[str, ...]]


def _walk(value: object, node: str | None, path: tuple[str, ...]) -> Iterator[_Place]:
    match value:
        case Inline():
            return
        case Artifact(digest=digest, size_bytes=size_bytes):
            yield digest, size_bytes, node, path
        case NodeSpec(name=name):
            yield from _walk_fields(value, name, ())
        case msgspec.Struct():
            yield from _walk_fields(value, node, path)
        case dict():
            for key, item in value.items():
                yield from _walk(item, node, (*path, str(key)))
        case list() | tuple():
            for item in value:
                yield from _walk(item, node, path)
        case str() if _DIGEST.fullmatch(value):
            yield value, None, node, path


def _walk_fields(
    value: msgspec.Struct, node: str | None, path: tuple[str, ...]
) -> Iterator[_Place]:
    for name in value.__struct_fields__:
        inner = path if isinstance(value, Code) and name == "digest" else (*path, name)
        yield from _walk(getattr(value, name), node, inner)


def _words(path: tuple[str, ...]) -> str:
    match path:
        case ("outputs", name, *_):
            return f"output {name!r}"
        case ("params", name, *_):
            return f"parameter {name!r}"
        case ("notebook",):
            return "executed notebook"
        case _:
            return " ".join(path)
