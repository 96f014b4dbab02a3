"""What every `nbflow.ports.Journal` keeps to: the fake and the real one alike."""

import threading

import pytest
from msgspec.structs import replace

from nbflow.core import events as ev
from nbflow.core.errors import JournalError, LostLease, RunExists, RunHeld, UnknownRun
from nbflow.core.spec import FlowSpec
from nbflow.core.values import Inline
from nbflow.journal import SqlJournal
from nbflow.ports import MAX_LEASE_S, Signal
from nbflow.testing import MemoryJournal

CREATED = ev.RunCreated(FlowSpec(name="sales", nodes=()), {"date": Inline("today")}, "/out")


class Handles:
    """Handles on one journal, as several processes would have them."""

    def __init__(self, where):
        self._where = where
        self._first = MemoryJournal()
        self._open = []

    def __call__(self):
        handle = SqlJournal.open(self._where) if self._where else self._first.reopen()
        self._open.append(handle)
        return handle

    def close(self):
        for handle in self._open:
            handle.close()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def handles(request, tmp_path, postgres):
    where = {
        "memory": lambda: None,
        "sqlite": lambda: tmp_path / "home" / "journal.db",
        "postgres": lambda: postgres.url(options=postgres.new_schema()),
    }
    handles = Handles(where[request.param]())
    yield handles
    handles.close()


@pytest.fixture
def journal(handles):
    return handles()


@pytest.fixture
def run(journal):
    journal.create("r1", CREATED, flow="sales", at=100.0)
    return "r1"


def records(run, epoch, first, count):
    return [
        ev.Record(run, seq, epoch, 100.0 + seq, ev.AttemptScheduled("load", seq))
        for seq in range(first, first + count)
    ]


def seqs(journal, run):
    return [record.seq for record in journal.read(run)]


def test_a_new_run_holds_its_first_event_and_belongs_to_nobody(journal):
    record = journal.create("r1", CREATED, flow="sales", at=100.0)

    assert record == ev.Record("r1", 1, 0, 100.0, CREATED)
    assert list(journal.read("r1")) == [record]
    row = journal.row("r1")
    assert (row.id, row.flow, row.created_at) == ("r1", "sales", 100.0)
    assert (row.epoch, row.last_seq, row.holder) == (0, 1, "")


def test_a_run_id_is_used_once(journal, run):
    with pytest.raises(RunExists, match=r"resume r1"):
        journal.create(run, CREATED, flow="other", at=200.0)
    assert journal.row(run).flow == "sales"


def test_records_come_back_as_they_were_appended(journal, run):
    epoch = journal.claim(run, "host:1", now=100.0, ttl_s=30.0)
    journal.append(run, epoch, records(run, epoch, 2, 3))
    journal.append(run, epoch, records(run, epoch, 5, 1))

    assert list(journal.read(run, after_seq=1)) == records(run, epoch, 2, 4)
    assert list(journal.read(run, after_seq=4)) == records(run, epoch, 5, 1)
    assert list(journal.read(run, after_seq=5)) == []
    assert journal.row(run).last_seq == 5


def test_many_records_come_back_in_order(journal, run):
    epoch = journal.claim(run, "host:1", now=100.0, ttl_s=30.0)
    journal.append(run, epoch, records(run, epoch, 2, 3000))
    assert seqs(journal, run) == list(range(1, 3002))
    assert list(journal.read(run, after_seq=1001)) == records(run, epoch, 1002, 2000)


def test_an_empty_batch_changes_nothing(journal, run):
    epoch = journal.claim(run, "host:1", now=100.0, ttl_s=30.0)
    journal.append(run, epoch, [])
    assert seqs(journal, run) == [1]


def test_a_reader_may_stop_half_way(journal, run):
    epoch = journal.claim(run, "host:1", now=100.0, ttl_s=30.0)
    reader = journal.read(run)
    next(reader)
    journal.append(run, epoch, records(run, epoch, 2, 2))
    assert seqs(journal, run) == [1, 2, 3]


def test_other_handles_see_what_was_appended(handles, journal, run):
    other = handles()
    epoch = journal.claim(run, "host:1", now=100.0, ttl_s=30.0)
    journal.append(run, epoch, records(run, epoch, 2, 2))
    assert seqs(other, run) == [1, 2, 3]


def test_claims_raise_the_epoch(journal, run):
    assert journal.claim(run, "host:1", now=100.0, ttl_s=30.0) == 1
    journal.release(run, 1)
    assert journal.claim(run, "host:2", now=101.0, ttl_s=30.0) == 2
    row = journal.row(run)
    assert (row.epoch, row.holder, row.lease_until) == (2, "host:2", 131.0)


@pytest.mark.parametrize("holder", ["host:2", "host:1"], ids=["another", "itself"])
def test_a_good_lease_keeps_everybody_out(handles, journal, run, holder):
    journal.claim(run, "host:1", now=100.0, ttl_s=30.0)
    with pytest.raises(RunHeld, match=r"held by host:1 until 1970-01-01 00:02:10 UTC \(in 20 s\)"):
        handles().claim(run, holder, now=110.0, ttl_s=30.0)
    assert journal.row(run).epoch == 1


def test_an_ended_lease_may_be_taken_over(handles, journal, run):
    journal.claim(run, "host:1", now=100.0, ttl_s=30.0)
    assert handles().claim(run, "host:2", now=130.0, ttl_s=30.0) == 2


def test_a_lease_from_a_clock_that_has_been_set_back_keeps_nobody_out(handles, journal, run):
    journal.claim(run, "host:1", now=1e6, ttl_s=30.0)
    assert not journal.row(run).is_held(100.0)
    assert handles().claim(run, "host:2", now=100.0, ttl_s=30.0) == 2
    with pytest.raises(LostLease):
        journal.append(run, 1, records(run, 1, 2, 1))


def test_a_driver_whose_clock_is_set_back_keeps_its_run_when_it_renews(handles, journal, run):
    journal.claim(run, "host:1", now=1e6, ttl_s=30.0)
    journal.renew(run, 1, now=100.0, ttl_s=30.0)
    with pytest.raises(RunHeld):
        handles().claim(run, "host:2", now=101.0, ttl_s=30.0)


@pytest.mark.parametrize("ttl_s", [0.0, -1.0, MAX_LEASE_S + 1])
def test_no_lease_is_granted_for_no_time_or_for_too_long(journal, run, ttl_s):
    with pytest.raises(ValueError, match="a lease lasts up to"):
        journal.claim(run, "host:1", now=100.0, ttl_s=ttl_s)
    epoch = journal.claim(run, "host:1", now=100.0, ttl_s=MAX_LEASE_S)
    with pytest.raises(ValueError, match="a lease lasts up to"):
        journal.renew(run, epoch, now=100.0, ttl_s=ttl_s)


def test_a_driver_may_append_after_its_lease_until_somebody_takes_it(journal, run):
    epoch = journal.claim(run, "host:1", now=100.0, ttl_s=30.0)
    journal.append(run, epoch, records(run, epoch, 2, 1))
    assert not journal.row(run).is_held(1000.0)
    journal.append(run, epoch, records(run, epoch, 3, 1))
    assert seqs(journal, run) == [1, 2, 3]


def test_renewal_extends_the_lease(journal, run):
    journal.claim(run, "host:1", now=100.0, ttl_s=30.0)
    journal.renew(run, 1, now=125.0, ttl_s=30.0)
    with pytest.raises(RunHeld):
        journal.claim(run, "host:2", now=154.0, ttl_s=30.0)


def test_a_lease_that_ran_out_may_be_renewed_until_somebody_takes_it(journal, run):
    journal.claim(run, "host:1", now=100.0, ttl_s=30.0)
    journal.renew(run, 1, now=200.0, ttl_s=30.0)
    assert journal.row(run).lease_until == 230.0


def test_a_replaced_driver_can_do_nothing_any_more(handles, journal, run):
    old = handles()
    old.claim(run, "host:1", now=100.0, ttl_s=30.0)
    journal.claim(run, "host:2", now=131.0, ttl_s=30.0)
    journal.signal(run, "cancel", "cli", at=131.0)
    (signal,) = journal.signals(run)

    with pytest.raises(LostLease, match=r"host:2 has taken over with epoch 2"):
        old.append(run, 1, records(run, 1, 2, 1))
    with pytest.raises(LostLease, match=r"epoch 1 no longer holds"):
        old.renew(run, 1, now=131.0, ttl_s=30.0)
    with pytest.raises(LostLease):
        old.consume(run, 1, signal.id)
    old.release(run, 1)

    assert seqs(journal, run) == [1]
    assert journal.row(run).holder == "host:2"
    assert journal.signals(run) == [signal]


def test_a_lease_that_was_given_back_is_not_renewed(journal, run):
    journal.claim(run, "host:1", now=100.0, ttl_s=30.0)
    journal.release(run, 1)
    with pytest.raises(LostLease, match="given back"):
        journal.renew(run, 1, now=101.0, ttl_s=30.0)
    assert journal.row(run).holder == ""


@pytest.mark.parametrize(
    "batch",
    [
        pytest.param(records("r1", 1, 3, 1), id="a gap before"),
        pytest.param(records("r1", 1, 1, 2), id="a seq again"),
        pytest.param(records("r1", 1, 2, 1) + records("r1", 1, 4, 1), id="a gap inside"),
        pytest.param(records("r1", 0, 2, 1), id="an epoch of its own"),
        pytest.param(records("r2", 1, 2, 1), id="another run's"),
    ],
)
def test_records_that_do_not_fit_are_refused_as_a_whole(journal, run, batch):
    epoch = journal.claim(run, "host:1", now=100.0, ttl_s=30.0)
    with pytest.raises(JournalError, match="run r1"):
        journal.append(run, epoch, batch)
    assert seqs(journal, run) == [1]
    journal.append(run, epoch, records(run, epoch, 2, 1))
    assert seqs(journal, run) == [1, 2]


def test_an_unknown_run_is_named(journal):
    for call in (
        lambda: journal.row("nope"),
        lambda: journal.read("nope"),
        lambda: journal.claim("nope", "host:1", now=0.0, ttl_s=1.0),
        lambda: journal.renew("nope", 1, now=0.0, ttl_s=1.0),
        lambda: journal.append("nope", 1, records("nope", 1, 2, 1)),
        lambda: journal.signal("nope", "cancel", "cli", at=0.0),
        lambda: journal.consume("nope", 1, 1),
    ):
        with pytest.raises(UnknownRun, match="'nope'"):
            call()
    journal.release("nope", 1)
    assert journal.signals("nope") == []


def test_runs_are_listed_oldest_first(journal):
    for name, at in (("b", 300.0), ("a", 100.0), ("c", 200.0)):
        journal.create(name, CREATED, flow="sales", at=at)
    assert [row.id for row in journal.rows()] == ["a", "c", "b"]
    assert journal.rows()[0] == journal.row("a")
    assert journal.listed() == [(row, "") for row in journal.rows()]


def test_runs_do_not_mix(journal, run):
    journal.create("r2", CREATED, flow="sales", at=100.0)
    epoch = journal.claim(run, "host:1", now=100.0, ttl_s=30.0)
    journal.append(run, epoch, records(run, epoch, 2, 2))
    journal.signal(run, "cancel", "cli", at=100.0)
    assert seqs(journal, "r2") == [1]
    assert journal.signals("r2") == []


def test_signals_wait_until_they_are_consumed(handles, journal, run):
    epoch = journal.claim(run, "host:1", now=100.0, ttl_s=30.0)
    handles().signal(run, "cancel", "ada", at=101.0)
    handles().signal(run, "cancel", "bob", at=102.0)

    first, second = journal.signals(run)
    assert first == Signal(first.id, "cancel", "ada", 101.0)
    assert second == Signal(second.id, "cancel", "bob", 102.0)

    journal.consume(run, epoch, first.id)
    assert journal.signals(run) == [second]
    with pytest.raises(JournalError, match="no waiting signal"):
        journal.consume(run, epoch, first.id)


def test_a_signal_says_what_is_asked(handles, journal, run):
    handles().signal(run, "resolve", "ada", at=101.0, body='{"as": "succeeded", "ä": 1}')
    (signal,) = journal.signals(run)
    expected = Signal(signal.id, "resolve", "ada", 101.0, '{"as": "succeeded", "ä": 1}')
    assert signal == expected


def test_signals_outlive_their_driver(journal, run):
    journal.claim(run, "host:1", now=100.0, ttl_s=30.0)
    journal.signal(run, "cancel", "cli", at=101.0)
    epoch = journal.claim(run, "host:2", now=200.0, ttl_s=30.0)
    (signal,) = journal.signals(run)
    journal.consume(run, epoch, signal.id)
    assert journal.signals(run) == []


@pytest.fixture
def history(journal, run):
    """A run's row and records, of several epochs."""
    for epoch in (1, 2):
        journal.claim(run, f"host:{epoch}", now=100.0 * epoch, ttl_s=30.0)
        journal.append(run, epoch, records(run, epoch, 3 * epoch - 1, 3))
    return journal.row(run), list(journal.read(run))


def test_a_run_is_restored_whole_and_belongs_to_nobody(handles, journal, run, history):
    row, held = history
    journal.remove(run, now=1000.0)
    handles().restore(row, held)

    assert list(journal.read(run)) == held
    restored = journal.row(run)
    assert (restored.flow, restored.created_at) == (row.flow, row.created_at)
    assert (restored.epoch, restored.last_seq, restored.holder) == (2, 7, "")
    assert list(journal.verify(run)) == []
    assert journal.claim(run, "host:3", now=100.0, ttl_s=30.0) == 3


def test_a_run_is_not_restored_over_another(journal, run, history):
    row, held = history
    with pytest.raises(RunExists, match="r1"):
        journal.restore(row, held)
    assert journal.row(run) == row


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda row, held: (row, held[:-1]), id="the end is missing"),
        pytest.param(lambda row, held: (row, held[1:]), id="the beginning is missing"),
        pytest.param(lambda row, held: (row, [*held[:2], *held[3:]]), id="a gap"),
        pytest.param(lambda row, held: (replace(row, id="r2"), held), id="another run's"),
        pytest.param(lambda row, held: (replace(row, epoch=1), held), id="epochs to come"),
        pytest.param(
            lambda row, held: (row, [*held[:-1], replace(held[-1], epoch=1)]), id="epochs go back"
        ),
        pytest.param(lambda row, held: (replace(row, last_seq=0), []), id="nothing"),
    ],
)
def test_half_a_history_is_not_restored(journal, run, history, change):
    row, held = change(*history)
    journal.remove(run, now=1000.0)
    with pytest.raises(JournalError, match="run r"):
        journal.restore(row, held)
    assert journal.rows() == []


def test_a_removed_run_is_forgotten_with_its_signals(handles, journal, run, history):
    journal.create("r2", CREATED, flow="sales", at=100.0)
    journal.signal(run, "cancel", "cli", at=1.0)
    handles().remove(run, now=1000.0)

    assert [row.id for row in journal.rows()] == ["r2"]
    for call in (journal.row, journal.read, journal.verify, journal.references):
        with pytest.raises(UnknownRun):
            call(run)
    journal.create(run, CREATED, flow="sales", at=200.0)
    assert seqs(journal, run) == [1]
    assert journal.signals(run) == []


def test_a_run_that_is_driven_is_not_removed(journal, run):
    epoch = journal.claim(run, "host:1", now=100.0, ttl_s=30.0)
    with pytest.raises(RunHeld, match="host:1"):
        journal.remove(run, now=129.0)
    journal.append(run, epoch, records(run, epoch, 2, 1))
    journal.remove(run, now=130.0)
    with pytest.raises(UnknownRun):
        journal.append(run, epoch, records(run, epoch, 3, 1))
    with pytest.raises(UnknownRun):
        journal.remove(run, now=130.0)


def test_what_is_sound_is_verified_without_a_fault(journal, run, history):
    assert list(journal.verify(run)) == []
    assert list(journal.references(run)) == []


def test_one_handle_serves_several_threads(journal):
    def drive(name):
        journal.create(name, CREATED, flow="sales", at=100.0)
        epoch = journal.claim(name, name, now=100.0, ttl_s=30.0)
        for seq in range(2, 22):
            journal.append(name, epoch, records(name, epoch, seq, 1))
            assert seqs(journal, name)[-1] == seq

    names = [f"r{number}" for number in range(4)]
    threads = [threading.Thread(target=drive, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [seqs(journal, name) for name in names] == [list(range(1, 22))] * 4


def test_a_closed_journal_says_so(journal, run):
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="closed"):
        journal.row(run)
    with pytest.raises(JournalError, match="closed"):
        journal.claim(run, "host:1", now=0.0, ttl_s=1.0)
