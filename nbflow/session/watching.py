"""Waiting for a run in front of a person: progress while it goes, a clear word at its end."""

import os
import shlex
import sys
from pathlib import Path
from typing import Any, Protocol

from nbflow.core.errors import NbflowError, RunCancelled, RunFailed, RunInterrupted
from nbflow.core.states import RunStatus
from nbflow.core.view import RunView
from nbflow.panels.terminal import progress_display
from nbflow.session.home import located


class Waited(Protocol):
    """What is needed of a run's handle to wait for it."""

    id: str

    @property
    def status(self) -> RunStatus:
        """Where the run stands."""

    @property
    def home(self) -> Path:
        """The folder of its home."""

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

    def panel(self) -> Any:
        """Return a live panel."""


def join(run: Waited, *, progress: bool | None) -> None:
    """Wait for the end of `run` and show progress; see `Run.join`."""
    try:
        if progress is False:
            run.wait()
        elif _in_notebook():
            _wait_with_panel(run)
        else:
            with progress_display(run.view, run.wait_changed, out=sys.stderr):
                run.wait()
    except KeyboardInterrupt:
        run.interrupt("interrupted from the keyboard")
        run.wait()
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
    return f"Continue it with: nbflow resume {run.id}{_home_option(run.home)}"


def _home_option(home: Path) -> str:
    """Return the option by which a command finds `home` from here, if it needs one."""
    found = located(None, Path.cwd(), os.environ)
    if found is not None and found.resolve() == home.resolve():
        return ""
    return f" --home {shlex.quote(str(home))}"


def _told_failed(run: Waited) -> str:
    failures = run.failures()
    lines = [f"  {name}: {message}" for name, message in list(failures.items())[:10]]
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


def _in_notebook() -> bool:
    """Whether this is the kernel of a notebook, where a panel can be shown."""
    module: Any = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    return shell is not None and hasattr(shell, "kernel")


def _wait_with_panel(run: Waited) -> None:
    from IPython.display import display  # lazy: it is there, since this is a notebook

    display(run.panel())
    run.wait()
