"""Look at executed notebooks, and at processes that should have ended."""

import time
from pathlib import Path

import psutil

#: Says in a file which process the kernel is, and then takes its time.
TELL_AND_WAIT = """
import os, pathlib, time
pathlib.Path("part").write_text(str(os.getpid()))
os.rename("part", "kernel")
time.sleep(600)
"""


def statuses(node):
    """Return the status of each cell that is not papermill's mark of an error."""
    own = (cell for cell in node.cells if "papermill-error-cell-tag" not in cell.metadata.tags)
    return [cell.metadata.papermill.status for cell in own]


def text_of(cell):
    return "".join(output.get("text", "") for output in cell.outputs)


def error_of(node):
    """Return the one error output of a notebook."""
    cells = (cell for cell in node.cells if cell.cell_type == "code")
    (error,) = (
        output for cell in cells for output in cell.outputs if output.output_type == "error"
    )
    return error


def wait_for(path: Path, within_s: float = 60.0) -> str:
    """Wait until another process has made a file, and return its text."""
    deadline = time.monotonic() + within_s
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not come within {within_s} s"
        time.sleep(0.005)
    return path.read_text()


def assert_ended(pid: int) -> None:
    """Assert that a process ends, or has ended."""
    try:
        process = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return
    _, alive = psutil.wait_procs([process], timeout=5)
    assert not alive
