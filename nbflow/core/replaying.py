"""A run on paper: what would happen, and when, if each node took so long.

The frontier is the driver's own, so limits and priorities hold as they do in life. Behind it stands
a cluster of so many slots, which takes what it is given in the order of priorities. That
answers two questions: how long what is left of a run will take, and how long a run that has ended
would have taken with more workers or without a limit.
"""

import heapq
from collections.abc import Iterable, Mapping

import msgspec

from nbflow.core.frontier import Frontier
from nbflow.core.graph import Graph

#: Nodes without their resources that are passed over in search of one that can begin.
_LOOKED_AT = 50


class Cluster(msgspec.Struct, frozen=True):
    """What a run on paper runs on: slots, and amounts of resources, of all workers together."""

    slots: int
    resources: Mapping[str, float] = {}


class Replayed(msgspec.Struct, frozen=True):
    """A run on paper; all times are seconds from now."""

    #: When the last node ends.
    end_s: float
    #: When each node ends.
    ends_s: dict[str, float]
    #: Nodes each of which began when the one before it ended; the last one ends the run.
    chain: tuple[str, ...]


def replay(
    graph: Graph,
    seconds: Mapping[str, float],
    cluster: Cluster,
    begun: Iterable[str] = (),
) -> Replayed:
    """Let nodes run on paper.

    Parameters
    ----------
    graph
        The flow's graph.
    seconds
        How long each node that is left takes from its start, or from now if it has begun. Nodes
        that are missing here have ended, or never will run.
    cluster
        What they run on.
    begun
        Nodes that have a slot now.
    """
    return _Paper(graph, seconds, cluster).run(begun)


class _Paper:
    """One run on paper."""

    def __init__(self, graph: Graph, seconds: Mapping[str, float], cluster: Cluster) -> None:
        self._graph = graph
        self._seconds = seconds
        self._slots = max(1, cluster.slots)
        self._free = dict(cluster.resources)
        self._frontier = Frontier(graph)
        self._missing = {
            name: sum(source in seconds for source in graph.upstream[name]) for name in seconds
        }
        self._rank = {
            name: (-node.policy.priority, place)
            for place, (name, node) in enumerate(graph.nodes.items())
        }
        #: Nodes that the cluster has and for which it has no slot, best first.
        self._queue: list[tuple[tuple[int, int], str]] = []
        self._running: list[tuple[float, str]] = []
        self._ends_s: dict[str, float] = {}
        #: The node whose end let this one begin.
        self._because: dict[str, str | None] = {}

    def run(self, begun: Iterable[str]) -> Replayed:
        for name in begun:
            self._frontier.offer(name)
        for name in self._frontier.admit():
            self._begin(name, 0.0, None)
        started = set(self._because)
        for name, missing in self._missing.items():
            if missing == 0 and name not in started:
                self._frontier.offer(name)
        now_s, ended = 0.0, None
        while True:
            for name in self._frontier.admit():
                heapq.heappush(self._queue, (self._rank[name], name))
            self._fill(now_s, ended)
            if not self._running:
                break
            now_s, ended = heapq.heappop(self._running)
            self._end(ended, now_s)
        return Replayed(now_s, self._ends_s, self._chain(ended))

    def _fill(self, now_s: float, because: str | None) -> None:
        """Begin what there are slots and resources for."""
        held: list[tuple[tuple[int, int], str]] = []
        while self._queue and len(self._running) < self._slots and len(held) < _LOOKED_AT:
            entry = heapq.heappop(self._queue)
            if self._has_resources(entry[1]) or not self._running:
                self._begin(entry[1], now_s, because)
            else:
                held.append(entry)
        for entry in held:
            heapq.heappush(self._queue, entry)

    def _begin(self, name: str, now_s: float, because: str | None) -> None:
        self._because[name] = because
        for resource, amount in self._needs(name).items():
            self._free[resource] = self._free.get(resource, 0.0) - amount
        heapq.heappush(self._running, (now_s + self._seconds[name], name))

    def _end(self, name: str, now_s: float) -> None:
        self._ends_s[name] = now_s
        self._frontier.release(name)
        for resource, amount in self._needs(name).items():
            self._free[resource] += amount
        for target in self._graph.downstream[name]:
            if target in self._missing:
                self._missing[target] -= 1
                if self._missing[target] == 0 and target not in self._because:
                    self._frontier.offer(target)

    def _has_resources(self, name: str) -> bool:
        # What nobody offers would never run: on paper it does not wait for it.
        return all(
            self._free.get(resource, amount) >= amount
            for resource, amount in self._needs(name).items()
        )

    def _needs(self, name: str) -> Mapping[str, float]:
        return self._graph.nodes[name].policy.resources

    def _chain(self, last: str | None) -> tuple[str, ...]:
        chain: list[str] = []
        while last is not None:
            chain.append(last)
            last = self._because[last]
        return tuple(reversed(chain))
