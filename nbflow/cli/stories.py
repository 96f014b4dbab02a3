"""One event, as `events` prints it: a line for people, or a JSON document for programs.

The document has `seq`, `at`, `type`, `node` and `attempt` always, and the event's own
fields besides. Times and values in it have the same form as in the document of a run.
"""

from typing import Any

import msgspec

from nbflow.cli.text import utc_time
from nbflow.core import events as ev
from nbflow.core.values import Artifact, Fields, Inline, Items, Secret, SecretText
from nbflow.drawing.happenings import event_words
from nbflow.drawing.words import local_time, one_line
from nbflow.session.document import value_document


def event_line(record: ev.Record) -> str:
    """Return a record in one line: seq, local time, type, node and attempt, and what it says."""
    who = one_line(record.node) if record.node else ""
    if record.attempt:
        who += f"#{record.attempt}"
    what = one_line(event_words(record.event))
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
