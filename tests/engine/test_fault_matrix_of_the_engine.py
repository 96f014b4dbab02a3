"""What ends a kernel under papermill's engine: the file is true, and nothing of it lives on.

The other rows are those of a whole run, whose code this shares, and of `test_engine_faults`.
"""

import pytest
from looking import assert_ended, error_of, statuses
from nbclient.exceptions import DeadKernelError

from nbflow.notebooks import execution
from nbflow.notebooks.memory_pressure import MemoryPressure

START_OTHERS = """
import os, subprocess
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
open("left", "w").write(f"{os.getpid()} {child.pid}")
"""
FAULTS = {
    "sigsegv": ("import ctypes; ctypes.string_at(0)", "signal 11 (SIGSEGV: a crash"),
    "sigabrt": ("import os; os.abort()", "signal 6 (SIGABRT"),
    "os-exit": ("import os; os._exit(3)", "exited with code 3"),
    "fork-server": (
        "import os, signal, time; os.kill(os.getppid(), signal.SIGKILL); time.sleep(600)",
        "the fork server was killed by signal 9",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_kernel_that_ends(notebook, execute, saved, tmp_path, name):
    fault, words = FAULTS[name]
    with pytest.raises(DeadKernelError):
        execute(notebook(START_OTHERS, fault, "2"))
    assert statuses(saved()) == ["completed", "failed", "pending"]
    assert saved().metadata.papermill.exception is True
    assert words in error_of(saved()).evalue
    # Its own process, and the one that it has started in a session of its own.
    for pid in (tmp_path / "left").read_text().split():
        assert_ended(int(pid))


def test_a_kernel_that_the_system_killed_for_memory(
    notebook, execute, saved, tmp_path, monkeypatch
):
    """As far as that can be played: the system's count rises, and the kernel gets SIGKILL."""
    group = tmp_path / "sys" / "fs" / "cgroup" / "job"
    group.mkdir(parents=True)
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "self" / "cgroup").write_text("0::/job\n")
    (group / "memory.events").write_text("oom_kill 4")
    monkeypatch.setattr(execution, "MemoryPressure", lambda: MemoryPressure(tmp_path))
    rise = "open('memory.events', 'w').write('oom_kill 5')"
    kill = f"import os; {rise}; os.kill(os.getpid(), 9)"
    with pytest.raises(DeadKernelError, match="memory ran out"):
        execute(notebook("1", kill, "2"), cwd=group)
    assert statuses(saved()) == ["completed", "failed", "pending"]
    error = error_of(saved())
    assert error.ename == "OutOfMemory"
    assert "count of such kills has risen" in error.evalue
