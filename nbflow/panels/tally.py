"""Sums over the nodes of a run, kept up to date by what changes: counts, and what it has cost.

Cost is told in two figures, as both are paid for by somebody: the processors' time that the nodes
have used, and the time for which they held a place on a worker. An attempt counts for good once it
has ended, also if its node is tried again.
"""

from collections.abc import Iterable

from nbflow.core.run import NodeRun
from nbflow.core.states import NodeState
from nbflow.core.view import RunView
from nbflow.panels.wire import STATES


class Tally:
    """Counts of states and sums of costs."""

    def __init__(self) -> None:
        self._counts: dict[NodeState, int] = {}
        self._running: dict[str, NodeRun] = {}
        self._cpu_s = 0.0
        self._worker_s = 0.0

    @property
    def counts(self) -> list[int]:
        """How many nodes are in each state, by its number in records."""
        return [self._counts.get(state, 0) for state in STATES]

    def update(self, view: RunView, changes: Iterable[tuple[str, NodeRun | None]]) -> None:
        """Take account of nodes that have changed; each comes with what it was."""
        for name, before in changes:
            node = view.run.nodes[name]
            if before is not None:
                self._counts[before.state] -= 1
            self._counts[node.state] = self._counts.get(node.state, 0) + 1
            if node.state is NodeState.RUNNING:
                self._running[name] = node
            else:
                self._running.pop(name, None)
            if before is None or before.ended_at != node.ended_at:
                self._pay(node)

    def cpu_s(self, view: RunView) -> float:
        """Return the seconds of processor time so far, those of running nodes as far as known."""
        live = 0.0
        for name, node in self._running.items():
            samples = view.usage.get(name)
            if samples and node.started_at is not None:
                mean = sum(each.cpu_percent for each in samples) / len(samples)
                live += mean / 100 * max(0.0, samples[-1].at - node.started_at)
        return self._cpu_s + live

    def worker_s(self, now: float) -> float:
        """Return the seconds of places on workers so far."""
        live = (now - (node.started_at or now) for node in self._running.values())
        return self._worker_s + sum(max(0.0, each) for each in live)

    def _pay(self, node: NodeRun) -> None:
        if node.ended_at is None or node.started_at is None or node.is_cached:
            return
        self._worker_s += max(0.0, node.ended_at - node.started_at)
        if node.usage is not None:
            self._cpu_s += node.usage.cpu_s
