"""Runs that nobody drives, in whatever state their last driver left them."""

from functools import partial

import pytest
from driven_run import DrivenRun, node

from nbflow.core import events as ev
from nbflow.core.decisions import Decision
from nbflow.core.policies import Retry
from nbflow.core.states import Reason, RunStatus
from nbflow.driver.undriven import cancel_without_driver, decide_without_driver


@pytest.fixture
def made(tmp_path):
    return partial(DrivenRun, tmp_path)


def held(it, record, *args, **named):
    """Do something about the run as its holder."""
    epoch = it.journal.claim(it.id, "bob:1:0", now=it.clock(), ttl_s=30)
    try:
        return record(it.run, epoch, it.journal, it.store, *args, clock=it.clock, **named)
    finally:
        it.journal.release(it.id, epoch)


def cancel(it):
    return held(it, cancel_without_driver, by="bob")


def test_a_run_whose_driver_died_while_it_was_cancelling_is_cancelled(made) -> None:
    it = made(node("ran"), node("after", "ran"), node("beside"))
    it.left_by_a_dead_driver(
        ev.AttemptScheduled("ran", 1),
        ev.AttemptStarted("ran", 1, "w", 1.0),
        ev.CancelRequested("ann"),
    )
    assert cancel(it).status is RunStatus.CANCELLED
    assert set(it.states.values()) == {"cancelled"}
    assert [event.by for event in it.events(ev.CancelRequested)] == ["ann"]


def test_what_would_be_tried_again_is_cancelled(made) -> None:
    it = made(node("a", retries=Retry(times=3)), node("b", "a"))
    it.left_by_a_dead_driver(
        ev.AttemptScheduled("a", 1), ev.AttemptFailed("a", 1, Reason("error", "no"))
    )
    assert cancel(it).status is RunStatus.CANCELLED
    assert it.states == {"a": "cancelled", "b": "cancelled"}


def test_a_run_that_has_ended_meanwhile_stays_as_it_is(made) -> None:
    it = made(node("a", effect="at_most_once"))
    ended = it.drive()
    assert cancel(it) == ended
    why = held(it, decide_without_driver, Decision("a", "failed", "bob"))
    assert "'a' is succeeded, not in doubt" in why
    assert it.run == ended


def test_a_decision_lets_a_cancellation_end_that_a_dead_driver_had_begun(made) -> None:
    it = made(node("mail", effect="at_most_once"), node("after", "mail"))
    it.left_by_a_dead_driver(ev.AttemptScheduled("mail", 1), ev.CancelRequested("ann"))
    assert held(it, decide_without_driver, Decision("mail", "retry", "bob")) == ""
    assert it.run.status is RunStatus.CANCELLED
    assert it.states == {"mail": "cancelled", "after": "cancelled"}
