"""A changed byte anywhere: an error that names the place, never wrong data, never a silent cut."""

import contextlib
import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from nbflow.core import events as ev
from nbflow.core.errors import ArtifactError, JournalError, NbflowError, NewerSchema
from nbflow.core.spec import FlowSpec
from nbflow.core.values import Inline
from nbflow.journal import Overflow, SqlJournal
from nbflow.journal.envelope import LARGE_BYTES
from nbflow.journal.seals import seal
from nbflow.testing import MemoryStore

CREATED = ev.RunCreated(FlowSpec(name="sales", nodes=()), {}, "/out")


def record(epoch, seq, text="why"):
    return ev.Record("r1", seq, epoch, 100.0 + seq, ev.NodeReset("load", text))


def edit(path, statement, *args):
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, args)


def content(journal):
    return journal.rows(), list(journal.read("r1")), journal.signals("r1")


@pytest.fixture
def path(tmp_path):
    """A journal with one run of 8 records, which nobody has open."""
    path = tmp_path / "journal.db"
    with SqlJournal.open(path) as journal:
        journal.create("r1", CREATED, flow="sales", at=100.0)
        epoch = journal.claim("r1", "host:1", now=100.0, ttl_s=30.0)
        journal.append("r1", epoch, [record(epoch, seq, "x" * 200) for seq in range(2, 9)])
        journal.signal("r1", "cancel", "ada", at=100.0)
    return path


def test_a_flipped_bit_is_an_error_or_changes_nothing(path, tmp_path):
    with SqlJournal.open(path) as journal:
        sound = content(journal)
    data, copy = path.read_bytes(), tmp_path / "copy.db"
    chance = random.Random(4)
    # The beginning of the file, and of each page; of everything else a sample.
    places = {*range(18, 64, 2), *chance.sample(range(len(data)), 200)}
    places.update(at + head for at in range(0, len(data), 4096) for head in range(0, 20, 3))
    told = []
    for place in sorted(places):
        changed = bytearray(data)
        changed[place] ^= 1 << chance.randrange(8)
        copy.write_bytes(changed)
        try:
            with SqlJournal.open(copy) as journal:
                found, faults = content(journal), journal.faults()
        except NbflowError as error:
            told.append(str(error))
        else:
            # What holds the run for how long may change at any time, so nothing vouches for it.
            held = [(row.epoch, row.holder, row.lease_until) for row in found[0]]
            assert found == sound or faults or held != [(1, "host:1", 130.0)], f"byte {place}"
            assert found[1] == sound[1], f"byte {place}"
        for suffix in ("-wal", "-shm"):
            copy.with_name(copy.name + suffix).unlink(missing_ok=True)
    assert all("copy.db" in message for message in told)
    assert len(told) > 50, "the sample has met what matters"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("DELETE FROM events WHERE seq=3", r"run r1, seq 3: the record is missing \(.* 4\)"),
        ("DELETE FROM events WHERE seq=8", r"run r1, seq 8: the record is missing \(.*counts 8\)"),
        ("DELETE FROM events", r"run r1, seq 1: the record is missing"),
        ("UPDATE events SET body='{' WHERE seq=3", r"run r1, seq 3: the record is damaged"),
        ("UPDATE events SET at=at+1 WHERE seq=3", r"run r1, seq 3: the record is damaged"),
        ("UPDATE events SET epoch=0 WHERE seq=3", r"run r1, seq 3: the record is damaged"),
        ("UPDATE events SET type='RunEnded' WHERE seq=3", r"run r1, seq 3: the record is damaged"),
        ("UPDATE events SET reference='' WHERE seq=3", r"run r1, seq 3: the record is damaged"),
        (
            "UPDATE events SET node=CAST(x'ff' AS TEXT) WHERE seq=3",
            r"run r1, seq 3: the record is damaged",
        ),
        (
            "UPDATE events SET (body, checksum)=(SELECT body, checksum FROM events WHERE seq=4)",
            r"run r1, seq 1: the record is damaged",
        ),
        ("UPDATE runs SET flow='other'", r"run r1: its row in the list of runs is damaged"),
        ("UPDATE runs SET epoch=0", r"run r1: its row in the list of runs is damaged"),
        ("UPDATE runs SET epoch=x''", r"run r1: its row in the list of runs is damaged"),
        ("UPDATE runs SET last_seq='8x'", r"run r1: its row in the list of runs is damaged"),
        ("UPDATE runs SET holder=CAST(x'ff' AS TEXT)", r"run r1: its row .* is damaged"),
        ("UPDATE runs SET lease_until='soon'", r"run r1: its row in the list of runs is damaged"),
        ("UPDATE runs SET last_seq=5", r"run r1: its row .* counts 5 records, .* with seq 6"),
        ("UPDATE signals SET kind='pause'", r"run r1, signal 1: the request is damaged"),
    ],
)
def test_damage_names_the_place_and_is_never_skipped(path, damage, message):
    edit(path, damage)
    with SqlJournal.open(path) as journal, pytest.raises(JournalError, match=message):
        content(journal)


def test_what_a_driver_appends_meanwhile_is_no_miscount(path):
    with SqlJournal.open(path) as journal, SqlJournal.open(path) as driver:
        reader = journal.read("r1")
        assert next(reader).seq == 1
        driver.append("r1", 1, [record(1, seq) for seq in range(9, 2009)])
        assert [found.seq for found in reader][-1] <= 2008
        early = journal.read("r1", 8)
        driver.append("r1", 1, [record(1, 2009)])
        assert [found.seq for found in early] == list(range(9, 2010))


@pytest.mark.parametrize("text", [b"NOT NULL", b"AUTOINCREMENT", b"nbflow_meta", b"PRIMARY KEY"])
def test_damaged_text_of_the_schema_is_damage(path, text):
    changed = bytearray(path.read_bytes())
    changed[changed.index(text) + 1] ^= 0x80  # SQLite quotes it, and it is no Unicode any more
    path.write_bytes(changed)
    with pytest.raises(JournalError, match=rf"{path} is damaged \(.*malformed database schema"):
        SqlJournal.open(path)


def test_a_row_of_other_types_is_damage_of_its_run_and_verified(path):
    with SqlJournal.open(path) as journal:
        journal.create("r2", CREATED, flow="sales", at=200.0)
        edit(path, "UPDATE runs SET epoch='one', last_seq='many', holder=x'00' WHERE id='r1'")
        (first, problem), (second, none) = journal.listed()
        assert (first.id, first.epoch, first.last_seq, first.holder) == ("r1", 0, 0, "")
        assert "run r1: its row" in problem
        assert (second, none) == (journal.row("r2"), "")
        (fault,) = journal.verify("r1")
        assert fault.seq == 0
        journal.remove("r1", now=1000.0)
        assert [row.id for row in journal.rows()] == ["r2"]


def test_a_damaged_number_of_a_record_is_found_and_leads_nowhere(path):
    for number in ("'x'", "3000000000", "-1"):
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(f"UPDATE events SET seq={number} WHERE seq=8")
        with SqlJournal.open(path) as journal:
            assert list(journal.verify("r1"))
        edit(path, f"UPDATE events SET seq=8 WHERE seq={number}")


def test_records_before_the_damage_can_be_read(path):
    edit(path, "UPDATE events SET at=0 WHERE seq=4")
    with SqlJournal.open(path) as journal:
        reader = journal.read("r1")
        assert [next(reader).seq for _ in range(3)] == [1, 2, 3]
        with pytest.raises(JournalError, match="seq 4"):
            next(reader)


def test_all_faults_are_found(path):
    for damage in (
        "UPDATE runs SET flow='other', epoch=0, last_seq=9",
        "UPDATE events SET at=0 WHERE seq=2",
        "DELETE FROM events WHERE seq IN (4, 5)",
        "UPDATE events SET node='other' WHERE seq=7",
    ):
        edit(path, damage)
    with SqlJournal.open(path) as journal:
        faults = list(journal.verify("r1"))
    assert [fault.seq for fault in faults] == [0, 2, 4, 7, 9, 0]
    assert "up to seq 5" in faults[2].what
    assert "epoch" in faults[-1].what


def test_faults_are_found_beside_pages_that_cannot_be_read(path):
    with SqlJournal.open(path) as journal:
        records = [record(1, seq, "x" * 3000) for seq in range(9, 60)]
        journal.append("r1", 1, records)
    data = bytearray(path.read_bytes())
    pages = range(0, len(data), 4096)
    leaves = [at for at in pages if data[at] == 0x0D and b"xxxxxxxx" in data[at : at + 4096]]
    data[leaves[4] : leaves[4] + 8] = b"\xa5" * 8
    path.write_bytes(data)
    with SqlJournal.open(path) as journal:
        faults = list(journal.verify("r1"))
        assert 1 <= len(faults) <= 3
        assert "is damaged" in faults[0].what
        with pytest.raises(JournalError, match=r"journal\.db is damaged"):
            list(journal.read("r1"))


def test_a_run_whose_row_is_damaged_can_be_removed_so_that_others_are_listed(path):
    with SqlJournal.open(path) as journal:
        journal.create("r2", CREATED, flow="sales", at=100.0)
        edit(path, "UPDATE runs SET flow='other' WHERE id='r1'")
        with pytest.raises(JournalError, match="removing the run frees the others"):
            journal.rows()
        journal.remove("r1", now=1000.0)
        assert [row.id for row in journal.rows()] == ["r2"]


def test_an_event_of_a_newer_program_asks_for_an_upgrade_and_spares_those_before(path):
    columns = ("run", "seq", "epoch", "type", "version", "node", "attempt", "at", "body")
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        row = connection.execute(
            f"SELECT {', '.join(columns)}, reference FROM events WHERE seq=3"
        ).fetchone()
        newer = [*row[:3], "NodeTeleported", *row[4:]]
        statement = "UPDATE events SET type='NodeTeleported', checksum=? WHERE seq=3"
        connection.execute(statement, [seal(*newer)])
    with SqlJournal.open(path) as journal:
        reader = journal.read("r1")
        assert [next(reader).seq, next(reader).seq] == [1, 2]
        with pytest.raises(NewerSchema, match=r"run r1, seq 3: NodeTeleported"):
            next(reader)


@pytest.fixture
def killed(path, tmp_path):
    """The files of a journal whose process was killed: with a log of many transactions."""
    with SqlJournal.open(path) as journal:
        for seq in range(9, 29):
            journal.append("r1", 1, [record(1, seq, "y" * 1000)])
        folder = tmp_path / "killed"
        folder.mkdir()
        for name in (path.name, f"{path.name}-wal"):
            shutil.copy(path.with_name(name), folder)
    return folder / path.name


def test_a_torn_tail_is_cut_at_the_last_whole_transaction(killed, tmp_path):
    log = killed.with_name(killed.name + "-wal").read_bytes()
    before = 0
    for size in range(0, len(log) + 1, 3001):
        copy = tmp_path / f"torn-{size}" / killed.name
        copy.parent.mkdir()
        shutil.copy(killed, copy)
        copy.with_name(copy.name + "-wal").write_bytes(log[:size])
        with SqlJournal.open(copy) as journal:
            seqs = [found.seq for found in journal.read("r1")]
            assert seqs == list(range(1, journal.row("r1").last_seq + 1))
            assert list(journal.verify("r1")) == []
            assert before <= len(seqs)
            before = len(seqs)
            journal.append("r1", 1, [record(1, len(seqs) + 1)])
        shutil.rmtree(copy.parent)
    assert before > 20


def test_a_tail_of_rubbish_is_cut(killed):
    log = killed.with_name(killed.name + "-wal")
    log.write_bytes(log.read_bytes()[:-3000] + b"\xa5" * 3000)
    with SqlJournal.open(killed) as journal:
        assert [found.seq for found in journal.read("r1")] == list(range(1, 28))


def test_a_byte_that_was_changed_in_the_middle_of_the_log_is_not_taken_for_its_end(
    killed, tmp_path
):
    log = killed.with_name(killed.name + "-wal").read_bytes()
    for place in (0, 9, 17, 30, 40, 52, 2000, len(log) // 2, len(log) * 2 // 3):
        copy = tmp_path / f"changed-{place}" / killed.name
        copy.parent.mkdir()
        shutil.copy(killed, copy)
        changed = bytearray(log)
        changed[place] ^= 4
        copy.with_name(copy.name + "-wal").write_bytes(changed)
        with pytest.raises(
            JournalError, match=r"log .*-wal is damaged at frame \d+ of \d+"
        ) as caught:
            SqlJournal.open(copy)
        assert "Keep a copy" in str(caught.value)
        assert copy.with_name(copy.name + "-wal").read_bytes() == changed, "nothing is lost yet"


def test_a_log_that_a_former_one_left_frames_in_is_sound(path):
    with SqlJournal.open(path) as journal:
        for seq in range(9, 29):
            journal.append("r1", 1, [record(1, seq, "y" * 1000)])
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(RESTART)")
        journal.append("r1", 1, [record(1, 29)])
        copy = path.parent / "killed" / path.name
        copy.parent.mkdir()
        for name in (path.name, f"{path.name}-wal"):
            shutil.copy(path.with_name(name), copy.parent)
    with SqlJournal.open(copy) as journal:
        assert journal.row("r1").last_seq == 29
        assert list(journal.verify("r1")) == []


@pytest.fixture
def store(tmp_path):
    return MemoryStore(tmp_path / "store")


@pytest.fixture
def overflow(store):
    return Overflow(lambda data: store.put(data, "json").digest, store.get)


def test_a_large_event_becomes_an_artifact_and_comes_back(path, store, overflow):
    large = ev.AttemptSucceeded("load", 1, 1.5, 2.5, {"x": Inline("ä" * LARGE_BYTES)})
    with SqlJournal.open(path, overflow=overflow) as journal:
        journal.append("r1", 1, [ev.Record("r1", 9, 1, 100.0, large), record(1, 10)])
        assert [found.event for found in journal.read("r1", 8)] == [large, record(1, 10).event]
        (digest,) = journal.references("r1")
        assert len(store.get(digest)) > LARGE_BYTES
        assert list(journal.verify("r1")) == []
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (size,) = connection.execute("SELECT length(body) FROM events WHERE seq=9").fetchone()
    assert size == 0


def test_a_large_event_stays_where_there_is_no_place_for_it(path):
    large = ev.AttemptSucceeded("load", 1, 1.5, 2.5, {"x": Inline("ä" * LARGE_BYTES)})
    with SqlJournal.open(path) as journal:
        journal.append("r1", 1, [ev.Record("r1", 9, 1, 100.0, large)])
        assert [found.event for found in journal.read("r1", 8)] == [large]
        assert list(journal.references("r1")) == []


def test_an_event_whose_artifact_cannot_be_stored_is_not_recorded(path):
    def full(data):
        raise ArtifactError("the artifact store is full")

    large = ev.NodeReset("load", "x" * LARGE_BYTES)
    with SqlJournal.open(path, overflow=Overflow(full, full)) as journal:
        with pytest.raises(ArtifactError, match="full"):
            journal.append("r1", 1, [ev.Record("r1", 9, 1, 100.0, large)])
        assert journal.row("r1").last_seq == 8


def test_a_missing_artifact_of_an_event_is_named(path, overflow):
    large = ev.NodeReset("load", "x" * LARGE_BYTES)
    with SqlJournal.open(path, overflow=overflow) as journal:
        journal.append("r1", 1, [ev.Record("r1", 9, 1, 100.0, large)])
        (digest,) = journal.references("r1")

    def missing(asked):
        raise ArtifactError(f"artifact {asked} is missing")

    with SqlJournal.open(path, overflow=Overflow(overflow.put, missing)) as journal:
        (fault,) = journal.verify("r1")
        assert (fault.seq, digest in fault.what) == (9, True)
        with pytest.raises(JournalError, match=r"run r1, seq 9: the body of NodeReset.*missing"):
            list(journal.read("r1"))
    with (
        SqlJournal.open(path) as journal,
        pytest.raises(JournalError, match="opened without its artifact store"),
    ):
        list(journal.read("r1"))


def test_damaged_pages_are_an_error_that_names_the_file(path):
    with SqlJournal.open(path) as journal:
        records = [record(1, seq, "x" * 2000) for seq in range(9, 200)]
        journal.append("r1", 1, records)
    size = path.stat().st_size
    with Path(path).open("r+b") as file:
        file.seek(size // 2)
        file.write(b"\xa5" * (size // 2))
    with (
        pytest.raises(JournalError, match=rf"{path}.* is damaged"),
        SqlJournal.open(path) as journal,
    ):
        list(journal.read("r1"))
