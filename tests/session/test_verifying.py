"""What is found of damage, where, and what it says to do."""

import sqlite3

import msgspec
import pytest
from stored_runs import StoredRun, whole_run

from nbflow.artifacts import names
from nbflow.artifacts.cache import entry_name
from nbflow.artifacts.digests import blob_name
from nbflow.core import events as ev
from nbflow.core.attempts import Outcome
from nbflow.core.fingerprints import Fingerprint
from nbflow.core.ids import AttemptId
from nbflow.core.results import Result
from nbflow.session.home import Home
from nbflow.session.verifying import verify


@pytest.fixture
def home(tmp_path):
    home = Home.open(tmp_path / "home")
    yield home
    home.close()


def looked_at(home, *runs):
    return verify(home.journal, home.store, runs or [row.id for row in home.journal.rows()])


def blob(home, artifact):
    path = home.folder / "artifacts" / blob_name(artifact.digest)
    path.chmod(0o644)
    return path


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_home_that_is_whole_is_found_to_be(home):
    whole_run(home, "sales-1")
    whole_run(home, "sales-2")
    found = looked_at(home)
    assert found.findings == ()
    assert (found.runs, found.records) == (2, 18)
    assert found.artifacts == len(list(home.store.stored()))
    assert found.size_bytes == sum(each.size_bytes for each in home.store.stored())


def test_a_flipped_byte_names_the_output_and_who_makes_it_again(home):
    run = whole_run(home, "sales-1")
    whole_run(home, "sales-2")
    flip(blob(home, run.model))
    (finding,) = looked_at(home).findings
    assert (finding.run, finding.node, finding.place) == ("sales-1", "train", "output 'model'")
    assert f"artifact {run.model.digest} is damaged" in finding.what
    assert finding.fix.endswith("nbflow resume sales-1 --from train")
    assert home.journal.row("sales-1").last_seq >= finding.seq > 1
    assert looked_at(home, "sales-2").findings == ()


def test_what_is_missing_or_has_another_size_is_found(home):
    run = StoredRun(home, "sales-1")
    artifact = home.store.put(b"rows", "pickle")
    wrong = msgspec.structs.replace(artifact, size_bytes=5)
    run.do(ev.AttemptScheduled("load", 1), ev.AttemptSucceeded("load", 1, 1, 2, {"rows": wrong}))
    (finding,) = looked_at(home).findings
    assert "has 4 bytes, and the record says 5" in finding.what
    blob(home, artifact).unlink()
    (finding,) = looked_at(home).findings
    assert finding.what == f"artifact {artifact.digest} is missing"
    assert (finding.node, finding.place) == ("load", "output 'rows'")


def test_code_is_stored_anew_by_the_definition(home):
    run = whole_run(home, "sales-1")
    flip(blob(home, run.function))
    (finding,) = looked_at(home).findings
    assert (finding.node, finding.place) == ("train", "code")
    assert "from its definition" in finding.fix


def test_a_damaged_record_is_found_and_all_others_are_looked_at_still(home):
    whole_run(home, "sales-1")
    run = whole_run(home, "sales-2")
    with sqlite3.connect(home.folder / "journal.sqlite") as database:
        database.execute("UPDATE events SET body = x'00' WHERE run = 'sales-1' AND seq = 3")
    database.close()
    flip(blob(home, run.model))
    record, output = looked_at(home).findings
    assert (record.run, record.seq, record.place) == ("sales-1", 3, "record")
    assert "backup" in record.fix
    assert (output.run, output.node) == ("sales-2", "train")


def test_a_receipt_that_cannot_be_read_is_found(home):
    run = StoredRun(home, "sales-1")
    run.do(ev.AttemptScheduled("load", 1))
    attempt = AttemptId("sales-1", "load", 1, run.epoch)
    outcome = Outcome(id=attempt, status="succeeded", started_at=1, ended_at=2)
    home.store.put_receipt(attempt, msgspec.json.encode(outcome))
    assert looked_at(home).findings == ()
    home.store.put_receipt(attempt, b"{")
    (finding,) = looked_at(home).findings
    assert (finding.node, finding.place) == ("load", "receipt of load#1")


def test_a_damaged_entry_of_the_cache_is_found_and_costs_no_more_than_its_result(home):
    whole_run(home, "sales-1")
    for key in ("ab" * 32, "cd" * 32):
        home.cache.keep(Result(key=key, run="sales-1", node="train", at=1.0, took_s=2.0))
    home.store.put_entry(entry_name("ef" * 32), b'{"version": 999}')
    found = verify(home.journal, home.store, ["sales-1"], cache=True)
    assert (found.findings, found.entries) == ((), 3), "what a newer nbflow keeps is none of ours"

    entry = home.folder / "artifacts" / names.of_entry(entry_name("ab" * 32))
    entry.chmod(0o644)
    flip(entry)
    (finding,) = verify(home.journal, home.store, ["sales-1"], cache=True).findings
    assert (finding.run, finding.node) == ("", None)
    assert finding.place == f"entry of the cache {entry_name('ab' * 32)}"
    assert "it is damaged" in finding.what
    assert "counts as a miss" in finding.fix
    assert looked_at(home, "sales-1").findings == (), "it belongs to no run"


def test_an_artifact_that_the_disk_does_not_give_is_found(home, monkeypatch):
    run = whole_run(home, "sales-1")
    path = blob(home, run.model)
    path.unlink()
    path.mkdir()
    (finding,) = looked_at(home).findings
    assert finding.place == "output 'model'"


def test_what_a_later_result_has_replaced_is_a_remark_and_no_fault(home):
    run = StoredRun(home, "sales-1")
    old = run.succeed("load", {"rows": b"random 1"}, b"notebook 1")["rows"]
    run.do(ev.NodeReset("load", "somebody wants it to run again", "forced"))
    new = home.store.put(b"random 2", "pickle")
    flip(blob(home, old))
    (finding,) = looked_at(home).faults or looked_at(home).remarks
    assert not finding.is_fault, "its node is to run in any case"

    run.do(ev.AttemptScheduled("load", 2), ev.AttemptSucceeded("load", 2, 1, 2, {"rows": new}))
    found = looked_at(home)
    assert found.faults == ()
    (remark,) = found.remarks
    assert (remark.node, remark.place) == ("load", "output 'rows'")
    assert "nothing needs to be done" in remark.fix
    flip(blob(home, new))
    (fault,) = looked_at(home).faults
    assert fault.fix.endswith("nbflow resume sales-1 --from load")


def test_a_result_that_may_stand_again_is_needed(home):
    run = StoredRun(home, "sales-1")
    made_of = Fingerprint(code="1")
    artifact = home.store.put(b"rows", "pickle")
    run.do(
        ev.AttemptScheduled("load", 1, made_of),
        ev.AttemptSucceeded("load", 1, 1, 2, {"rows": artifact}),
        ev.NodeReset("load", "its code has changed", "code"),
    )
    flip(blob(home, artifact))
    (fault,) = looked_at(home).faults
    assert fault.place == "output 'rows'"
