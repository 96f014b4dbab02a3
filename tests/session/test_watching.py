"""Waiting in front of a person: what is raised at the end, and what a bad terminal costs."""

import io
import sys
from pathlib import Path

import pytest
from staged_run import StagedRun, node

from nbflow.core.errors import JournalError, RunCancelled, RunFailed, RunInterrupted
from nbflow.core.events import CancelRequested
from nbflow.core.findings import Diagnosis
from nbflow.core.states import RunStatus
from nbflow.session import watching


class Run:
    """A run's handle that has ended, or whose wait does something."""

    id = "sales-1"

    def __init__(self, home: Path, status: RunStatus, wait=lambda: None) -> None:
        self.home = home
        self.status = status
        self._wait = wait
        self.interrupted = ""
        self.driven_here = True
        self.view = StagedRun(node("a")).view

    def wait(self) -> RunStatus:
        if not self.interrupted:
            self._wait()
        return self.status

    def interrupt(self, why: str) -> None:
        self.interrupted = why

    def diagnose(self) -> Diagnosis:
        return Diagnosis(run_id=self.id, status="running")

    def failures(self) -> dict[str, str]:
        return {"train": "ValueError: no rows"}


def test_a_success_raises_nothing(tmp_path) -> None:
    watching.join(Run(tmp_path, RunStatus.SUCCEEDED), progress=False)


def test_a_failure_names_the_nodes_and_the_way_on(tmp_path) -> None:
    with pytest.raises(RunFailed, match=r"1 node failed\n  train: ValueError: no rows\nContinue"):
        watching.join(Run(tmp_path, RunStatus.FAILED), progress=False)


@pytest.mark.parametrize("status", [RunStatus.CANCELLED, RunStatus.INTERRUPTED])
def test_what_was_stopped_says_how_to_continue(tmp_path, status: RunStatus) -> None:
    with pytest.raises(RunCancelled, match=rf"was {status}.*nbflow resume sales-1 --home"):
        watching.join(Run(tmp_path, status), progress=False)


def test_an_interrupt_lets_go_of_the_run_and_goes_on_up(tmp_path) -> None:
    def ctrl_c() -> None:
        raise KeyboardInterrupt

    run = Run(tmp_path, RunStatus.INTERRUPTED, ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        watching.join(run, progress=False)
    assert run.interrupted == "interrupted from the keyboard"


def test_an_interrupt_ends_only_the_waiting_for_a_run_that_is_driven_elsewhere(tmp_path) -> None:
    def ctrl_c() -> None:
        raise KeyboardInterrupt

    run = Run(tmp_path, RunStatus.RUNNING, ctrl_c)
    run.driven_here = False
    run.view = StagedRun(node("a")).view
    with pytest.raises(KeyboardInterrupt) as stop:
        watching.join(run, progress=False)
    assert run.interrupted == ""
    (note,) = stop.value.__notes__
    assert "goes on" in note
    assert "nbflow cancel sales-1 --home" in note


def test_a_driver_that_cannot_go_on_is_told_with_its_cause(tmp_path) -> None:
    def full() -> None:
        raise JournalError("the disk is full")

    with pytest.raises(RunInterrupted, match="the disk is full") as stop:
        watching.join(Run(tmp_path, RunStatus.INTERRUPTED, full), progress=False)
    assert isinstance(stop.value.__cause__, JournalError)


def test_what_else_has_interrupted_the_waiting_is_told_as_such(tmp_path) -> None:
    def terminated() -> None:
        raise KeyboardInterrupt("stopped by SIGTERM")

    run = Run(tmp_path, RunStatus.INTERRUPTED, terminated)
    with pytest.raises(KeyboardInterrupt):
        watching.join(run, progress=False)
    assert run.interrupted == "stopped by SIGTERM"


def test_a_run_that_was_resumed_in_part_names_what_is_left_and_no_failure(tmp_path) -> None:
    staged = StagedRun(node("a"), node("b", after=["a"]), node("c", after=["b"]))
    staged.do(CancelRequested("ann")).resume("a").succeed("a")
    run = Run(tmp_path, staged.run.status)
    run.view = staged.view
    run.failures = dict
    with pytest.raises(RunFailed) as stop:
        watching.join(run, progress=False)
    first, then = str(stop.value).splitlines()
    assert first == ("run sales-1 is not complete: no node failed, but there is still to run: b, c")
    assert then.startswith("Continue it with: nbflow resume sales-1")
    staged.resume("b").fail("b")
    assert watching.left_undone(staged.run) == "", "its failure is told instead"


class Full(io.StringIO):
    """A terminal that cannot be written."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_terminal_that_cannot_be_written_costs_the_progress_and_not_the_run(
    tmp_path, monkeypatch, caplog
) -> None:
    staged = StagedRun(node("a"))
    run = Run(tmp_path, RunStatus.SUCCEEDED)
    run.view = staged.view
    run.wait_changed = lambda timeout_s: True
    monkeypatch.setattr(sys, "stderr", Full())

    watching.join(run, progress=True)

    assert "progress cannot be shown" in caplog.text


def test_a_run_that_waits_for_decisions_says_first_what_to_decide(tmp_path) -> None:
    staged = StagedRun(node("mail", effect="at_most_once"), node("load", effect="at_most_once"))
    staged.start("mail").doubt("mail").start("load").doubt("load")
    staged.driven = False
    run = Run(tmp_path, RunStatus.INTERRUPTED)
    run.view = staged.view
    with pytest.raises(RunCancelled) as stopped:
        watching.join(run, progress=False)
    told = str(stopped.value)
    assert (
        "Look whether mail, load did their work, and decide for each: nbflow resolve sales-1"
        in told
    )
    assert "mail --as succeeded (or failed, or retry). Then continue it with: nbflow resume" in told
