"""Events in words: what each says besides its type, node and attempt."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from nbflow.core import events as ev
from nbflow.drawing.words import duration, local_time, plural


def event_words(event: ev.Event) -> str:
    """Return what `event` says; foreign texts are in it as they are."""
    return WORDS[type(event)](event)


def _created(event: ev.RunCreated) -> str:
    return f"flow {event.flow.name}, {plural(len(event.flow.nodes), 'node')}"


def _succeeded(event: ev.AttemptSucceeded) -> str:
    names = ", ".join(event.outputs)
    took = f"in {duration(event.ended_at - event.started_at)}"
    if event.resolved_by:
        took = f"as {event.resolved_by} decided"
    return f"{took}, outputs: {names}" if names else took


def _reason(event: ev.AttemptFailed | ev.AttemptLost | ev.AttemptInDoubt | ev.NodeSkipped) -> str:
    return f"{event.reason.kind}: {event.reason.message}"


def _reset(event: ev.NodeReset) -> str:
    # Some reasons begin with their kind, also in journals that are there already.
    return f"{event.kind}: {event.why.removeprefix(f'{event.kind}: ')}"


def _nothing(_event: ev.Event) -> str:
    return ""


#: What each type of event says besides its node and attempt.
WORDS: Mapping[type[ev.Event], Callable[[Any], str]] = MappingProxyType(
    {
        ev.RunCreated: _created,
        ev.RunClaimed: lambda event: f"by {event.driver}",
        ev.RunReopened: lambda event: f"by {event.driver}",
        ev.FlowChanged: lambda event: "; ".join(event.changes),
        ev.CancelRequested: lambda event: f"by {event.by}",
        ev.RunEnded: lambda event: str(event.status),
        ev.AttemptScheduled: _nothing,
        ev.AttemptStarted: lambda event: f"on {event.worker}",
        ev.AttemptSucceeded: _succeeded,
        ev.AttemptFailed: _reason,
        ev.AttemptLost: _reason,
        ev.AttemptInDoubt: _reason,
        ev.CheckpointStored: lambda event: f"before cell {event.checkpoint.cell}",
        ev.RetryScheduled: lambda event: f"due {local_time(event.due_at)}",
        ev.RetryDue: _nothing,
        ev.NodeSkipped: _reason,
        ev.NodeCancelled: _nothing,
        ev.NodeKept: lambda _: "unchanged: its earlier result stands",
        ev.NodeCached: lambda event: f"as in run {event.source}, {duration(event.saved_s)} saved",
        ev.NodeReset: _reset,
    }
)
