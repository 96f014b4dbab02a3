"""The graph of a flow: who waits for whom, and for what.

Built once from a `FlowSpec`. Its constructor trusts the specification: use
`nbflow.definition.check` first, which names every fault in words.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import msgspec

from nbflow.core.spec import FlowSpec, NodeSpec
from nbflow.core.values import FromOutput, references


class Edge(msgspec.Struct, frozen=True):
    """`target` waits for `source`; a data edge also says which output feeds which parameter."""

    source: str
    target: str
    kind: Literal["data", "order"]
    output: str | None = None
    param: str | None = None


class Graph:
    """Nodes and edges of one flow, indexed in both directions.

    Parameters
    ----------
    spec
        A flow in which every referenced node exists.
    """

    def __init__(self, spec: FlowSpec) -> None:
        self.spec = spec
        #: Node specifications by name, in the order of the flow.
        self.nodes: dict[str, NodeSpec] = {node.name: node for node in spec.nodes}
        #: Distinct edges, in the order in which they are written.
        self.edges: tuple[Edge, ...] = tuple(dict.fromkeys(edges_of(spec)))
        #: Distinct nodes that each node waits for, in the order in which it names them.
        self.upstream: dict[str, tuple[str, ...]] = _grouped(
            self.nodes, ((edge.target, edge.source) for edge in self.edges)
        )
        #: Distinct nodes that wait for each node.
        self.downstream: dict[str, tuple[str, ...]] = _grouped(
            self.nodes, ((edge.source, edge.target) for edge in self.edges)
        )
        #: Pairs (source, target) joined by at least one data edge.
        self.data_pairs: frozenset[tuple[str, str]] = frozenset(
            (edge.source, edge.target) for edge in self.edges if edge.kind == "data"
        )
        self._wanted = _wanted_outputs(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Graph) and self.spec == other.spec

    # Specifications hold mappings, so a graph is found by identity where hashes matter.
    __hash__ = object.__hash__

    def wanted_outputs(self, node: str) -> tuple[str, ...]:
        """Return the outputs of `node` that an edge or its own declaration asks for."""
        return self._wanted[node]

    def received_outputs(self, node: str) -> tuple[str, ...]:
        """Return the outputs of `node` that other nodes receive."""
        asked = (edge.output for edge in self.edges if edge.source == node)
        return tuple(dict.fromkeys(output for output in asked if output is not None))

    def topological_order(self) -> tuple[str, ...]:
        """Return all nodes so that each comes after those it waits for; ties in flow order.

        Raises
        ------
        ValueError
            If the graph has a cycle.
        """
        missing = {name: len(sources) for name, sources in self.upstream.items()}
        rank = {name: place for place, name in enumerate(self.nodes)}
        # A heap of (rank, name); what is made in the order of ranks is one already.
        ready = [(rank[name], name) for name, count in missing.items() if count == 0]
        order: list[str] = []
        while ready:
            _, name = heapq.heappop(ready)
            order.append(name)
            for target in self.downstream[name]:
                missing[target] -= 1
                if missing[target] == 0:
                    heapq.heappush(ready, (rank[target], target))
        if len(order) != len(self.nodes):
            raise ValueError("the graph has a cycle: " + " -> ".join(find_cycle(self.upstream)))
        return tuple(order)


def edges_of(spec: FlowSpec) -> Iterable[Edge]:
    """Yield the edges of `spec` in the order in which they are written."""
    for node in spec.nodes:
        for param, binding in node.params.items():
            for reference in references(binding):
                if isinstance(reference, FromOutput):
                    yield Edge(reference.node, node.name, "data", reference.output, param)
        for source in node.after:
            yield Edge(source, node.name, "order")


def find_cycle(upstream: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """Return one cycle as ``(a, b, …, a)``, each waiting for the one before; empty if none."""
    return next(find_cycles(upstream), ())


def find_cycles(upstream: Mapping[str, Iterable[str]]) -> Iterator[tuple[str, ...]]:
    """Yield cycles as `find_cycle` gives them: at least one of every knot, and not each there is.

    An iterative depth-first search: flows are deeper than Python's stack.
    """
    done: set[str] = set()
    in_cycle: set[str] = set()
    for start in upstream:
        path: list[str] = []
        on_path: dict[str, int] = {}
        stack: list[tuple[str, bool]] = [(start, True)]
        while stack:
            name, entering = stack.pop()
            if not entering:
                path.pop()
                del on_path[name]
                done.add(name)
            elif name in on_path:
                # A knot of many edges has more cycles than anybody could read.
                if in_cycle.isdisjoint((name, path[-1])):
                    in_cycle.update(path[on_path[name] :])
                    # The path walks against the edges, so it is turned round for reading.
                    yield tuple(reversed([*path[on_path[name] :], name]))
            elif name not in done:
                on_path[name] = len(path)
                path.append(name)
                stack.append((name, False))
                stack.extend((source, True) for source in upstream.get(name, ()))


def _grouped(names: Iterable[str], pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    groups: dict[str, dict[str, None]] = {name: {} for name in names}
    for key, value in pairs:
        groups[key][value] = None
    return {name: tuple(members) for name, members in groups.items()}


def _wanted_outputs(graph: Graph) -> dict[str, tuple[str, ...]]:
    wanted: dict[str, dict[str, None]] = {
        name: dict.fromkeys(node.outputs) for name, node in graph.nodes.items()
    }
    for edge in graph.edges:
        if edge.output is not None:
            wanted[edge.source][edge.output] = None
    return {name: tuple(outputs) for name, outputs in wanted.items()}
