"""What earlier runs teach, and the diagnosis of a run from its handle."""

import json
import os

import msgspec
import pytest
from stored_runs import StoredRun, whole_run

import nbflow
from nbflow.core import events as ev
from nbflow.core.expecting import RECEIVED
from nbflow.core.fingerprints import Fingerprint
from nbflow.session.history import FOLDER, RUNS, History
from nbflow.session.home import Home

NOW = 2_000_000.0


class CountingJournal:
    """A journal that knows which runs were read."""

    def __init__(self, journal):
        self._journal = journal
        self.read_runs = []

    def listed(self):
        return self._journal.listed()

    def read(self, run, after_seq=0):
        self.read_runs.append(run)
        return self._journal.read(run, after_seq)


@pytest.fixture
def home(tmp_path):
    opened = Home.open(tmp_path / "home")
    yield opened
    opened.close()


@pytest.fixture
def history(home):
    def make():
        journal = CountingJournal(home.journal)
        return History(home.folder, journal, "sales"), journal.read_runs

    return make


def seconds(samples, node="load"):
    return [sample.seconds for sample in samples[node]]


def test_successes_of_earlier_runs_of_the_flow_are_samples(home, history):
    whole_run(home, "one")
    whole_run(home, "two", at=1_100_000.0)
    whole_run(home, "other", flow="shop")
    samples = history()[0].samples(without="new", now=NOW)
    assert seconds(samples) == seconds(samples, "train") == [1.0, 1.0]
    assert samples["load"][0].sizes == {RECEIVED: 0.0}


def test_a_run_teaches_nothing_about_itself(home, history):
    whole_run(home, "one")
    assert history()[0].samples(without="one", now=NOW) == {}


def test_what_failed_was_lost_or_decided_is_no_sample(home, history):
    run = StoredRun(home, "one")
    run.do(
        ev.AttemptScheduled("load", 1, Fingerprint(code="c1")),
        ev.AttemptStarted("load", 1, "w", run.at),
        ev.AttemptLost("load", 1, ev.Reason("worker_lost", "gone")),
        ev.AttemptScheduled("load", 2, Fingerprint(code="c2")),
        ev.AttemptStarted("load", 2, "w", run.at),
        ev.AttemptSucceeded("load", 2, run.at, run.at + 7),
        ev.AttemptScheduled("train", 1),
        ev.AttemptFailed("train", 1, ev.Reason("error", "no")),
    )
    run.end("failed")
    samples = history()[0].samples(without="new", now=NOW)
    assert {node: [(it.seconds, it.code) for it in its] for node, its in samples.items()} == {
        "load": [(7.0, "c2")]
    }


def test_a_run_is_read_once(home, history):
    whole_run(home, "one")
    first, read = history()
    assert first.samples(without="new", now=NOW)
    assert read == ["one"]
    again, read = history()
    assert seconds(again.samples(without="new", now=NOW)) == [1.0]
    assert read == []
    # And what is asked about may be any of them.
    assert again.samples(without="one", now=NOW) == {}
    assert seconds(again.samples(without="new", now=NOW)) == [1.0]
    assert read == []


def test_a_run_that_goes_on_is_read_again(home, history):
    run = StoredRun(home, "one")
    run.succeed("load")
    home.journal.release("one", run.epoch)
    assert list(history()[0].samples(without="new", now=NOW)) == ["load"]
    run.epoch = home.journal.claim("one", "elsewhere:2:1.00", now=NOW, ttl_s=60)
    assert history()[0].samples(without="new", now=NOW) == {}  # somebody drives it
    run.do(ev.RunClaimed("elsewhere:2:1.00"))
    run.succeed("train")
    run.end()
    assert list(history()[0].samples(without="new", now=NOW)) == ["load", "train"]


def test_runs_come_and_go(home, history):
    whole_run(home, "one")
    whole_run(home, "two", at=1_100_000.0)
    assert len(seconds(history()[0].samples(without="new", now=NOW))) == 2
    home.journal.remove("one", now=NOW)
    whole_run(home, "old", at=900_000.0)
    found, read = history()
    assert len(seconds(found.samples(without="new", now=NOW))) == 2
    assert read == ["old"]


def test_only_the_newest_runs_count(home, history):
    for number in range(RUNS + 3):
        run = StoredRun(home, f"run{number}", at=1_000_000.0 + 100 * number)
        home.journal.release(run.id, run.epoch)
    found, read = history()
    found.samples(without="new", now=NOW)
    assert len(read) == RUNS
    assert read[0] == f"run{RUNS + 2}"


def test_large_runs_are_read_one_at_a_time(home, history, monkeypatch):
    whole_run(home, "one")
    whole_run(home, "two", at=1_100_000.0)
    monkeypatch.setattr("nbflow.session.history.RECORDS", 5)
    for run in ("two", "one"):
        found, read = history()
        found.samples(without="new", now=NOW)
        assert read == [run]
    assert len(seconds(history()[0].samples(without="new", now=NOW))) == 2


@pytest.mark.parametrize("content", [b"", b"{", b'{"one": 3}', None])
def test_a_file_that_is_damaged_or_cannot_be_written_costs_time_only(home, history, content):
    whole_run(home, "one")
    if content is None:
        (home.folder / FOLDER).write_text("in the way")
    else:
        history()[0].samples(without="new", now=NOW)
        (file,) = (home.folder / FOLDER).iterdir()
        file.write_bytes(content)
    found, read = history()
    assert seconds(found.samples(without="new", now=NOW)) == [1.0]
    assert read == ["one"]


# --- from the handle ------------------------------------------------------------------------------


def test_the_diagnosis_of_a_run_that_failed(tmp_path):
    flow = nbflow.Flow("broken", base_dir=tmp_path)

    @flow.task
    def load(rows=3):
        print("loading", rows)
        raise ValueError("no rows")

    run = flow.start(workers=1)
    run.wait(60)
    diagnosis = run.diagnose()
    (found,) = diagnosis.findings
    assert (found.node, found.kind, diagnosis.status) == ("load", "failed", "failed")
    assert found.evidence["inputs"] == {"rows": 3}
    assert found.logs == ("loading 3",)
    assert "ValueError: no rows" in "\n".join(found.evidence["traceback"])
    shown = repr(diagnosis)
    assert "✕ load: failed" in shown
    assert "What to do:" in shown
    page = diagnosis._repr_html_()
    assert "<b>load: failed</b>" in page
    seen_elsewhere = nbflow.attach(run.id, home=run.home).diagnose()
    assert seen_elsewhere.findings[0].evidence == found.evidence


def test_the_home_is_named_where_commands_would_not_find_it(tmp_path, monkeypatch):
    flow = nbflow.Flow("f", base_dir=tmp_path)

    @flow.task
    def load():
        raise ValueError

    monkeypatch.delenv("NBFLOW_HOME", raising=False)
    monkeypatch.chdir("/")
    run = flow.start(workers=1, home=tmp_path / "h")
    run.wait(60)
    (found,) = run.diagnose().findings
    assert found.suggestions[-1].endswith(f"nbflow resume {run.id} --home {tmp_path / 'h'}")
    monkeypatch.setenv("NBFLOW_HOME", os.fspath(tmp_path / "h"))
    (found,) = run.diagnose().findings
    assert found.suggestions[-1].endswith(f"nbflow resume {run.id}")


def test_a_diagnosis_is_plain_json(tmp_path):
    flow = nbflow.Flow("plain", base_dir=tmp_path)

    @flow.task
    def load(data=None):
        return data

    run = flow.start(workers=1)
    run.wait(60)
    document = json.loads(msgspec.json.encode(run.diagnose()))
    assert document["run_id"] == run.id
    assert (document["status"], document["findings"]) == ("succeeded", [])
    assert {"cpu_percent", "memory_bytes", "io_wait_percent", "network_bytes_per_s"} <= set(
        document["resources"]
    )


def test_workers_are_told_while_a_run_is_driven(tmp_path):
    flow = nbflow.Flow("told", base_dir=tmp_path)
    go = tmp_path / "go"

    @flow.task
    def hold(path=str(go)):
        import time
        from pathlib import Path

        while not Path(path).exists():
            time.sleep(0.01)

    run = flow.start(cluster=nbflow.Embedded(workers=2, threads=3, resources={"GPU": 1}))
    try:
        while len(run.view().workers or ()) < 2:
            assert run.wait_changed(30)
        for worker in run.view().workers:
            assert (worker.threads, worker.resources, worker.paused) == (3, {"GPU": 1.0}, False)
            assert worker.silent_s < 5
        assert {worker.name for worker in run.view().workers} == {"0", "1"}
    finally:
        go.touch()
        run.wait(60)
