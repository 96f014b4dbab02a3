"""Layered layout: where nodes stand so that a person can follow the edges.

Three steps, each linear in the size of the picture but for sorting:

1. *Layers* by longest path: a node stands one layer behind the last that it waits for.
2. *Order* within layers by a few barycentre sweeps: a node moves towards the mean place of its
   neighbours, downward and upward in turn. An edge over several layers gets a *bend* in each
   layer between, which takes part as if it were a node, so that long edges run around boxes.
3. *Coordinates*: each layer in turn is placed as near as possible (least squares) to
   its neighbours without changing the order or overlapping.

The result knows no direction: a picture may run down or to the right.
"""

from collections.abc import Mapping, Sequence

import msgspec

from nbflow.core.graph import Graph

#: Beyond so many bends, long edges are drawn straight: nobody can follow them anyway.
_MAX_BENDS = 20_000
_ORDER_SWEEPS = 4
_PLACE_SWEEPS = 4
#: A bend pulls harder than a node, so that long edges are straight.
_BEND_WEIGHT = 4.0


class Layout(msgspec.Struct, frozen=True):
    """Places of nodes and edges: layer numbers along, coordinates (centres) across."""

    #: Node names, layer by layer, in the order in which they stand.
    layers: tuple[tuple[str, ...], ...]
    #: Layer of each node.
    layer: dict[str, int]
    #: Centre of each node across its layer; all boxes lie between 0 and `extent`.
    across: dict[str, float]
    #: Where each edge crosses the layers between its ends, from source to target.
    bends: dict[tuple[str, str], tuple[float, ...]]
    extent: float


def layers_of(graph: Graph) -> dict[str, int]:
    """Return for each node the number of edges on the longest path that leads to it.

    Raises
    ------
    ValueError
        If the graph has a cycle.
    """
    layer: dict[str, int] = {}
    for name in graph.topological_order():
        layer[name] = 1 + max((layer[source] for source in graph.upstream[name]), default=-1)
    return layer


def lay_out(graph: Graph, breadth: Mapping[str, float], gap: float) -> Layout:
    """Place all nodes.

    Parameters
    ----------
    graph
        A graph without cycles.
    breadth
        Size of each node's box across its layer.
    gap
        Least distance between two boxes of a layer.

    Raises
    ------
    ValueError
        If the graph has a cycle.
    """
    layer = layers_of(graph)
    net = _Net(graph, layer, breadth, gap)
    net.sort()
    net.place()
    left = min((net.left(item) for item in range(len(net.across))), default=0.0)
    right = max((net.right(item) for item in range(len(net.across))), default=0.0)
    return Layout(
        layers=tuple(
            tuple(net.names[item] for item in items if item < len(net.names))
            for items in net.layers
        ),
        layer=layer,
        across={name: net.across[item] - left for item, name in enumerate(net.names)},
        bends={
            pair: tuple(net.across[bend] - left for bend in bends)
            for pair, bends in net.bends.items()
        },
        extent=right - left,
    )


class _Net:
    """Nodes and bends as numbers (nodes first), and the neighbours of each in both directions."""

    def __init__(
        self, graph: Graph, layer: Mapping[str, int], breadth: Mapping[str, float], gap: float
    ) -> None:
        self.gap = gap
        self.names = list(graph.nodes)
        self.half = [breadth[name] / 2 for name in self.names]
        self.layers: list[list[int]] = [[] for _ in range(1 + max(layer.values(), default=-1))]
        self.up: list[list[int]] = [[] for _ in self.names]
        self.down: list[list[int]] = [[] for _ in self.names]
        self.bends: dict[tuple[str, str], list[int]] = {}
        number = {name: item for item, name in enumerate(self.names)}
        for name, item in number.items():
            self.layers[layer[name]].append(item)
        pairs = [(s, t) for t, sources in graph.upstream.items() for s in sources]
        bend = sum(layer[t] - layer[s] - 1 for s, t in pairs) <= _MAX_BENDS
        for source, target in pairs:
            self._join(source, target, number, layer if bend else {})
        self.across = [0.0] * len(self.half)

    def left(self, item: int) -> float:
        return self.across[item] - self.half[item]

    def right(self, item: int) -> float:
        return self.across[item] + self.half[item]

    def sort(self) -> None:
        """Order the items of each layer by the mean place of their neighbours."""
        place = [0.0] * len(self.half)
        for items in self.layers:
            _number_off(items, place)
        for sweep in range(_ORDER_SWEEPS * 2):
            neighbours = self.down if sweep % 2 else self.up
            for items in reversed(self.layers) if sweep % 2 else self.layers:
                wish = {item: _mean(neighbours[item], place, place[item]) for item in items}
                items.sort(key=wish.__getitem__)
                _number_off(items, place)

    def place(self) -> None:
        """Give each item its coordinate."""
        for items in self.layers:
            self._place_layer(items, [0.0] * len(items))
        for sweep in range(_PLACE_SWEEPS * 2):
            neighbours = self.down if sweep % 2 else self.up
            for items in reversed(self.layers) if sweep % 2 else self.layers:
                wishes = [_mean(neighbours[i], self.across, self.across[i]) for i in items]
                self._place_layer(items, wishes)

    def _join(
        self, source: str, target: str, number: Mapping[str, int], layer: Mapping[str, int]
    ) -> None:
        before, end = number[source], number[target]
        chain: list[int] = []
        for index in range(layer.get(source, 0) + 1, layer.get(target, 0)):
            chain.append(len(self.half))
            self.half.append(0.0)
            self.up.append([])
            self.down.append([])
            self.layers[index].append(chain[-1])
        for item in [*chain, end]:
            self.down[before].append(item)
            self.up[item].append(before)
            before = item
        self.bends[source, target] = chain

    def _place_layer(self, items: Sequence[int], wishes: Sequence[float]) -> None:
        """Put `items` as near to `wishes` as order and gaps allow."""
        # With each item moved back by the room that its predecessors need at least, "in
        # order without overlap" becomes "not decreasing".
        offsets: list[float] = []
        offset = 0.0
        for index, item in enumerate(items):
            if index:
                offset += self.half[items[index - 1]] + self.gap + self.half[item]
            offsets.append(offset)
        weights = [1.0 if item < len(self.names) else _BEND_WEIGHT for item in items]
        fitted = _not_decreasing(
            [wish - offset for wish, offset in zip(wishes, offsets, strict=True)], weights
        )
        for item, value, offset in zip(items, fitted, offsets, strict=True):
            self.across[item] = value + offset


def _not_decreasing(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Return the non-decreasing sequence nearest to `values` (pool adjacent violators)."""
    pools: list[tuple[float, float, int]] = []  # mean, weight, length
    for value, weight in zip(values, weights, strict=True):
        mean, total, length = value, weight, 1
        while pools and pools[-1][0] >= mean:
            before, mass, count = pools.pop()
            mean = (mean * total + before * mass) / (total + mass)
            total, length = total + mass, length + count
        pools.append((mean, total, length))
    return [mean for mean, _, length in pools for _ in range(length)]


def _mean(items: Sequence[int], place: Sequence[float], default: float) -> float:
    return sum(place[item] for item in items) / len(items) if items else default


def _number_off(items: Sequence[int], place: list[float]) -> None:
    # From the middle, so that layers of different lengths are compared fairly.
    middle = (len(items) - 1) / 2
    for index, item in enumerate(items):
        place[item] = index - middle
