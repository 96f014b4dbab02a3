"""The driver's process is killed: nothing recorded is done again, and nothing stays behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from watchpoint import until

import nbflow
from nbflow.core.states import NodeState

FLOW = """
import os, sys, time
import nbflow

folder = sys.argv[1]
flow = nbflow.Flow("crash", base_dir=folder)

def noted(name):
    with open(os.path.join(folder, "ran"), "a") as file:
        file.write(name + "\\n")

@flow.task
def first():
    noted("first")
    return 1

notebook = os.path.join(folder, "held.ipynb")
held = flow.notebook(notebook, params={"x": first["result"]}, outputs=["y"])

@flow.task
def last(y=held["y"]):
    noted("last")
    return y + 1

flow.run(run_id="crash", progress=False)
"""

HELD = """
import os, time
open({begun!r}, "w").close()
while not os.path.exists({go!r}):
    time.sleep(0.02)
y = x + 1
"""


@pytest.fixture
def killed(tmp_path: Path, notebook) -> Path:
    """A folder whose run was killed, with all its processes watched, while its notebook ran."""
    begun, go = tmp_path / "begun", tmp_path / "go"
    notebook("held.ipynb", HELD.format(begun=str(begun), go=str(go)), parameters="x = 0")
    (tmp_path / "flow.py").write_text(FLOW)
    driver = subprocess.Popen(
        [sys.executable, str(tmp_path / "flow.py"), str(tmp_path)], start_new_session=True
    )
    try:
        until(begun.exists)
        family = psutil.Process(driver.pid).children(recursive=True)
        assert len(family) >= 2, "a worker and a kernel"
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait(10)
        _, alive = psutil.wait_procs(family, timeout=10)
        assert not alive, "what the driver started has outlived it"
    finally:
        driver.kill()
        driver.wait()
    sweep_temporary_folders()
    return tmp_path


def sweep_temporary_folders() -> None:
    """Remove what a process that was killed by force could not."""
    import shutil
    import tempfile

    for left in Path(tempfile.gettempdir()).glob("nbflow-*"):
        shutil.rmtree(left)


def test_a_killed_run_reads_as_interrupted_and_is_resumed_at_once(killed: Path) -> None:
    run = nbflow.attach("crash", home=killed / ".nbflow")
    assert run.status == "interrupted"
    assert run["held"].status is NodeState.RUNNING
    assert run.wait(5) == "interrupted"

    (killed / "go").touch()
    run.resume(progress=False)

    assert run["last"].outputs["result"] == 3
    assert (killed / "ran").read_text().split() == ["first", "last"]
    assert run["first"].attempts == 1
    assert run["held"].attempts == 2
    kinds = [
        record.event.reason.kind for record in run["held"].story if record.type == "AttemptLost"
    ]
    assert kinds == ["driver_lost"]


def test_a_killed_run_can_be_cancelled(killed: Path) -> None:
    run = nbflow.attach("crash", home=killed / ".nbflow")
    run.cancel()

    assert run.status == "cancelled"
    assert {str(run[name].status) for name in run} == {"succeeded", "cancelled"}

    (killed / "go").touch()
    assert run.resume(progress=False).status == "succeeded"
