"""What is declared at most once never begins a second time without a decision."""

import pytest

from nbflow.core import events as ev
from nbflow.core import machine as m
from nbflow.core.decisions import ONLY_OF_SUCCESS, Decision, event_of, undecidable
from nbflow.core.fingerprints import Fingerprint
from nbflow.core.making import fingerprint_of
from nbflow.core.resuming import Wish, plan, recognized
from nbflow.core.states import NodeState, Reason, RunStatus
from nbflow.core.values import Inline


@pytest.fixture
def doubtful(story, node):
    """`mail` is declared at most once, and was lost with its worker; `report` wants its output."""
    told = story(node("mail", effect="at_most_once"), node("report", wants=["mail"]), node("z"))
    told.start("mail")
    told.tell(m.after_loss(told.run, "mail", "the worker is gone"))
    return told


def test_a_lost_attempt_is_in_doubt_and_nothing_is_owed_for_it(doubtful):
    assert doubtful.state("mail") is NodeState.IN_DOUBT
    assert doubtful.run["mail"].reason == Reason("worker_lost", "the worker is gone")
    assert {command.node for command in m.obligations(doubtful.run)} == {"z"}
    doubtful.succeed("z")
    assert m.obligations(doubtful.run) == (), "the run waits for a person"


def test_it_can_be_decided_that_it_had_succeeded_with_what_others_want_of_it(doubtful):
    without = Decision("mail", "succeeded", "me")
    assert "--output" in undecidable(doubtful.run, without)
    with pytest.raises(ValueError, match="x"):
        event_of(doubtful.run, without, 9.0)
    doubtful.tell(event_of(doubtful.run, Decision("mail", "succeeded", "me", {"x": Inline(3)}), 9))
    assert doubtful.state("mail") is NodeState.SUCCEEDED
    assert doubtful.commands == (m.StartAttempt("report", 1),)
    assert doubtful.records[-1].event.resolved_by == "me"


def test_what_nobody_receives_need_not_be_given(story, node):
    told = story(node("mail", effect="at_most_once", outputs=["x"]), node("z", after=["mail"]))
    told.start("mail")
    told.tell(m.after_loss(told.run, "mail", "the worker is gone"))
    assert told.run.graph.wanted_outputs("mail") == ("x",)
    assert undecidable(told.run, Decision("mail", "succeeded", "me")) == ""


def test_it_can_be_decided_that_it_has_failed(doubtful):
    doubtful.tell(event_of(doubtful.run, Decision("mail", "failed", "me"), 9.0))
    assert doubtful.state("mail") is NodeState.FAILED
    assert "me decided" in doubtful.run["mail"].reason.message
    (skip,) = doubtful.commands
    assert skip.node == "report"


def test_it_can_be_decided_that_it_begins_once_more_and_only_once(doubtful):
    doubtful.tell(event_of(doubtful.run, Decision("mail", "retry", "me"), 9.0))
    assert doubtful.state("mail") is NodeState.READY
    doubtful.start("mail")
    assert doubtful.run["mail"].attempt == 2
    doubtful.tell(m.after_loss(doubtful.run, "mail", "gone again"))
    assert doubtful.state("mail") is NodeState.IN_DOUBT


@pytest.mark.parametrize("verdict", ["failed", "retry"])
def test_outputs_are_of_a_success_only(doubtful, verdict):
    decision = Decision("mail", verdict, "me", {"x": Inline(3)})
    assert undecidable(doubtful.run, decision) == ONLY_OF_SUCCESS


@pytest.mark.parametrize("verdict", ["succeeded", "failed", "retry"])
def test_only_doubts_can_be_decided(doubtful, verdict):
    assert "not in doubt" in undecidable(doubtful.run, Decision("z", verdict, "me"))
    assert "no node 'y'" in undecidable(doubtful.run, Decision("y", verdict, "me"))


def test_a_lost_attempt_cannot_be_made_again_by_mistake(story, node):
    told = story(node("mail", effect="at_most_once"))
    told.start("mail")
    told.lose("mail")
    with pytest.raises(m.IllegalTransition):
        told.schedule("mail")


def test_a_failure_is_not_retried_and_a_resume_asks_first(story, node):
    told = story(node("mail", effect="at_most_once", retries=3))
    told.fail("mail")
    told.tell(ev.RunEnded(RunStatus.FAILED))
    told.reopen()
    for step in plan(told.run, Wish(), {}):
        told.tell(step)
    doubt = recognized(told.run, "mail", fingerprint_of(told.run, "mail"))
    assert isinstance(doubt, ev.AttemptInDoubt)
    assert "at most once" in doubt.reason.message
    told.tell(doubt)
    assert told.state("mail") is NodeState.IN_DOUBT


def test_a_success_that_would_be_made_of_something_else_asks_before_it_is_repeated(story, node):
    told = story(node("mail", effect="at_most_once"))
    told.succeed("mail")
    told.tell(ev.RunEnded(RunStatus.SUCCEEDED))
    told.reopen()
    told.tell(ev.NodeReset("mail", "its code has changed", "code"))
    assert isinstance(recognized(told.run, "mail", Fingerprint("new")), ev.AttemptInDoubt)
    unchanged = recognized(told.run, "mail", told.run["mail"].earlier.fingerprint)
    assert unchanged == ev.NodeKept("mail")


def test_a_cancelled_run_settles_its_doubts_as_cancelled_and_remembers_them(doubtful):
    doubtful.tell(ev.CancelRequested("me"))
    doubtful.tell(ev.NodeCancelled("mail"), ev.NodeCancelled("report"), ev.NodeCancelled("z"))
    doubtful.tell(ev.RunEnded(RunStatus.CANCELLED))
    doubtful.reopen()
    for step in plan(doubtful.run, Wish(), {}):
        doubtful.tell(step)
    again = recognized(doubtful.run, "mail", fingerprint_of(doubtful.run, "mail"))
    assert isinstance(again, ev.AttemptInDoubt)
