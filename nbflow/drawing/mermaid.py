"""A graph in Mermaid's language, which GitHub and JupyterLab draw inside Markdown."""

from collections.abc import Mapping

from nbflow.core.graph import Graph
from nbflow.core.states import NodeState
from nbflow.drawing.links import Link, describe, links_of
from nbflow.drawing.look import NODE_LOOKS
from nbflow.drawing.words import one_line

#: Characters that end a quoted label, open markup, or start an entity.
_SPECIAL = frozenset('"#&<>|`\\[](){}$;')


def draw_mermaid(graph: Graph, states: Mapping[str, NodeState]) -> str:
    """Return the graph as a ``flowchart``."""
    # Names are not fit for ids: "end" is a keyword, and "o" or "x" after an arrow is its head.
    ids = {name: f"n{index}" for index, name in enumerate(graph.nodes)}
    lines = ["flowchart TD"]
    lines += [f"    {ids[name]}{_box(graph, name, states.get(name))}" for name in graph.nodes]
    lines += [f"    {_link(link, ids)}" for link in links_of(graph)]
    lines += _classes(ids, states)
    return "\n".join(lines) + "\n"


def _box(graph: Graph, name: str, state: NodeState | None) -> str:
    node = graph.nodes[name]
    about = describe(node)
    if state is not None:
        about = f"{NODE_LOOKS[state].glyph} {NODE_LOOKS[state].word}, {about}"
    text = f'"{_escaped(name)}<br/><small>{_escaped(about)}</small>"'
    return f"([{text}])" if node.kind == "function" else f"({text})"


def _link(link: Link, ids: Mapping[str, str]) -> str:
    if not link.outputs:
        return f"{ids[link.source]} -.-> {ids[link.target]}"
    return f'{ids[link.source]} -->|"{_escaped(link.label)}"| {ids[link.target]}'


def _classes(ids: Mapping[str, str], states: Mapping[str, NodeState]) -> list[str]:
    """Return the colours of the states that occur, and which nodes are in them."""
    lines: list[str] = []
    for state, look in NODE_LOOKS.items():
        members = [ids[name] for name in ids if states.get(name) is state]
        if members:
            width = 1 if look.hollow else 2
            lines.append(f"    classDef {state} stroke:{look.colour},stroke-width:{width}px")
            lines.append(f"    class {','.join(members)} {state}")
    return lines


def _escaped(text: str) -> str:
    """Replace what Mermaid could read as syntax by its numeric entities (``#34;``)."""
    return "".join(f"#{ord(char)};" if char in _SPECIAL else char for char in one_line(text))
