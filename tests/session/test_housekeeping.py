"""What a clean-up takes, and what it must never take."""

import os
import subprocess
import sys

import fsspec
import msgspec
import pytest
from stored_runs import DAY_S, StoredRun, whole_run

from nbflow.artifacts import FileStore
from nbflow.artifacts.digests import blob_name
from nbflow.core import events as ev
from nbflow.core.attempts import Outcome, Printed
from nbflow.core.errors import JournalError
from nbflow.core.ids import AttemptId
from nbflow.core.values import Artifact, Inline
from nbflow.journal import Overflow, SqlJournal
from nbflow.session import tenants
from nbflow.session.holders import driver_name
from nbflow.session.home import Home
from nbflow.session.housekeeping import CannotClean, Limits, clean
from nbflow.session.logbook import FOLDER, LogBook, read_lines

#: A time at which all that the tests make now is old.
LATER_S = 30 * DAY_S


@pytest.fixture
def home(tmp_path):
    home = Home.open(tmp_path / "home")
    yield home
    home.close()


@pytest.fixture
def later(tmp_path):
    """The time at which all that is stored by now is thirty days old."""
    return (tmp_path / "home" / "artifacts" / "mark").stat().st_mtime + LATER_S


def all_digests(home):
    return {stored.digest for stored in home.store.stored()}


def gone(cleaning, kind="artifact"):
    return {removal.name for removal in cleaning.of(kind)}


def everything(folder):
    return sorted(str(path) for path in folder.rglob("*") if path.is_file())


def aged(home, digest, at):
    os.utime(home.folder / "artifacts" / blob_name(digest), (at, at))


# --- reachability -------------------------------------------------------------------------------


def test_what_a_run_names_stays_and_the_rest_goes(home, later):
    run = whole_run(home, "sales-1")
    needed = all_digests(home)
    stray = home.store.put(b"nobody's", "file")
    cleaning = clean(home, Limits(), now=later)
    assert gone(cleaning) == {stray.digest}
    assert cleaning.size_bytes == len(b"nobody's")
    assert all_digests(home) == needed
    assert (cleaning.kept_runs, cleaning.kept_artifacts) == (1, len(needed))
    assert {run.book.digest, run.function.digest, run.model.digest} <= needed
    assert clean(home, Limits(), now=later).removals == ()


def test_the_journals_own_large_records_stay(home, later):
    home.journal.close()
    overflow = Overflow(lambda data: home.store.put(data, "text").digest, home.store.get)
    home.journal = SqlJournal.open(home.folder / "journal.sqlite", overflow=overflow)
    run = StoredRun(home, "sales-1")
    run.do(
        ev.AttemptScheduled("load", 1),
        ev.AttemptFailed(
            "load", 1, ev.Reason("error", "no"), error=ev.ErrorInfo("E", "m", None, "x" * 100_000)
        ),
    )
    (large,) = home.journal.references("sales-1")
    clean(home, Limits(), now=later)
    assert home.store.exists(large)
    last = list(home.journal.read("sales-1"))[-1]
    assert len(last.event.error.traceback) == 100_000


def test_what_was_stored_lately_stays_though_nothing_names_it_yet(home, later):
    young, old = home.store.put(b"young", "file"), home.store.put(b"old", "file")
    aged(home, young.digest, later - DAY_S / 2)
    aged(home, old.digest, later - DAY_S * 3 / 2)
    assert gone(clean(home, Limits(), now=later)) == {old.digest}
    assert all_digests(home) == {young.digest}


def test_old_bytes_that_are_put_again_stay(home, later, monkeypatch):
    stray = home.store.put(b"nobody's", "file")
    aged(home, stray.digest, 1_000.0)
    home.store.put(b"nobody's", "file")
    # The time of the latest put counts, not of the first.
    assert clean(home, Limits(), now=later - LATER_S).removals == ()
    assert home.store.get(stray.digest) == b"nobody's"


def test_what_a_receipt_names_stays_as_long_as_its_run(home, later):
    run = StoredRun(home, "sales-1")
    run.do(ev.AttemptScheduled("load", 1))
    home.journal.release(run.id, run.epoch)
    artifact = home.store.put(b"stored, and not recorded", "pickle")
    attempt = AttemptId("sales-1", "load", 1, run.epoch)
    outcome = Outcome(
        id=attempt, status="succeeded", started_at=1, ended_at=2, outputs={"a": artifact}
    )
    home.store.put_receipt(attempt, msgspec.json.encode(outcome))
    stranger = home.store.put(b"of a run that never was", "pickle")
    home.store.put_receipt(
        AttemptId("sales-0", "load", 1, 1), msgspec.json.encode({"outputs": stranger})
    )
    cleaning = clean(home, Limits(), now=later)
    assert gone(cleaning) == {stranger.digest}
    assert gone(cleaning, "receipt") == {"sales-0/load#1"}
    assert home.store.get_receipt(attempt) is not None
    assert home.store.get(artifact.digest)

    cleaning = clean(home, Limits(older_than_s=DAY_S, unfinished=True), now=later)
    assert gone(cleaning, "run") == {"sales-1"}
    assert artifact.digest in gone(cleaning)
    assert home.store.get_receipt(attempt) is None


def test_what_the_cache_names_stays_until_the_cache_forgets_it(home, later):
    cached = home.store.put(b"a result", "pickle")
    entry = msgspec.json.encode({"outputs": {"model": cached}})
    home.store.put_entry("cache/ab/abcdef", entry)
    home.store.put_entry("other/thing", cached.digest[::-1].encode())
    assert clean(home, Limits(), now=later).removals == ()
    assert clean(home, Limits(cache_older_than_s=LATER_S * 2), now=later).removals == ()
    cleaning = clean(home, Limits(cache_older_than_s=DAY_S * 2), now=later)
    assert gone(cleaning, "entry") == {"cache/ab/abcdef"}
    assert gone(cleaning) == {cached.digest}
    assert home.store.get_entry("other/thing") is not None


def test_only_the_last_checkpoint_of_a_node_that_has_not_ended_stays(home, later):
    run = StoredRun(home, "sales-1")

    def checkpoint(node, number):
        space = home.store.put(f"namespace {node} {number}".encode(), "pickle")
        book = home.store.put(f"notebook {node} {number}".encode(), "notebook")
        point = ev.Checkpoint(number, "prefix", space, book, 1.0)
        return space, ev.CheckpointStored(node, 1, point)

    first, first_stored = checkpoint("load", 1)
    second, second_stored = checkpoint("load", 2)
    run.do(ev.AttemptScheduled("load", 1), first_stored, second_stored)
    assert first.digest in gone(clean(home, Limits(), now=later))
    assert home.store.exists(second.digest)
    run.do(ev.AttemptSucceeded("load", 1, 1.0, 2.0))
    assert second.digest in gone(clean(home, Limits(), now=later))


def test_text_of_the_users_is_no_reference(home, later):
    stray = home.store.put(b"nobody's", "file")
    run = StoredRun(home, "sales-1")
    run.succeed("load", {})
    said = {"text": Inline(stray.digest)}
    run.do(ev.AttemptScheduled("train", 1), ev.AttemptSucceeded("train", 1, 1.0, 2.0, said))
    assert gone(clean(home, Limits(), now=later)) == {stray.digest}


def test_leftovers_of_writers_and_of_runs_go_when_they_are_old(home, later):
    tmp = home.folder / "artifacts" / "tmp"
    (tmp / "feedface").mkdir()
    (tmp / "feedface" / "content").write_bytes(b"half a value")
    (tmp / ".cafe.tmp").write_bytes(b"half")
    (home.runs_folder("sales-0")).mkdir(parents=True)
    (home.runs_folder("sales-0") / "load.ipynb").write_text("{}")
    assert clean(home, Limits(), now=later - LATER_S).removals == ()
    cleaning = clean(home, Limits(), now=later)
    assert gone(cleaning, "unfinished") == {"feedface", ".cafe.tmp"}
    assert gone(cleaning, "folder") == {str(home.runs_folder("sales-0"))}
    assert cleaning.size_bytes == len(b"half a value") + len(b"half") + 2
    assert list(tmp.iterdir()) == []
    assert not home.runs_folder("sales-0").exists()


def test_links_lead_a_clean_up_nowhere(home, later, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / ("ab" * 32)).write_bytes(b"precious")
    (home.folder / "artifacts" / "sha256").mkdir(exist_ok=True)
    (home.folder / "artifacts" / "sha256" / "ab").symlink_to(outside)
    (home.folder / "runs").mkdir()
    (home.folder / "runs" / "sales-0").symlink_to(outside)
    (home.runs_folder("sales-1")).mkdir()
    (home.runs_folder("sales-1") / "inner").symlink_to(outside)
    clean(home, Limits(grace_s=0), now=later)
    assert everything(outside) == [str(outside / ("ab" * 32))]


def test_a_run_that_cannot_be_read_stops_the_clean_up(home, later, monkeypatch):
    whole_run(home, "sales-1")
    home.store.put(b"nobody's", "file")
    before = all_digests(home)

    def damaged(run, after_seq=0):
        raise JournalError(f"run {run}, seq 3: the record is damaged")

    monkeypatch.setattr(home.journal, "read", damaged)
    with pytest.raises(JournalError, match="seq 3"):
        clean(home, Limits(keep_runs=0), now=later)
    assert all_digests(home) == before
    assert [row.id for row in home.journal.rows()] == ["sales-1"]


def test_a_store_at_a_url_is_cleaned_alike(home, tmp_path, later):
    url = f"memory://{tmp_path}/artifacts"
    home.store = FileStore.open(url, cache_dir=tmp_path / "cache")
    run = whole_run(home, "sales-1")
    stray = home.store.put(b"nobody's", "file")
    assert gone(clean(home, Limits(), now=later)) == {stray.digest}
    assert home.store.get(run.model.digest)
    cleaning = clean(home, Limits(keep_runs=0), now=later)
    assert run.model.digest in gone(cleaning)
    assert all_digests(home) == set()
    memory = fsspec.filesystem("memory")
    memory.rm(memory._strip_protocol(f"memory://{tmp_path}"), recursive=True)


# --- whole runs ---------------------------------------------------------------------------------


@pytest.fixture
def runs(home, later):
    """Five runs of one flow and one of another, ten days apart; the last one ended at `later`."""
    made = {}
    for number in range(5):
        name = f"sales-{number}"
        made[name] = whole_run(home, name, at=later - (4 - number) * 10 * DAY_S)
    made["costs-1"] = whole_run(home, "costs-1", flow="costs", at=later - 60 * DAY_S)
    return made


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Limits(), set()),
        (Limits(keep_runs=5), set()),
        (Limits(keep_runs=2), {"sales-0", "sales-1", "sales-2"}),
        (Limits(older_than_s=15 * DAY_S), {"sales-0", "sales-1", "sales-2", "costs-1"}),
        (Limits(keep_runs=4, older_than_s=15 * DAY_S), {"sales-0"}),
        (Limits(keep_runs=1, older_than_s=35 * DAY_S), {"sales-0"}),
        (Limits(keep_runs=0), {"costs-1", *(f"sales-{number}" for number in range(5))}),
    ],
)
def test_a_run_goes_if_no_limit_keeps_it(home, runs, later, limits, expected):
    foretold = clean(home, limits, now=later + DAY_S, dry_run=True)
    assert {row.id for row in home.journal.rows()} == runs.keys()
    cleaning = clean(home, limits, now=later + DAY_S)
    assert gone(cleaning, "run") == expected
    assert {row.id for row in home.journal.rows()} == runs.keys() - expected
    for name, run in runs.items():
        assert home.store.exists(run.model.digest) == (name not in expected)
        assert home.runs_folder(name).exists() == (name not in expected)
        assert home.store.exists(run.function.digest) == any(
            each.function == run.function for name, each in runs.items() if name not in expected
        )
    assert set(foretold.removals) == set(cleaning.removals)
    assert foretold.kept_artifacts == cleaning.kept_artifacts


def test_a_dry_run_changes_nothing(home, runs, later):
    home.store.put(b"nobody's", "file")
    before = everything(home.folder)
    cleaning = clean(home, Limits(keep_runs=0), now=later + DAY_S, dry_run=True)
    assert len(cleaning.of("run")) == 6
    assert everything(home.folder) == before
    assert len(home.journal.rows()) == 6


def test_a_run_that_somebody_drives_never_goes(home, later):
    run = StoredRun(home, "sales-1")
    home.journal.release(run.id, run.epoch)
    home.journal.claim(run.id, driver_name(), now=later, ttl_s=60)
    limits = Limits(keep_runs=0, unfinished=True)
    assert clean(home, limits, now=later).of("run") == []
    assert [row.id for row in home.journal.rows()] == ["sales-1"]


def test_a_run_that_has_not_ended_goes_only_if_that_is_asked_for(home, later):
    run = StoredRun(home, "sales-1")
    run.fail("load")
    home.journal.release(run.id, run.epoch)
    resumed = whole_run(home, "sales-2")
    resumed.epoch = home.journal.claim(resumed.id, "elsewhere:1:1.00", now=resumed.at, ttl_s=1)
    resumed.do(ev.RunClaimed("elsewhere:1:1.00"), ev.RunReopened("elsewhere:1:1.00"))
    home.journal.release(resumed.id, resumed.epoch)
    assert clean(home, Limits(keep_runs=0), now=later).of("run") == []
    cleaning = clean(home, Limits(keep_runs=0, unfinished=True), now=later)
    assert gone(cleaning, "run") == {"sales-1", "sales-2"}
    assert all_digests(home) == set()


def test_a_run_from_which_an_unfinished_one_was_forked_stays(home, later):
    whole_run(home, "sales-1")
    fork = StoredRun(home, "sales-2", at=1_000_100.0, forked_from="sales-1")
    home.journal.release(fork.id, fork.epoch)
    assert clean(home, Limits(keep_runs=0), now=later).of("run") == []
    fork.epoch = home.journal.claim(fork.id, "elsewhere:1:1.00", now=fork.at, ttl_s=1)
    fork.succeed("load")
    fork.succeed("train")
    fork.end()
    cleaning = clean(home, Limits(keep_runs=1), now=later)
    assert gone(cleaning, "run") == {"sales-1"}


def test_a_short_grace_period_needs_rest(home, later):
    run = StoredRun(home, "sales-1")
    home.journal.release(run.id, run.epoch)
    clean(home, Limits(grace_s=0), now=later)
    home.journal.claim(run.id, driver_name(), now=later, ttl_s=60)
    with pytest.raises(CannotClean, match=r"sales-1 is being driven.* at least 3,600 s"):
        clean(home, Limits(grace_s=0), now=later)


#: Cleans a home, but is killed before the n-th file is removed.
KILLED = """
import sys
from pathlib import Path
from nbflow.artifacts import FileStore
from nbflow.session.home import Home
from nbflow.session.housekeeping import Limits, clean
from nbflow.testing import Fault, FaultyDisk

home = Home.open(Path(sys.argv[1]))
disk = FaultyDisk(Fault("remove", nth=int(sys.argv[2])))
home.store = FileStore.open(home.folder / "artifacts", disk=disk)
clean(home, Limits(keep_runs=1), now=float(sys.argv[3]))
"""


def test_a_clean_up_that_is_killed_anywhere_is_finished_by_the_next(tmp_path):
    for nth in (1, 2, 3):
        home = Home.open(tmp_path / str(nth))
        first = whole_run(home, "sales-1")
        attempt = AttemptId("sales-1", "load", 1, 1)
        home.store.put_receipt(attempt, msgspec.json.encode({"outputs": first.model}))
        kept = whole_run(home, "sales-2", at=2_000_000.0)
        now = (home.folder / "artifacts" / "mark").stat().st_mtime + LATER_S
        home.close()
        done = subprocess.run(
            [sys.executable, "-c", KILLED, home.folder, str(nth), str(now)], check=False
        )
        assert done.returncode == -9
        home = Home.open(home.folder)
        clean(home, Limits(keep_runs=1), now=now)
        assert [row.id for row in home.journal.rows()] == ["sales-2"]
        assert all_digests(home) == {
            artifact.digest
            for artifact in _named(home, "sales-2")
            if isinstance(artifact, Artifact)
        } | {kept.book.digest, kept.function.digest}
        assert home.store.get_receipt(attempt) is None
        home.close()


def _named(home, run):
    for record in home.journal.read(run):
        yield from getattr(record.event, "outputs", {}).values()
        yield getattr(record.event, "notebook", None)


# --- whose artifacts ----------------------------------------------------------------------------


def test_a_store_that_two_journals_use_is_cleaned_by_neither(home, tmp_path, later):
    whole_run(home, "sales-1")
    tenants.settle(home.store, home.tenant)
    clean(home, Limits(), now=later)
    other = SqlJournal.open(tmp_path / "other.sqlite")
    try:
        tenants.settle(home.store, other.place)
    finally:
        other.close()
    before = all_digests(home)
    with pytest.raises(CannotClean, match=r"other\.sqlite.*--alone"):
        clean(home, Limits(), now=later)
    clean(home, Limits(alone=True), now=later, dry_run=True)
    with pytest.raises(CannotClean, match=r"other\.sqlite.*--alone"):
        clean(home, Limits(), now=later)
    assert all_digests(home) == before
    clean(home, Limits(alone=True), now=later)
    clean(home, Limits(), now=later)


def test_a_home_that_was_moved_is_cleaned_as_before(home, tmp_path, later):
    tenants.settle(home.store, home.tenant)
    home.close()
    moved = Home.open(home.folder.rename(tmp_path / "moved"))
    try:
        clean(moved, Limits(), now=later)
    finally:
        moved.close()


def test_a_home_whose_store_another_one_uses_is_known_to_that_one(home, tmp_path, later):
    tenants.settle(home.store, home.tenant)
    guest = tmp_path / "guest"
    guest.mkdir()
    (guest / "home.toml").write_text(f'artifacts = "{home.folder / "artifacts"}"\n')
    other = Home.open(guest)
    try:
        tenants.settle(other.store, other.tenant)
        for one in (home, other):
            with pytest.raises(CannotClean, match=r"also used by journal .*journal\.sqlite"):
                clean(one, Limits(), now=later)
    finally:
        other.close()


def test_what_nodes_have_printed_goes_with_its_run(home, later):
    for name in ("sales-1", "sales-2"):
        whole_run(home, name)
        with LogBook(home.runs_folder(name) / FOLDER, lambda: later) as book:
            book.hear(Printed(AttemptId(name, "load", 1, 1), 0, "stdout", "hello\n"))
    cleaning = clean(home, Limits(keep_runs=1), now=later)
    assert gone(cleaning, "folder") == {str(home.runs_folder("sales-1"))}
    assert not home.runs_folder("sales-1").exists()
    assert len(read_lines(home.runs_folder("sales-2") / FOLDER, "load", 5)) == 1
