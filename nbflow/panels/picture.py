"""The graph as a panel draws it: boxes and links, of nodes or of whole groups.

Beyond some hundreds of boxes a picture informs nobody, and laying it out takes seconds. So a large
graph is drawn as groups with counts, which a click opens. A group is what the names say
(``models/forest`` belongs to ``models/``), or else names that differ in their numbers only; if
groups of that kind would wait for each other in turn, or are too many, they are divided by layers
of the graph, or made of layers alone.

The graph of the closed groups has no cycle: each way to group is tried until one has none. Then
none can come from opening a group either, as a cycle would have to lie within that
group, and what a group is divided into follows the layers.

Places are in units of a box, and know no direction: the browser chooses one that fits.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from nbflow.core.graph import Graph, find_cycle
from nbflow.core.ids import groups_of
from nbflow.core.spec import FlowSpec, FunctionCode, NodeSpec
from nbflow.drawing.layout import lay_out, layers_of
from nbflow.drawing.links import links_of

#: Most boxes of a picture; a graph with no more nodes than that is drawn as it is.
MAX_BOXES = 300
#: Most nodes that an opened group is drawn as; a larger one is divided into smaller groups.
MAX_OPENED = 100
_GAP = 0.35
#: Bands of layers that are tried, where single layers are too many.
_BANDS = (60, 20)
_DIGITS = re.compile(r"\d+")


class Box(msgspec.Struct, frozen=True):
    """One box: a node, or a group of nodes."""

    #: What opens the group; the name of a single node.
    key: str
    label: str
    #: Numbers of the nodes that it stands for.
    members: list[int]
    #: Layer along the direction of flow, and the centre across it.
    layer: int
    across: float
    #: Whether it has come out of a group that was opened.
    opened: bool = False


class Link(msgspec.Struct, frozen=True):
    """An arrow between two boxes, by their numbers, over places in the layers between."""

    source: int
    target: int
    bends: list[float]
    data: bool = True


class Picture(msgspec.Struct, frozen=True):
    """Boxes and links, with the size of the whole."""

    boxes: list[Box]
    links: list[Link]
    layers: int
    extent: float


class _Group(msgspec.Struct, frozen=True):
    """Nodes that share a box."""

    label: str
    members: list[str]
    opened: bool = False


def picture_of(graph: Graph, opened: Iterable[str] = ()) -> Picture:
    """Return the picture of `graph`.

    Parameters
    ----------
    graph
        Of a run.
    opened
        Keys of groups whose nodes are drawn one by one.
    """
    large = len(graph.nodes) > MAX_BOXES
    groups = _drawn(graph, frozenset(opened)) if large else _single(graph.nodes, opened=False)
    quotient = _quotient(graph, groups) if large else graph
    layout = lay_out(quotient, dict.fromkeys(quotient.nodes, 1.0), _GAP)
    index = {name: number for number, name in enumerate(graph.nodes)}
    boxes = [
        Box(
            key,
            group.label,
            [index[name] for name in group.members],
            layout.layer[key],
            round(layout.across[key], 3),
            group.opened,
        )
        for key, group in groups.items()
    ]
    number = {key: place for place, key in enumerate(groups)}
    data = {(link.source, link.target) for link in links_of(graph) if link.outputs}
    links = [
        Link(
            number[source],
            number[target],
            [round(across, 3) for across in bends],
            large or (source, target) in data,
        )
        for (source, target), bends in layout.bends.items()
    ]
    return Picture(boxes, links, len(layout.layers), round(layout.extent, 3))


def _drawn(graph: Graph, opened: frozenset[str]) -> dict[str, _Group]:
    """Return the groups as they are drawn: opened ones as their nodes, or as smaller groups."""
    layer = layers_of(graph)
    groups = _closed(graph, layer)
    while True:
        turn = [key for key, group in groups.items() if key in opened and len(group.members) > 1]
        if not turn:
            return groups
        for key in turn:
            groups.update(_divided(key, groups.pop(key), layer))


def _closed(graph: Graph, layer: Mapping[str, int]) -> dict[str, _Group]:
    for way in _ways(layer):
        groups: dict[str, _Group] = {}
        for name in graph.nodes:
            key, label = way(name)
            groups.setdefault(key, _Group(label, [])).members.append(name)
        fits = 1 < len(groups) <= MAX_BOXES
        if fits and not find_cycle(_quotient(graph, groups).upstream):
            return _labelled(groups)
    return _labelled(groups)


def _ways(layer: Mapping[str, int]) -> Iterator[Callable[[str], tuple[str, str]]]:
    """Yield ways to tell the key and the label of a node's group, the most telling first.

    A key holds a space, which the name of a node never does.
    """
    layers = 1 + max(layer.values(), default=0)
    yield lambda name: (f"group {_stem(name)}", _stem(name))
    for bands in (layers, *_BANDS):
        if bands <= layers:
            yield lambda name, bands=bands: (  # type: ignore[misc]
                f"group {_stem(name)} {layer[name] * bands // layers}",
                _stem(name),
            )
    bands = min(layers, _BANDS[0])
    yield lambda name: (
        f"band {layer[name] * bands // layers}",
        f"stage {layer[name] * bands // layers + 1}",
    )


def _labelled(groups: Mapping[str, _Group]) -> dict[str, _Group]:
    """Add counts; a group of one is drawn as the node that it is."""
    return {
        key if len(group.members) > 1 else group.members[0]: _counted(group)
        for key, group in groups.items()
    }


def _counted(group: _Group) -> _Group:
    if len(group.members) == 1:
        return _Group(group.members[0], group.members, group.opened)
    label = f"{group.label} × {len(group.members):,}"  # noqa: RUF001 - a sign of multiplication
    return _Group(label, group.members, group.opened)


def _divided(key: str, group: _Group, layer: Mapping[str, int]) -> dict[str, _Group]:
    if len(group.members) <= MAX_OPENED:
        return _single(group.members, opened=True)
    stem = group.label.rsplit(" × ", 1)[0]  # noqa: RUF001 - as above
    parts: dict[str, _Group] = {}
    if len({layer[name] for name in group.members}) > 1:
        for name in group.members:
            part = _Group(f"{stem} stage {layer[name] + 1}", [], opened=True)
            parts.setdefault(f"{key} layer {layer[name]}", part).members.append(name)
    else:
        # Nodes of one layer wait for none of each other.
        size = max(MAX_OPENED, -(-len(group.members) // MAX_OPENED))
        for start in range(0, len(group.members), size):
            members = group.members[start : start + size]
            parts[f"{key} part {start}"] = _Group(f"{stem} {start + 1}…", members, opened=True)
    return _labelled(parts)


def _single(names: Iterable[str], *, opened: bool) -> dict[str, _Group]:
    return {name: _Group(name, [name], opened) for name in names}


def _quotient(graph: Graph, groups: Mapping[str, _Group]) -> Graph:
    box = {name: key for key, group in groups.items() for name in group.members}
    return Graph(
        FlowSpec(
            name="picture",
            nodes=tuple(
                NodeSpec(name=key, code=FunctionCode(""), after=_sources(graph, key, group, box))
                for key, group in groups.items()
            ),
        )
    )


def _sources(graph: Graph, key: str, group: _Group, box: Mapping[str, str]) -> tuple[str, ...]:
    found = (box[source] for name in group.members for source in graph.upstream[name])
    return tuple(dict.fromkeys(source for source in found if source != key))


def _stem(name: str) -> str:
    groups = groups_of(name)
    return f"{groups[0]}/" if groups else _DIGITS.sub("#", name)
