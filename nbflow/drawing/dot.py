"""A graph in Graphviz's language."""

from collections.abc import Mapping

from nbflow.core.graph import Graph
from nbflow.core.states import NodeState
from nbflow.drawing.links import Link, describe, links_of
from nbflow.drawing.look import GREY, NODE_LOOKS
from nbflow.drawing.words import one_line


def draw_dot(graph: Graph, states: Mapping[str, NodeState]) -> str:
    """Return the graph as a ``digraph``."""
    lines = [
        f"digraph {_quoted(graph.spec.name)} {{",
        "  rankdir=TB;",
        '  node [shape=box, style="rounded", fontname="sans-serif", fontsize=11];',
        f'  edge [color="{GREY}", fontname="sans-serif", fontsize=9];',
    ]
    lines += [_node(graph, name, states.get(name)) for name in graph.nodes]
    lines += [_link(link) for link in links_of(graph)]
    return "\n".join([*lines, "}"]) + "\n"


def _node(graph: Graph, name: str, state: NodeState | None) -> str:
    about = describe(graph.nodes[name])
    if state is None:
        return f"  {_quoted(name)} [label={_quoted(name, about)}];"
    look = NODE_LOOKS[state]
    label = _quoted(name, f"{look.glyph} {look.word}, {about}")
    weight = 1 if look.hollow else 2
    return f'  {_quoted(name)} [label={label}, color="{look.colour}", penwidth={weight}];'


def _link(link: Link) -> str:
    pair = f"  {_quoted(link.source)} -> {_quoted(link.target)}"
    return f"{pair} [label={_quoted(link.label)}];" if link.outputs else f"{pair} [style=dashed];"


def _quoted(*lines: str) -> str:
    """Return a DOT string, its lines joined; a bare backslash would start an escape."""
    safe = (one_line(line).replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return '"' + "\\n".join(safe) + '"'
