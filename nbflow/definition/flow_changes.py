"""What has changed between two readings of a flow, in words for people.

Only what decides what runs again is named apart: policies have a sentence that says that they do
not.
"""

from collections.abc import Callable, Collection, Iterable, Iterator

import msgspec

from nbflow.core.spec import FlowSpec, NodeSpec, NotebookCode
from nbflow.core.values import FromOutput, references
from nbflow.definition.faults import listed


def flow_changes(before: FlowSpec, after: FlowSpec) -> tuple[str, ...]:
    """Return what has changed from `before` to `after`, a sentence each without a full stop."""
    return tuple(_changes(before, after))


def _changes(before: FlowSpec, after: FlowSpec) -> Iterator[str]:
    old = {node.name: node for node in before.nodes}
    new = {node.name: node for node in after.nodes}
    added, removed = new.keys() - old.keys(), old.keys() - new.keys()
    if added:
        yield f"{_nodes(added)} {_were(added)} added"
    if removed:
        yield f"{_nodes(removed)} {_were(removed)} removed"
    pairs = [(old[name], node) for name, node in new.items() if name in old]
    yield from _code_changes(pairs)
    for sentence, differs in _PARTS:
        names = [node.name for earlier, node in pairs if differs(earlier, node)]
        if names:
            yield sentence.format(_nodes(names))
    yield from _flow_changes(before, after)


def _code_changes(pairs: list[tuple[NodeSpec, NodeSpec]]) -> Iterator[str]:
    """Name what holds changed code, and the nodes that run it."""
    changed: dict[str, list[str]] = {}
    for before, now in pairs:
        if before.kind != now.kind or _place_of(before) != _place_of(now):
            yield f"node {now.name!r} now runs {_place_of(now)} instead of {_place_of(before)}"
        elif _code_of(before) != _code_of(now):
            changed.setdefault(_place_of(now), []).append(now.name)
    for place, names in changed.items():
        yield f"the code of {place} has changed ({_nodes(names)})"


def _flow_changes(before: FlowSpec, after: FlowSpec) -> Iterator[str]:
    names = [
        name
        for name in {**before.params, **after.params}
        if before.params.get(name) != after.params.get(name)
    ]
    if names:
        yield f"the flow's own values of its parameters have changed: {listed(names)}"
    if before.limits != after.limits:
        yield f"the limits on concurrent nodes have changed, {_NO_RUN}"


def _place_of(node: NodeSpec) -> str:
    return node.code.path if isinstance(node.code, NotebookCode) else node.code.label


def _code_of(node: NodeSpec) -> str:
    return node.identity.code or node.code.digest


def _edges_of(node: NodeSpec) -> tuple[frozenset[str], frozenset[FromOutput]]:
    read = (reference for binding in node.params.values() for reference in references(binding))
    return frozenset(node.after), frozenset(it for it in read if isinstance(it, FromOutput))


def _params_of(node: NodeSpec) -> bytes:
    return msgspec.json.encode(node.params, order="sorted")


_NO_RUN = "which by itself runs nothing again"

#: What may differ between two nodes of one name, and how it is told.
_PARTS: tuple[tuple[str, Callable[[NodeSpec, NodeSpec], bool]], ...] = (
    (
        "local modules that {} imports have changed",
        lambda a, b: a.identity.modules != b.identity.modules,
    ),
    (
        "the interpreter, kernel, variables or packages of {} have changed",
        lambda a, b: a.identity.environment != b.identity.environment,
    ),
    ("the parameters of {} have changed", lambda a, b: _params_of(a) != _params_of(b)),
    ("{} now waits for other nodes or outputs", lambda a, b: _edges_of(a) != _edges_of(b)),
    ("the outputs to keep of {} have changed", lambda a, b: set(a.outputs) != set(b.outputs)),
    ("the declared inputs of {} have changed", lambda a, b: a.identity.inputs != b.identity.inputs),
    (f"the policies of {{}} have changed, {_NO_RUN}", lambda a, b: a.policy != b.policy),
)


def _nodes(names: Iterable[str]) -> str:
    known = list(names)
    return f"node {known[0]!r}" if len(known) == 1 else f"nodes {listed(known)}"


def _were(names: Collection[str]) -> str:
    return "was" if len(names) == 1 else "were"
