"""What pictures draw between and inside nodes: one link for a pair, one line about a node.

A pair of nodes may be joined by many edges (three outputs into five parameters,
and an `after` besides). A picture shows them as one link, labelled by its outputs.
"""

from pathlib import PurePath

import msgspec

from nbflow.core.graph import Graph
from nbflow.core.spec import NodeSpec, NotebookCode
from nbflow.drawing.words import one_line

#: Longest label of a link, in characters.
_LABEL_LENGTH = 28


class Link(msgspec.Struct, frozen=True):
    """All edges from one node to another. Without outputs, it is order alone."""

    source: str
    target: str
    outputs: tuple[str, ...]

    @property
    def label(self) -> str:
        """The outputs that flow here, in one short line."""
        return one_line(", ".join(self.outputs), _LABEL_LENGTH)


def links_of(graph: Graph) -> tuple[Link, ...]:
    """Return one link for each joined pair, in the order of the edges."""
    outputs: dict[tuple[str, str], dict[str, None]] = {}
    for edge in graph.edges:
        pair = outputs.setdefault((edge.source, edge.target), {})
        if edge.output is not None:
            pair[edge.output] = None
    return tuple(Link(source, target, tuple(names)) for (source, target), names in outputs.items())


def describe(node: NodeSpec) -> str:
    """Say what the node is: its kind, and what it runs where that is not its own name."""
    if isinstance(node.code, NotebookCode):
        path = PurePath(node.code.path)
        return node.kind if path.stem == node.name.split("/")[-1] else f"{node.kind} {path.name}"
    label = node.code.label.rsplit(".", 1)[-1]
    return node.kind if label == node.name else f"{node.kind} {node.code.label}"
