"""Looking at one run, which really happened: a node that fails, one behind it, one beside it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from nbflow.drawing.look import NODE_LOOKS

RUN = "look-20260101"

GLYPHS = [look.glyph for look in NODE_LOOKS.values()]

FLOW = """\
flow: look
params: {count: 2}
nodes:
  good: {notebook: good.ipynb, params: {count: "${params.count}"}, outputs: [rows, lock_free]}
  bad: {notebook: bad.ipynb}
  behind: {notebook: good.ipynb, params: {count: "${bad.share}"}}
"""


def write(path, *sources):
    cells = [new_code_cell(sources[0], metadata={"tags": ["parameters"]})]
    cells += [new_code_cell(source) for source in sources[1:]]
    kernel = {"name": "python3", "display_name": "", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The run, by the program itself: where it happened, and what it printed."""
    place = tmp_path_factory.mktemp("look")
    write(place / "good.ipynb", "count = 1", "rows = [1] * count\nlock_free = {1, 2}\nprint('so')")
    write(place / "bad.ipynb", "parts = 0", "print('before')", "share = 1 / parts", "print('no')")
    (place / "flow.yaml").write_text(FLOW)
    environ = {name: value for name, value in os.environ.items() if name != "NBFLOW_HOME"}
    words = ["run", "flow.yaml", "-o", "out", "-p", "count", "3", "--run-id", RUN, "--json"]
    process = subprocess.run(
        [sys.executable, "-m", "nbflow", *words],
        check=False,
        cwd=place,
        env=environ,
        capture_output=True,
        text=True,
    )
    return place, process


@pytest.fixture
def place(done, folder, monkeypatch) -> Path:
    monkeypatch.chdir(done[0])
    return done[0]


def test_a_failed_run_prints_its_whole_document_and_says_so(done, place):
    process = done[1]
    document = json.loads(process.stdout)
    assert process.returncode == 1
    assert "error" not in process.stderr
    assert document["run_id"] == RUN
    assert document["status"] == "failed"
    assert {name: node["status"] for name, node in document["nodes"].items()} == {
        "good": "succeeded",
        "bad": "failed",
        "behind": "skipped",
    }
    assert document["nodes"]["good"]["outputs"]["rows"] == {"kind": "json", "value": [1, 1, 1]}
    assert document["nodes"]["bad"]["error"]["type"] == "ZeroDivisionError"
    assert document["nodes"]["behind"]["reason"]["kind"] == "upstream_failed"
    assert (place / "out" / "good.ipynb").is_file()


def test_progress_goes_to_standard_error(done):
    assert "good: succeeded" in done[1].stderr


def test_show_gives_the_same_document(done, place, nbflow):
    called = nbflow("show", RUN, "--json")
    assert called.code == 0
    assert json.loads(called.out) == json.loads(done[1].stdout)


def test_show_tells_everything_of_every_node(place, nbflow):
    called = nbflow("show", "look")
    lines = called.out.splitlines()
    text = " ".join(called.out.split())
    nodes = [line.split()[1] for line in lines if line.startswith(tuple(GLYPHS))]
    assert called.code == 0
    assert lines[0].startswith(f"{RUN}: failed after ")
    assert "parameters: count = 3" in lines
    assert nodes == ["good", "bad", "behind"]
    assert "ZeroDivisionError" in text
    assert "notebook: out/bad.ipynb, cell 4" in text
    assert "rows: [1, 1, 1]" in text
    assert "lock_free: set {1, 2}" in text
    assert lines[-1] == f"Continue it with: nbflow resume {RUN}"
    assert all(len(line) <= 80 for line in lines)


def test_runs_lists_it(place, nbflow):
    header, line = nbflow("runs").out.splitlines()
    assert header.split() == ["RUN", "STATUS", "NODES", "TOOK", "STARTED"]
    assert line.split()[:3] == [RUN, "failed", "1/3"]
    [summary] = json.loads(nbflow("runs", "--json").out)
    document = json.loads(nbflow("show", RUN, "--json").out)
    assert summary["nodes"] == {"succeeded": 1, "failed": 1, "skipped": 1}
    for key in ("run_id", "flow", "status", "started_at", "ended_at", "duration_s"):
        assert summary[key] == document[key]


def test_a_home_is_found_by_option_and_by_environment(done, nbflow, monkeypatch):
    home = str(done[0] / ".nbflow")
    assert RUN in nbflow("runs", "--home", home).out
    monkeypatch.setenv("NBFLOW_HOME", home)
    assert RUN in nbflow("runs").out
    assert nbflow("show", RUN).out.endswith(f"nbflow resume {RUN}\n")
    monkeypatch.delenv("NBFLOW_HOME")
    assert nbflow("show", RUN, "--home", home).out.endswith(f"resume {RUN} --home {home}\n")


def test_events_are_told_in_order_to_people_and_to_programs(place, nbflow):
    lines = nbflow("events", RUN).out.splitlines()
    documents = [json.loads(line) for line in nbflow("events", RUN, "--json").out.splitlines()]
    assert [document["seq"] for document in documents] == list(range(1, len(lines) + 1))
    assert documents[0]["type"] == "RunCreated"
    assert documents[-1]["type"] == "RunEnded"
    [failed] = [document for document in documents if document["type"] == "AttemptFailed"]
    assert (failed["node"], failed["attempt"]) == ("bad", 1)
    assert failed["error"]["cell"] == 4
    for line, document in zip(lines, documents, strict=True):
        assert line.split()[0] == str(document["seq"])
        assert line.split()[3] == document["type"]


def test_following_a_run_that_has_ended_ends(place, nbflow):
    assert nbflow("events", RUN, "--follow") == nbflow("events", RUN)


def test_logs_are_what_a_node_has_printed(place, nbflow):
    assert nbflow("logs", RUN, "good").out == "--- cell 2\nso\n"
    out = nbflow("logs", RUN, "bad").out
    assert "before\n" in out
    assert "ZeroDivisionError: division by zero" in out
    assert "\x1b" not in out
    assert "no\n" not in out
    assert nbflow("logs", RUN, "behind").out == ""


def test_a_misspelt_node_is_bad_usage_with_a_hint(place, nbflow):
    called = nbflow("logs", RUN, "god")
    assert called.code == 2
    assert "has no node 'god'. Did you mean 'good'?" in called.err


@pytest.mark.parametrize("words", [["show"], ["events"], ["resume"], ["cancel"], ["logs"]])
def test_an_unknown_run_is_named(place, nbflow, words):
    called = nbflow(*words, "nope", *(["good"] if words == ["logs"] else []))
    assert called.code == 2
    assert called.err.startswith("error: there is no run 'nope' in ")
    assert RUN in called.err
    assert called.out == ""


def test_no_home_at_all_says_how_to_name_one(nbflow):
    called = nbflow("show", RUN)
    assert called.code == 2
    assert "--home" in called.err


def test_cancelling_what_has_ended_changes_nothing(place, nbflow):
    before = nbflow("events", RUN)
    assert nbflow("cancel", RUN) == (0, f"{RUN} has ended already: failed\n", "")
    assert nbflow("events", RUN) == before


def test_times_are_local(place, nbflow, monkeypatch):
    first = json.loads(nbflow("events", RUN, "--json").out.splitlines()[0])
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    try:
        line = nbflow("events", RUN).out.splitlines()[0]
    finally:
        monkeypatch.undo()
        time.tzset()
    minutes = (int(line.split()[2][3:5]) - int(first["at"][14:16])) % 60
    assert minutes == 45
