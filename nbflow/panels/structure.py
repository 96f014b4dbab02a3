"""What the browser gets once, and again only if the flow itself changes: names, edges, looks.

The looks come from `nbflow.drawing.look`, so that colours and glyphs are written down once.
"""

from typing import Any

import msgspec

from nbflow.core.states import ENDED, NodeState
from nbflow.core.view import RunView
from nbflow.drawing.links import describe
from nbflow.drawing.look import NODE_LOOKS, RUN_LOOKS, Look
from nbflow.drawing.words import one_line
from nbflow.panels.wire import STATES


class Structure(msgspec.Struct, frozen=True):
    """The unchanging part of a run."""

    run: str
    flow: str
    #: Seconds since the epoch; times in records count from here.
    created_at: float
    names: list[str]
    #: What each node is, in words; empty where all that is to say is its name.
    kinds: list[str]
    #: Pairs of node numbers: source, target.
    edges: list[int]
    #: As plain JSON: glyph, word, colour, hollow, ended, kind; by the number of the state.
    looks: list[dict[str, Any]]
    run_looks: dict[str, dict[str, Any]]
    #: Where the kernel works, to tell where executed notebooks are from the page's own notebook.
    folder: str


def structure_of(view: RunView, folder: str) -> Structure:
    """Return the unchanging part of a run, for a kernel that works in `folder`."""
    graph = view.run.graph
    index = {name: number for number, name in enumerate(graph.nodes)}
    edges: list[int] = []
    for name, sources in graph.upstream.items():
        for source in sources:
            edges += (index[source], index[name])
    return Structure(
        run=view.run.id,
        flow=one_line(graph.spec.name),
        created_at=view.run.created_at,
        names=[one_line(name) for name in graph.nodes],
        kinds=[one_line(describe(node)) for node in graph.nodes.values()],
        edges=edges,
        looks=[_node_look(state) for state in STATES],
        run_looks={str(status): _look(look) for status, look in RUN_LOOKS.items()},
        folder=folder,
    )


def _node_look(state: NodeState) -> dict[str, Any]:
    return {**_look(NODE_LOOKS[state]), "name": str(state), "ended": state in ENDED}


def _look(look: Look) -> dict[str, Any]:
    return {
        "glyph": look.glyph,
        "word": look.word,
        "colour": look.colour,
        "hollow": look.hollow,
    }
