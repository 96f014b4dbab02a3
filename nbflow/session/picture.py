"""The picture of a graph, as a notebook or a terminal shows it."""

from collections.abc import Mapping
from typing import Any

from nbflow.core.graph import Graph
from nbflow.core.states import NodeState
from nbflow.drawing import Format, render


class Picture:
    """A graph that displays itself: SVG in a notebook, text in a terminal.

    Parameters
    ----------
    graph
        What to draw.
    states
        The nodes' states, if it is the graph of a run.
    """

    def __init__(self, graph: Graph, states: Mapping[str, NodeState] | None = None) -> None:
        self._graph = graph
        self._states = states

    def render(self, fmt: Format) -> str:
        """Return the picture as ``text``, ``mermaid``, ``dot``, ``svg`` or ``json``."""
        return render(self._graph, fmt, self._states)

    def __str__(self) -> str:
        return self.render("text")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Return the forms that Jupyter chooses from."""
        del include, exclude
        return {"image/svg+xml": self.render("svg"), "text/plain": self.render("text")}
