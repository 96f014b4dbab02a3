"""Attempts that their driver has given up, and that go on: they change nothing any more."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from watchpoint import until

import nbflow
from nbflow.__main__ import main

#: Says that it has begun, waits, and says that it was interrupted.
OLD = (
    "import pathlib, time\n"
    "print('old begins')\n"
    "pathlib.Path('begun').touch()\n"
    "try:\n"
    "    time.sleep(600)\n"
    "except KeyboardInterrupt:\n"
    "    pathlib.Path('interrupted').touch()\n"
    "    raise"
)
FLOW = "flow: given-up\nnodes:\n  n: {notebook: n.ipynb}\n"


def printed(path: Path) -> list[str]:
    """Return what the executed notebook at `path` shows."""
    cells = json.loads(path.read_text())["cells"]
    return ["".join(output["text"]) for cell in cells for output in cell["outputs"]]


@pytest.fixture
def outliving(tmp_path, outside, notebook, monkeypatch) -> Path:
    """A folder whose run was killed on a cluster that goes on with its notebook."""
    outside.add_worker()
    notebook("n.ipynb", OLD)
    (tmp_path / "flow.yaml").write_text(FLOW)
    monkeypatch.chdir(tmp_path)
    words = ["run", "flow.yaml", "--cluster", outside.address, "--run-id", "r"]
    with (tmp_path / "driver.log").open("wb") as log:
        driver = subprocess.Popen([sys.executable, "-m", "nbflow", *words], stdout=log, stderr=log)
    until((tmp_path / "begun").exists)
    driver.kill()
    driver.wait()
    return tmp_path


def test_what_a_killed_driver_left_running_is_stopped_when_the_run_is_taken_over(
    outliving, outside, notebook, temporary_folder
) -> None:
    notebook("n.ipynb", "print('new')")

    assert main(["resume", "r", "--cluster", outside.address]) == 0
    until((outliving / "interrupted").exists)
    run = nbflow.attach("r", home=outliving / ".nbflow")
    assert run["n"].attempts == 2
    until(lambda: printed(run["n"].notebook_path) == ["new\n"])
    # Of its kernel nothing is left, either.
    until(lambda: not list(temporary_folder.glob("nbflow-k-*")))


def test_a_worker_that_wakes_up_leaves_the_executed_notebook_of_a_success_alone(
    tmp_path, ungoverned, notebook
) -> None:
    ungoverned.env = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "3s"}
    ungoverned.start_scheduler()
    sleeper = ungoverned.add_worker()
    cell = (
        "import pathlib, time\n"
        "number = len(list(pathlib.Path().glob('begun-*'))) + 1\n"
        "print('attempt', number)\n"
        "pathlib.Path(f'begun-{number}').touch()\n"
        "while not pathlib.Path(f'go-{number}').exists():\n"
        "    time.sleep(0.01)"
    )
    flow = nbflow.Flow("woken", base_dir=tmp_path)
    flow.notebook(notebook("n.ipynb", cell, "pass"), name="n")
    run = flow.start(cluster=ungoverned.address)
    until((tmp_path / "begun-1").exists)
    ungoverned.add_worker()
    os.killpg(sleeper.pid, signal.SIGSTOP)
    until((tmp_path / "begun-2").exists)
    (tmp_path / "go-2").touch()
    assert run.wait(60) == "succeeded"
    executed = run["n"].notebook_path.read_bytes()
    assert printed(run["n"].notebook_path) == ["attempt 2\n"]

    # Its first cell has ended: there is something to save.
    (tmp_path / "go-1").touch()
    os.killpg(sleeper.pid, signal.SIGCONT)
    sleeper.wait(60)

    assert run["n"].notebook_path.read_bytes() == executed
    assert list(run["n"].notebook_path.parent.glob(".*")) == []
