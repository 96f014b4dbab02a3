"""Commands that look at runs and change nothing: ``runs``, ``show``, ``events``."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nbflow.cli.options import examples, home_option, json_option, run_argument

if TYPE_CHECKING:
    from nbflow.core.events import Record
    from nbflow.session import Run
    from nbflow.session.opening import RunSummary

# The session is imported where a command runs: with it comes Dask, and help must not wait for that.

#: How long one wait of ``events --follow`` lasts at most, in seconds. It ends early at any change.
_FOLLOW_S = 60.0


@click.command(epilog=examples("nbflow runs | head"))
@home_option
@json_option
def runs(*, home: Path | None, as_json: bool) -> None:
    """List the runs of a home, newest first."""
    from nbflow.cli.text import print_json, table, when
    from nbflow.drawing.words import duration
    from nbflow.session import runs as runs_of

    now = time.time()
    newest_first = runs_of(home=home)[::-1]
    if as_json:
        print_json([_summary_document(summary, now) for summary in newest_first])
        return
    if not newest_first:
        print("no runs yet", file=sys.stderr)
        return
    rows = [("RUN", "STATUS", "NODES", "TOOK", "STARTED")]
    for each in newest_first:
        took = duration(each.ended_at - each.created_at) if each.ended_at else ""
        nodes = f"{each.counts.get('succeeded', 0)}/{sum(each.counts.values())}"
        rows.append(
            (each.id, str(each.status or "unreadable"), nodes, took, when(each.created_at, now))
        )
    for line in table(rows):
        print(line)
    for each in newest_first:
        if each.problem:
            print(f"{each.id} cannot be read: {each.problem}", file=sys.stderr)


@click.command(epilog=examples("nbflow show sales-20260201", "nbflow show sales-20260201 --json"))
@run_argument
@home_option
@json_option
def show(*, run: str, home: Path | None, as_json: bool) -> None:
    """Show how a run and its nodes stand.

    Each node with its state, time, attempt, reason, executed notebook and outputs.
    """
    from nbflow.cli.portrait import portrait_lines
    from nbflow.cli.text import print_json
    from nbflow.session import attach

    handle = attach(run, home=home)
    if as_json:
        print_json(handle.document())
        return
    for line in portrait_lines(handle, time.time()):
        print(line)


@click.command(
    epilog=examples(
        "nbflow events sales-20260201 --follow", "nbflow events sales-20260201 --json | jq .type"
    )
)
@run_argument
@click.option(
    "--follow", is_flag=True, help="Go on until the run has ended, or nobody drives it any more."
)
@home_option
@json_option
def events(*, run: str, follow: bool, home: Path | None, as_json: bool) -> None:
    """Tell what has happened in a run, one event a line."""
    from nbflow.cli.stories import event_document, event_line
    from nbflow.session import attach

    handle = attach(run, home=home)
    records = _followed(handle) if follow else iter(handle.events())
    for record in records:
        print(json.dumps(event_document(record)) if as_json else event_line(record), flush=follow)


def _summary_document(summary: "RunSummary", now: float) -> dict[str, Any]:
    from nbflow.cli.text import utc_time

    return {
        "run_id": summary.id,
        "flow": summary.flow,
        "status": str(summary.status or "unreadable"),
        "started_at": utc_time(summary.created_at),
        "ended_at": None if summary.ended_at is None else utc_time(summary.ended_at),
        "duration_s": round((summary.ended_at or now) - summary.created_at, 3),
        "nodes": summary.counts,
    }


def _followed(run: "Run") -> Iterator["Record"]:
    """Yield the events of `run` until nothing more will come."""
    from nbflow.core.states import RUN_ENDED

    seq = 0
    while True:
        # The look comes before the reading, so that nothing that it says is over is missed.
        view = run.view()
        for record in run.events(seq):
            seq = record.seq
            yield record
        if view.run.status in RUN_ENDED or not view.driven:
            return
        run.wait_changed(_FOLLOW_S)
