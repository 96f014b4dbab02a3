"""One door to all formats of a graph's picture."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

from nbflow.core.graph import Graph
from nbflow.core.states import NodeState
from nbflow.drawing.document import draw_json
from nbflow.drawing.dot import draw_dot
from nbflow.drawing.mermaid import draw_mermaid
from nbflow.drawing.svg import draw_svg
from nbflow.drawing.text import draw_text

Format: TypeAlias = Literal["text", "mermaid", "dot", "svg", "json"]
States: TypeAlias = Mapping[str, NodeState]

#: All formats, the default first.
FORMATS: tuple[Format, ...] = get_args(Format)

_PAINTERS: Mapping[Format, Callable[[Graph, States], str]] = MappingProxyType(
    {
        "text": draw_text,
        "mermaid": draw_mermaid,
        "dot": draw_dot,
        "svg": draw_svg,
        "json": draw_json,
    }
)


def render(graph: Graph, fmt: Format, states: States | None = None) -> str:
    """Return the picture of `graph` in a format.

    Parameters
    ----------
    graph
        A graph without cycles.
    fmt
        ``text`` for a terminal, ``svg`` for a file or a notebook, ``mermaid`` for Markdown,
        ``dot`` for Graphviz, ``json`` for programs.
    states
        Where each node stands in a run, to be shown; nodes may be missing.

    Raises
    ------
    ValueError
        If there is no such format, or the graph has a cycle.
    """
    painter = _PAINTERS.get(fmt)
    if painter is None:
        raise ValueError(f"no graph format {fmt!r}; there are {', '.join(FORMATS)}")
    return painter(graph, states or {})
