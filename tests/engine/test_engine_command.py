"""``papermill --engine nbflow``, as a process."""

import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from looking import TELL_AND_WAIT, assert_ended, error_of, statuses, text_of, wait_for
from watchpoint import until

from nbflow.kernels.folders import sweep


@pytest.fixture
def papermill(tmp_path):
    """Start ``papermill --engine nbflow`` in the test's folder."""
    started = []

    def start(*arguments, **streams):
        command = [sys.executable, "-m", "papermill", "--engine", "nbflow", *map(str, arguments)]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
        started.append(subprocess.Popen(command, cwd=tmp_path, **streams))
        return started[-1]

    yield start
    for process in started:
        still_runs = process.poll() is None
        process.kill()
        process.communicate()
        if still_runs:  # the test has failed: what is left behind is not another fault
            sweep(process.pid)


def test_parameters_and_files(papermill, notebook, saved, tmp_path):
    path = notebook(("n = 1", ["parameters"]), "print(n)")
    process = papermill(path, "out.ipynb", "-p", "n", "7", "--stdout-file", "printed")
    _, err = process.communicate()
    assert process.returncode == 0, err.decode()
    assert "Executing:" in err.decode()
    assert text_of(saved().cells[2]) == "7\n"
    assert (tmp_path / "printed").read_text() == "7\n"


def test_a_notebook_goes_through_pipes(papermill, notebook):
    process = papermill("-", "-", stdin=subprocess.PIPE)
    out, _ = process.communicate(notebook("print('x')").read_bytes())
    assert text_of(nbformat.reads(out.decode(), as_version=4).cells[0]) == "x\n"


def test_a_dead_kernel_is_exit_code_138(papermill, notebook, saved):
    process = papermill(notebook("import os; os.kill(os.getpid(), 9)", "1"), "out.ipynb")
    _, err = process.communicate()
    assert process.returncode == 138
    assert "DeadKernelError" in err.decode()
    assert statuses(saved()) == ["failed", "pending"]


def test_a_failed_cell_and_a_timeout_are_exit_code_1(papermill, notebook, saved):
    failed = papermill(notebook("1 / 0"), "out.ipynb")
    failed.communicate()
    assert failed.returncode == 1
    late = papermill(
        notebook("import time; time.sleep(600)"), "out.ipynb", "--execution-timeout", 1
    )
    _, err = late.communicate()
    assert late.returncode == 1
    assert "CellTimeoutError" in err.decode()
    assert statuses(saved()) == ["failed"]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 1)]
)
def test_a_signal_ends_the_kernel_first_and_leaves_a_true_notebook(
    papermill, notebook, saved, tmp_path, number, code
):
    process = papermill(notebook("1", TELL_AND_WAIT, "2"), "out.ipynb")
    kernel = int(wait_for(tmp_path / "kernel"))
    process.send_signal(number)
    process.communicate(timeout=10)
    assert process.returncode == code
    assert_ended(kernel)
    assert statuses(saved()) == ["completed", "failed", "pending"]
    assert saved().metadata.papermill.exception is True
    assert error_of(saved()).ename == "KeyboardInterrupt"


def test_a_kernel_dies_with_its_papermill(papermill, notebook, saved, tmp_path):
    process = papermill(notebook("1", TELL_AND_WAIT), "out.ipynb")
    kernel = int(wait_for(tmp_path / "kernel"))
    # A save that comes soon after the cell's end, and that nothing waits for.
    until(lambda: '"completed"' in (tmp_path / "out.ipynb").read_text())
    process.kill()
    process.communicate()
    assert_ended(kernel)
    assert statuses(saved())[0] == "completed"
    sweep(process.pid)  # what a killed process cannot do


def test_a_second_signal_kills_a_kernel_that_does_not_care(papermill, notebook, tmp_path, saved):
    stubborn = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n{TELL_AND_WAIT}"
    process = papermill(notebook(stubborn), "out.ipynb")
    kernel = int(wait_for(tmp_path / "kernel"))
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert_ended(kernel)
    assert statuses(saved()) == ["failed"]


def test_a_process_that_ends_takes_its_kernels_along(notebook, tmp_path):
    path = notebook(TELL_AND_WAIT)
    program = f"""
import threading, papermill, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from looking import wait_for
run = {{"engine_name": "nbflow", "progress_bar": False, "cwd": {str(tmp_path)!r}}}
call = lambda: papermill.execute_notebook({str(path)!r}, {str(tmp_path / "out.ipynb")!r}, **run)
threading.Thread(target=call, daemon=True).start()
wait_for(Path({str(tmp_path / "kernel")!r}))
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=30)
    assert done.returncode == 0
    assert_ended(int((tmp_path / "kernel").read_text()))


def test_a_forked_process_has_a_background_of_its_own(notebook, tmp_path):
    path = notebook("import os; print(os.getppid())")
    program = f"""
import multiprocessing, papermill
def run(name):
    papermill.execute_notebook({str(path)!r}, name, engine_name="nbflow", progress_bar=False)
run({str(tmp_path / "one.ipynb")!r})
two = {str(tmp_path / "two.ipynb")!r}
child = multiprocessing.get_context("fork").Process(target=run, args=[two])
child.start()
child.join()
raise SystemExit(child.exitcode)
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
    assert done.returncode == 0
    nodes = [nbformat.read(tmp_path / f"{name}.ipynb", as_version=4) for name in ("one", "two")]
    assert text_of(nodes[0].cells[0]) != text_of(nodes[1].cells[0])
