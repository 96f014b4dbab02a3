"""What each event says about its node, besides the node's next state.

One small function per event type, and one table that finds it. The functions
only read: `changed` puts what they say into a new `NodeRun`.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from nbflow.core import events as ev
from nbflow.core.fingerprints import same_but_for_code
from nbflow.core.run import Earlier, NodeRun
from nbflow.core.states import NodeState, Reason

#: Losses after which what is declared at most once may begin: a person has decided so, or nothing
#: of the attempt has run.
_LEAVES = frozenset({"resolved", "not_begun"})

#: Fields of `NodeRun` with their new values.
Changes: TypeAlias = dict[str, Any]


def changed(node: NodeRun, state: NodeState, event: ev.NodeEvent, record: ev.Record) -> NodeRun:
    """Return `node` in `state`, with all that `event`, and the `record` of it, say about it."""
    return msgspec.structs.replace(node, state=state, **_CHANGES[type(event)](node, event, record))


def _scheduled(node: NodeRun, event: ev.AttemptScheduled, record: ev.Record) -> Changes:
    # Cells before a checkpoint are compared by whoever goes on from it; the rest is here.
    goes_on = same_but_for_code(node.fingerprint, event.fingerprint)
    return {
        "checkpoint": node.checkpoint if goes_on else None,
        "attempt": event.attempt,
        "epoch": record.epoch,
        "scheduled_at": record.at,
        "started_at": None,
        "ended_at": None,
        "usage": None,
        "worker": "",
        "fingerprint": event.fingerprint,
        "earlier": None,
        "forced": False,
        "may_repeat": False,
        "source": "",
        "saved_s": 0.0,
    }


def _checkpointed(_node: NodeRun, event: ev.CheckpointStored, _record: ev.Record) -> Changes:
    return {"checkpoint": event.checkpoint}


def _started(_node: NodeRun, event: ev.AttemptStarted, _record: ev.Record) -> Changes:
    return {"started_at": event.started_at, "worker": event.worker}


def _succeeded(_node: NodeRun, event: ev.AttemptSucceeded, _record: ev.Record) -> Changes:
    return {
        "started_at": event.started_at,
        "ended_at": event.ended_at,
        "outputs": event.outputs,
        "notebook": event.notebook,
        "log": event.log,
        "reason": None,
        "error": None,
        "losses": 0,
        "checkpoint": None,
        # Who decides that a node in doubt has succeeded has had what was wished for.
        "forced": False,
        "usage": event.usage,
    }


def _failed(node: NodeRun, event: ev.AttemptFailed, record: ev.Record) -> Changes:
    return {
        "started_at": event.started_at or node.started_at,
        "ended_at": event.ended_at or record.at,
        "outputs": event.outputs,
        "notebook": event.notebook or node.notebook,
        "log": event.log,
        "reason": event.reason,
        "error": event.error,
        "failures": node.failures + 1,
        "usage": event.usage,
        "losses": 0,
    }


def _lost(node: NodeRun, event: ev.AttemptLost, _record: ev.Record) -> Changes:
    return {
        "reason": event.reason,
        "notebook": event.notebook or node.notebook,
        "losses": node.losses + (event.reason.kind == "worker_lost"),
        # Nothing runs any more, so nobody may count its seconds.
        "started_at": None,
        "worker": "",
        "may_repeat": event.reason.kind in _LEAVES,
    }


def _in_doubt(node: NodeRun, event: ev.AttemptInDoubt, _record: ev.Record) -> Changes:
    doubt: Changes = {"reason": event.reason, "started_at": None, "worker": ""}
    if event.fingerprint is None:
        return doubt
    # Later on, the checkpoint could not be told from one of what the node is made of now.
    goes_on = same_but_for_code(node.fingerprint, event.fingerprint)
    checkpoint = node.checkpoint if goes_on else None
    return {**doubt, "fingerprint": event.fingerprint, "checkpoint": checkpoint}


def _retry_scheduled(_node: NodeRun, event: ev.RetryScheduled, _record: ev.Record) -> Changes:
    return {"due_at": event.due_at}


def _retry_due(_node: NodeRun, _event: ev.RetryDue, _record: ev.Record) -> Changes:
    return {"due_at": None}


def _skipped(node: NodeRun, event: ev.NodeSkipped, record: ev.Record) -> Changes:
    return {"reason": event.reason, "error": None, "ended_at": node.ended_at or record.at}


def _cancelled(node: NodeRun, event: ev.NodeCancelled, record: ev.Record) -> Changes:
    return {
        # A node that was between two attempts keeps the end of the one that it had.
        "ended_at": node.ended_at or record.at,
        "due_at": None,
        "notebook": event.notebook or node.notebook,
    }


def _kept(node: NodeRun, _event: ev.NodeKept, record: ev.Record) -> Changes:
    earlier = node.earlier
    assert earlier is not None, "the machine has checked that there is something to keep"
    return {
        "reason": None,
        "fingerprint": earlier.fingerprint,
        "outputs": earlier.outputs,
        "notebook": earlier.notebook,
        "log": earlier.log,
        "started_at": earlier.started_at,
        "ended_at": earlier.ended_at or record.at,
        "earlier": None,
        # It was allowed for what would have been made then, not for whatever comes later.
        "may_repeat": False,
    }


def _cached(_node: NodeRun, event: ev.NodeCached, record: ev.Record) -> Changes:
    message = f"run {event.source} has done the same in {event.saved_s:.1f} s"
    return {
        "reason": Reason("cached", message),
        "fingerprint": event.fingerprint,
        "outputs": event.outputs,
        "notebook": event.notebook,
        "log": event.log,
        "ended_at": record.at,
        "source": event.source,
        "saved_s": event.saved_s,
        "earlier": None,
        "may_repeat": False,
    }


def _reset(node: NodeRun, event: ev.NodeReset, _record: ev.Record) -> Changes:
    """Forget all but the number of the last attempt, and what may stand again or go on from."""
    earlier = node.earlier
    if node.has_result and node.fingerprint is not None:
        earlier = Earlier(
            node.fingerprint,
            node.outputs,
            node.notebook,
            node.log,
            node.started_at,
            node.ended_at,
            node.source,
            node.saved_s,
        )
    return {
        "earlier": None if event.kind == "forced" else earlier,
        "checkpoint": None if event.kind == "forced" else node.checkpoint,
        "forced": event.kind == "forced",
        "source": "",
        "saved_s": 0.0,
        "failures": 0,
        "losses": 0,
        "reason": None,
        "error": None,
        "outputs": {},
        "worker": "",
        "scheduled_at": None,
        "started_at": None,
        "ended_at": None,
        "due_at": None,
    }


_CHANGES: dict[type[ev.NodeEvent], Callable[[NodeRun, Any, ev.Record], Changes]] = {
    ev.AttemptScheduled: _scheduled,
    ev.AttemptStarted: _started,
    ev.CheckpointStored: _checkpointed,
    ev.AttemptSucceeded: _succeeded,
    ev.AttemptFailed: _failed,
    ev.AttemptLost: _lost,
    ev.AttemptInDoubt: _in_doubt,
    ev.RetryScheduled: _retry_scheduled,
    ev.RetryDue: _retry_due,
    ev.NodeSkipped: _skipped,
    ev.NodeCancelled: _cancelled,
    ev.NodeKept: _kept,
    ev.NodeCached: _cached,
    ev.NodeReset: _reset,
}
