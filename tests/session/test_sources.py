"""A handle sees changes, whether they happen in this process or in the journal."""

import threading

from nbflow.core import events as ev
from nbflow.core.spec import FlowSpec, FunctionCode, NodeSpec
from nbflow.core.states import NodeState, RunStatus
from nbflow.journal import SqlJournal
from nbflow.session.change import Change
from nbflow.session.document import status_of
from nbflow.session.sources import Followed


def test_every_thread_is_told_of_a_change_once() -> None:
    change = Change()
    assert change.wait(0) is True, "the first look is always new"
    assert change.wait(0) is False
    change.notify()
    change.notify()
    assert change.wait(0) is True
    assert change.wait(0) is False
    told = []
    other = threading.Thread(target=lambda: told.append(change.wait(0)))
    other.start()
    other.join()
    assert told == [True]


def test_a_waiting_thread_wakes_up() -> None:
    change = Change()
    change.wait(0)
    woken = []
    waiter = threading.Thread(target=lambda: woken.append(change.wait(30)))
    waiter.start()
    change.notify()
    waiter.join(30)
    assert woken == [True]


def test_a_followed_run_grows_with_its_journal(tmp_path) -> None:
    now = [10.0]
    code = FunctionCode("f", "sha256:0")
    spec = FlowSpec(name="f", nodes=(NodeSpec(name="a", code=code),))
    with SqlJournal.open(tmp_path / "journal.sqlite") as journal:
        journal.create("r", ev.RunCreated(spec, {}, ""), flow="f", at=1.0)
        followed = Followed(journal, "r", lambda: now[0], tmp_path / "telemetry.json")
        assert followed.view().driven is False
        assert followed.wait_changed(0.0) is True, "nobody drives it: there is nothing to wait for"

        epoch = journal.claim("r", "elsewhere:1:1", now=10.0, ttl_s=30.0)
        assert followed.view().driven is True
        assert followed.view().is_taking_over is True, "it has recorded nothing yet"
        assert followed.wait_changed(0.0) is False
        journal.append(
            "r",
            epoch,
            [
                ev.Record("r", 2, epoch, 2.0, ev.RunClaimed("x")),
                ev.Record("r", 3, epoch, 2.0, ev.AttemptScheduled("a", 1)),
            ],
        )
        assert followed.wait_changed(0.0) is True
        assert followed.view().run["a"].state is NodeState.QUEUED
        assert followed.view().is_taking_over is False
        now[0] = 41.0
        assert followed.view().driven is False, "the lease has ended"


class EndsMeanwhile(SqlJournal):
    """A journal whose run ends, and is let go, as soon as somebody has read it."""

    end = None

    def read(self, run, after_seq=0):
        yield from super().read(run, after_seq)
        if self.end is not None:
            end, self.end = self.end, None
            end()


def test_a_run_that_ends_while_it_is_looked_at_is_never_taken_for_interrupted(tmp_path) -> None:
    spec = FlowSpec(name="f", nodes=())
    with EndsMeanwhile.open(tmp_path / "journal.sqlite") as journal:
        journal.create("r", ev.RunCreated(spec, {}, ""), flow="f", at=1.0)
        epoch = journal.claim("r", "elsewhere:1:1", now=1.0, ttl_s=30.0)
        followed = Followed(journal, "r", lambda: 2.0, tmp_path / "telemetry.json")
        journal.append("r", epoch, [ev.Record("r", 2, epoch, 2.0, ev.RunClaimed("x"))])

        def end() -> None:
            ended = ev.Record("r", 3, epoch, 2.0, ev.RunEnded(RunStatus.SUCCEEDED))
            journal.append("r", epoch, [ended])
            journal.release("r", epoch)

        journal.end = end
        assert status_of(followed.view()) is RunStatus.RUNNING
        assert status_of(followed.view()) is RunStatus.SUCCEEDED


def test_threads_that_follow_one_run_do_not_take_changes_from_each_other(tmp_path) -> None:
    spec = FlowSpec(name="f", nodes=())
    with SqlJournal.open(tmp_path / "journal.sqlite") as journal:
        journal.create("r", ev.RunCreated(spec, {}, ""), flow="f", at=1.0)
        epoch = journal.claim("r", "elsewhere:1:1", now=1.0, ttl_s=30.0)
        followed = Followed(journal, "r", lambda: 2.0, tmp_path / "telemetry.json")
        followed.view()
        assert followed.wait_changed(0.0) is False
        journal.append("r", epoch, [ev.Record("r", 2, epoch, 2.0, ev.RunClaimed("x"))])
        other = threading.Thread(target=followed.view)
        other.start()
        other.join()
        assert followed.wait_changed(0.0) is True
