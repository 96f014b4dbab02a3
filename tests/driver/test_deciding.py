"""Nodes in doubt: what puts them there while a driver lives, and what people decide about them."""

import asyncio
import logging
from functools import partial

import msgspec
import pytest
from driven_run import DrivenRun, changed, node

from nbflow.core import events as ev
from nbflow.core.attempts import Ended, Lost, Outcome, stopped_unbegun
from nbflow.core.decisions import Decision
from nbflow.core.ids import AttemptId
from nbflow.core.policies import Limits
from nbflow.core.states import Reason, RunStatus
from nbflow.core.values import Inline
from nbflow.driver.stimuli import CancelAsked, StopAsked
from nbflow.driver.undriven import cancel_without_driver, decide_without_driver
from nbflow.testing import FakeCluster

MAIL = node("mail", effect="at_most_once")


@pytest.fixture
def made(tmp_path):
    return partial(DrivenRun, tmp_path)


def decide(it, verdict, name="mail", **outputs):
    """Decide while nobody drives the run."""
    decision = Decision(name, verdict, "ann", {key: Inline(it) for key, it in outputs.items()})
    epoch = it.journal.claim(it.id, "ann:1:0", now=it.clock(), ttl_s=30)
    why = decide_without_driver(it.run, epoch, it.journal, it.store, decision, clock=it.clock)
    it.journal.release(it.id, epoch)
    return why


def left_in_flight(it):
    it.left_by_a_dead_driver(ev.AttemptScheduled("mail", 1))


class Held:
    """Attempts of some nodes that go on until they are lost, stopped, or let go."""

    def __init__(self, it, *names):
        self._it = it
        self._names = names
        self._begun = asyncio.Event()
        self.go = asyncio.Event()

    async def perform(self, task):
        if task.id.node in self._names and task.id.number == 1:
            self._begun.set()
            await self.go.wait()
        return await self._it.perform(task)

    async def begun(self, cluster):
        """Wait until an attempt of one is at work, and return it."""
        await self._begun.wait()
        return next(it.id for it in cluster.submitted if it.id.node in self._names)


# --- while a driver lives -------------------------------------------------------------------------


def test_a_lost_worker_puts_in_doubt_and_the_rest_goes_on(made) -> None:
    it = made(MAIL, node("after", "mail"), node("other"), node("more", "other"))
    held = Held(it, "mail")

    async def lose(cluster, driver):
        cluster.lose(await held.begun(cluster))

    run = it.drive(held.perform, lose)
    assert run.status is RunStatus.RUNNING
    assert it.states == {
        "mail": "in_doubt",
        "after": "waiting",
        "other": "succeeded",
        "more": "succeeded",
    }
    assert run["mail"].reason.kind == "worker_lost"


def test_who_lets_go_of_the_run_leaves_a_doubt(made) -> None:
    it = made(MAIL, node("other"))
    held = Held(it, "mail", "other")

    async def stop(cluster, driver):
        await held.begun(cluster)
        driver.put(StopAsked("Ctrl-C"))

    run = it.drive(held.perform, stop)
    assert it.states == {"mail": "in_doubt", "other": "ready"}
    assert run["mail"].reason == Reason("interrupted", "Ctrl-C")


class Full(FakeCluster):
    """A cluster all of whose workers are busy with something else."""

    async def submit(self, tasks):
        self.submitted += tasks

    async def cancel(self, attempts):
        for attempt in attempts:
            self._report(Ended(stopped_unbegun(attempt, 1.0)))


@pytest.mark.parametrize("asked", [StopAsked("Ctrl-C"), CancelAsked("ann")])
def test_what_had_not_begun_when_it_was_stopped_is_not_in_doubt(made, asked) -> None:
    it = made(MAIL, node("other"))

    async def stop(cluster, driver):
        while len(cluster.submitted) < 2:
            await asyncio.sleep(0)
        driver.put(asked)

    it.cluster_type = Full
    run = it.drive(meanwhile=stop)
    assert it.states["mail"] == ("ready" if run.status is RunStatus.RUNNING else "cancelled")
    (lost,) = (it for it in it.events(ev.AttemptLost) if it.node == "mail")
    assert lost.reason.kind == "not_begun"
    it.cluster_type = FakeCluster
    assert it.drive().status is RunStatus.SUCCEEDED
    assert sorted(it.ran) == ["mail", "other"]
    assert it.events(ev.AttemptInDoubt) == []


def test_a_doubt_keeps_no_place_under_a_limit(made) -> None:
    it = made(MAIL, node("other"), limits=Limits(flow=1))
    held = Held(it, "mail")

    async def lose(cluster, driver):
        cluster.lose(await held.begun(cluster))

    it.drive(held.perform, lose)
    assert it.states == {"mail": "in_doubt", "other": "succeeded"}


def receipt(it, attempt, status="succeeded"):
    outcome = Outcome(
        id=attempt,
        status=status,
        started_at=it.clock(),
        ended_at=it.clock() + 1,
        outputs={"result": Inline(7)},
    )
    it.store.put_receipt(attempt, msgspec.json.encode(outcome))


@pytest.mark.parametrize("effect", ["idempotent", "at_most_once"])
def test_an_attempt_that_is_lost_after_its_receipt_has_ended(made, effect) -> None:
    it = made(node("a", effect=effect), node("b", "a"))
    held = Held(it, "a")

    async def lose(cluster, driver):
        attempt = await held.begun(cluster)
        receipt(it, attempt)
        cluster.lose(attempt)

    assert it.drive(held.perform, lose).status is RunStatus.SUCCEEDED
    assert it.ran == ["b"]
    assert it.run["a"].outputs == {"result": Inline(7)}
    assert it.events(ev.AttemptLost, ev.AttemptInDoubt) == []


def test_a_receipt_that_says_stopped_is_no_end(made) -> None:
    it = made(node("a"))
    held = Held(it, "a")

    async def lose(cluster, driver):
        attempt = await held.begun(cluster)
        receipt(it, attempt, "stopped")
        cluster.lose(attempt)

    assert it.drive(held.perform, lose).status is RunStatus.SUCCEEDED
    assert it.run["a"].attempt == 2


def test_a_loss_that_is_told_twice_counts_once(made) -> None:
    it = made(node("a"))
    held = Held(it, "a")

    async def lose(cluster, driver):
        attempt = await held.begun(cluster)
        cluster.lose(attempt)
        driver.put(Lost(attempt, "told again"))

    assert it.drive(held.perform, lose).status is RunStatus.SUCCEEDED
    assert len(it.events(ev.AttemptLost)) == 1


def test_a_decision_reaches_a_driver_that_is_at_work(made) -> None:
    it = made(MAIL, node("after", "mail"), node("other"))
    mail, other = Held(it, "mail"), Held(it, "other")

    async def perform(task):
        held = mail if task.id.node == "mail" else other
        return await held.perform(task)

    async def lose_and_decide(cluster, driver):
        cluster.lose(await mail.begun(cluster))
        await other.begun(cluster)
        while driver.run["mail"].state != "in_doubt":
            await asyncio.sleep(0)
        tell(it, "succeeded")
        while driver.run["after"].state != "succeeded":
            await asyncio.sleep(0.01)
        other.go.set()

    assert it.drive(perform, lose_and_decide).status is RunStatus.SUCCEEDED
    assert it.ran == ["after", "other"]
    assert it.journal.signals(it.id) == []
    (decided,) = (event for event in it.events(ev.AttemptSucceeded) if event.node == "mail")
    assert decided.resolved_by == "ann"


def tell(it, verdict):
    """Leave a decision for whoever drives the run."""
    decision = Decision("mail", verdict, "ann", {"result": Inline(3)})
    body = msgspec.json.encode(decision).decode()
    it.journal.signal(it.id, "decide", "ann", at=it.clock(), body=body)


def test_a_decision_that_came_too_late_for_one_driver_is_heard_by_the_next(made) -> None:
    it = made(MAIL, node("after", "mail"))
    left_in_flight(it)
    it.drive()
    tell(it, "succeeded")
    assert it.drive().status is RunStatus.SUCCEEDED
    assert it.ran == ["after"]
    assert it.journal.signals(it.id) == []


def test_a_decision_about_nothing_changes_nothing_and_is_told_in_the_log(made, caplog) -> None:
    it = made(node("mail"))
    tell(it, "failed")
    with caplog.at_level(logging.WARNING):
        assert it.drive().status is RunStatus.SUCCEEDED
    assert "ann decided in vain" in caplog.text
    assert it.journal.signals(it.id) == []


def test_a_run_with_a_doubt_is_cancelled_whole(made) -> None:
    it = made(MAIL, node("after", "mail"), node("other"))
    mail, other = Held(it, "mail"), Held(it, "other")

    async def perform(task):
        held = mail if task.id.node == "mail" else other
        return await held.perform(task)

    async def cancel(cluster, driver):
        cluster.lose(await mail.begun(cluster))
        await other.begun(cluster)
        driver.put(CancelAsked("me"))

    assert it.drive(perform, cancel).status is RunStatus.CANCELLED
    assert set(it.states.values()) == {"cancelled"}


# --- while nobody drives the run ------------------------------------------------------------------


@pytest.fixture
def doubtful(made):
    it = made(MAIL, node("after", "mail"), node("beside", after=("mail",)))
    left_in_flight(it)
    it.drive()
    assert it.states["mail"] == "in_doubt"
    return it


def test_what_had_done_its_work_gives_what_it_is_said_to_have_brought(doubtful) -> None:
    assert "Give each by --output" in decide(doubtful, "succeeded")
    assert doubtful.states["mail"] == "in_doubt"

    assert decide(doubtful, "succeeded", result=5) == ""
    assert doubtful.states == {"mail": "succeeded", "after": "ready", "beside": "ready"}
    assert doubtful.drive().status is RunStatus.SUCCEEDED
    assert sorted(doubtful.ran) == ["after", "beside"]
    assert doubtful.run["mail"].outputs == {"result": Inline(5)}


def test_what_had_failed_ends_the_run_without_another_driver(doubtful) -> None:
    assert decide(doubtful, "failed") == ""
    assert doubtful.run.status is RunStatus.FAILED
    assert doubtful.states == {"mail": "failed", "after": "skipped", "beside": "skipped"}
    assert doubtful.run["mail"].reason == Reason("error", "ann decided that it has failed")
    doubtful.drive()
    assert doubtful.ran == []
    assert doubtful.states["mail"] == "in_doubt", "a resume would try it again, and so asks"


def test_a_decision_about_a_change_settles_it(made) -> None:
    it = made(MAIL, node("after", "mail"))
    it.drive()
    it.drive(change=it.change(changed(MAIL, code="2")))
    assert it.states == {"mail": "in_doubt", "after": "waiting"}
    assert decide(it, "succeeded") == "", "what it had brought is known"
    assert it.drive().status is RunStatus.SUCCEEDED
    assert it.ran == []
    assert it.drive().status is RunStatus.SUCCEEDED
    assert it.resets == {}, "it is not asked about once more"


def test_what_may_begin_again_does_so_once(doubtful) -> None:
    assert decide(doubtful, "retry") == ""
    assert doubtful.states["mail"] == "ready"
    held = Held(doubtful, "mail")

    async def perform(task):
        if task.id.node == "mail":
            assert task.careful
            doubtful.ran.append("mail")
            raise ConnectionError("once more in vain")
        return await held.perform(task)

    assert doubtful.drive(perform).status is RunStatus.FAILED
    assert doubtful.ran == ["mail"]
    doubtful.drive()
    assert doubtful.ran == []
    assert doubtful.run["mail"].reason.kind == "needs_decision"


def test_a_permission_survives_a_driver_that_dies_before_it_is_used(doubtful) -> None:
    decide(doubtful, "retry")
    doubtful.left_by_a_dead_driver()
    assert doubtful.drive().status is RunStatus.SUCCEEDED
    assert "mail" in doubtful.ran


def test_a_doubt_of_a_driver_that_died_is_decided_without_another_one(made) -> None:
    it = made(MAIL)
    left_in_flight(it)
    assert it.states["mail"] == "queued"
    assert decide(it, "succeeded") == ""
    assert it.run.status is RunStatus.SUCCEEDED
    assert len(it.events(ev.AttemptInDoubt)) == 1


def test_a_receipt_is_believed_more_than_a_person(made) -> None:
    it = made(MAIL, node("other"))
    it.left_by_a_dead_driver(ev.AttemptScheduled("mail", 1), ev.AttemptScheduled("other", 1))
    receipt(it, AttemptId(it.id, "mail", 1, 1))
    assert "mail' is succeeded, not in doubt" in decide(it, "failed")
    assert it.states == {"mail": "succeeded", "other": "ready"}


def test_a_run_with_a_doubt_that_nobody_drives_is_cancelled(doubtful) -> None:
    epoch = doubtful.journal.claim(doubtful.id, "me:1:0", now=doubtful.clock(), ttl_s=30)
    run = cancel_without_driver(
        doubtful.run, epoch, doubtful.journal, doubtful.store, by="me", clock=doubtful.clock
    )
    doubtful.journal.release(doubtful.id, epoch)
    assert run.status is RunStatus.CANCELLED
    doubtful.drive()
    assert doubtful.ran == []
    assert doubtful.run["mail"].reason.kind == "needs_decision"
