"""A handle sees changes, whether they happen in this process or in the journal."""

import threading

from nbflow.core import events as ev
from nbflow.core.spec import FlowSpec, FunctionCode, NodeSpec
from nbflow.core.states import NodeState
from nbflow.journal import SqlJournal
from nbflow.session.sources import Change, Followed


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
        followed = Followed(journal, "r", lambda: now[0])
        assert followed.view().driven is False
        assert followed.wait_changed(0.0) is True, "nobody drives it: there is nothing to wait for"

        epoch = journal.claim("r", "elsewhere:1:1", now=10.0, ttl_s=30.0)
        assert followed.view().driven is True
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
        now[0] = 41.0
        assert followed.view().driven is False, "the lease has ended"
