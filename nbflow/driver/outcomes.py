"""From what a worker says of an attempt to the event that the journal keeps."""

from typing import TypeAlias

import msgspec

from nbflow.core import events as ev
from nbflow.core.attempts import Outcome
from nbflow.core.ids import AttemptId
from nbflow.core.machine import NodeRun, Run
from nbflow.core.states import IN_FLIGHT, NodeState, Reason
from nbflow.ports import ArtifactStore

#: What can become of an attempt that nobody has heard of.
Settled: TypeAlias = ev.AttemptSucceeded | ev.AttemptFailed | ev.AttemptLost | ev.AttemptInDoubt

#: How much the clocks of driver and workers may differ, in seconds.
CLOCK_SKEW_S = 60.0


def event_of(outcome: Outcome) -> ev.AttemptSucceeded | ev.AttemptFailed:
    """Return the event of an attempt that has ended by itself."""
    if outcome.status == "succeeded":
        return ev.AttemptSucceeded(
            node=outcome.id.node,
            attempt=outcome.id.number,
            started_at=outcome.started_at,
            ended_at=outcome.ended_at,
            outputs=outcome.outputs,
            notebook=outcome.notebook,
            log=outcome.log,
            usage=outcome.usage,
        )
    return ev.AttemptFailed(
        node=outcome.id.node,
        attempt=outcome.id.number,
        reason=outcome.reason or Reason("error", "the worker gave no reason"),
        started_at=outcome.started_at,
        ended_at=outcome.ended_at,
        error=outcome.error,
        outputs=outcome.outputs,
        notebook=outcome.notebook,
        log=outcome.log,
        usage=outcome.usage,
    )


def doubts_settled(run: Run, store: ArtifactStore) -> list[Settled]:
    """Return what became of each attempt that a driver had in flight when it ended.

    An attempt whose worker finished it has left a receipt. Any other is lost and runs again, or is
    for a person to decide. A receipt may come after its attempt was put in doubt.

    Raises
    ------
    nbflow.core.errors.ArtifactError
        If the store cannot be read.
    """
    events: list[Settled] = []
    for name, node in run.nodes.items():
        if node.state not in IN_FLIGHT and not _may_be_heard_of(node):
            continue
        outcome = found_outcome(run, name, store)
        if outcome is not None:
            events.append(event_of(outcome))
        elif node.state in IN_FLIGHT:
            events.append(_without_outcome(run, name))
    return events


def found_outcome(run: Run, name: str, store: ArtifactStore) -> Outcome | None:
    """Return how the latest attempt of `name` ended, if its worker has left a receipt. Blocks."""
    node = run[name]
    data = store.get_receipt(AttemptId(run.id, name, node.attempt, node.epoch))
    outcome = None if data is None else msgspec.json.decode(data, type=Outcome)
    return outcome if outcome is not None and _is_of(outcome, node) else None


def _may_be_heard_of(node: NodeRun) -> bool:
    """Whether a node is in doubt about an outcome, not about whether to begin again."""
    return (
        node.state is NodeState.IN_DOUBT
        and node.reason is not None
        and node.reason.kind != "needs_decision"
    )


def _without_outcome(run: Run, name: str) -> ev.AttemptLost | ev.AttemptInDoubt:
    attempt = run[name].attempt
    message = "its driver ended before the attempt did"
    if run.graph.nodes[name].policy.effect == "at_most_once":
        return ev.AttemptInDoubt(name, attempt, Reason("driver_lost", message))
    return ev.AttemptLost(name, attempt, Reason("driver_lost", message))


def _is_of(outcome: Outcome, node: NodeRun) -> bool:
    """Whether a receipt tells how this attempt ended, and not that it was stopped.

    Receipts are found by run, node and number. A node that was dropped from the flow and came back
    has had the same number before, under another driver's epoch. A receipt of a run that was
    deleted, whose id was used again, is older than the attempt; a minute is allowed for clocks that
    differ.
    """
    scheduled_at = node.scheduled_at or 0.0
    return (
        outcome.status != "stopped"
        and outcome.id.epoch == node.epoch
        and outcome.started_at > scheduled_at - CLOCK_SKEW_S
    )
