"""What a notebook says of its cells, however it ended: real kernels, real signals."""

import asyncio
import signal

import pytest
from cell_bench import CellBench, tagged, when

from nbflow.notebooks import execution
from nbflow.notebooks.cells import CellOptions
from nbflow.notebooks.guard import StopRequest
from nbflow.notebooks.masking import Mask
from nbflow.notebooks.memory_pressure import MemoryPressure

#: Within which a fault must have ended the notebook, in seconds.
PROMPTLY_S = 2.0

WAITING = """\
import threading
open("begun", "w").close()
threading.Event().wait()
"""


@pytest.fixture
def bench(tmp_path):
    return CellBench(tmp_path)


def test_after_success_all_cells_are_completed(bench):
    ran = bench.run("x = 1", "", "x")
    assert ran.failure is None
    assert ran.statuses == ["completed"] * 3
    assert ran.exceptions == [False] * 3
    assert ran.notebook.metadata.papermill.exception is None
    assert [(p.done, p.total, p.cell) for p in ran.progress] == [(0, 2, 0), (1, 2, 2), (2, 2, None)]


def test_an_error_is_told_with_its_traceback_alone(bench):
    ran = bench.run("1", "print('x' * 100_000)\nraise ValueError('boom')", "2")
    assert ran.failure.reason.kind == "error"
    assert ran.failure.error.cell == 1
    assert ran.failure.error.traceback.endswith("ValueError: boom")
    assert "xxxx" not in ran.failure.error.traceback
    assert ran.statuses == ["completed", "failed", "pending"]
    assert ran.exceptions == [False, True, None]
    assert ran.notebook.metadata.papermill.exception is True


def test_an_error_that_is_allowed_is_noted_and_the_notebook_goes_on(bench):
    ran = bench.run(tagged("1 / 0", "raises-exception"), tagged("2", "raises-exception"), "3")
    assert ran.failure is None
    assert ran.statuses == ["completed"] * 3
    assert ran.exceptions == [True, False, False]
    assert ran.outputs(0)[0].ename == "ZeroDivisionError"
    assert ran.notebook.metadata.papermill.exception is None


def test_a_cell_that_is_to_be_skipped_stays_pending(bench):
    ran = bench.run("1", tagged("1 / 0", "skip-execution"), "3")
    assert ran.failure is None
    assert ran.statuses == ["completed", "pending", "completed"]
    assert ran.notebook.cells[1].execution_count is None


@pytest.mark.parametrize("code", ["sys.exit()", "sys.exit(0)", "raise SystemExit"])
def test_an_exit_ends_the_notebook_early_and_well(bench, code):
    ran = bench.run(f"import sys\n{code}", "2")
    assert ran.failure is None
    assert ran.statuses[1] == "pending"


ENDS = {
    "os._exit(3)": ("exited with code 3", "kernel_died"),
    "os.kill(os.getpid(), 9)": ("signal 9 (SIGKILL", "kernel_died"),
    "os.kill(os.getpid(), 11)": ("signal 11 (SIGSEGV", "kernel_died"),
}


@pytest.mark.parametrize("code", ENDS)
def test_a_kernel_that_ends_is_told_with_its_status(bench, code):
    ran = bench.run("1", f"import os\n{code}", "2")
    words, kind = ENDS[code]
    assert words in ran.failure.reason.message
    assert ran.failure.reason.kind == kind
    assert (ran.failure.error.type, ran.failure.error.cell) == ("KernelDied", 1)
    assert ran.statuses == ["completed", "failed", "pending"]
    assert ran.exceptions == [False, True, None]
    assert ran.notebook.metadata.papermill.exception is True
    assert ran.outputs(1)[0].ename == "KernelDied"


def test_a_kernel_that_is_killed_from_outside_ends_its_notebook_promptly(bench):
    told = {}

    async def kill(kernel):
        import os

        await when(bench.folder / "begun")
        told["at"] = asyncio.get_running_loop().time()
        os.kill(kernel.pid, signal.SIGKILL)

    async def scenario():
        ran = await bench.perform("1", WAITING, "2", meanwhile=kill)
        return ran, asyncio.get_running_loop().time() - told["at"]

    ran, seconds = asyncio.run(scenario())
    assert "SIGKILL" in ran.failure.reason.message
    assert ran.statuses == ["completed", "failed", "pending"]
    assert seconds < PROMPTLY_S


def test_a_kernel_that_the_system_killed_for_memory_is_out_of_memory(bench, monkeypatch):
    counts = bench.folder / "proc" / "vmstat"
    counts.parent.mkdir()
    counts.write_text("oom_kill 1\n")
    monkeypatch.setattr(execution, "MemoryPressure", lambda: MemoryPressure(bench.folder))
    ran = bench.run(
        "1",
        f"import os\nopen({str(counts)!r}, 'w').write('oom_kill 2')\nos.kill(os.getpid(), 9)",
        "2",
    )
    assert ran.failure.reason.kind == "out_of_memory"
    assert "because memory ran out" in ran.failure.reason.message
    assert "run fewer nodes at once" in ran.failure.reason.message
    assert ran.failure.error.type == ran.outputs(1)[0].ename == "OutOfMemory"
    assert ran.statuses == ["completed", "failed", "pending"]


def test_what_a_dying_kernel_wrote_is_masked(bench):
    code = "import os\nos.write(2, b'the token is ' + b'abc' + b'def')\nos._exit(1)"
    ran = bench.run(code, options=CellOptions(mask=Mask(["abcdef"])))
    assert "the token is ***" in ran.failure.reason.message
    assert "abcdef" not in str(ran.failure)
    assert "abcdef" not in str(ran.outputs(0))


def test_a_notebook_that_is_stopped_says_so_of_the_cell_that_ran(bench):
    stop = StopRequest()

    async def ask(kernel):
        await when(bench.folder / "begun")
        stop.ask()

    async def scenario():
        return await bench.perform("1", WAITING, "2", stop=stop, meanwhile=ask)

    ran = asyncio.run(scenario())
    assert ran.failure.reason.kind == "interrupted"
    assert ran.statuses == ["completed", "failed", "pending"]
    assert ran.notebook.metadata.papermill.exception is True


def test_a_kernel_that_answers_without_ever_being_idle_is_told(bench):
    silent = (
        "kernel = get_ipython().kernel\n"
        "kernel.session.send = lambda *a, send=kernel.session.send, **k: None "
        "if a[1] == 'status' else send(*a, **k)"
    )
    ran = bench.run(silent, "2", options=CellOptions(traits={"iopub_timeout": 1}))
    assert ran.failure.reason.kind == "error"
    assert "the outputs did not arrive" in ran.failure.reason.message
    assert ran.statuses == ["failed", "pending"]
