"""What only a server can suffer: restarts, broken connections, other owners, and strangers."""

import signal
import sys
import threading

import pytest
from cutting_proxy import CuttingProxy
from postgres_server import PASSWORD

from nbflow.core import events as ev
from nbflow.core.errors import JournalError, LostLease, NewerSchema, RunHeld
from nbflow.core.spec import FlowSpec
from nbflow.journal import SqlJournal, postgres
from nbflow.journal.schema import SCHEMA_VERSION
from nbflow.ports import RunRow

CREATED = ev.RunCreated(FlowSpec(name="sales", nodes=()), {}, "/out")
EVENT = ev.RunClaimed("host:1")


def record(epoch, seq, text="load"):
    return ev.Record("r1", seq, epoch, 100.0, ev.NodeReset(text, "why"))


@pytest.fixture
def options(postgres):
    return postgres.new_schema()


@pytest.fixture
def journal(postgres, options):
    with SqlJournal.open(postgres.url(options=options)) as journal:
        journal.create("r1", CREATED, flow="sales", at=100.0)
        yield journal


@pytest.fixture
def proxy(postgres, postgres_folders):
    proxy = CuttingProxy(postgres_folders(), postgres.folder / ".s.PGSQL.5432")
    yield proxy
    proxy.close()


@pytest.fixture
def through_proxy(postgres, options, journal, proxy):
    with SqlJournal.open(postgres.url(options=options, folder=proxy.folder)) as handle:
        yield handle


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["in order", "crash"])
def test_a_restart_under_load_loses_no_event_and_doubles_none(own_postgres, how):
    with SqlJournal.open(own_postgres.url()) as journal:
        journal.create("r1", CREATED, flow="sales", at=100.0)
        epoch = journal.claim("r1", "host:1", now=100.0, ttl_s=30.0)
        busy, enough = threading.Event(), threading.Event()

        def drive():
            seq = 2
            while not enough.is_set():
                journal.append("r1", epoch, [record(epoch, seq), record(epoch, seq + 1)])
                journal.renew("r1", epoch, now=100.0 + seq, ttl_s=30.0)
                seq += 2
                busy.set()

        driver = threading.Thread(target=drive)
        driver.start()
        for _ in range(3):
            assert busy.wait(30), "it goes on after each restart"
            own_postgres.restart(how)
            busy.clear()
        assert busy.wait(30)
        enough.set()
        driver.join()

        seqs = [found.seq for found in journal.read("r1")]
        assert seqs == list(range(1, journal.row("r1").last_seq + 1))
        assert list(journal.verify("r1")) == []


#: What is written, and how to see how often it was.
WRITINGS = {
    "create": (
        lambda it, _: it.create("r2", CREATED, flow="sales", at=100.0),
        lambda it: len(list(it.read("r2"))),
    ),
    "claim": (
        lambda it, _: it.claim("r1", "host:2", now=200.0, ttl_s=30.0) - 1,
        lambda it: it.row("r1").epoch - 1,
    ),
    "append": (
        lambda it, epoch: it.append("r1", epoch, [record(epoch, 2)]),
        lambda it: it.row("r1").last_seq - 1,
    ),
    "renew": (
        lambda it, epoch: it.renew("r1", epoch, now=101.0, ttl_s=30.0),
        lambda it: it.row("r1").lease_until - 130.0,
    ),
    "release": (
        lambda it, epoch: it.release("r1", epoch),
        lambda it: not it.row("r1").holder,
    ),
    "signal": (
        lambda it, _: it.signal("r1", "cancel", "ada", at=101.0),
        lambda it: len(it.signals("r1")) - 1,
    ),
    "consume": (
        lambda it, epoch: it.consume("r1", epoch, 1),
        lambda it: 1 - len(it.signals("r1")),
    ),
    "restore": (
        lambda it, _: it.restore(
            RunRow("r2", "sales", 100.0, 1, 2),
            [ev.Record("r2", 1, 0, 100.0, CREATED), ev.Record("r2", 2, 1, 1.0, EVENT)],
        ),
        lambda it: len(list(it.read("r2"))) / 2,
    ),
    "remove": (
        lambda it, _: it.remove("r1", now=200.0),
        lambda it: 1 - len(it.rows()),
    ),
}


@pytest.mark.parametrize("moment", ["question", "answer"])
@pytest.mark.parametrize("writing", WRITINGS)
def test_a_commit_whose_outcome_is_unknown_is_settled_by_looking(
    journal, through_proxy, proxy, writing, moment
):
    write, count = WRITINGS[writing]
    epoch = journal.claim("r1", "host:1", now=100.0, ttl_s=30.0)
    journal.signal("r1", "cancel", "bob", at=100.0)
    through_proxy.renew("r1", epoch, now=100.0, ttl_s=30.0)
    proxy.cut_next(b"COMMIT", moment)

    write(through_proxy, epoch)

    assert proxy.cuts == 1
    assert count(journal) == 1


@pytest.mark.parametrize("word", [b"UPDATE runs", b"INSERT INTO events"])
def test_a_connection_that_breaks_before_the_commit_is_replaced(
    journal, through_proxy, proxy, word
):
    epoch = journal.claim("r1", "host:1", now=100.0, ttl_s=30.0)
    through_proxy.append("r1", epoch, [record(epoch, 2)])
    proxy.cut_next(word, "question")
    through_proxy.append("r1", epoch, [record(epoch, 3)])
    assert proxy.cuts == 1
    assert [found.seq for found in journal.read("r1")] == [1, 2, 3]


def test_a_reading_that_breaks_is_done_again(through_proxy, proxy):
    assert through_proxy.row("r1").id == "r1"
    proxy.cut_next(b"FROM events", "question")
    assert [found.seq for found in through_proxy.read("r1")] == [1]
    assert proxy.cuts == 1


def test_who_was_replaced_while_the_connection_was_broken_is_told(
    journal, through_proxy, proxy, monkeypatch
):
    old = journal.claim("r1", "host:1", now=100.0, ttl_s=30.0)
    through_proxy.append("r1", old, [record(old, 2)])
    proxy.cut_next(b"COMMIT", "question")
    connect = postgres.Server._connected

    def connected_late(server, deadline):
        monkeypatch.setattr(postgres.Server, "_connected", connect)
        journal.claim("r1", "host:2", now=200.0, ttl_s=30.0)
        return connect(server, deadline)

    monkeypatch.setattr(postgres.Server, "_connected", connected_late)
    with pytest.raises(LostLease, match="host:2 has taken over"):
        through_proxy.append("r1", old, [record(old, 3)])
    assert [found.seq for found in journal.read("r1")] == [1, 2]


def test_a_server_that_stays_away_is_an_error_and_not_the_end(own_postgres):
    with SqlJournal.open(own_postgres.url()) as journal:
        journal._database._patience_s = 0.3
        journal.create("r1", CREATED, flow="sales", at=100.0)
        own_postgres.stop()
        for call in (
            lambda: journal.claim("r1", "host:1", now=100.0, ttl_s=30.0),
            lambda: journal.row("r1"),
        ):
            with pytest.raises(
                JournalError, match=r"postgresql://nbflow@.* (was|cannot)"
            ) as caught:
                call()
            assert "Start the server" in str(caught.value) or "Check" in str(caught.value)
        own_postgres.start()
        assert journal.claim("r1", "host:1", now=100.0, ttl_s=30.0) == 1


def test_of_many_that_claim_at_once_one_wins(postgres, options, journal):
    ready = threading.Barrier(6)
    epochs, refused = [], []

    def claim(number):
        with SqlJournal.open(postgres.url(options=options)) as mine:
            ready.wait()
            try:
                epochs.append(mine.claim("r1", f"host:{number}", now=100.0, ttl_s=30.0))
            except RunHeld as error:
                refused.append(error)

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert epochs == [1]
    assert len(refused) == 5


def test_a_driver_that_is_replaced_in_the_middle_of_its_append_writes_nothing(
    postgres, options, journal
):
    old = journal.claim("r1", "host:1", now=100.0, ttl_s=30.0)
    blocked = threading.Event()
    outcome = []

    def append():
        blocked.wait()
        try:
            journal.append("r1", old, [record(old, 2)])
        except LostLease as error:
            outcome.append(error)

    driver = threading.Thread(target=append)
    driver.start()
    with (
        SqlJournal.open(postgres.url(options=options)) as other,
        other._database._engine.connect() as connection,
        connection.begin(),
    ):
        other._index.locked(connection, "r1")
        blocked.set()
        connection.exec_driver_sql("UPDATE runs SET epoch=2, holder='host:2'")
    driver.join()
    assert len(outcome) == 1
    assert journal.row("r1").last_seq == 1


def test_a_session_that_keeps_the_lock_is_told_of(postgres, options, journal):
    with (
        SqlJournal.open(postgres.url(options=options), busy_timeout_s=0.1) as other,
        journal._database._engine.connect() as connection,
        connection.begin(),
    ):
        journal._index.locked(connection, "r1")
        with pytest.raises(JournalError, match="locked by another session for too long"):
            other.claim("r1", "host:1", now=100.0, ttl_s=30.0)
        assert other.row("r1").id == "r1", "reading needs no lock"


def test_every_connection_is_durable(postgres, options):
    off = f"{options} -csynchronous_commit=off"
    with SqlJournal.open(postgres.url(options=off)) as journal:
        ask = "SHOW synchronous_commit"
        found = journal._database.read(lambda it: it.exec_driver_sql(ask).scalar())
    assert found == "on"


def test_many_may_create_one_journal_at_once(postgres, options):
    ready = threading.Barrier(4)
    faults = []

    def create():
        ready.wait()
        try:
            SqlJournal.open(postgres.url(options=options)).close()
        except JournalError as error:
            faults.append(error)

    threads = [threading.Thread(target=create) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


def test_a_missing_journal_is_not_created_for_a_reader(postgres, options):
    with pytest.raises(JournalError, match=r"no journal at postgresql://nbflow@.*nothing has run"):
        SqlJournal.open(postgres.url(options=options), create=False)


def test_other_tables_may_be_beside_ours_but_not_in_their_place(postgres, options):
    postgres.execute("CREATE TABLE recipes (name TEXT)", options=options)
    SqlJournal.open(postgres.url(options=options)).close()

    other = postgres.new_schema()
    postgres.execute("CREATE TABLE events (name TEXT)", options=other)
    with pytest.raises(JournalError, match=r"not a journal of nbflow \(its tables: events\)"):
        SqlJournal.open(postgres.url(options=other))


def test_a_newer_schema_asks_for_an_upgrade(postgres, options, journal):
    newer = str(SCHEMA_VERSION + 1)
    postgres.execute("UPDATE nbflow_meta SET value=%s", newer, options=options)
    with pytest.raises(NewerSchema, match=rf"schema is version {newer}"):
        SqlJournal.open(postgres.url(options=options))


def test_a_changed_byte_is_named(postgres, options, journal):
    statement = "UPDATE events SET body=set_byte(body, 20, get_byte(body, 20) # 1)"
    postgres.execute(statement, options=options)
    with pytest.raises(JournalError, match=r"run r1, seq 1: the record is damaged"):
        list(journal.read("r1"))


def test_a_server_that_may_only_be_read_says_so(postgres, options, journal):
    read_only = f"{options} -cdefault_transaction_read_only=on"
    with SqlJournal.open(postgres.url(options=read_only)) as reader:
        assert [row.id for row in reader.rows()] == ["r1"]
        with pytest.raises(JournalError, match="cannot be written: the server is read-only"):
            reader.claim("r1", "host:1", now=100.0, ttl_s=30.0)


@pytest.mark.parametrize("password", ["wrong/secret", PASSWORD])
def test_no_message_shows_a_password(postgres, tmp_path, password):
    url = postgres.url(password=password, folder=tmp_path if password == PASSWORD else None)
    with pytest.raises(JournalError, match=r"postgresql://nbflow@.* cannot be reached") as caught:
        SqlJournal.open(url)
    assert "secret" not in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_without_its_driver_the_message_says_what_to_install(postgres, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(JournalError, match=r"needs the package psycopg .*nbflow\[postgres\]"):
        SqlJournal.open(postgres.url())
