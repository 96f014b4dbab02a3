"""From what a worker says of an attempt to the event that the journal keeps."""

import msgspec

from nbflow.core import events as ev
from nbflow.core.attempts import Outcome
from nbflow.core.ids import AttemptId
from nbflow.core.machine import NodeRun, Run
from nbflow.core.states import IN_FLIGHT, Reason
from nbflow.ports import ArtifactStore

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
    )


def doubts_settled(
    run: Run, store: ArtifactStore
) -> list[ev.AttemptSucceeded | ev.AttemptFailed | ev.AttemptLost]:
    """Return what became of each attempt that a driver had in flight when it ended.

    An attempt whose worker finished it has left a receipt; any other is lost, and runs again.

    Raises
    ------
    nbflow.core.errors.ArtifactError
        If the store cannot be read.
    """
    events: list[ev.AttemptSucceeded | ev.AttemptFailed | ev.AttemptLost] = []
    for name, node in run.nodes.items():
        if node.state not in IN_FLIGHT:
            continue
        # A receipt is found by run, node and number; whose epoch it was does not matter.
        data = store.get_receipt(AttemptId(run.id, name, node.attempt, run.epoch))
        outcome = None if data is None else msgspec.json.decode(data, type=Outcome)
        if outcome is not None and _is_of(outcome, node):
            events.append(event_of(outcome))
        else:
            reason = Reason("driver_lost", "its driver ended before the attempt did")
            events.append(ev.AttemptLost(name, node.attempt, reason))
    return events


def _is_of(outcome: Outcome, node: NodeRun) -> bool:
    """Whether a receipt tells how this attempt ended, and not that it was stopped.

    A receipt of a run that was deleted, whose id was used again, is older than the attempt; a
    minute is allowed for clocks that differ.
    """
    scheduled_at = node.scheduled_at or 0.0
    return outcome.status != "stopped" and outcome.started_at > scheduled_at - CLOCK_SKEW_S
