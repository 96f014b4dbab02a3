"""Journals that earlier versions have written are read, migrated, and replay to what they did."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from write_golden import GOLDEN, replayed

from nbflow.core.errors import JournalError
from nbflow.journal import SqlJournal
from nbflow.journal.schema import SCHEMA_VERSION

JOURNALS = sorted(GOLDEN.glob("v*.sqlite"))


@pytest.fixture(params=JOURNALS, ids=lambda path: path.stem)
def golden(request, tmp_path):
    return Path(shutil.copy(request.param, tmp_path / "journal.db"))


def lacking(expected, found, place="it"):
    """Yield where `found` is not what is expected; fields that were added since are welcome."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key, value in expected.items():
            yield from lacking(value, found.get(key), f"{place}.{key}")
    elif expected != found:
        yield f"{place} was {expected!r}, and is {found!r}"


def test_there_is_a_journal_of_every_version():
    versions = {int(path.stem.removeprefix("v")) for path in JOURNALS}
    assert versions == set(range(1, SCHEMA_VERSION + 1))


def test_a_golden_journal_replays_to_what_it_did(golden, request):
    expected = json.loads((GOLDEN / f"{request.node.callspec.id}.json").read_text())
    with SqlJournal.open(golden) as journal:
        found = json.loads(json.dumps(replayed(journal, "golden")))
        assert list(journal.verify("golden")) == []
        assert journal.faults() == []
    assert list(lacking(expected, found)) == []


def test_a_golden_journal_can_be_continued(golden):
    with SqlJournal.open(golden) as journal:
        row = journal.row("golden")
        epoch = journal.claim("golden", "host:1", now=row.created_at + 1000, ttl_s=30.0)
        assert epoch == row.epoch + 1
        journal.signal("golden", "cancel", "ada", at=1.0, body="{}")
        (signal,) = journal.signals("golden")
        journal.consume("golden", epoch, signal.id)


def test_a_migrated_journal_has_the_tables_of_a_new_one(golden, tmp_path):
    SqlJournal.open(golden).close()
    SqlJournal.open(tmp_path / "new.db").close()
    assert tables(golden) == tables(tmp_path / "new.db")


def tables(path):
    with closing(sqlite3.connect(path)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type='table'").fetchall()
        return {
            name: (
                connection.execute(f"PRAGMA table_info({name})").fetchall(),
                connection.execute(f"PRAGMA index_list({name})").fetchall(),
            )
            for (name,) in names
        } | {"meta": connection.execute("SELECT * FROM nbflow_meta").fetchall()}


def test_a_program_of_the_former_version_cannot_write_any_more(tmp_path):
    path = Path(shutil.copy(GOLDEN / "v1.sqlite", tmp_path))
    with closing(sqlite3.connect(path, isolation_level=None)) as former:
        columns = "run, seq, epoch, type, version, node, attempt, at, body"
        append = f"INSERT INTO events ({columns}) SELECT {columns} FROM events WHERE seq=56"
        former.execute("BEGIN IMMEDIATE")
        former.execute(append.replace("SELECT run, seq", "SELECT run, 57"))
        former.execute("ROLLBACK")
        SqlJournal.open(path).close()
        with pytest.raises(sqlite3.IntegrityError, match=r"NOT NULL.*checksum"):
            former.execute(append.replace("SELECT run, seq", "SELECT run, 57"))


def test_a_migration_that_fails_leaves_the_journal_as_it_was(tmp_path):
    path = Path(shutil.copy(GOLDEN / "v1.sqlite", tmp_path))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP INDEX signals_of_run")
        connection.execute("ALTER TABLE signals DROP COLUMN consumed_epoch")
        connection.commit()
    before = tables(path)
    with pytest.raises(JournalError, match=r"v1\.sqlite cannot be used"):
        SqlJournal.open(path)
    assert tables(path) == before


def test_signals_and_their_numbers_survive_the_first_migration(tmp_path):
    path = Path(shutil.copy(GOLDEN / "v1.sqlite", tmp_path))
    with closing(sqlite3.connect(path)) as connection:
        for by in ("ada", "bob"):
            connection.execute(
                'INSERT INTO signals (run, kind, "by", at) VALUES (?, ?, ?, ?)',
                ("golden", "cancel", by, 5),
            )
        connection.execute("UPDATE signals SET consumed_epoch=3 WHERE id=1")
        connection.commit()
    with SqlJournal.open(path) as journal:
        (signal,) = journal.signals("golden")
        assert (signal.id, signal.by, signal.at, signal.body) == (2, "bob", 5.0, "")
        journal.signal("golden", "cancel", "eve", at=6.0)
        assert [found.id for found in journal.signals("golden")] == [2, 3]
