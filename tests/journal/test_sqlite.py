"""What only a file can suffer: other processes, kills, full disks, damage, and other versions."""

import contextlib
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from nbflow.core import events as ev
from nbflow.core.errors import JournalError, NewerSchema
from nbflow.core.spec import FlowSpec
from nbflow.journal import SqlJournal, sqlite
from nbflow.journal.schema import SCHEMA_VERSION

CREATED = ev.RunCreated(FlowSpec(name="sales", nodes=()), {}, "/out")

#: Appends records of about 1 KiB until it is killed; acknowledges each when it is durable.
APPENDER = """
import sys
from nbflow.core import events as ev
from nbflow.journal import SqlJournal

journal = SqlJournal.open(sys.argv[1])
epoch = journal.claim("r1", "appender", now=float(sys.argv[2]), ttl_s=1.0)
seq = journal.row("r1").last_seq
while True:
    batch = [ev.Record("r1", seq + n, epoch, 0.0, ev.NodeReset("load", "x" * 1000)) for n in (1, 2)]
    journal.append("r1", epoch, batch)
    seq += 2
    print(seq, flush=True)
"""

#: Opens the journal, says so, and claims the run as soon as it is told to.
CLAIMER = """
import sys
from nbflow.core.errors import RunHeld
from nbflow.journal import SqlJournal

journal = SqlJournal.open(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
try:
    print("epoch", journal.claim("r1", f"claimer {sys.argv[2]}", now=100.0, ttl_s=30.0))
except RunHeld as error:
    print("held", error)
journal.close()
"""

#: Opens a journal that may not exist yet, as soon as it is told to.
OPENER = """
import sys
from nbflow.journal import SqlJournal

print("ready", flush=True)
sys.stdin.readline()
SqlJournal.open(sys.argv[1]).close()
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "home" / "journal.db"


@pytest.fixture
def journal(path):
    with SqlJournal.open(path) as journal:
        journal.create("r1", CREATED, flow="sales", at=100.0)
        yield journal


@pytest.fixture
def processes():
    with contextlib.ExitStack() as stack:

        def start(program, *args):
            process = subprocess.Popen(
                [sys.executable, "-c", program, *map(str, args)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


def scheduled(epoch, seq, text="load"):
    return ev.Record("r1", seq, epoch, 100.0, ev.NodeReset(text, "why"))


def wait_until_ready(started):
    for process in started:
        assert process.stdout.readline() == "ready\n"


def edit(path, statement, *args):
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, args)


def test_a_killed_process_leaves_no_gap_and_every_acknowledged_record(journal, path, processes):
    for kill in range(3):
        process = processes(APPENDER, path, 10 * kill)
        for _ in range(20 + 7 * kill):
            acknowledged = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        for line in process.stdout.read().splitlines(keepends=True):
            # The last line may be torn: only a whole one is an acknowledgement.
            acknowledged = int(line) if line.endswith("\n") else acknowledged
        process.wait()

        seqs = [record.seq for record in journal.read("r1")]
        assert seqs == list(range(1, len(seqs) + 1))
        assert len(seqs) % 2 == 1, "a batch of two is there whole or not at all"
        assert len(seqs) >= acknowledged
        assert journal.row("r1").last_seq == len(seqs)


def test_of_processes_that_claim_at_once_one_wins(journal, path, processes):
    claimers = [processes(CLAIMER, path, number) for number in range(2)]
    wait_until_ready(claimers)
    for claimer in claimers:
        claimer.stdin.write("\n")
        claimer.stdin.flush()
    answers = sorted(claimer.communicate()[0].split(maxsplit=1) for claimer in claimers)

    assert [answer[0] for answer in answers] == ["epoch", "held"]
    assert answers[0][1].strip() == "1"
    assert journal.row("r1").holder in answers[1][1]


def test_processes_may_create_one_journal_at_once(path, processes):
    openers = [processes(OPENER, path) for _ in range(4)]
    wait_until_ready(openers)
    for opener in openers:
        opener.stdin.write("\n")
        opener.stdin.flush()
    assert [opener.wait() for opener in openers] == [0] * 4
    with SqlJournal.open(path, create=False) as journal:
        assert journal.rows() == []


def test_processes_may_migrate_one_journal_at_once(path, processes):
    path.parent.mkdir()
    shutil.copy(Path(__file__).parent / "golden" / "v1.sqlite", path)
    openers = [processes(OPENER, path) for _ in range(3)]
    wait_until_ready(openers)
    for opener in openers:
        opener.stdin.write("\n")
        opener.stdin.flush()
    assert [opener.wait() for opener in openers] == [0] * 3
    with SqlJournal.open(path, create=False) as journal:
        assert list(journal.verify("golden")) == []


def test_a_new_journal_waits_for_another_process_that_is_writing(path, monkeypatch):
    path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match=r"is locked by another process"):
            SqlJournal.open(path, busy_timeout_s=0.05)

        begin_writing = sqlite.begin_writing

        def begin_when_the_other_is_done(connection):
            if other.in_transaction:
                other.execute("COMMIT")
            begin_writing(connection)

        monkeypatch.setattr(sqlite, "begin_writing", begin_when_the_other_is_done)
        SqlJournal.open(path, busy_timeout_s=0.05).close()
    with SqlJournal.open(path, create=False) as journal:
        assert journal.rows() == []


def test_a_read_only_journal_is_named(journal, path):
    journal._database._writer.exec_driver_sql("PRAGMA query_only=1")
    journal._database._writer.commit()
    with pytest.raises(JournalError, match=rf"{path} cannot be written: .* is read-only"):
        journal.claim("r1", "host:1", now=100.0, ttl_s=30.0)


def test_what_is_committed_is_synced(journal):
    def asked(connection):
        return [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous")
        ]

    assert journal._database.read(asked) == ["wal", 2]
    assert asked(journal._database._writer) == ["wal", 2]


def test_a_full_disk_leaves_the_journal_readable_and_unchanged(journal, path):
    epoch = journal.claim("r1", "host:1", now=100.0, ttl_s=30.0)
    journal.append("r1", epoch, [scheduled(epoch, 2)])
    writer = journal._database._writer
    with writer.begin():
        pages = writer.exec_driver_sql("PRAGMA page_count").scalar()
        writer.exec_driver_sql(f"PRAGMA max_page_count={pages + 4}")

    with pytest.raises(JournalError, match=rf"{path} cannot be written: the disk is full"):
        journal.append("r1", epoch, [scheduled(epoch, 3), scheduled(epoch, 4, "x" * 100_000)])

    assert [record.seq for record in journal.read("r1")] == [1, 2]
    assert journal.row("r1").last_seq == 2
    journal.append("r1", epoch, [scheduled(epoch, 3)])
    with writer.begin():
        writer.exec_driver_sql("PRAGMA max_page_count=1000000")
    journal.append("r1", epoch, [scheduled(epoch, 4, "x" * 100_000)])
    assert [record.seq for record in journal.read("r1")] == [1, 2, 3, 4]


LIMITED = """
import resource, sys
from nbflow.core import events as ev
from nbflow.core.errors import JournalError
from nbflow.journal import SqlJournal

journal = SqlJournal.open(sys.argv[1])
epoch = journal.claim("r1", "limited", now=0.0, ttl_s=1.0)
seq = journal.row("r1").last_seq
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, most))
try:
    while True:
        seq += 1
        record = ev.Record("r1", seq, epoch, 0.0, ev.NodeReset("load", "x" * 3000))
        journal.append("r1", epoch, [record])
except JournalError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
assert [found.seq for found in journal.read("r1")] == list(range(1, seq))
journal.append("r1", epoch, [record])
print(seq)
"""


def test_a_write_that_the_system_cuts_off_is_as_if_it_had_not_been(journal, path, processes):
    message, seq = processes(LIMITED, path).communicate()[0].splitlines()
    assert f"{path} cannot be read or written: the disk reports an error" in message
    assert [record.seq for record in journal.read("r1")] == list(range(1, int(seq) + 1))
    assert list(journal.verify("r1")) == []


def test_a_journal_for_which_there_is_no_room_leaves_no_file(tmp_path):
    path = tmp_path / "new" / "journal.sqlite"
    with limited_file_size(0), pytest.raises(JournalError, match="the disk"):
        SqlJournal.open(path)
    assert list(path.parent.iterdir()) == []
    SqlJournal.open(path).close()


def test_an_empty_file_that_was_there_before_stays(path):
    path.parent.mkdir()
    path.touch()
    with limited_file_size(0), pytest.raises(JournalError, match="the disk"):
        SqlJournal.open(path)
    assert path.exists()


def test_a_file_that_another_process_is_about_to_fill_stays(path):
    path.parent.mkdir()
    path.touch()
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        sqlite._remove_empty(path)
        assert path.exists()
        other.execute("ROLLBACK")
    other.close()
    sqlite._remove_empty(path)
    assert not path.exists()


def test_a_full_disk_does_not_keep_from_closing(path):
    journal = SqlJournal.open(path)
    journal.create("r1", CREATED, flow="sales", at=100.0)
    (name,) = [file for file in path.parent.iterdir() if file.name.endswith("-wal")]
    with limited_file_size(name.stat().st_size):
        journal.close()
    with SqlJournal.open(path, create=False) as again:
        assert [record.event for record in again.read("r1")] == [CREATED]


@contextlib.contextmanager
def limited_file_size(size_bytes):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (min(size_bytes, 4096), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_lock_that_is_never_released_is_named(journal, path):
    with (
        SqlJournal.open(path, busy_timeout_s=0.05) as other,
        contextlib.closing(sqlite3.connect(path, isolation_level=None)) as holder,
    ):
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match=r"is locked by another process"):
            other.claim("r1", "host:1", now=100.0, ttl_s=30.0)
        assert [row.id for row in other.rows()] == ["r1"], "reading needs no lock"
        holder.execute("ROLLBACK")
        assert other.claim("r1", "host:1", now=100.0, ttl_s=30.0) == 1


def test_closing_leaves_one_file(path):
    journal = SqlJournal.open(path)
    journal.create("r1", CREATED, flow="sales", at=100.0)
    assert path.with_name("journal.db-wal").exists()
    journal.close()
    assert [file.name for file in path.parent.iterdir()] == ["journal.db"]
    with SqlJournal.open(path, create=False) as again:
        assert [record.event for record in again.read("r1")] == [CREATED]


#: Looks at a journal as a user who may only read it, and tries to write.
VISITOR = """
import ctypes, sys
# Not even root may write now what is not writable: all capabilities are given up.
version, nothing = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
assert ctypes.CDLL(None).capset(version, nothing) == 0
from nbflow.core.errors import JournalError
from nbflow.journal import SqlJournal

try:
    with SqlJournal.open(sys.argv[1]) as journal:
        print([(row.id, row.last_seq) for row in journal.rows()])
        print([record.seq for record in journal.read("r1")])
        journal.claim("r1", "visitor", now=1e9, ttl_s=1.0)
except JournalError as error:
    print(error)
"""


@pytest.fixture
def visit(processes):
    """Calls the visitor on a journal that may not be written meanwhile."""

    def visit(path):
        folder, files = path.parent, list(path.parent.iterdir())
        for file in files:
            file.chmod(0o444)
        folder.chmod(0o555)
        try:
            return processes(VISITOR, path).communicate()[0].splitlines()
        finally:
            folder.chmod(0o755)
            for file in files:
                file.chmod(0o644)

    return visit


def test_a_read_only_journal_can_be_looked_at(path, visit):
    with SqlJournal.open(path) as journal:
        journal.create("r1", CREATED, flow="sales", at=100.0)
    rows, seqs, refused = visit(path)
    assert (rows, seqs) == ("[('r1', 1)]", "[1]")
    assert "is read-only. It can be looked at; to run, resume or cancel here" in refused
    assert [file.name for file in path.parent.iterdir()] == ["journal.db"]


def test_a_read_only_journal_can_be_looked_at_while_its_owner_writes(journal, path, visit):
    rows, seqs, refused = visit(path)
    assert (rows, seqs) == ("[('r1', 1)]", "[1]")
    assert "is read-only" in refused


def test_a_read_only_journal_of_a_killed_process_says_what_to_do(journal, path, tmp_path, visit):
    copy = tmp_path / "copy" / path.name
    copy.parent.mkdir()
    for name in (path.name, f"{path.name}-wal"):
        shutil.copy(path.with_name(name), copy.parent)
    (message,) = visit(copy)
    assert "its last records still lie in" in message
    assert "copy the folder to a writable place" in message


def test_a_read_only_journal_of_an_older_version_says_what_to_do(path, visit):
    path.parent.mkdir()
    shutil.copy(Path(__file__).parent / "golden" / "v1.sqlite", path)
    (message,) = visit(path)
    assert "was written by an older nbflow (its schema is version 1)" in message
    assert "copy its folder to a writable place" in message


def test_a_missing_journal_is_not_created_for_a_reader(path):
    with pytest.raises(JournalError, match=r"no journal at .*journal\.db: nothing has run"):
        SqlJournal.open(path, create=False)
    assert not path.parent.exists()


def test_a_journal_opens_by_url(path):
    path.parent.mkdir()
    with SqlJournal.open(f"sqlite:///{path}") as journal:
        journal.create("r1", CREATED, flow="sales", at=100.0)
    assert path.exists()


@pytest.mark.parametrize(
    "url", ["mysql://ada:secret@db/nbflow", "sqlite://", "sqlite:///:memory:", "://secret"]
)
def test_urls_that_name_no_journal_are_refused_without_their_password(url):
    with pytest.raises(JournalError, match=r"Give a file's path, or a URL") as caught:
        SqlJournal.open(url)
    assert "secret" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "home").write_text("a file")
    with pytest.raises(JournalError, match=r"folder .*home cannot be created"):
        SqlJournal.open(tmp_path / "home" / "journal.db")


def test_a_folder_in_place_of_the_file_is_named(path):
    path.mkdir(parents=True)
    with pytest.raises(JournalError, match=rf"{path} cannot be opened"):
        SqlJournal.open(path)


def test_other_content_is_named(tmp_path):
    path = tmp_path / "journal.db"
    path.write_text("not a database, but quite some text\n" * 100)
    with pytest.raises(JournalError, match=r"is not a journal"):
        SqlJournal.open(path)


def test_another_programs_database_is_left_alone(tmp_path):
    path = tmp_path / "journal.db"
    edit(path, "CREATE TABLE recipes (name TEXT)")
    with pytest.raises(JournalError, match=r"not a journal of nbflow \(its tables: recipes\)"):
        SqlJournal.open(path)


def test_a_newer_schema_asks_for_an_upgrade(path):
    SqlJournal.open(path).close()
    newer = SCHEMA_VERSION + 1
    edit(path, "UPDATE nbflow_meta SET value=? WHERE name='schema'", str(newer))
    known = rf"version {newer}, and this program knows up to version {SCHEMA_VERSION}\. Upgrade"
    with pytest.raises(NewerSchema, match=known):
        SqlJournal.open(path)


def test_a_schema_version_that_is_none_is_an_error(path):
    SqlJournal.open(path).close()
    edit(path, "UPDATE nbflow_meta SET value='?'")
    with pytest.raises(JournalError, match=r"schema version reads '\?'"):
        SqlJournal.open(path)
