"""Runs that are killed, mended, changed, decided about, forked: with real workers and kernels."""

import json
import os
import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import psutil
import pytest
from watchpoint import until

import nbflow
from nbflow.cli import main
from nbflow.core import events as ev


@pytest.fixture(autouse=True)
def paths(monkeypatch, tmp_path):
    """Flows in files put their folder on the path, and are modules of this process."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    yield
    for name in [name for name in sys.modules if name.startswith(("nbflow_file_", "helper_of_"))]:
        del sys.modules[name]


def resumed(run: nbflow.Run, **options) -> list[str]:
    """Resume a run, and return what is said before anything starts."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        run.resume(progress=False, workers=1, **options)
    return [str(warning.message) for warning in said]


def latest(run: nbflow.Run) -> list[ev.Event]:
    """The events since the run was taken up last."""
    events = [record.event for record in run.events()]
    begins = max(i for i, it in enumerate(events) if isinstance(it, ev.RunClaimed | ev.RunReopened))
    return events[begins:]


def ran(run: nbflow.Run) -> list[str]:
    return [event.node for event in latest(run) if isinstance(event, ev.AttemptStarted)]


def resets(run: nbflow.Run) -> dict[str, str]:
    return {event.node: event.kind for event in latest(run) if isinstance(event, ev.NodeReset)}


# --- after a fix ----------------------------------------------------------------------------------

NOTEBOOKS = """\
flow: sales
params: {date: "2026-01-01"}
nodes:
  load: {notebook: load.ipynb, params: {date: "${params.date}"}, inputs: [data.csv]}
  clean: {notebook: clean.ipynb, params: {rows: "${load.rows}"}}
  report: {notebook: report.ipynb, params: {table: "${clean.table}"}, env: {LEVEL: 1}}
"""


def test_a_run_of_notebooks_goes_on_after_each_kind_of_change(
    tmp_path, notebook, monkeypatch
) -> None:
    (tmp_path / "flow.yaml").write_text(NOTEBOOKS)
    (tmp_path / "data.csv").write_text("1,2")
    (tmp_path / "helper_of_sales.py").write_text("def sort(rows): return sorted(rows)\n")
    load = "rows = open('data.csv').read().split(',')\nseen = date"
    notebook("load.ipynb", load, parameters="date = ''")
    clean = "import helper_of_sales\ntable = helper_of_sales.sort(rows)"
    notebook("clean.ipynb", clean, parameters="rows = []")
    notebook("report.ipynb", "print(len(tabel))", parameters="table = []")
    with pytest.raises(nbflow.RunFailed, match="tabel"):
        nbflow.load("flow.yaml").run(run_id="sales", progress=False, workers=1)

    # The failed notebook is mended.
    notebook("report.ipynb", "print(len(table))", parameters="table = []")
    run = nbflow.attach("sales")
    (said,) = resumed(run)
    assert re.search(r"the code of \S+report\.ipynb has changed \(node 'report'\)", said)
    assert run.status == "succeeded"
    assert ran(run) == ["report"]
    assert run["report"].notebook.cells[-1].outputs[0].text == "2\n"

    # A module beside the notebooks gives the same in another way.
    (tmp_path / "helper_of_sales.py").write_text("def sort(rows): return list(sorted(rows))\n")
    said = resumed(run)
    assert "node clean runs again: a local module that it imports has changed" in said
    assert ran(run) == ["clean"]
    assert resets(run) == {"clean": "code", "report": "upstream"}

    # A declared file changes, and so do the outputs behind it.
    (tmp_path / "data.csv").write_text("1,2,3")
    said = resumed(run)
    assert said == ["node load runs again: a file that it is declared to read has changed"]
    assert ran(run) == ["load", "clean", "report"]
    assert run["clean"].outputs["table"] == ["1", "2", "3"]

    # A default of the flow changes, and an environment variable.
    (tmp_path / "flow.yaml").write_text(
        NOTEBOOKS.replace("2026-01-01", "2026-02-02").replace("LEVEL: 1", "LEVEL: 2")
    )
    resumed(run)
    assert resets(run) == {"load": "parameter", "clean": "upstream", "report": "environment"}
    assert ran(run) == ["load", "report"]

    # Nothing has changed: no cluster is started for that.
    monkeypatch.setattr(nbflow.Embedded, "__init__", None)
    seq = run.events()[-1].seq
    run.resume(progress=False)
    assert run.events()[-1].seq == seq


FLOW = """\
import os, pathlib
import nbflow

folder = pathlib.Path(__file__).parent
flow = nbflow.Flow("kept", params={"size": 3}, base_dir=folder)

@flow.task
def load(size=flow.param("size")):
    return list(range(size))

@flow.task
def total(rows=load["result"]):
    return sum(rows) + BROKEN

@flow.task
def report(total=total["result"]):
    return f"{total} in all"
"""
MENDED = FLOW.replace(" + BROKEN", "")


@pytest.fixture
def failed(tmp_path) -> nbflow.Run:
    """A run of functions in a file, of which one is wrong."""
    (tmp_path / "flow.py").write_text(FLOW)
    with pytest.raises(nbflow.RunFailed, match="BROKEN"):
        nbflow.load("flow.py").run(run_id="kept", progress=False, workers=1)
    return nbflow.attach("kept")


def test_functions_in_a_file_are_read_again_and_nodes_come_go_and_get_names(
    failed, tmp_path
) -> None:
    added = MENDED.replace("def report", "def summary") + (
        "\n@flow.task\ndef biggest(rows=load['result']):\n    return max(rows)\n"
    )
    (tmp_path / "flow.py").write_text(added)
    said = resumed(failed)
    assert any("nodes biggest, summary were added" in it for it in said)
    assert any("node 'report' was removed" in it for it in said)
    assert failed.status == "succeeded"
    assert sorted(ran(failed)) == ["biggest", "summary", "total"]
    assert failed["summary"].outputs["result"] == "3 in all"
    assert list(failed) == ["load", "total", "summary", "biggest"]


def test_a_changed_flow_is_taken_up_by_a_driver_of_its_own(failed, tmp_path) -> None:
    (tmp_path / "flow.py").write_text(MENDED)
    with pytest.warns(UserWarning, match="the code of .*total has changed"):
        failed.resume(detach=True, workers=1)
    assert failed.wait(60) == "succeeded"
    assert ran(failed) == ["total", "report"]
    until(lambda: not psutil.pid_exists(driver_of(failed)) or is_gone(driver_of(failed)))


def driver_of(run: nbflow.Run) -> int:
    (claim,) = latest(run)[:1]
    return int(claim.driver.split(":")[1])


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_as_recorded_runs_what_was_recorded(failed, tmp_path) -> None:
    (tmp_path / "flow.py").write_text("flow = (")
    with pytest.raises(nbflow.DefinitionError, match="--as-recorded"):
        failed.resume(progress=False)
    with pytest.raises(nbflow.RunFailed, match="BROKEN"):
        failed.resume(progress=False, workers=1, as_recorded=True)
    assert ran(failed) == ["total"]


# --- a killed driver, a killed worker, and what runs at most once ---------------------------------

CAREFUL = """\
import os, pathlib, signal, time
import nbflow

folder = pathlib.Path(__file__).parent
flow = nbflow.Flow("careful", base_dir=folder)

@flow.task(effect="at_most_once")
def mail():
    with open(folder / "sent", "a") as file:
        file.write("x")
    if not (folder / "calm").exists():
        {disaster}
    return 7

@flow.task
def after(number=mail["result"]):
    return number + 1

@flow.task
def other():
    while not (folder / "go").exists():
        time.sleep(0.02)
    return 1
"""
WORKER_DIES = "os.kill(os.getpid(), signal.SIGKILL)"
HANGS = "time.sleep(600)"


def test_a_doubt_is_decided_while_the_rest_of_the_flow_runs(tmp_path, capsys) -> None:
    (tmp_path / "flow.py").write_text(CAREFUL.format(disaster=WORKER_DIES))
    run = nbflow.load("flow.py").start(run_id="careful", workers=2)
    until(lambda: run["mail"].status == "in_doubt")
    assert run["mail"].reason.kind == "worker_lost"
    assert run.status == "running"

    assert main(["resolve", "careful", "other", "--as", "failed"]) == 2
    assert "there is nothing to decide" in capsys.readouterr().err
    assert main(["resolve", "careful", "mail", "--as", "succeeded"]) == 2
    assert "Give each by --output NAME VALUE" in capsys.readouterr().err
    assert main(["resolve", "careful", "mail", "--as", "succeeded", "--output", "result", "5"]) == 0
    assert capsys.readouterr().out == "careful: mail is decided: succeeded\n"
    until(lambda: run["after"].status == "succeeded")
    assert run["other"].status != "succeeded"

    (tmp_path / "go").touch()
    assert run.wait(60) == "succeeded"
    assert run["after"].outputs["result"] == 6
    assert (tmp_path / "sent").read_text() == "x"


def test_a_killed_driver_leaves_a_doubt_and_the_run_waits_for_a_decision(tmp_path, capsys) -> None:
    (tmp_path / "flow.py").write_text(CAREFUL.format(disaster=HANGS))
    words = [sys.executable, "-m", "nbflow", "run", "flow.py", "--run-id", "careful", "-q"]
    driver = subprocess.Popen([*words, "--workers", "1"], start_new_session=True)
    until((tmp_path / "sent").exists)
    run = nbflow.attach("careful")
    until(lambda: run["mail"].status == "running")
    family = psutil.Process(driver.pid).children(recursive=True)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    assert not psutil.wait_procs(family, timeout=20)[1]
    sweep_temporary_folders()

    (tmp_path / "go").touch()
    assert main(["resume", "careful", "--workers", "1"]) == 130
    printed = capsys.readouterr()
    assert "mail: in doubt" in printed.err
    assert "mail: started" not in printed.err, "it had started under the driver that is gone"
    told = " ".join(printed.out.split())
    assert (
        "Look whether mail did its work, and decide: nbflow resolve careful mail --as succeeded "
        "(or failed, or retry). Then continue it with: nbflow resume careful"
    ) in told
    assert {name: str(run[name].status) for name in run} == {
        "mail": "in_doubt",
        "after": "waiting",
        "other": "succeeded",
    }

    run.resolve("mail", "retry")
    (tmp_path / "calm").touch()
    assert main(["resume", "careful", "-q", "--workers", "1", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["nodes"]["mail"]["attempts"] == 2
    assert ran(run) == ["mail", "after"]
    assert (tmp_path / "sent").read_text() == "xx"


def sweep_temporary_folders() -> None:
    """Remove what a process that was killed by force could not."""
    import shutil
    import tempfile

    for left in Path(tempfile.gettempdir()).glob("nbflow-*"):
        shutil.rmtree(left)


# --- forks ----------------------------------------------------------------------------------------

FORKED = """\
flow: forked
params: {size: 2, title: "a"}
nodes:
  load: {notebook: load.ipynb, params: {size: "${params.size}"}}
  report: {notebook: report.ipynb, params: {rows: "${load.rows}", title: "${params.title}"}}
"""


def test_a_fork_begins_with_what_it_shares_and_needs_nothing_of_its_source_later(
    tmp_path, notebook, capsys
) -> None:
    (tmp_path / "flow.yaml").write_text(FORKED)
    notebook("load.ipynb", "rows = list(range(size))", parameters="size = 0")
    report = "text = f'{title}: {len(rows)}'\nprint(text)"
    notebook("report.ipynb", report, parameters="rows = []\ntitle = ''")
    source = nbflow.load("flow.yaml").run(run_id="first", progress=False, workers=1)

    fork = source.fork(title="b", run_id="second", progress=False, workers=1)
    assert fork.status == "succeeded"
    assert ran(fork) == ["report"]
    assert fork["load"].status == "skipped"
    assert fork.document()["nodes"]["load"]["cached"] is True
    assert "run first has done the same" in fork["load"].reason.message
    assert fork["load"].outputs["rows"] == [0, 1]
    assert fork["report"].notebook.cells[-1].outputs[0].text == "b: 2\n"
    assert source["report"].notebook.cells[-1].outputs[0].text == "a: 2\n"
    assert {it.name for it in fork.output_dir.glob("*.ipynb")} == {"load.ipynb", "report.ipynb"}

    again = fork.fork(run_id="third", progress=False, workers=1)
    assert ran(again) == []
    assert "run first" in again["load"].reason.message, "who did the work"
    assert "run second" in again["report"].reason.message

    source.close()
    assert main(["gc", "--keep-runs", "1", "--grace", "0s"]) == 0
    capsys.readouterr()
    assert [summary.id for summary in nbflow.runs()] == ["third"]
    assert again["load"].outputs["rows"] == [0, 1]
    assert again["report"].notebook.cells[-1].outputs[0].text == "b: 2\n"
    assert main(["verify"]) == 0
    changed = resumed(again)
    assert changed == []
    assert again.status == "succeeded"
