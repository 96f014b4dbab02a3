"""From a name to a handle: a run by its id, and all runs of a home."""

import os
import time
from pathlib import Path

import msgspec

from nbflow.core import machine
from nbflow.core.errors import JournalError
from nbflow.core.states import RunStatus
from nbflow.core.view import RunView
from nbflow.ports import RunRow
from nbflow.session.document import status_of
from nbflow.session.home import Home, is_driven, located
from nbflow.session.run import Run


class RunSummary(msgspec.Struct, frozen=True):
    """One line about a run."""

    id: str
    flow: str
    #: None if its events cannot be read; `problem` says why.
    status: RunStatus | None
    created_at: float
    ended_at: float | None
    #: How many nodes are in each state, by the state's name.
    counts: dict[str, int]
    problem: str = ""


def attach(run: str, *, home: str | os.PathLike[str] | None = None) -> Run:
    """Return the handle of an existing run, whoever drives it.

    Parameters
    ----------
    run
        Its id, or a beginning of the id that fits no other run.
    home
        The folder of its home; by default the ``.nbflow`` found from here upwards.

    Raises
    ------
    nbflow.core.errors.UnknownRun
        If there is no such home or run.
    """
    opened = Home.find(home, Path.cwd())
    try:
        return Run(opened.run_row(run).id, opened)
    except BaseException:
        opened.close()
        raise


def runs(*, home: str | os.PathLike[str] | None = None) -> list[RunSummary]:
    """Return the runs of a home, oldest first; none where nothing has run yet.

    Raises
    ------
    nbflow.core.errors.UnknownRun
        If `home` is given and is none.
    """
    if home is None and located(None, Path.cwd(), os.environ) is None:
        return []
    opened = Home.find(home, Path.cwd())
    try:
        return [_summary(opened, row, problem) for row, problem in opened.journal.listed()]
    finally:
        opened.close()


def _summary(home: Home, row: RunRow, problem: str) -> RunSummary:
    if problem:
        return RunSummary(row.id, row.flow, None, row.created_at, None, {}, problem)
    try:
        state = machine.replay(home.journal.read(row.id))
    except (JournalError, machine.IllegalTransition) as error:
        # One damaged or newer run must not hide the others.
        return RunSummary(row.id, row.flow, None, row.created_at, None, {}, str(error))
    view = RunView(state, driven=is_driven(row, time.time()))
    return RunSummary(
        id=row.id,
        flow=state.graph.spec.name,
        status=status_of(view),
        created_at=state.created_at,
        ended_at=state.ended_at,
        counts={str(name): count for name, count in view.counts.items()},
    )
