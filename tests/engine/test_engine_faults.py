"""Whatever ends a notebook early, its file is true, and papermill's users get what they know."""

import os
import signal
import threading
import time

import papermill
import pytest
from looking import TELL_AND_WAIT, assert_ended, error_of, statuses, wait_for
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError

#: A fault is told within so many seconds.
PROMPT_S = 2.0


@pytest.fixture
def at_the_kernel(tmp_path):
    """Do something as soon as the cell `TELL_AND_WAIT` runs; return when it was done."""
    threads = []

    def start(do):
        done_at = []

        def act():
            pid = int(wait_for(tmp_path / "kernel"))
            done_at.append(time.monotonic())
            do(pid)

        threads.append(threading.Thread(target=act))
        threads[-1].start()
        return done_at

    yield start
    for thread in threads:
        thread.join()


def test_a_kernel_killed_from_outside(notebook, execute, saved, at_the_kernel):
    killed_at = at_the_kernel(lambda pid: os.kill(pid, signal.SIGKILL))
    with pytest.raises(DeadKernelError, match="signal 9"):
        execute(notebook("1", TELL_AND_WAIT, "2"))
    assert time.monotonic() - killed_at[0] < PROMPT_S
    assert statuses(saved()) == ["completed", "failed", "pending"]
    assert saved().metadata.papermill.exception is True
    assert "signal 9 (SIGKILL" in error_of(saved()).evalue


def test_a_kernel_that_ends_itself(notebook, execute, saved):
    with pytest.raises(DeadKernelError, match="exited with code 3"):
        execute(notebook("print('before', flush=True)", "import os; os._exit(3)", "2"))
    assert statuses(saved()) == ["completed", "failed", "pending"]
    assert "exited with code 3" in error_of(saved()).evalue


def test_the_partial_notebook_is_saved_also_where_saving_was_not_requested(
    notebook, execute, saved
):
    with pytest.raises(DeadKernelError):
        execute(notebook("import os; os._exit(3)"), request_save_on_cell_execute=False)
    assert statuses(saved()) == ["failed"]


@pytest.mark.parametrize("name", ["execution_timeout", "timeout"])
def test_a_cell_that_takes_too_long(notebook, execute, saved, tmp_path, name):
    with pytest.raises(CellTimeoutError, match=r"after 1 seconds[\s\S]*time\.sleep\(600\)"):
        execute(notebook("1", TELL_AND_WAIT, "2"), **{name: 1})
    assert statuses(saved()) == ["completed", "failed", "pending"]
    assert saved().metadata.papermill.exception is True
    assert "1 s" in error_of(saved()).evalue
    assert_ended(int(wait_for(tmp_path / "kernel")))


def test_a_timeout_is_for_each_cell(notebook, execute):
    execute(notebook(*["import time; time.sleep(0.6)"] * 3), execution_timeout=1)


def test_a_cell_may_be_interrupted_at_its_timeout_and_the_others_run(notebook, execute, saved):
    with pytest.raises(PapermillExecutionError, match="KeyboardInterrupt"):
        execute(
            notebook("import time; time.sleep(600)", "print('on')"),
            execution_timeout=1,
            interrupt_on_timeout=True,
            allow_errors=True,
        )
    assert [status for status in statuses(saved()) if status != "failed"][-1] == "completed"
    assert saved().cells[-1].outputs[0].text == "on\n"


def test_memory_can_be_bounded(notebook, execute, saved):
    with pytest.raises(DeadKernelError, match="the limit is 300 MB"):
        execute(notebook("x = b'x' * 500_000_000; import time; time.sleep(600)"), memory_bytes=3e8)
    assert statuses(saved()) == ["failed"]


def test_an_interrupt_of_the_caller(notebook, execute, saved, at_the_kernel, tmp_path):
    interrupted_at = at_the_kernel(lambda _: signal.pthread_kill(_main_thread(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        execute(notebook("1", TELL_AND_WAIT, "2"))
    assert time.monotonic() - interrupted_at[0] < PROMPT_S
    assert statuses(saved()) == ["completed", "failed", "pending"]
    assert error_of(saved()).ename == "KeyboardInterrupt"
    assert_ended(int(wait_for(tmp_path / "kernel")))


def test_an_interrupt_while_the_kernel_starts(notebook, execute, saved, tmp_path, kernelspec):
    kernelspec("slow", f"open({str(tmp_path / 'kernel')!r}, 'w').write('1'); time.sleep(600)")

    def interrupt():
        wait_for(tmp_path / "kernel")
        signal.pthread_kill(_main_thread(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        execute(notebook("1", kernel="slow"))
    thread.join()
    assert statuses(saved()) == ["pending"]


def test_a_kernel_that_ends_while_it_starts(notebook, execute, saved, kernelspec):
    kernelspec("broken", "sys.exit('no licence found')")
    with pytest.raises(RuntimeError, match="no licence found"):
        execute(notebook("1", kernel="broken"))
    assert statuses(saved()) == ["pending"]
    assert saved().metadata.papermill.exception is True


def test_a_kernel_that_does_not_answer_in_time(notebook, execute, kernelspec):
    kernelspec("silent", "time.sleep(600)")
    with pytest.raises(RuntimeError, match="within 1 s"):
        execute(notebook("1", kernel="silent"), start_timeout=1)


def test_one_callers_fault_is_not_anothers(notebook, tmp_path, at_the_kernel):
    at_the_kernel(lambda pid: os.kill(pid, signal.SIGKILL))
    dying = notebook(TELL_AND_WAIT, name="dying.ipynb")
    living = notebook(
        "import os, time\nwhile not os.path.exists('over'): time.sleep(0.01)", name="living.ipynb"
    )
    done = []

    def run():
        done.append(
            papermill.execute_notebook(
                living, None, engine_name="nbflow", progress_bar=False, cwd=tmp_path
            )
        )

    thread = threading.Thread(target=run)
    thread.start()
    with pytest.raises(DeadKernelError):
        papermill.execute_notebook(
            dying, None, engine_name="nbflow", progress_bar=False, cwd=tmp_path
        )
    (tmp_path / "over").touch()
    thread.join()
    assert statuses(done[0]) == ["completed"]


def _main_thread():
    return threading.main_thread().ident
