"""The frontier: ready nodes, in the order in which they may start.

The machine says that a node is ready; the frontier says when it gets a place.
Higher priority goes first, and among equals the order of the flow. A limit on
the flow or on a group holds nodes back; a node that its group holds back does not
hold back others.

A *suspect* is a node whose last attempt was lost with its worker. It may have
killed the worker, or only have been there; so suspects run one at a time, and the next
loss tells the one from the other.

A node with *cargo* has inputs that travel with its attempt. Until that begins, they lie in the
memory of all who pass them on; so there is room for some of them at a time, and the other nodes
with cargo wait. One always fits.

A `Frontier` holds no truth of its own: every driver builds it anew from what the
machine's commands say.
"""

import heapq

import msgspec

from nbflow.core.graph import Graph
from nbflow.core.ids import groups_of

#: The group of all suspects; no group of a flow has an empty name.
_SUSPECTS = ""

#: How many bytes of cargo have room at a time: for these, one more node is let through. Enough to
#: keep lines busy.
ROOM_BYTES = 128 << 20


class Cargo(msgspec.Struct, frozen=True):
    """What travels with a node's attempt."""

    #: Which cargoes are counted together; none waits for those of another room. It begins with a
    #: slash, as no group of a flow does.
    room: str
    size_bytes: int


class Frontier:
    """Ready nodes under the limits of their flow.

    Parameters
    ----------
    graph
        The flow's graph; its specification has the limits and priorities.
    """

    def __init__(self, graph: Graph) -> None:
        self._limit = graph.spec.limits.flow
        self._group_limits = {**graph.spec.limits.groups, _SUSPECTS: 1}
        self._suspects: set[str] = set()
        self._rank = {
            name: (-node.policy.priority, order)
            for order, (name, node) in enumerate(graph.nodes.items())
        }
        #: Nodes that may start as far as their groups are concerned, best first.
        self._open: list[tuple[tuple[int, int], str]] = []
        #: Nodes held back by a full group, by that group.
        self._parked: dict[str, list[tuple[tuple[int, int], str]]] = {}
        #: Members of `_open` or `_parked`; entries of withdrawn nodes stay there as shells.
        self._offered: set[str] = set()
        #: Nodes that hold a place.
        self._placed: set[str] = set()
        self._in_group: dict[str, int] = dict.fromkeys(self._group_limits, 0)
        #: Of nodes whose attempts have not begun. A room is a group that counts bytes.
        self._cargo: dict[str, Cargo] = {}
        self._rooms: set[str] = set()

    def offer(self, node: str, *, suspect: bool = False, cargo: Cargo | None = None) -> None:
        """Add a node that is ready."""
        if cargo is None:
            self._cargo.pop(node, None)
        else:
            self._cargo[node] = cargo
            self._rooms.add(cargo.room)
            self._group_limits[cargo.room] = ROOM_BYTES
            self._in_group.setdefault(cargo.room, 0)
        if suspect:
            self._suspects.add(node)
        if node not in self._offered:
            self._offered.add(node)
            heapq.heappush(self._open, (self._rank[node], node))

    def withdraw(self, node: str) -> None:
        """Remove a node that is not to start after all."""
        self._offered.discard(node)

    def admit(self) -> list[str]:
        """Take and return all nodes that may start now; each holds a place until `release`."""
        admitted: list[str] = []
        while self._open and not self._is_full():
            entry = heapq.heappop(self._open)
            node = entry[1]
            full = self._full_group(node)
            if node not in self._offered:
                self._call_up(node)
            elif full is None:
                self._place(node)
                admitted.append(node)
                self._call_up_cargo()
            else:
                heapq.heappush(self._parked.setdefault(full, []), entry)
                self._call_up(node)
        return admitted

    def release(self, node: str) -> None:
        """Give back the place of a node whose attempt is over; harmless if it holds none."""
        if node not in self._placed:
            return
        self._placed.discard(node)
        self._leave(node, self._limited_groups(node))
        self._call_up(node)
        self._suspects.discard(node)
        self._cargo.pop(node, None)

    def begun(self, node: str) -> None:
        """Know that the attempt of a node has begun: its cargo has arrived."""
        if node in self._placed and node in self._cargo:
            self._leave(node, [self._cargo[node].room])
            del self._cargo[node]
            self._call_up_cargo()

    @property
    def placed(self) -> int:
        """How many nodes hold a place."""
        return len(self._placed)

    def held_back(self) -> frozenset[str]:
        """Return the nodes that are ready and wait for a place."""
        return frozenset(self._offered)

    def _place(self, node: str) -> None:
        self._offered.discard(node)
        self._placed.add(node)
        for group in self._limited_groups(node):
            self._in_group[group] += self._share(node, group)

    def _leave(self, node: str, groups: list[str]) -> None:
        for group in groups:
            self._in_group[group] -= self._share(node, group)

    def _share(self, node: str, group: str) -> int:
        return self._cargo[node].size_bytes if group in self._rooms else 1

    def _call_up(self, node: str) -> None:
        """Let the best of those that each group of `node` holds back try again, if it has a place.

        It is done whenever a place comes free, and when whoever was called up does not take it:
        withdrawn, or held back by another group. One for one: were all to try for each
        place, thousands behind a small limit would queue up anew thousands of times.
        """
        for group in {*self._limited_groups(node), *self._rooms}:
            self._call_up_of(group)

    def _call_up_cargo(self) -> None:
        """Let more nodes with cargo try, as long as there is room: a large one makes much."""
        for room in self._rooms:
            self._call_up_of(room)

    def _call_up_of(self, group: str) -> None:
        parked = self._parked.get(group)
        if parked and self._in_group[group] < self._group_limits[group]:
            heapq.heappush(self._open, heapq.heappop(parked))

    def _is_full(self) -> bool:
        return self._limit is not None and len(self._placed) >= self._limit

    def _limited_groups(self, node: str) -> list[str]:
        groups = [group for group in groups_of(node) if group in self._group_limits]
        if node in self._suspects:
            groups.append(_SUSPECTS)
        if node in self._cargo:
            groups.append(self._cargo[node].room)
        return groups

    def _full_group(self, node: str) -> str | None:
        for group in self._limited_groups(node):
            if self._in_group[group] >= self._group_limits[group]:
                return group
        return None
