"""Which nodes have changed since the last look, without touching all of them each time.

A node run is replaced whenever it changes, so identity tells. A look compares the nodes that can
change by themselves (those that are open for events: ready, in flight, backing off, failed a moment
ago), and then, from each that has changed, the nodes that wait for it. What that cannot
find, because the run as a whole has changed (it is being cancelled, it was resumed), a
sweep over all nodes finds, at once when the run's status changes, else within `sweep_s`.
"""

from collections.abc import Iterable
from typing import Any

from nbflow.core.run import NodeRun, retry_owed
from nbflow.core.states import NodeState
from nbflow.core.view import RunView

_LIVELY = frozenset(
    {
        NodeState.READY,
        NodeState.QUEUED,
        NodeState.RUNNING,
        NodeState.BACKING_OFF,
        NodeState.IN_DOUBT,
    }
)


class Tracker:
    """Remembers how each node looked, and tells which look different.

    Parameters
    ----------
    sweep_s
        Seconds after which all nodes are looked at, if anything at all has happened.
    """

    def __init__(self, sweep_s: float) -> None:
        self._sweep_s = sweep_s
        self._known: dict[str, NodeRun] = {}
        self._lively: dict[str, None] = {}
        #: Progress and latest sample of nodes, by identity.
        self._told: dict[str, tuple[Any, Any]] = {}
        self._look: tuple[object, ...] = ()
        self._seq = 0
        self._swept = -sweep_s

    def changes(self, view: RunView, now: float) -> list[tuple[str, NodeRun | None]]:
        """Return the nodes that have changed, each with what it was (None at first).

        Parameters
        ----------
        view
            The run as it stands.
        now
            Seconds of a clock that does not jump.
        """
        run = view.run
        look = (run.status, run.epoch, id(run.graph))
        late = run.seq != self._seq and now - self._swept >= self._sweep_s
        sweep = look != self._look or late
        found: dict[str, NodeRun | None] = {}
        if sweep:
            self._look, self._swept, self._seq = look, now, run.seq
            self._compare(view, run.graph.nodes, found)
        else:
            self._spread(view, found)
        self._telemetry(view, found)
        return list(found.items())

    def _spread(self, view: RunView, found: dict[str, NodeRun | None]) -> None:
        graph = view.run.graph
        changed = self._compare(view, list(self._lively), found)
        while changed:
            nexts = {target for name in changed for target in graph.downstream[name]}
            changed = self._compare(view, nexts, found)

    def _compare(
        self, view: RunView, names: Iterable[str], found: dict[str, NodeRun | None]
    ) -> list[str]:
        nodes, known = view.run.nodes, self._known
        changed = []
        for name in names:
            node = nodes[name]
            before = known.get(name)
            if node is before:
                continue
            known[name] = node
            found.setdefault(name, before)
            changed.append(name)
            # A failed node may be about to back off.
            if node.state in _LIVELY or retry_owed(view.run, name, node):
                self._lively[name] = None
            else:
                self._lively.pop(name, None)
        return changed

    def _telemetry(self, view: RunView, found: dict[str, NodeRun | None]) -> None:
        for name in self._lively:
            samples = view.usage.get(name)
            told = (view.progress.get(name), samples[-1] if samples else None)
            before = self._told.get(name, (None, None))
            if told[0] is not before[0] or told[1] is not before[1]:
                self._told[name] = told
                found.setdefault(name, self._known.get(name))
        for name, before_node in found.items():
            if before_node is not None and name not in self._lively:
                self._told.pop(name, None)
