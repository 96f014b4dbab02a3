"""The plain lists of a report: parameters, versions, and all that has happened."""

from collections.abc import Sequence

from nbflow.core.events import Record
from nbflow.core.view import RunView
from nbflow.drawing.happenings import event_words
from nbflow.drawing.report_markup import cell, folded, line, table
from nbflow.drawing.values import value_text
from nbflow.drawing.words import local_time, plural

#: Events that are told of the beginning and of the end of a long story.
_FIRST, _LAST = 500, 2_500
#: A story of so many events is open from the beginning.
_SHORT = 60


def parameters_table(view: RunView) -> str:
    """Return the flow's parameters in this run, and which of them were given for it."""
    run = view.run
    rows = [
        [
            cell(line(name), kind="name"),
            cell(line(value_text(value, 1000), 1000), kind="mono"),
            cell("given" if name in run.given else "default", kind="soft"),
        ]
        for name, value in run.params.items()
    ]
    return table(("parameter", "value", ""), rows, kind="plain") if rows else ""


def versions_table(versions: Sequence[tuple[str, str]]) -> str:
    """Return what the run was made with."""
    rows = [[cell(line(name)), cell(line(version), kind="mono")] for name, version in versions]
    return table(("what", "version"), rows, kind="plain") if rows else ""


def story_table(records: Sequence[Record]) -> str:
    """Return the events in order; of very many, the first and the last."""
    shown = [*records[:_FIRST], *records[max(_FIRST, len(records) - _LAST) :]]
    left_out = len(records) - len(shown)
    note = ""
    if left_out:
        note = f'<p class="soft">{plural(left_out, "event")} after the {_FIRST}th are left out</p>'
    rows = [_row(record) for record in shown]
    events = table(("", "when", "event", "node", "what"), rows, kind="plain")
    search = (
        '<input type="search" data-of="events" placeholder="filter" aria-label="Filter events">'
    )
    return folded(
        plural(len(records), "event"),
        f'{search}{note}<div id="events">{events}</div>',
        is_open=len(records) <= _SHORT,
    )


def _row(record: Record) -> list[str]:
    who = line(record.node or "") + (f"#{record.attempt}" if record.attempt else "")
    return [
        cell(f"{record.seq}", kind="num soft"),
        cell(local_time(record.at), kind="short"),
        cell(record.type),
        cell(who, kind="name"),
        cell(line(event_words(record.event), 600)),
    ]
