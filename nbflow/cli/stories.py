"""One event, as `events` prints it: a line for people, or a JSON document for programs.

The document has `seq`, `at`, `type`, `node` and `attempt` always, and the event's own
fields besides. Times and values in it have the same form as in the document of a run.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from nbflow.cli.text import local_time, utc_time
from nbflow.core import events as ev
from nbflow.core.values import Artifact, Fields, Inline, Items, Secret, SecretText
from nbflow.drawing.words import duration, one_line, plural
from nbflow.session.document import value_document


def event_line(record: ev.Record) -> str:
    """Return a record in one line: seq, local time, type, node and attempt, and what it says."""
    who = one_line(record.node) if record.node else ""
    if record.attempt:
        who += f"#{record.attempt}"
    what = one_line(_WORDS[type(record.event)](record.event))
    texts = [part for part in (who, what) if part]
    line = f"{record.seq:>4}  {local_time(record.at)}  {record.type:<16}  {'  '.join(texts)}"
    return line.rstrip()


def event_document(record: ev.Record) -> dict[str, Any]:
    """Return a record as plain JSON."""
    event = record.event
    own = {name: getattr(event, name) for name in event.__struct_fields__}
    return {
        "seq": record.seq,
        "at": utc_time(record.at),
        "type": record.type,
        "node": record.node,
        "attempt": record.attempt,
        **{name: _plain(name, own[name]) for name in own if name not in ("node", "attempt")},
    }


def _plain(name: str, value: Any) -> Any:
    match value:
        case float() if name.endswith("_at"):
            return utc_time(value)
        case Inline() | Artifact() | Secret() | SecretText() | Items() | Fields():
            return value_document(value)
        case dict():
            return {key: _plain("", item) for key, item in value.items()}
        case _:
            # By way of JSON, so that tuples become lists.
            return msgspec.json.decode(msgspec.json.encode(value))


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


def _nothing(_event: ev.Event) -> str:
    return ""


#: What each type of event says besides its node and attempt.
_WORDS: Mapping[type[ev.Event], Callable[[Any], str]] = MappingProxyType(
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
        ev.NodeReset: lambda event: f"{event.kind}: {event.why}",
    }
)
