"""``nbflow top``: what the nodes of a run do now, what that costs, and what is wrong."""

import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nbflow.cli.options import examples, home_option, run_argument

if TYPE_CHECKING:
    from nbflow.core.findings import Diagnosis
    from nbflow.core.view import RunView

# The session is imported where a command runs: with it comes Dask, and help must not wait for that.


@click.command(epilog=examples("nbflow top sales-20260201", "nbflow top sales-20260201 --once"))
@run_argument
@click.option(
    "--once", is_flag=True, help="Print it once, as plain text; so it is without a terminal."
)
@home_option
def top(*, run: str, once: bool, home: Path | None) -> None:
    """Show live what the nodes of a run do, use and wait for.

    What is wrong comes first, each with the next step. Then the nodes that run: cell, line, time
    and expected time, CPU, memory, disk. It ends when the run does, or with Ctrl-C.
    """
    from nbflow.panels.terminal import can_animate
    from nbflow.panels.top import TopDisplay
    from nbflow.session import attach

    handle = attach(run, home=home)
    if once or not can_animate(sys.stdout):
        for line in top_lines(handle.view(), handle.diagnose(), time.time()):
            print(line)
        return
    display = TopDisplay(handle.view, handle.wait_changed, handle.diagnose, sys.stdout)
    # Ctrl-C is how one leaves: it concerns the display alone.
    with suppress(KeyboardInterrupt), display:
        handle.wait()


def top_lines(view: "RunView", diagnosis: "Diagnosis", now: float) -> Iterator[str]:
    """Yield the same as plain lines, of any width."""
    from nbflow.cli.text import table
    from nbflow.drawing.words import one_line
    from nbflow.panels.top_rows import (
        COLUMNS,
        counts_line,
        headline,
        resources_line,
        top_rows,
    )

    name = one_line(view.run.graph.spec.name)
    yield f"{name}  {one_line(view.run.id)}  {headline(view, diagnosis, now)}"
    yield from filter(None, (counts_line(view), resources_line(view, diagnosis)))
    for finding in diagnosis.findings:
        who = one_line(finding.node) or "run"
        yield f"! {who}: {finding.kind}  {one_line(finding.summary, 400)}"
        yield from (f"  → {one_line(step, 400)}" for step in finding.suggestions)
    rows = top_rows(view, diagnosis, now)
    if rows:
        yield ""
        yield from table([COLUMNS, *(row.texts for row in rows)])
