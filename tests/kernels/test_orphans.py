"""Whatever is killed, nothing that it has started goes on."""

import signal
import subprocess
import sys

import psutil
import pytest
from watchpoint import until

from nbflow.kernels.folders import sweep

#: Starts a warm kernel whose cell has started a process of its own, and waits to be killed.
PROGRAM = """
import asyncio, sys
from pathlib import Path
from nbflow.kernels import WarmPool, Wishes, start_kernel

async def main():
    pool = WarmPool(idle_limit=2)
    kernel = await start_kernel("python3", cwd=Path("."), env={}, wishes=Wishes(pool=pool))
    child = "__import__('subprocess').Popen(['sleep', '1000'])"
    await kernel.evaluate(f"{child}")
    kernel.client.execute("sum(range(10**12))")
    while pool.stats().idle == 0:
        await asyncio.sleep(0.01)
    Path("ready").touch()
    await kernel.ended()
    Path("told").write_text(str(await kernel.death()))
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def owner(tmp_path):
    """A process with a fork server, a busy kernel with a child, and a kernel that waits."""
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], cwd=tmp_path)
    try:
        until((tmp_path / "ready").exists)
        yield psutil.Process(process.pid)
    finally:
        process.kill()
        process.wait()
        sweep(process.pid)


def family(owner):
    found = owner.children(recursive=True)
    assert any("forkserver.py" in " ".join(process.cmdline()) for process in found)
    assert any("sleep" in process.name() for process in found)
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_with_its_owner_ends_the_fork_server_with_all_that_its_kernels_have_started(owner, number):
    processes = family(owner)
    owner.send_signal(number)
    assert not psutil.wait_procs(processes, timeout=5)[1]


def test_with_the_fork_server_end_its_kernels_and_the_owner_is_told_why(owner, tmp_path):
    processes = family(owner)
    (server,) = [p for p in owner.children() if "forkserver.py" in " ".join(p.cmdline())]
    kernels = server.children()
    assert len(kernels) == 2
    server.kill()
    assert not psutil.wait_procs([server, *kernels], timeout=5)[1]
    until((tmp_path / "told").exists)
    assert "fork server was killed by signal 9" in (tmp_path / "told").read_text()
    for process in processes:
        # What a cell had started is in its kernel's group, which the owner kills at shutdown.
        if process.is_running() and process.name() == "sleep":
            process.kill()
