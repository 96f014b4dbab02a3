"""Taking a run over: what has begun before is settled, kept, begun anew, or asked about."""

import asyncio
from functools import partial

import msgspec
import pytest
from driven_run import DrivenRun, changed, node

from nbflow.core import events as ev
from nbflow.core.attempts import Outcome
from nbflow.core.errors import JournalError
from nbflow.core.ids import AttemptId
from nbflow.core.policies import Retry
from nbflow.core.resuming import Wish
from nbflow.core.states import Reason, RunStatus
from nbflow.core.values import Inline
from nbflow.driver.stimuli import StopAsked

CHAIN = (node("a"), node("b", "a"), node("c", "b"), node("z", after=("c",)))


@pytest.fixture
def made(tmp_path):
    return partial(DrivenRun, tmp_path)


@pytest.fixture
def chain(made):
    """a → b → c by data, z after c, and alone beside them; all have succeeded."""
    it = made(*CHAIN, node("alone", params=("date",)), params={"date": "monday"})
    assert it.drive().status is RunStatus.SUCCEEDED
    assert sorted(it.ran) == ["a", "alone", "b", "c", "z"]
    return it


def test_nothing_begins_again_that_is_as_it_was(chain) -> None:
    assert chain.drive().status is RunStatus.SUCCEEDED
    assert chain.ran == []
    assert chain.resets == {}


def test_equal_outputs_end_the_wave_of_a_change(chain) -> None:
    chain.drive(change=chain.change(changed(CHAIN[1], code="2")))
    assert chain.ran == ["b"]
    assert chain.resets == {"b": "code", "c": "upstream", "z": "upstream"}
    assert [event.node for event in chain.events(ev.NodeKept)] == ["c", "z"]
    assert chain.run.status is RunStatus.SUCCEEDED
    assert chain.run["c"].attempt == 1


def test_other_outputs_carry_the_wave_on(chain) -> None:
    chain.results = {"b": 2}
    chain.drive(change=chain.change(changed(CHAIN[1], code="2")))
    assert chain.ran == ["b", "c", "z"]


@pytest.mark.parametrize(
    ("part", "kind"), [("code", "code"), ("modules", "code"), ("environment", "environment")]
)
def test_what_a_node_is_made_of_names_the_cause(chain, part, kind) -> None:
    chain.drive(change=chain.change(changed(CHAIN[0], **{part: "another"})))
    assert chain.resets["a"] == kind
    assert chain.ran == ["a"]


def test_another_parameter_concerns_only_who_receives_it(chain) -> None:
    chain.drive(change=chain.change(params={"date": "tuesday"}))
    assert chain.resets == {"alone": "parameter"}
    assert chain.ran == ["alone"]


def test_nodes_come_go_and_change_their_names(chain) -> None:
    flow = msgspec.structs.replace(
        chain.spec, nodes=(CHAIN[0], CHAIN[1], node("renamed", "b"), node("end", "renamed"))
    )
    run = chain.drive(change=ev.FlowChanged(flow, chain.params, ("much has changed",)))
    assert chain.ran == ["renamed", "end"]
    assert set(run.nodes) == {"a", "b", "renamed", "end"}
    assert run.status is RunStatus.SUCCEEDED


def test_a_file_that_is_read_runs_its_reader_again_and_equal_content_does_not(made) -> None:
    it = made(node("load", reads=("/data.csv",)), node("use", "load"))
    it.files = {"/data.csv": "1,2"}
    it.drive()
    it.drive()
    assert it.ran == []
    it.files = {"/data.csv": "1,3"}
    it.drive()
    assert it.resets == {"load": "file", "use": "upstream"}
    assert it.ran == ["load"]


def test_a_file_that_changes_between_the_plan_and_the_turn_is_seen(made) -> None:
    it = made(node("first"), node("load", reads=("/data.csv",), after=("first",)))
    it.files = {"/data.csv": "1"}
    it.drive()

    async def write(task):
        it.ran.append(task.id.node)
        if task.id.node == "first":
            it.files = {"/data.csv": "2"}
        return {}

    it.drive(write, wish=Wish(begin_at=("first",)))
    assert it.ran == ["first", "load"]
    assert it.run["load"].fingerprint.files == "2"
    it.drive()
    assert it.ran == [], "what was recorded is what was read"


def test_who_was_killed_at_work_has_its_node_made_again_and_no_other(made) -> None:
    it = made(*CHAIN)
    it.left_by_a_dead_driver(
        ev.AttemptScheduled("a", 1),
        ev.AttemptSucceeded("a", 1, 1.0, 2.0, {"result": Inline(1)}),
        ev.AttemptScheduled("b", 1),
        ev.AttemptStarted("b", 1, "w", 3.0),
    )
    assert it.drive().status is RunStatus.SUCCEEDED
    assert it.ran == ["b", "c", "z"]
    (lost,) = it.events(ev.AttemptLost)
    assert (lost.node, lost.reason.kind) == ("b", "driver_lost")


def test_all_of_it_is_one_transaction(chain, monkeypatch) -> None:
    before = chain.run
    written = []

    def refuse(run, epoch, records):
        written.append([record.type for record in records])
        raise JournalError("the disk is full")

    monkeypatch.setattr(chain.journal, "append", refuse)
    with pytest.raises(JournalError):
        chain.drive(change=chain.change(changed(CHAIN[0], code="2")))
    assert written[0][:3] == ["RunReopened", "FlowChanged", "NodeReset"]
    assert chain.run == before


# --- wishes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wish", "ran"),
    [
        (Wish(begin_at=("b",)), ["b"]),
        (Wish(begin_at=("b",), force=True), ["b", "c", "z"]),
        (Wish(only=("b",)), []),
        (Wish(only=("b",), force=True), ["b"]),
        (Wish(begin_at=("a", "c"), only=("b", "c")), ["c"]),
        (Wish(force=True), ["a", "b", "c", "z"]),
    ],
)
def test_what_is_wished_for_runs_and_nothing_else(made, wish, ran) -> None:
    it = made(*CHAIN)
    it.drive()
    assert it.drive(wish=wish).status is RunStatus.SUCCEEDED
    assert it.ran == ran
    assert [kind for kind in it.resets.values() if kind == "forced"] == ["forced"] * len(ran)


@pytest.mark.parametrize(
    ("wish", "ran"),
    [(Wish(begin_at=("b",)), ["a", "b"]), (Wish(force=True), ["a", "b", "c", "z"])],
)
def test_what_is_wished_for_runs_also_if_it_has_not_had_its_turn(made, wish, ran) -> None:
    it = made(*CHAIN)
    it.drive()
    begun = asyncio.Event()

    async def hang(_task):
        begun.set()
        await asyncio.Event().wait()

    async def interrupt(_cluster, driver):
        await begun.wait()
        driver.put(StopAsked("Ctrl-C"))

    it.drive(hang, interrupt, change=it.change(changed(CHAIN[0], code="2")))
    assert it.states == {"a": "ready", "b": "waiting", "c": "waiting", "z": "waiting"}
    assert it.drive(wish=wish).status is RunStatus.SUCCEEDED
    assert it.ran == ran


def test_what_is_begun_again_with_other_results_carries_the_wave_on(chain) -> None:
    chain.results = {"a": 2, "b": 2}
    chain.drive(wish=Wish(begin_at=("a",)))
    assert chain.ran == ["a", "b", "c", "z"]


def test_a_node_alone_leaves_the_others_for_another_time(made) -> None:
    it = made(*CHAIN)

    async def fail(task):
        if task.id.node == "b":
            raise ValueError("not yet")
        return await it.perform(task)

    it.drive(fail)
    assert it.states == {"a": "succeeded", "b": "failed", "c": "skipped", "z": "skipped"}

    run = it.drive(wish=Wish(only=("b",)))
    assert it.ran == ["b"]
    assert it.states["b"] == "succeeded"
    assert run.status is RunStatus.FAILED, "c has not run"

    assert it.drive().status is RunStatus.SUCCEEDED
    assert it.ran == ["c", "z"]


def test_what_only_one_node_left_behind_is_noticed_by_the_next_resume(chain) -> None:
    chain.results = {"b": 2}
    chain.drive(wish=Wish(only=("b",), force=True))
    assert chain.ran == ["b"]
    chain.drive()
    assert chain.resets == {"c": "upstream", "z": "upstream"}
    assert chain.ran == ["c", "z"]


# --- what has never ended -------------------------------------------------------------------------


def mail(made, *more):
    return made(node("before"), node("mail", "before", effect="at_most_once"), *more)


def in_flight(it, name="mail"):
    return (
        ev.AttemptScheduled("before", 1),
        ev.AttemptSucceeded("before", 1, 1.0, 2.0, {"result": Inline(1)}),
        ev.AttemptScheduled(name, 1),
        ev.AttemptStarted(name, 1, "w", 1001.0),
    )


def test_what_runs_at_most_once_is_not_made_again_and_the_others_go_on(made) -> None:
    it = mail(made, node("after", "mail"), node("beside", "before"))
    it.left_by_a_dead_driver(*in_flight(it))
    run = it.drive()
    assert it.ran == ["beside"]
    assert it.states == {
        "before": "succeeded",
        "mail": "in_doubt",
        "after": "waiting",
        "beside": "succeeded",
    }
    assert run.status is RunStatus.RUNNING, "it waits for a decision, and nobody drives it"
    assert run["mail"].reason.kind == "driver_lost"
    run = it.drive()
    assert it.ran == []
    assert it.states["mail"] == "in_doubt"


def receipt(it, name, status="succeeded"):
    attempt = AttemptId(it.id, name, 1, 1)
    outcome = Outcome(
        id=attempt,
        status=status,
        started_at=1001.0,
        ended_at=1002.0,
        outputs={"result": Inline(1)},
        reason=Reason("error", "no such address") if status == "failed" else None,
    )
    it.store.put_receipt(attempt, msgspec.json.encode(outcome))


def test_a_receipt_that_is_found_later_settles_a_doubt(made) -> None:
    it = mail(made, node("after", "mail"))
    it.left_by_a_dead_driver(*in_flight(it))
    it.drive()
    assert it.states["mail"] == "in_doubt"
    receipt(it, "mail")
    assert it.drive().status is RunStatus.SUCCEEDED
    assert it.ran == ["after"]


def test_a_receipt_of_a_failure_changes_the_question(made) -> None:
    it = mail(made)
    it.left_by_a_dead_driver(*in_flight(it))
    it.drive()
    receipt(it, "mail", "failed")
    it.drive()
    (failed,) = it.events(ev.AttemptFailed)
    assert failed.reason.message == "no such address"
    assert it.run["mail"].reason.kind == "needs_decision"


def test_a_receipt_of_a_node_that_was_dropped_and_came_back_is_not_of_its_new_attempt(made) -> None:
    stays, comes_back = node("stays"), node("comes_back")
    it = made(stays, comes_back)
    it.drive()
    receipt(it, "comes_back")
    flow = msgspec.structs.replace(it.spec, nodes=(stays,))
    it.drive(change=ev.FlowChanged(flow, {}, ("node 'comes_back' was removed",)))
    it.left_by_a_dead_driver(
        ev.FlowChanged(it.spec, {}, ("node 'comes_back' is new",)),
        ev.AttemptScheduled("comes_back", 1),
        ev.AttemptStarted("comes_back", 1, "w", it.clock()),
    )
    assert it.drive().status is RunStatus.SUCCEEDED
    assert it.ran == ["comes_back"]
    (lost,) = it.events(ev.AttemptLost)
    assert (lost.node, lost.reason.kind) == ("comes_back", "driver_lost")


def test_what_failed_is_not_begun_again_without_a_decision(made) -> None:
    it = mail(made)

    async def fail(task):
        if task.id.node == "mail":
            raise ConnectionError("half of them were sent")
        return await it.perform(task)

    assert it.drive(fail).status is RunStatus.FAILED
    it.drive()
    assert it.ran == []
    assert it.run["mail"].reason.kind == "needs_decision"
    assert "declared at most once: attempt 1 had begun" in it.run["mail"].reason.message


def test_what_was_never_begun_begins(made) -> None:
    it = mail(made)

    async def fail(task):
        raise ConnectionError

    it.drive(fail)
    assert it.states == {"before": "failed", "mail": "skipped"}
    assert it.drive().status is RunStatus.SUCCEEDED
    assert it.ran == ["before", "mail"]


def test_what_has_changed_is_asked_about_with_the_change(made) -> None:
    it = mail(made)
    it.drive()
    it.drive(change=it.change(changed(it.spec.nodes[1], code="2")))
    assert it.ran == []
    assert it.run["mail"].reason == Reason(
        "needs_decision",
        "its code has changed, and it is declared at most once: attempt 1 had begun",
    )


def test_leave_to_begin_again_ends_when_the_earlier_result_stands_after_all(made) -> None:
    before = node("before")
    it = mail(made)
    it.drive()
    it.results = {"before": 2}
    it.drive(change=it.change(changed(before, code="2")))
    assert it.states["mail"] == "in_doubt"
    reason = Reason("resolved", "ann decided that it may begin again")
    it.left_by_a_dead_driver(ev.AttemptLost("mail", 1, reason))
    it.results = {}
    it.drive(change=it.change(before))
    assert (it.ran, it.states["mail"]) == (["before"], "succeeded")

    it.results = {"before": 3}
    it.drive(change=it.change(changed(before, code="3")))
    assert (it.ran, it.states["mail"]) == (["before"], "in_doubt")


def test_what_is_behind_an_equal_output_is_not_asked_about(made) -> None:
    it = mail(made)
    it.drive()
    it.drive(change=it.change(changed(it.spec.nodes[0], code="2")))
    assert it.ran == ["before"]
    assert it.run.status is RunStatus.SUCCEEDED
    assert it.run["mail"].attempt == 1


# --- retries --------------------------------------------------------------------------------------


def test_a_clock_that_was_set_back_does_not_hold_up_a_retry(made) -> None:
    retries = Retry(3, backoff=0.01, max_backoff=0.02)
    it = made(node("a", retries=retries))
    it.left_by_a_dead_driver(
        ev.AttemptScheduled("a", 1),
        ev.AttemptFailed("a", 1, Reason("error", "not yet")),
        ev.RetryScheduled("a", 1, due_at=it.clock() + 86_400),
    )
    assert it.drive().status is RunStatus.SUCCEEDED
    assert it.run["a"].attempt == 2


def test_a_retry_of_a_node_that_a_change_has_removed_is_called_off(made) -> None:
    it = made(node("a", retries=Retry(1)), node("b"))
    it.left_by_a_dead_driver(
        ev.AttemptScheduled("a", 1),
        ev.AttemptFailed("a", 1, Reason("error", "not yet")),
        ev.RetryScheduled("a", 1, due_at=it.clock()),
    )
    flow = msgspec.structs.replace(it.spec, nodes=(it.spec.nodes[1],))
    run = it.drive(change=ev.FlowChanged(flow, {}, ("node 'a' was removed",)))
    assert run.status is RunStatus.SUCCEEDED
    assert it.ran == ["b"]


# --- requests -------------------------------------------------------------------------------------


def test_a_request_to_cancel_that_nobody_heard_does_not_stop_who_resumes(made) -> None:
    it = made(node("a"), node("b", "a"))
    it.journal.signal(it.id, "cancel", "someone", at=it.clock())
    assert it.drive().status is RunStatus.SUCCEEDED
    assert it.journal.signals(it.id) == []


def test_it_does_not_stop_him_either_if_the_start_takes_long(made, monkeypatch) -> None:
    monkeypatch.setattr("nbflow.driver.lease.SIGNAL_POLL_S", 0.0)
    it = made(node("a", reads=("/large",)))
    it.journal.signal(it.id, "cancel", "someone", at=it.clock())
    assert it.drive().status is RunStatus.SUCCEEDED
    assert it.ran == ["a"]


def test_a_cancellation_that_is_asked_while_the_cluster_starts_is_heard(made) -> None:
    it = made(node("a"), node("b", "a"))

    async def ask(cluster, driver):
        """The run is claimed, and its driver has not begun."""
        it.journal.signal(it.id, "cancel", "ann", at=it.clock())

    assert it.drive(meanwhile=ask).status is RunStatus.CANCELLED
    assert it.ran == []
    assert [event.by for event in it.events(ev.CancelRequested)] == ["ann"]
    assert it.journal.signals(it.id) == []


def test_its_own_change_is_told_of_a_node_that_is_behind_another_one(chain) -> None:
    chain.drive(change=chain.change(changed(CHAIN[0], code="2"), changed(CHAIN[2], modules="2")))
    assert chain.resets == {"a": "code", "b": "upstream", "c": "code", "z": "upstream"}
    assert chain.ran == ["a", "c", "z"]
