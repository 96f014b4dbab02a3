"""From what a worker says of an attempt to the event that the journal keeps."""

from nbflow.core import events as ev
from nbflow.core.attempts import Outcome
from nbflow.core.machine import NodeRun
from nbflow.core.states import Reason

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


def is_of(outcome: Outcome, node: NodeRun) -> bool:
    """Whether a receipt tells how this attempt ended, and not that it was stopped.

    A receipt of a run that was deleted, whose id was used again, is older than the attempt; a
    minute is allowed for clocks that differ.
    """
    scheduled_at = node.scheduled_at or 0.0
    return outcome.status != "stopped" and outcome.started_at > scheduled_at - CLOCK_SKEW_S
