"""What a cell waits for, as it is seen from outside, in real kernels: one kind a test."""

import asyncio
import os
import signal
import socket

import pytest
from probed_kernel import probed, waits_in


def cell_line(stack):
    frame = stack.cell_frame
    return (frame.cell, frame.text) if frame is not None else None


SLEEP = ("clock_nanosleep", "nanosleep")
POLL = ("poll", "ppoll")
SELECT = ("select", "pselect6")
EPOLL = ("epoll_wait", "epoll_pwait")

#: The last line of a cell, the calls that it may wait in, what it waits for, and whether that ends.
PLAIN = {
    "lock": ("lock.acquire()", ("futex",), "", False),
    "lock for a time": ("lock.acquire(timeout=60)", ("futex",), "", True),
    "queue": ("queue.Queue().get()", ("futex",), "", False),
    "sleep": ("time.sleep(60)", SLEEP, "", True),
    "pipe": ("os.read(os.pipe()[0], 1)", ("read",), "pipe", False),
    "select": ("select.select([pair[0]], [], [])", SELECT, "socket", False),
    "poll": ("poll.poll(60_000)", POLL, "socket", True),
    "child": ("subprocess.run(['sleep', '60'])", ("wait4", "waitid"), "(sleep)", False),
    "child's output": ("subprocess.check_output(['sleep', '60'])", ("read",), "(sleep)", False),
    "sigwait": ("signal.sigwait([signal.SIGUSR1])", ("rt_sigtimedwait",), "", False),
    "file lock": ("fcntl.flock(open(path, 'w'), 2)", ("flock",), "locked", False),
}
BEFORE = """\
import fcntl, os, queue, select, signal, socket, subprocess, threading, time
lock = threading.Lock()
lock.acquire()
pair = socket.socketpair()
poll = select.poll()
poll.register(pair[0], select.POLLIN)
path = os.path.abspath('locked')
held = open(path, 'w')
fcntl.flock(held, 2)
"""


@pytest.mark.parametrize("kind", PLAIN)
def test_a_wait_is_named_and_its_line_is_found(tmp_path, kind):
    line, calls, target, timed = PLAIN[kind]

    async def scenario():
        async with probed(tmp_path, BEFORE + line) as it:
            doing = await it.until(lambda seen: waits_in(*calls)(seen) and target in seen.target)
            return doing, await it.stack(), it.denied.path

    doing, stack, denied = asyncio.run(scenario())
    assert doing.timed is timed
    assert denied == ""
    assert (stack.problem, stack.source) == ("", "faulthandler")
    assert cell_line(stack) == (0, line)
    assert (stack.main.call, stack.main.timed) == (doing.call, timed)
    assert stack.main.frames[0].line > 0
    others = [thread for thread in stack.threads if not thread.main]
    assert others
    assert all(thread.service for thread in others)
    assert any(thread.call in EPOLL for thread in others)


def test_a_socket_is_named_by_its_other_end(tmp_path):
    async def scenario():
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            code = (
                f"import socket\nlink = socket.create_connection(('127.0.0.1', {port}))\n"
                "link.recv(1)"
            )
            async with probed(tmp_path, code) as it:
                doing = await it.until(waits_in("recvfrom"))
                return port, doing, await it.stack()

    port, doing, stack = asyncio.run(scenario())
    assert doing.target == f"socket 127.0.0.1:{port}"
    assert not doing.timed
    assert cell_line(stack) == (0, "link.recv(1)")


def test_a_socket_with_a_time_limit_is_timed(tmp_path):
    async def scenario():
        with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
            port = server.getsockname()[1]
            code = (
                f"import socket\nlink = socket.create_connection(('::1', {port}))\n"
                "link.settimeout(60)\nlink.recv(1)"
            )
            async with probed(tmp_path, code) as it:
                doing = await it.until(waits_in(*POLL))
                return port, doing

    port, doing = asyncio.run(scenario())
    assert doing.target == f"socket [::1]:{port}"
    assert doing.timed


def test_a_fifo_is_named_while_it_is_opened(tmp_path):
    fifo = tmp_path / "queue"
    os.mkfifo(fifo)

    async def scenario():
        async with probed(tmp_path, "open('queue')") as it:
            doing = await it.until(waits_in("open", "openat"))
            return doing, await it.stack()

    doing, stack = asyncio.run(scenario())
    assert doing.target == f"fifo {fifo}"
    assert cell_line(stack) == (0, "open('queue')")


def test_an_endless_loop_runs_and_its_line_is_known(tmp_path):
    code = "def spin():\n    n = 0\n    while True:\n        n += 1\nspin()"

    async def scenario():
        async with probed(tmp_path, code) as it:
            doing = await it.until(lambda seen: seen.state == "running" and it.totals().cpu_s > 0.5)
            return doing, await it.stack()

    doing, stack = asyncio.run(scenario())
    assert (doing.call, doing.target) == ("", "")
    assert stack.cell_frame.function == "spin"
    assert cell_line(stack)[1] in ("while True:", "n += 1")
    assert [frame.function for frame in stack.main.frames] == ["spin", "<module>"]


def test_a_cell_that_awaits_waits_for_events(tmp_path):
    async def scenario():
        async with probed(tmp_path, "import asyncio\nawait asyncio.sleep(60)") as it:
            await it.until(waits_in(*EPOLL))
            return await it.stack()

    stack = asyncio.run(scenario())
    assert stack.problem == ""
    assert stack.main is not None


def test_a_stopped_kernel_is_stopped_and_cannot_answer(tmp_path):
    async def scenario():
        async with probed(tmp_path, "import time\ntime.sleep(60)") as it:
            await it.until(waits_in(*SLEEP))
            os.kill(it.pid, signal.SIGSTOP)
            doing = await it.until(lambda seen: seen.state == "stopped")
            return doing, await it.stack()

    doing, stack = asyncio.run(scenario())
    assert doing.call == ""
    assert "stopped (SIGSTOP" in stack.problem
    assert stack.main is not None
    assert stack.cell_frame is None


def test_how_long_it_has_been_so(tmp_path):
    async def scenario():
        code = "import time\nwhile True:\n    time.sleep(0.05)"
        async with probed(tmp_path, code) as it:
            return await it.until(lambda seen: waits_in(*SLEEP)(seen) and seen.since_s > 0.5)

    # It wakes up now and then, and gets on with nothing.
    assert asyncio.run(scenario()).since_s < 5


def test_memory_of_the_whole_tree_is_counted(tmp_path):
    code = (
        "import subprocess, sys, time\nkept = bytearray(60_000_000)\n"
        "child = subprocess.Popen([sys.executable, '-c', "
        "'import time; kept = bytearray(60_000_000); time.sleep(60)'])\ntime.sleep(60)"
    )

    async def scenario():
        async with probed(tmp_path, code) as it:
            before = it.totals()
            await it.until(
                lambda seen: it.totals().memory_bytes > before.memory_bytes + 120_000_000
            )
            return before, it.totals(), it.tree.peak_bytes()

    before, after, peak = asyncio.run(scenario())
    assert (before.processes, after.processes) == (1, 2)
    assert after.threads > before.threads
    assert after.cpu_s > before.cpu_s
    assert 60_000_000 < peak < after.memory_bytes


def test_what_a_child_has_used_stays_counted_when_it_has_ended(tmp_path):
    code = (
        "import os, subprocess, sys, time\n"
        "subprocess.run([sys.executable, '-c', 'import os, time\\n"
        "while time.process_time() < 0.5: pass\\n"
        'out = open("big", "wb"); out.write(bytes(1 << 20)); out.flush(); '
        "os.fsync(out.fileno())'])\ntime.sleep(60)"
    )

    async def scenario():
        async with probed(tmp_path, code) as it:
            await it.until(waits_in(*SLEEP))
            return it.totals()

    totals = asyncio.run(scenario())
    assert totals.cpu_s >= 0.5
    assert totals.processes == 1
