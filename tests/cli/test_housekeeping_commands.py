"""``gc``, ``verify``, ``export`` and ``import`` as they are typed."""

import json
import os
import time

import pytest
from stored_runs import DAY_S, StoredRun, whole_run

from nbflow.artifacts.cache import entry_name
from nbflow.artifacts.digests import blob_name
from nbflow.core import events as ev
from nbflow.session.holders import driver_name
from nbflow.session.home import Home


@pytest.fixture
def home(folder):
    """A home in the current folder; all in it was stored long ago once `age` was called."""
    home = Home.open(folder / ".nbflow")
    yield home
    home.close()


def age(home):
    at = time.time() - 100 * DAY_S
    for place, _, files in os.walk(home.folder):
        for name in files:
            os.utime(f"{place}/{name}", (at, at))
        os.utime(place, (at, at))


def test_a_home_without_rubbish_is_left_alone(nbflow, home):
    whole_run(home, "sales-1")
    age(home)
    called = nbflow("gc")
    assert called.code == 0
    assert called.out.splitlines()[0] == "removed nothing: 0 B"
    assert called.out.splitlines()[1].startswith("kept 1 runs and ")


def test_a_dry_run_lists_what_the_real_one_removes(nbflow, home):
    for number in range(3):
        whole_run(home, f"sales-{number}", at=1_000_000.0 + number)
    stray = home.store.put(b"x" * 5_000, "file")
    age(home)
    shown = nbflow("gc", "--keep-runs", "2", "--dry-run")
    lines = shown.out.splitlines()
    assert lines[0].split() == ["WHAT", "NAME", "SIZE", "LAST", "USED"]
    assert any(line.startswith("run ") and "sales-0" in line for line in lines)
    assert any(stray.digest in line and "5 kB" in line for line in lines)
    assert lines[-2].startswith("would remove 1 run, 1 folder of a run, 4 artifacts: ")
    assert len(home.journal.rows()) == 3

    done = nbflow("gc", "--keep-runs", "2")
    assert done.out.splitlines() == [lines[-2].replace("would remove", "removed"), lines[-1]]
    assert [row.id for row in home.journal.rows()] == ["sales-1", "sales-2"]
    assert not home.store.exists(stray.digest)


def test_the_report_of_a_clean_up_for_programs(nbflow, home):
    run = whole_run(home, "sales-1")
    age(home)
    document = json.loads(nbflow("gc", "--older-than", "30d", "--json").out)
    assert not document["dry_run"]
    removed = {each["name"]: each for each in document["removed"]}
    assert removed["sales-1"]["kind"] == "run"
    assert removed[run.model.digest] == {
        "kind": "artifact",
        "name": run.model.digest,
        "bytes": run.model.size_bytes,
        "last_used_at": removed[run.model.digest]["last_used_at"],
    }
    assert document["bytes"] == sum(each["bytes"] for each in document["removed"])
    assert document["kept"] == {"runs": 0, "artifacts": 0, "bytes": 0}


@pytest.mark.parametrize("age_text", ["soon", "-1d", "1 fortnight"])
def test_an_age_that_is_none_is_bad_usage(nbflow, home, age_text):
    called = nbflow("gc", "--older-than", age_text)
    assert called.code == 2
    assert "is no age such as 30d" in called.err


def test_a_grace_period_that_could_cost_a_driven_run_is_refused(nbflow, home):
    run = StoredRun(home, "sales-1")
    home.journal.release(run.id, run.epoch)
    home.journal.claim(run.id, driver_name(), now=time.time(), ttl_s=60)
    called = nbflow("gc", "--grace", "0s")
    assert called.code == 2
    assert "sales-1 is being driven" in called.err
    assert nbflow("gc", "--grace", "2h").code == 0


def test_verify_says_where_damage_is_and_what_helps(nbflow, home):
    whole_run(home, "sales-1")
    run = whole_run(home, "sales-2")
    called = nbflow("verify")
    assert (called.code, called.out.partition(":")[0]) == (0, "all is whole")

    blob = home.folder / "artifacts" / blob_name(run.model.digest)
    blob.chmod(0o644)
    blob.write_bytes(b"x" + blob.read_bytes()[1:])
    called = nbflow("verify")
    assert called.code == 1
    first, fix, verdict = called.out.splitlines()
    assert first.startswith("run sales-2, node train, seq 8, output 'model': artifact sha256:")
    assert fix.endswith("nbflow resume sales-2 --from train")
    assert verdict.startswith("1 fault: 2 runs, 18 records and ")
    assert nbflow("verify", "sales-1").code == 0
    assert nbflow("verify", "sales-9").code == 2

    home.store.put_entry(entry_name("ab" * 32), b"{")
    *_, entry, fix, verdict = nbflow("verify").out.splitlines()
    assert entry.startswith("entry of the cache cache/ab/abab")
    assert "counts as a miss" in fix
    assert verdict.endswith(", and 1 result in the cache looked at")

    document = json.loads(nbflow("verify", "sales-2", "--json").out)
    assert not document["whole"]
    (finding,) = document["findings"]
    assert (finding["run_id"], finding["node"], finding["seq"]) == ("sales-2", "train", 8)


def test_what_only_the_past_of_a_run_names_is_a_remark(nbflow, home):
    run = StoredRun(home, "sales-1")
    old = run.succeed("load", {"rows": b"random 1"})["rows"]
    new = home.store.put(b"random 2", "pickle")
    run.do(
        ev.NodeReset("load", "somebody wants it to run again", "forced"),
        ev.AttemptScheduled("load", 2),
        ev.AttemptSucceeded("load", 2, 1, 2, {"rows": new}),
    )
    (home.folder / "artifacts" / blob_name(old.digest)).unlink()
    called = nbflow("verify")
    assert called.code == 0
    remark, _, verdict = called.out.splitlines()
    assert remark.startswith(
        "remark: run sales-1, node load, seq 5, output 'rows': artifact sha256:"
    )
    assert verdict.startswith("all is whole: ")
    document = json.loads(nbflow("verify", "--json").out)
    assert (document["whole"], document["findings"]) == (True, [])
    (remark,) = document["remarks"]
    assert (remark["run_id"], remark["node"], remark["seq"]) == ("sales-1", "load", 5)


def test_a_run_is_exported_and_imported(nbflow, home, folder):
    whole_run(home, "sales-1")
    called = nbflow("export", "sales-1", "sales.zip")
    assert called.code == 0
    assert called.out.startswith("sales.zip: run sales-1, 9 records and 5 artifacts\n")
    called = nbflow("import", "sales.zip", "--home", "archive")
    assert called.code == 0
    assert called.out.endswith("now: nbflow show sales-1\n")
    shown = nbflow("show", "sales-1", "--home", "archive")
    assert shown.code == 0
    assert "archive/runs/sales-1/load.ipynb" in shown.out
    assert nbflow("verify", "--home", "archive").code == 0

    called = nbflow("import", "sales.zip")
    assert called.code == 2
    assert "--as" in called.err
    assert nbflow("import", "sales.zip", "--as", "sales-2").code == 0
    assert nbflow("export", "sales-1", "sales.zip").code == 2
    (folder / "sales.zip").write_bytes(b"PK")
    called = nbflow("import", "sales.zip", "--home", "third")
    assert called.code == 2
    assert "sales.zip cannot be imported" in called.err
