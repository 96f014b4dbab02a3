"""What each event says about its node, besides the node's next state.

One small function per event type, and one table that finds it. The functions
only read: `changed` puts what they say into a new `NodeRun`.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from nbflow.core import events as ev
from nbflow.core.run import NodeRun
from nbflow.core.states import NodeState

#: Fields of `NodeRun` with their new values.
Changes: TypeAlias = dict[str, Any]


def changed(node: NodeRun, state: NodeState, event: ev.NodeEvent, at: float) -> NodeRun:
    """Return `node` in `state`, with all that `event`, recorded at `at`, says about it."""
    return msgspec.structs.replace(node, state=state, **_CHANGES[type(event)](node, event, at))


def _scheduled(_node: NodeRun, event: ev.AttemptScheduled, at: float) -> Changes:
    return {
        "attempt": event.attempt,
        "scheduled_at": at,
        "started_at": None,
        "ended_at": None,
        "worker": "",
    }


def _started(_node: NodeRun, event: ev.AttemptStarted, _at: float) -> Changes:
    return {"started_at": event.started_at, "worker": event.worker}


def _succeeded(_node: NodeRun, event: ev.AttemptSucceeded, _at: float) -> Changes:
    return {
        "started_at": event.started_at,
        "ended_at": event.ended_at,
        "outputs": event.outputs,
        "notebook": event.notebook,
        "log": event.log,
        "reason": None,
        "error": None,
        "losses": 0,
    }


def _failed(node: NodeRun, event: ev.AttemptFailed, at: float) -> Changes:
    return {
        "started_at": event.started_at or node.started_at,
        "ended_at": event.ended_at or at,
        "outputs": event.outputs,
        "notebook": event.notebook or node.notebook,
        "log": event.log,
        "reason": event.reason,
        "error": event.error,
        "failures": node.failures + 1,
        "losses": 0,
    }


def _lost(node: NodeRun, event: ev.AttemptLost, _at: float) -> Changes:
    return {
        "reason": event.reason,
        "notebook": event.notebook or node.notebook,
        "losses": node.losses + (event.reason.kind == "worker_lost"),
        # Nothing runs any more, so nobody may count its seconds.
        "started_at": None,
        "worker": "",
    }


def _retry_scheduled(_node: NodeRun, event: ev.RetryScheduled, _at: float) -> Changes:
    return {"due_at": event.due_at}


def _retry_due(_node: NodeRun, _event: ev.RetryDue, _at: float) -> Changes:
    return {"due_at": None}


def _skipped(node: NodeRun, event: ev.NodeSkipped, at: float) -> Changes:
    return {"reason": event.reason, "error": None, "ended_at": node.ended_at or at}


def _cancelled(node: NodeRun, event: ev.NodeCancelled, at: float) -> Changes:
    return {
        # A node that was between two attempts keeps the end of the one that it had.
        "ended_at": node.ended_at or at,
        "due_at": None,
        "notebook": event.notebook or node.notebook,
    }


def _reset(_node: NodeRun, _event: ev.NodeReset, _at: float) -> Changes:
    """Forget all but the number of the last attempt, and what it left for people to read."""
    return {
        "failures": 0,
        "losses": 0,
        "reason": None,
        "error": None,
        "outputs": {},
        "worker": "",
        "scheduled_at": None,
        "started_at": None,
        "ended_at": None,
    }


_CHANGES: dict[type[ev.NodeEvent], Callable[[NodeRun, Any, float], Changes]] = {
    ev.AttemptScheduled: _scheduled,
    ev.AttemptStarted: _started,
    ev.AttemptSucceeded: _succeeded,
    ev.AttemptFailed: _failed,
    ev.AttemptLost: _lost,
    ev.RetryScheduled: _retry_scheduled,
    ev.RetryDue: _retry_due,
    ev.NodeSkipped: _skipped,
    ev.NodeCancelled: _cancelled,
    ev.NodeReset: _reset,
}
