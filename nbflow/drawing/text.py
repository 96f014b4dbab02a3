"""A graph for a terminal: level by level, each node with what it receives and from whom.

A level holds the nodes that can start once the levels above have ended, so the
nodes of one level may run side by side. A flow too large to be read node by node
is summed up: a line for each level, groups folded, counts by state.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from nbflow.core.graph import Graph
from nbflow.core.ids import groups_of
from nbflow.core.states import NodeState
from nbflow.drawing.layout import layers_of
from nbflow.drawing.links import Link, describe, links_of
from nbflow.drawing.look import NODE_LOOKS
from nbflow.drawing.words import one_line, plural

#: Largest flow that is listed node by node.
_LISTED_NODES = 120
#: Most lines, and most names on a line, of a summary.
_LEVEL_LINES = 60
_NAMES_ON_LINE = 6
#: Longest name that still widens its column.
_NAME_WIDTH = 36


def draw_text(graph: Graph, states: Mapping[str, NodeState]) -> str:
    """Return the graph as lines of text."""
    data = sum(edge.kind == "data" for edge in graph.edges)
    head = [plural(len(graph.nodes), "node")]
    head += [plural(data, "data edge")] if data else []
    head += [plural(len(graph.edges) - data, "order edge")] if len(graph.edges) > data else []
    levels = _levels(graph)
    listed = len(graph.nodes) <= _LISTED_NODES
    body = _listed(graph, levels, states) if listed else _summed_up(levels, states)
    lines = [f"{one_line(graph.spec.name)}: {', '.join(head)}", ""]
    return "\n".join(line.rstrip() for line in [*lines, *body]) + "\n"


def _levels(graph: Graph) -> list[list[str]]:
    layer = layers_of(graph)
    levels: list[list[str]] = [[] for _ in range(1 + max(layer.values(), default=-1))]
    for name in graph.nodes:
        levels[layer[name]].append(name)
    return levels


def _listed(
    graph: Graph, levels: Sequence[Sequence[str]], states: Mapping[str, NodeState]
) -> Iterator[str]:
    incoming: dict[str, list[Link]] = {name: [] for name in graph.nodes}
    for link in links_of(graph):
        incoming[link.target].append(link)
    names = min(_NAME_WIDTH, max(map(len, graph.nodes), default=0))
    abouts = {name: describe(node) for name, node in graph.nodes.items()}
    kinds = min(_NAME_WIDTH, max(map(len, abouts.values()), default=0))
    words = max((len(_state(states.get(name))) for name in graph.nodes), default=0)
    for number, level in enumerate(levels, start=1):
        for index, name in enumerate(level):
            mark = f"{number:>3}" if index == 0 else "   "
            state = f"{_state(states.get(name)):<{words}}  " if states else ""
            about = one_line(abouts[name])
            yield f"{mark}  {state}{name:<{names}}  {about:<{kinds}}  {_from(incoming[name])}"


def _from(links: Iterable[Link]) -> str:
    """Say what a node waits for, as the flow's file writes it: ``← clean.table, after load``."""
    links = list(links)
    data = [f"{link.source}.{one_line(o)}" for link in links for o in link.outputs]
    order = [link.source for link in links if not link.outputs]
    parts = [*data, *(["after " + " ".join(order)] if order else [])]
    return "← " + ", ".join(parts) if parts else ""


def _summed_up(levels: Sequence[Sequence[str]], states: Mapping[str, NodeState]) -> Iterator[str]:
    width = len(f"{max(map(len, levels)):,}")
    for number, level in enumerate(levels[:_LEVEL_LINES], start=1):
        counts = _counts(level, states)
        yield f"{number:>3}  {len(level):>{width},}  {_folded(level)}{counts}"
    if len(levels) > _LEVEL_LINES:
        rest = levels[_LEVEL_LINES:]
        nodes = plural(sum(map(len, rest)), "node")
        yield f"     … and {plural(len(rest), 'more level')} with {nodes}"


def _folded(level: Sequence[str]) -> str:
    """Name the members of a level; those of one group together, as ``models/ (40)``."""
    items: dict[str, int] = {}
    for name in level:
        groups = groups_of(name)
        item = f"{groups[0]}/" if groups else name
        items[item] = items.get(item, 0) + 1
    shown = [
        item if count == 1 and not item.endswith("/") else f"{item} ({count:,})"
        for item, count in list(items.items())[:_NAMES_ON_LINE]
    ]
    more = len(items) - len(shown)
    return ", ".join(shown) + (f", … and {more:,} more" if more else "")


def _counts(level: Iterable[str], states: Mapping[str, NodeState]) -> str:
    found = [states[name] for name in level if name in states]
    parts = [
        f"{look.glyph} {found.count(state):,} {look.word}"
        for state, look in NODE_LOOKS.items()
        if state in found
    ]
    return "  [" + "  ".join(parts) + "]" if parts else ""


def _state(state: NodeState | None) -> str:
    return "" if state is None else f"{NODE_LOOKS[state].glyph} {NODE_LOOKS[state].word}"
