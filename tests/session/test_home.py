"""Which folder is a home, where its parts are, and which run is meant."""

import contextlib
import sqlite3
import subprocess
import sys

import pytest

from nbflow.artifacts import FileStore
from nbflow.core.errors import JournalError, UnknownRun
from nbflow.core.events import NodeReset, Record, RunCreated
from nbflow.core.spec import FlowSpec
from nbflow.journal import filesystems
from nbflow.session import tenants
from nbflow.session.home import Home, chosen, located

CREATED = RunCreated(FlowSpec(name="f", nodes=()), {}, "")


def test_a_home_is_chosen_by_argument_then_variable_then_place(tmp_path) -> None:
    beside = tmp_path / "flow"
    assert chosen("given", beside, {"NBFLOW_HOME": "variable"}).name == "given"
    assert chosen(None, beside, {"NBFLOW_HOME": "variable"}).name == "variable"
    assert chosen(None, beside, {}) == beside / ".nbflow"


def test_a_home_is_found_from_below(tmp_path) -> None:
    Home.open(tmp_path / ".nbflow").close()
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)

    assert located(None, below, {}) == tmp_path / ".nbflow"
    assert located("x", below, {}).name == "x"
    assert located(None, below, {"NBFLOW_HOME": "y"}).name == "y"


def test_where_there_is_no_home_the_message_says_how_to_name_one(tmp_path) -> None:
    with pytest.raises(UnknownRun, match="--home"):
        Home.find(tmp_path / "nothing", tmp_path)


def test_a_home_that_cannot_be_made(tmp_path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match=r"file.*cannot be made.*--home"):
        Home.open(tmp_path / "file" / "home")


@pytest.fixture
def home(tmp_path):
    opened = Home.open(tmp_path / ".nbflow")
    for name in ("sales-1", "sales-2", "other"):
        opened.journal.create(name, CREATED, flow="f", at=1.0)
    yield opened
    opened.close()


def test_a_run_is_named_by_a_beginning_that_fits_no_other(home) -> None:
    assert home.run_row("oth").id == "other"
    assert home.run_row("sales-1").id == "sales-1"
    with pytest.raises(UnknownRun, match="may be any of 2 runs"):
        home.run_row("sales")
    with pytest.raises(UnknownRun, match=r"no run 'absent'.*The latest"):
        home.run_row("absent")


def test_a_home_says_where_its_parts_are(tmp_path, postgres) -> None:
    folder = tmp_path / "team"
    folder.mkdir()
    url = postgres.url(options=postgres.new_schema())
    (folder / "home.toml").write_text(f'journal = "{url}"\nartifacts = "elsewhere"\n')

    home = Home.find(folder, tmp_path)
    home.journal.create("r1", CREATED, flow="f", at=1.0)
    digest = home.store.put(b"x", "text").digest
    home.close()

    assert not (folder / "journal.sqlite").exists()
    assert FileStore.open(folder / "elsewhere").get(digest) == b"x"
    again = Home.open(folder)
    assert again.run_row("r1").flow == "f"
    again.close()


def test_a_home_with_its_journal_elsewhere_is_found_from_below(tmp_path) -> None:
    (tmp_path / ".nbflow").mkdir()
    (tmp_path / ".nbflow" / "home.toml").touch()
    assert located(None, tmp_path, {}) == tmp_path / ".nbflow"


def test_large_events_go_to_the_artifacts(home) -> None:
    epoch = home.journal.claim("other", "h", now=1.0, ttl_s=1.0)
    large = NodeReset("load", "x" * 100_000)
    home.journal.append("other", epoch, [Record("other", 2, epoch, 1.0, large)])

    (digest,) = home.journal.references("other")
    assert home.store.exists(digest)
    assert [record.event for record in home.journal.read("other", 1)] == [large]


def test_a_home_on_a_network_file_system_is_refused_unless_it_is_answered_for(
    tmp_path, monkeypatch
) -> None:
    mountinfo = f"1 0 8:1 / / rw - ext4 x rw\n2 1 0:9 / {tmp_path} rw - nfs4 server:/x rw\n"
    monkeypatch.setattr(filesystems, "mounts", lambda: mountinfo)
    with pytest.raises(JournalError, match=r"nfs4.*NBFLOW_ALLOW_NETWORK_HOME=1"):
        Home.open(tmp_path / "home")
    monkeypatch.setenv("NBFLOW_ALLOW_NETWORK_HOME", "1")
    Home.open(tmp_path / "home").close()


#: Looks at a home that it may not write.
VISITOR = """
import ctypes, sys
version, nothing = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
assert ctypes.CDLL(None).capset(version, nothing) == 0
from pathlib import Path
from nbflow.session.home import Home

home = Home.find(sys.argv[1], Path.cwd())
print([row.id for row in home.journal.rows()], home.store.get(sys.argv[2]))
home.close()
"""


def test_a_read_only_home_can_be_looked_at(home) -> None:
    digest = home.store.put(b"x", "text").digest
    home.close()
    files = [home.folder, *home.folder.rglob("*")]
    modes = [file.stat().st_mode for file in files]
    for file in files:
        file.chmod(0o555 if file.is_dir() else 0o444)
    try:
        command = [sys.executable, "-c", VISITOR, str(home.folder), digest]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    finally:
        for file, mode in zip(files, modes, strict=True):
            file.chmod(mode)
    assert told == "['other', 'sales-1', 'sales-2'] b'x'\n"


def lose(folder, how) -> None:
    journal = folder / "journal.sqlite"
    journal.write_bytes(b"") if how == "empty" else journal.unlink()


@pytest.mark.parametrize("how", ["empty", "missing"])
def test_a_lost_journal_is_no_new_one_while_its_artifacts_are_there(home, tmp_path, how) -> None:
    home.store.put(b"x", "text")
    home.close()
    lose(home.folder, how)
    before = sorted(home.folder.rglob("*"))

    for opening in (lambda: Home.open(home.folder), lambda: Home.find(home.folder, tmp_path)):
        with pytest.raises(JournalError, match=rf"is {how}, but .*artifacts.* backup"):
            opening()
    assert sorted(home.folder.rglob("*")) == before
    assert located(None, tmp_path, {}) == home.folder, "nor is another home taken for this one"

    (home.folder / "artifacts").rename(tmp_path / "given up")
    again = Home.open(home.folder)
    assert again.journal.rows() == []
    again.close()


def test_a_journal_without_tables_is_no_new_one_either(home) -> None:
    home.store.put(b"x", "text")
    home.close()
    journal = home.folder / "journal.sqlite"
    journal.unlink()
    with contextlib.closing(sqlite3.connect(journal)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    with pytest.raises(JournalError, match=r"has no tables, but .*artifacts"):
        Home.open(home.folder)


def test_a_home_whose_first_opening_was_cut_short_is_new(home) -> None:
    home.close()
    assert list((home.folder / "artifacts").iterdir()), "the store is there, and empty"
    lose(home.folder, "empty")
    Home.open(home.folder).close()


def test_a_journal_that_another_process_has_just_made_is_not_lost(tmp_path, monkeypatch) -> None:
    folder = tmp_path / "home"

    def meanwhile(*args) -> str:
        monkeypatch.undo()
        other = Home.open(folder)
        other.store.put(b"x", "text")
        other.close()
        return "artifacts"

    monkeypatch.setattr("nbflow.session.home._orphans", meanwhile)
    Home.open(folder).close()


def test_in_a_shared_store_only_a_journals_own_word_tells_that_it_was_lost(tmp_path) -> None:
    homes = [tmp_path / "one", tmp_path / "two"]
    for folder in homes:
        folder.mkdir()
        (folder / "home.toml").write_text(f'artifacts = "{tmp_path / "shared"}"\n')
    first = Home.open(homes[0])
    tenants.settle(first.store, first.tenant)
    first.store.put(b"x", "text")
    first.close()

    Home.open(homes[1]).close()
    lose(homes[0], "missing")
    with pytest.raises(JournalError, match=r"is missing, but .*shared"):
        Home.open(homes[0])


def team_home(folder, postgres, options):
    folder.mkdir()
    places = (
        f'journal = "{postgres.url(options=options)}"\nartifacts = "{folder.parent / "shared"}"\n'
    )
    (folder / "home.toml").write_text(places)
    return folder


def test_a_servers_journal_that_was_lost_is_no_new_one(tmp_path, postgres) -> None:
    schema, other = postgres.new_schema(), postgres.new_schema()
    folder = team_home(tmp_path / "team", postgres, schema)
    home = Home.open(folder)
    tenants.settle(home.store, home.tenant)
    home.store.put(b"x", "text")
    home.close()
    name = schema.partition("=")[2]
    postgres.execute(f"DROP SCHEMA {name} CASCADE")
    postgres.execute(f"CREATE SCHEMA {name}")

    for opening in (lambda: Home.open(folder), lambda: Home.find(folder, tmp_path)):
        with pytest.raises(JournalError, match=rf"{name} has no tables, but .*shared.* backup"):
            opening()
    tables = "SELECT table_name FROM information_schema.tables WHERE table_schema=%s"
    assert postgres.execute(tables, name) == []
    Home.open(team_home(tmp_path / "other", postgres, other)).close()


def test_journals_in_two_schemas_of_a_database_are_two(tmp_path, postgres) -> None:
    homes = [
        Home.open(team_home(tmp_path / name, postgres, postgres.new_schema()))
        for name in ("one", "two")
    ]
    for home in homes:
        tenants.settle(home.store, home.tenant)
        home.close()
    for home, other in (homes, reversed(homes)):
        assert tenants.others(home.store, home.tenant) == [other.tenant]


def test_a_damaged_row_hides_no_other_run(home) -> None:
    home.close()
    with contextlib.closing(sqlite3.connect(home.folder / "journal.sqlite")) as connection:
        connection.execute("UPDATE runs SET last_seq='many' WHERE id='other'")
        connection.commit()
    again = Home.open(home.folder)
    assert again.run_row("sales-1").id == "sales-1"
    assert again.run_id("oth") == "other"
    with pytest.raises(JournalError, match="run other: its row"):
        again.run_row("oth")
    again.close()
