"""Decisions that only a person can take: what became of an attempt that is in doubt.

An attempt of a node that is declared at most once is in doubt when its outcome will never be
known, or when resuming the run would make it again. The machine then waits. A decision supplies
what is missing, as the same events that a worker's outcome would have become.
"""

from typing import Literal

import msgspec

from nbflow.core import events as ev
from nbflow.core.run import Run
from nbflow.core.states import NodeState, Reason
from nbflow.core.values import Value

#: Why outputs are refused that come with any other verdict.
ONLY_OF_SUCCESS = "outputs belong to a node that succeeded, and to no other verdict. Leave them out"


class Decision(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a person has decided about a node that is in doubt.

    Parameters
    ----------
    node
        The node.
    verdict
        ``succeeded``: it had done its work. ``failed``: it had not, and is not to be tried again.
        ``retry``: it may begin once more.
    by
        Who says so.
    outputs
        What it had brought, of a success.
    """

    node: str
    verdict: Literal["succeeded", "failed", "retry"]
    by: str
    outputs: dict[str, Value] = {}


def undecidable(run: Run, decision: Decision) -> str:
    """Return why `decision` cannot be taken as the run stands, in words; empty if it can."""
    node = run.nodes.get(decision.node)
    if node is None:
        return f"run {run.id} has no node {decision.node!r}"
    if node.state is not NodeState.IN_DOUBT:
        return f"node {decision.node!r} is {node.state}, not in doubt: there is nothing to decide"
    if decision.verdict != "succeeded":
        return ONLY_OF_SUCCESS if decision.outputs else ""
    brought = {*decision.outputs, *(node.earlier.outputs if node.earlier else ())}
    absent = [name for name in run.graph.received_outputs(decision.node) if name not in brought]
    if absent:
        return (
            f"node {decision.node!r} succeeds only with the outputs that others receive from it: "
            f"{', '.join(absent)}. Give each by --output NAME VALUE, or outputs="
        )
    return ""


def event_of(
    run: Run, decision: Decision, now_s: float
) -> ev.AttemptSucceeded | ev.AttemptFailed | ev.AttemptLost:
    """Return the event that `decision` is.

    Raises
    ------
    ValueError
        If it cannot be taken (`undecidable` says why).
    """
    if why := undecidable(run, decision):
        raise ValueError(why)
    node = run[decision.node]
    match decision.verdict:
        case "succeeded":
            earlier = node.earlier
            return ev.AttemptSucceeded(
                node=decision.node,
                attempt=node.attempt,
                started_at=node.scheduled_at or now_s,
                ended_at=now_s,
                outputs={**(earlier.outputs if earlier else {}), **decision.outputs},
                notebook=node.notebook,
                log=node.log,
                resolved_by=decision.by,
            )
        case "failed":
            reason = Reason("error", f"{decision.by} decided that it has failed")
            return ev.AttemptFailed(
                decision.node, node.attempt, reason, ended_at=now_s, resolved_by=decision.by
            )
        case "retry":
            reason = Reason("resolved", f"{decision.by} decided that it may begin again")
            return ev.AttemptLost(decision.node, node.attempt, reason)
