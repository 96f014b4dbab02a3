"""What an observer of a run sees: facts and telemetry at one moment.

A view is immutable and cheap to take, so that a progress bar, a panel in
another thread, and a command line can all look at a run without locks. `run` is the last state
that is durable; `progress` is telemetry and may be missing or stale.
"""

from collections.abc import Mapping

import msgspec

from nbflow.core.attempts import Progress, WorkerState
from nbflow.core.machine import NodeRun, Run
from nbflow.core.stacks import Stack
from nbflow.core.states import NodeState
from nbflow.core.usage import Usage


class RunView(msgspec.Struct, frozen=True):
    """One look at a run."""

    run: Run
    #: The latest cell progress of nodes that have an attempt, by node.
    progress: Mapping[str, Progress] = {}
    #: What nodes in flight use: the latest samples of each, oldest first.
    usage: Mapping[str, tuple[Usage, ...]] = {}
    #: The latest stack of nodes in flight that have been silent for a while.
    stacks: Mapping[str, Stack] = {}
    #: The cluster's workers; None until it has told.
    workers: tuple[WorkerState, ...] | None = None
    #: Address of the Dask dashboard, empty if there is none.
    dashboard: str = ""
    #: Remarks about the cluster, oldest first.
    notes: tuple[str, ...] = ()
    #: Whether a live driver holds the run.
    driven: bool = True
    #: Whether that driver has yet to record that it took the run over: what is in flight, if
    #: anything, was its predecessor's, and is over.
    is_taking_over: bool = False

    @property
    def counts(self) -> dict[NodeState, int]:
        """How many nodes are in each state; states without nodes are left out."""
        counts: dict[NodeState, int] = {}
        for node in self.run.nodes.values():
            counts[node.state] = counts.get(node.state, 0) + 1
        return {state: counts[state] for state in NodeState if state in counts}

    def elapsed_s(self, name: str, now: float) -> float | None:
        """Seconds that the node's latest attempt has run, or ran; None before it started."""
        node: NodeRun = self.run.nodes[name]
        if node.started_at is None:
            return None
        end = node.ended_at if node.ended_at is not None else now
        return max(0.0, end - node.started_at)
