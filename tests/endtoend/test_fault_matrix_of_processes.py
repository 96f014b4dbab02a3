"""Workers, drivers and users that end a notebook: its file is true, and nothing of it lives on."""

import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import psutil
import pytest
from test_crashes import sweep_temporary_folders
from watchpoint import until

import nbflow

DEADLINE_S = 20.0

#: Tells who it is, starts a process in a session of its own, and waits.
HOLD = """
import os, subprocess, time
children = [subprocess.Popen(["sleep", "600"], start_new_session=True).pid]
children.append(os.fork())
if children[-1] == 0:
    os.setsid()
    time.sleep(600)
with open("pids.part", "w") as file:
    file.write(" ".join(map(str, [os.getpid(), *children])))
os.rename("pids.part", "pids")
while not os.path.exists("go"): time.sleep(0.02)
"""
#: Kills the worker, the fork server's parent, once people can see that the cell runs.
KILL_WORKER = """
import os, psutil, signal, time
if not os.path.exists("enough"):
    while '"running"' not in open("out/deadly.ipynb").read(): time.sleep(0.02)
    open("begun", "a").write("x")
    psutil.Process().parent().parent().kill()
    signal.pause()
"""


def statuses(path: Path) -> list[str]:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [cell.metadata.papermill.status for cell in cells]


def error_of(path: Path) -> nbformat.NotebookNode:
    notebook = nbformat.read(path, as_version=4)
    assert notebook.metadata.papermill.exception is True
    assert notebook.metadata.papermill.end_time
    (failed,) = [
        cell
        for cell in notebook.cells
        if cell.metadata.get("papermill", {}).get("status") == "failed"
    ]
    assert failed.metadata.papermill.exception is True
    assert failed.metadata.papermill.end_time
    return failed.outputs[-1]


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def assert_all_ended(folder: Path) -> None:
    pids = [int(pid) for pid in (folder / "pids").read_text().split()]
    assert len(pids) == 3
    until(lambda: not any(map(lives, pids)), DEADLINE_S)


@pytest.fixture
def held(tmp_path, notebook):
    """A run by the command line, whose notebook is in its second cell; end it and wait."""
    notebook("held.ipynb", "print('one')", HOLD, "print('three')")
    (tmp_path / "flow.yaml").write_text("flow: held\nnodes: {held: {notebook: held.ipynb}}\n")
    command = ["run", "flow.yaml", "-o", "out", "--workers", "1", "--run-id", "held", "-q"]
    process = subprocess.Popen(
        [sys.executable, "-m", "nbflow", *command],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        until((tmp_path / "pids").exists)
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        sweep_temporary_folders()


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nbflow", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_run_that_is_cancelled_during_a_cell(held, tmp_path) -> None:
    assert command(tmp_path, "cancel", "held").returncode == 0
    held.communicate(timeout=DEADLINE_S)

    file = tmp_path / "out" / "held.ipynb"
    assert statuses(file) == ["completed", "failed", "pending"]
    assert error_of(file).ename == "KeyboardInterrupt"
    assert nbflow.attach("held", home=tmp_path / ".nbflow")["held"].status == "cancelled"
    assert_all_ended(tmp_path)


def test_an_interrupt_from_the_keyboard_during_a_cell(held, tmp_path) -> None:
    held.send_signal(signal.SIGINT)
    said, _ = held.communicate(timeout=DEADLINE_S)

    assert "Stopping in good order" in said
    file = tmp_path / "out" / "held.ipynb"
    assert statuses(file) == ["completed", "failed", "pending"]
    assert error_of(file).ename == "KeyboardInterrupt"
    assert nbflow.attach("held", home=tmp_path / ".nbflow").status == "interrupted"
    assert_all_ended(tmp_path)


def test_a_driver_that_is_killed_during_a_cell(held, tmp_path) -> None:
    kernel = int((tmp_path / "pids").read_text().split()[0])
    until(lambda: '"running"' in (tmp_path / "out" / "held.ipynb").read_text(), DEADLINE_S)
    held.kill()
    held.wait()
    until(lambda: not lives(kernel), DEADLINE_S)

    # Nobody is left who could write the file; whoever decides what becomes of the run does.
    assert command(tmp_path, "cancel", "held").returncode == 0
    file = tmp_path / "out" / "held.ipynb"
    assert statuses(file) == ["completed", "failed", "pending"]
    assert error_of(file).evalue == "its driver ended before the attempt did"
    assert_all_ended(tmp_path)


def test_a_worker_that_is_killed_during_a_cell(held, tmp_path) -> None:
    """The file tells the loss at once, and the next attempt writes its own."""
    kernel = int((tmp_path / "pids").read_text().split()[0])
    before = (tmp_path / "pids").read_text()
    psutil.Process(kernel).parent().parent().kill()
    until(lambda: not lives(kernel), DEADLINE_S)
    until(lambda: (tmp_path / "pids").read_text() != before)
    (tmp_path / "go").touch()
    held.communicate(timeout=DEADLINE_S)

    assert held.returncode == 0
    assert statuses(tmp_path / "out" / "held.ipynb") == ["completed"] * 3
    run = nbflow.attach("held", home=tmp_path / ".nbflow")
    assert run["held"].attempts == 2
    assert_all_ended(tmp_path)
    (tmp_path / "pids").write_text(before)
    assert_all_ended(tmp_path)


@pytest.mark.parametrize("retries", [0, 1])
def test_a_notebook_that_kills_each_worker(tmp_path, notebook, retries) -> None:
    notebook("deadly.ipynb", "print('one')", KILL_WORKER, "print('three')")
    flow = nbflow.Flow("deadly", base_dir=tmp_path)
    flow.notebook("deadly.ipynb", retries=nbflow.Retry(retries, backoff=0))
    run = flow.start(cluster=nbflow.Embedded(workers=1), output_dir=tmp_path / "out")
    assert run.wait() == "failed"

    node = run["deadly"]
    assert node.reason.kind == "worker_lost"
    assert "3 times in a row" in node.reason.message
    assert len((tmp_path / "begun").read_text()) == 3 * (1 + retries)
    file = tmp_path / "out" / "deadly.ipynb"
    assert statuses(file) == ["completed", "failed", "pending"]
    error = error_of(file)
    assert (error.ename, error.evalue) == ("WorkerLost", node.reason.message)


def test_a_notebook_that_kills_one_worker_runs_again(tmp_path, notebook) -> None:
    once = KILL_WORKER.replace("    psutil", '    open("enough", "w").close()\n    psutil')
    notebook("deadly.ipynb", "print('one')", once, "y = 3")
    flow = nbflow.Flow("deadly", base_dir=tmp_path)
    flow.notebook("deadly.ipynb", outputs=["y"])
    run = flow.start(cluster=nbflow.Embedded(workers=1), output_dir=tmp_path / "out")
    assert run.wait() == "succeeded"
    assert run["deadly"].attempts == 2
    assert run["deadly"].outputs["y"] == 3
    assert statuses(tmp_path / "out" / "deadly.ipynb") == ["completed"] * 3
