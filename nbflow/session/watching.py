"""Waiting for a run in front of a person: progress while it goes, a clear word at its end."""

import logging
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from nbflow.core.errors import (
    LostLease,
    NbflowError,
    RunCancelled,
    RunFailed,
    RunInterrupted,
)
from nbflow.core.findings import Diagnosis
from nbflow.core.run import Run, spoils
from nbflow.core.states import NodeState, RunStatus
from nbflow.core.view import RunView
from nbflow.panels.terminal import progress_display
from nbflow.session.home import located

#: Most nodes that an error names.
_SHOWN = 10

_log = logging.getLogger(__name__)


class Waited(Protocol):
    """What is needed of a run's handle to wait for it."""

    id: str

    @property
    def status(self) -> RunStatus:
        """Where the run stands."""

    @property
    def home(self) -> Path:
        """The folder of its home."""

    @property
    def driven_here(self) -> bool:
        """Whether this process drives it."""

    def view(self) -> RunView:
        """Return the run as it stands."""

    def wait_changed(self, timeout_s: float) -> bool:
        """Wait until it may look different."""

    def wait(self) -> RunStatus:
        """Wait for its end."""

    def interrupt(self, why: str) -> None:
        """Let go of it."""

    def failures(self) -> dict[str, str]:
        """Return the failed nodes with their reasons."""

    def diagnose(self) -> Diagnosis:
        """Say what is wrong with it, if anything."""

    def panel(self) -> Any:
        """Return a live panel."""


def join(run: Waited, *, progress: bool | None) -> None:
    """Wait for the end of `run` and show progress; see `Run.join`."""
    try:
        with _shown(run, progress=progress):
            _wait(run)
    except LostLease:
        # The run is in good hands, and is not to be resumed.
        raise
    except NbflowError as error:
        # The driver has ended, and not by its own decision: the journal or the cluster failed it.
        message = f"run {run.id} was interrupted: {error}\n{how_to_resume(run)}"
        raise RunInterrupted(message, run) from error
    if run.status is RunStatus.FAILED:
        raise RunFailed(_told_failed(run), run)
    if run.status in (RunStatus.CANCELLED, RunStatus.INTERRUPTED):
        raise RunCancelled(f"run {run.id} was {run.status}. {how_to_resume(run)}", run)


def how_to_resume(run: Waited) -> str:
    """Return the sentence that says how to continue `run`."""
    decide = _how_to_decide(run)
    then = f"{decide} Then continue" if decide else "Continue"
    return f"{then} it with: {command(run, 'resume')}"


def _how_to_decide(run: Waited) -> str:
    """Return the sentence that says which decisions `run` waits for; empty if for none."""
    run_now = run.view().run
    doubtful = [name for name in run_now.graph.nodes if run_now[name].state is NodeState.IN_DOUBT]
    if not doubtful:
        return ""
    how = f"{command(run, 'resolve')} {doubtful[0]} --as succeeded (or failed, or retry)"
    if len(doubtful) > 1:
        return f"Look whether {', '.join(doubtful)} did their work, and decide for each: {how}."
    return f"Look whether {doubtful[0]} did its work, and decide: {how}."


def command(run: Waited, name: str) -> str:
    """Return the command line of ``nbflow NAME`` that means `run`, from the current folder."""
    return f"nbflow {name} {run.id}{home_option(run.home)}"


def home_option(home: Path) -> str:
    """Return the option by which a command finds `home` from here, if it needs one."""
    found = located(None, Path.cwd(), os.environ)
    if found is not None and found.resolve() == home.resolve():
        return ""
    return f" --home {shlex.quote(str(home))}"


def left_undone(run: Run) -> str:
    """Say what keeps `run` from being a success although no node has failed; else nothing.

    A resume that was to run only some nodes ends so.
    """
    names = [name for name in run.graph.nodes if spoils(run, name, run[name])]
    if not names or any(run[name].state is NodeState.FAILED for name in names):
        return ""
    shown = ", ".join(names[:_SHOWN])
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"no node failed, but there is still to run: {shown}{more}"


def _told_failed(run: Waited) -> str:
    failures = run.failures()
    if not failures:
        undone = left_undone(run.view().run)
        return f"run {run.id} is not complete: {undone}\n{how_to_resume(run)}"
    lines = [f"  {name}: {message}" for name, message in list(failures.items())[:_SHOWN]]
    if len(failures) > len(lines):
        lines.append(f"  … and {len(failures) - len(lines)} more")
    count = len(failures)
    return "\n".join(
        [
            f"run {run.id}: {count} node{'s' if count != 1 else ''} failed",
            *lines,
            how_to_resume(run),
        ]
    )


def _wait(run: Waited) -> None:
    """Wait for the end; an interrupt lets go of a run that is driven here in good order first."""
    try:
        run.wait()
    except KeyboardInterrupt as stop:
        if run.driven_here:
            # Whoever turns another signal into this exception says so in it.
            run.interrupt(str(stop) or "interrupted from the keyboard")
            run.wait()
        elif run.view().driven:
            stop.add_note(
                f"Only the waiting has ended: another process drives run {run.id}, and goes on. "
                f"To stop it: {command(run, 'cancel')}"
            )
        raise


@contextmanager
def _shown(run: Waited, *, progress: bool | None) -> Iterator[None]:
    """Show the run, in the way that suits the place, for as long as it is waited for."""
    if progress is False:
        yield
    elif _in_notebook():
        from IPython.display import display  # lazy: it is there, since this is a notebook

        display(run.panel())
        yield
    else:
        shown = progress_display(run.view, run.wait_changed, sys.stderr, run.diagnose)
        with _harmless():
            shown.start()
        try:
            yield
        finally:
            with _harmless():
                shown.stop()


@contextmanager
def _harmless() -> Iterator[None]:
    """Let a terminal that cannot be written cost the progress, and not the run."""
    try:
        yield
    except OSError as error:
        _log.warning("progress cannot be shown: %s", error)


def _in_notebook() -> bool:
    """Whether this is the kernel of a notebook, where a panel can be shown."""
    module: Any = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    return shell is not None and hasattr(shell, "kernel")
