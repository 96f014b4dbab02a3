"""Being asked for a stack changes nothing for a kernel; and what a stack is made of."""

import asyncio
import json
import signal
import sys
import time

import pytest
from ipykernel.compiler import get_tmp_hash_seed, murmur2_x86
from probed_kernel import exists, probed, waits_in

from nbflow.kernels.answering import SIGNAL
from nbflow.worker.probing.stacks.cells import CellFiles, source_hash
from nbflow.worker.probing.stacks.dump import parse_dump

ASKED = 20

#: What a cell waits for, how long if nobody else ends it, and what comes of it.
PRELUDE = """\
import ctypes, json, os, select, signal, socket, subprocess, sys, threading, time
from pathlib import Path
a, b = socket.socketpair()
lock = threading.Lock()
lock.acquire()
def later(action):
    threading.Timer(2.0, action).start()
def slept(what):
    begin = time.monotonic()
    result = what()
    return [result, round(time.monotonic() - begin)]
"""
WAITS = {
    "sleep": ("slept(lambda: time.sleep(2))", [None, 2]),
    "select": ("slept(lambda: select.select([a], [], [], 2))", [[[], [], []], 2]),
    "poll": (
        "(lambda p: (p.register(a, 1), slept(lambda: p.poll(2000)))[1])(select.poll())",
        [[], 2],
    ),
    "epoll": ("slept(lambda: select.epoll().poll(2))", [[], 2]),
    "recv": ("(later(lambda: b.send(b'x')), a.recv(9).decode())[1]", "x"),
    "recv with a limit": (
        "(a.settimeout(9), later(lambda: b.send(b'x')), a.recv(9).decode())[2]",
        "x",
    ),
    "accept": (
        (
            "(lambda s: (later(lambda: socket.create_connection(s.getsockname())), "
            "s.accept()[1][0])[1])(socket.create_server(('127.0.0.1', 0)))"
        ),
        "127.0.0.1",
    ),
    "wait": ("subprocess.Popen(['sh', '-c', 'sleep 2; exit 7']).wait()", 7),
    "wait with a limit": ("subprocess.Popen(['sh', '-c', 'sleep 2; exit 7']).wait(9)", 7),
    "output": ("subprocess.check_output(['sh', '-c', 'sleep 2; echo 1']).decode()", "1\n"),
    "acquire": ("(later(lock.release), lock.acquire())[1]", True),
    "acquire for a time": ("slept(lambda: lock.acquire(timeout=2))", [False, 2]),
    "a pipe": (
        (
            "(lambda p: (later(lambda: os.write(p[1], b'x')), os.read(p[0], 9).decode())[1])"
            "(os.pipe())"
        ),
        "x",
    ),
    "an alarm": (
        (
            "(signal.signal(signal.SIGALRM, lambda *_: got.append(1)), signal.setitimer("
            "signal.ITIMER_REAL, 0.2, 0.2), slept(lambda: time.sleep(2)), signal.setitimer("
            "signal.ITIMER_REAL, 0), len(got) > 5)[4]"
        ),
        True,
    ),
    "a sleep of compiled code": ("slept(lambda: ctypes.CDLL(None).usleep(2_000_000))", [0, 2]),
    "a poll of compiled code": ("slept(lambda: ctypes.CDLL(None).poll(None, 0, 2000))", [0, 2]),
    "a loop": ("sum(i % 7 for i in range(40_000_000))", 119999995),
    "text for a child": (
        (
            "subprocess.run(['sh', '-c', 'sleep 2; cat'], input=b'x' * 1_000_000, "
            "capture_output=True).stdout.count(b'x')"
        ),
        1_000_000,
    ),
    "exec": (
        (
            "subprocess.run([sys.executable, '-c', 'import os, time; time.sleep(2); "
            'print(sorted(os.listdir("/proc/self/fd")))\'], capture_output=True).stdout.decode()'
        ),
        "['0', '1', '2', '3']\n",
    ),
}


@pytest.mark.parametrize("kind", WAITS)
def test_a_cell_comes_to_the_same_result_while_it_is_asked(tmp_path, kind):
    expression, result = WAITS[kind]
    begun, ended = tmp_path / "begun", tmp_path / "ended"
    code = (
        f"{PRELUDE}got = []\nPath({str(begun)!r}).touch()\nvalue = {expression}\n"
        f"Path({str(ended)!r}).write_text(json.dumps(value))"
    )

    async def scenario():
        async with probed(tmp_path, code) as it:
            await it.begun(begun)
            stacks = [await it.stack() for _ in range(ASKED)]
            was_before = not ended.exists()
            await it.running
            return stacks, was_before

    stacks, was_before = asyncio.run(scenario())
    assert was_before
    assert json.loads(ended.read_text()) == result
    if "compiled" in kind:
        assert "which asking would break off" in stacks[-1].problem
        assert stacks[-1].main.call in ("clock_nanosleep", "nanosleep", "poll", "ppoll")
    else:
        assert {stack.problem for stack in stacks} == {""}
        assert all(stack.cell_frame.cell == 0 for stack in stacks if stack.cell_frame)
        assert any(stack.cell_frame for stack in stacks)


def test_a_pause_is_never_broken_off(tmp_path):
    """Python, too, takes any signal for its end."""

    async def scenario():
        async with probed(tmp_path, "import signal\nsignal.pause()") as it:
            await it.until(waits_in("pause", "ppoll"))
            stacks = [await it.stack() for _ in range(3)]
            return stacks, it.running.done(), it.doing()

    stacks, over, doing = asyncio.run(scenario())
    assert not over
    assert doing.call in ("pause", "ppoll")
    assert all("compiled code waits in" in stack.problem for stack in stacks)


def test_a_thread_that_has_not_moved_is_not_asked_again(tmp_path):
    code = "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()"

    async def scenario():
        async with probed(tmp_path, code) as it:
            await it.until(waits_in("futex"))
            # After the first signal it goes back to where it waited, which takes a moment.
            asked = set()
            for _ in range(10):
                stack = await it.stack()
                asked.add(it.kernel.answers.stat().st_mtime_ns)
                await asyncio.sleep(0.01)
            return asked, stack

    asked, stack = asyncio.run(scenario())
    assert len(asked) <= 3
    assert stack.cell_frame.line == 4


def test_a_kernel_without_a_handler_is_not_signalled(tmp_path):
    code = f"import faulthandler, time\nfaulthandler.unregister({SIGNAL})\ntime.sleep(60)"

    async def scenario():
        async with probed(tmp_path, code) as it:
            await it.until(waits_in("clock_nanosleep", "nanosleep"))
            return await it.stack(), exists(it.pid)

    stack, lives = asyncio.run(scenario())
    assert lives
    assert stack.problem.startswith("the kernel does not answer: its handler is gone")


def test_a_kernel_that_has_closed_its_file_is_not_signalled(tmp_path):
    other = tmp_path / "other"
    code = (
        "import os, time\n"
        "for fd in os.listdir('/proc/self/fd'):\n"
        "    if os.path.lexists(f'/proc/self/fd/{fd}') and "
        "os.readlink(f'/proc/self/fd/{fd}').endswith('/stacks'):\n"
        "        os.close(int(fd))\n"
        f"        mine = os.open({str(other)!r}, os.O_CREAT | os.O_RDWR)\n"
        "time.sleep(60)"
    )

    async def scenario():
        async with probed(tmp_path, code) as it:
            await it.until(waits_in("clock_nanosleep", "nanosleep"))
            return await it.stack()

    assert "it has closed its file" in asyncio.run(scenario()).problem
    assert other.read_bytes() == b""


def test_a_thread_that_blocks_every_signal_keeps_nobody_waiting(tmp_path):
    code = (
        "import signal, threading\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\n"
        "threading.Event().wait()"
    )

    async def scenario():
        async with probed(tmp_path, code) as it:
            await it.until(waits_in("futex"))
            began = time.monotonic()
            return [await it.stack(), await it.stack()], time.monotonic() - began

    stacks, took_s = asyncio.run(scenario())
    assert "has not answered" in stacks[0].problem
    assert took_s < 5


def test_the_threads_of_a_notebook_are_told_from_the_kernels_own(tmp_path):
    code = (
        "import threading, time\n"
        "def work(gate):\n    gate.wait()\n"
        "gate = threading.Event()\n"
        "threading.Thread(target=work, args=(gate,), daemon=True).start()\n"
        "time.sleep(60)"
    )

    async def scenario():
        async with probed(tmp_path, code) as it:
            await it.until(waits_in("clock_nanosleep", "nanosleep"))
            return await it.stack()

    stack = asyncio.run(scenario())
    assert stack.threads[0].main
    (mine,) = [it for it in stack.threads if not it.main and not it.service]
    assert (mine.call, mine.timed) == ("futex", False)
    assert [frame.text for frame in mine.frames if frame.cell == 0] == ["gate.wait()"]


@pytest.mark.parametrize("magic", ["%%time", "%%capture"])
def test_the_line_of_a_cell_that_a_magic_runs_is_that_of_the_notebook(tmp_path, magic):
    async def scenario():
        async with probed(tmp_path, f"{magic}\nimport time\ntime.sleep(60)") as it:
            await it.until(waits_in("clock_nanosleep", "nanosleep"))
            return await it.stack()

    frame = asyncio.run(scenario()).cell_frame
    assert (frame.cell, frame.line, frame.text) == (0, 3, "time.sleep(60)")


def test_an_ordinary_kernel_answers_as_a_warm_one_does(tmp_path):
    async def scenario():
        async with probed(tmp_path, "import time\ntime.sleep(60)", warm=False) as it:
            await it.until(waits_in("clock_nanosleep", "nanosleep"))
            return await it.stack()

    assert asyncio.run(scenario()).cell_frame.text == "time.sleep(60)"


SPY = """\
#!{python}
import json, sys
pid = int(sys.argv[-1])
assert sys.argv[1:-2] == ["dump", "--nonblocking", "--json"]
frame = {{"filename": "/home/me/helper.py", "line": 3, "name": "wait"}}
print(json.dumps([{{"os_thread_id": pid, "thread_name": "MainThread", "frames": [frame]}}]))
"""


@pytest.fixture
def spy(tmp_path):
    program = tmp_path / "py-spy"
    program.write_text(SPY.format(python=sys.executable))
    program.chmod(0o755)
    return str(program)


def test_py_spy_is_asked_where_a_signal_would_do_harm(tmp_path, spy):
    code = "import ctypes\nctypes.CDLL(None).usleep(60_000_000)"

    async def scenario():
        async with probed(tmp_path, code, find_spy=lambda: spy) as it:
            await it.until(waits_in("clock_nanosleep", "nanosleep"))
            broken_off = await it.stack()
            it.kernel.manager.provisioner.process.send_signal(signal.SIGSTOP)
            await it.until(lambda doing: doing.state == "stopped")
            return broken_off, await it.stack()

    for stack, problem in zip(asyncio.run(scenario()), ("", "the kernel is stopped"), strict=True):
        assert (stack.source, stack.main.frames[0].function) == ("py-spy", "wait")
        assert stack.problem.startswith(problem)


def test_a_py_spy_that_fails_is_a_problem(tmp_path):
    async def scenario():
        code = "import signal\nsignal.pause()"
        async with probed(tmp_path, code, find_spy=lambda: "/bin/false") as it:
            await it.until(waits_in("pause", "ppoll"))
            return await it.stack()

    assert "py-spy failed" in asyncio.run(scenario()).problem


# What it is made of.


@pytest.mark.parametrize("length", range(9))
def test_the_name_of_a_cells_file_is_ipykernels(length):
    source = "äb€'\n%😀x"[:length]
    assert source_hash(source) == murmur2_x86(source, get_tmp_hash_seed())


def test_of_cells_with_the_same_source_the_one_that_runs_is_meant():
    cells = CellFiles({1: "f()", 3: "f()", 5: "g()"})
    file = f"/tmp/ipykernel_7/{source_hash('f()')}.py"
    assert [cells.find(file, 1, running).cell for running in (None, 0, 1, 2, 3, 5)] == [
        1, 1, 1, 1, 3, 3,
    ]  # fmt: skip
    assert cells.find(file, 9, 3).text == ""
    assert cells.find("/tmp/f.py", 1, 3) is None
    assert cells.find("/tmp/ipykernel_7/12.py", 1, 3) is None
    assert cells.is_cell("/tmp/ipykernel_7/12.py")


DUMP = """\
Thread 0x00007f01 [worker (1)] (most recent call first):
  File "/usr/lib/python3.14/threading.py", line 359 in wait
  File "<frozen runpy>", line ??? in <module>
  ...

Current thread 0x00007f02 (most recent call first):
  File "/tmp/a "quoted" name.py", line 4 in f.<locals>.g

Thread 0x00007f03 (most recent call first):
  <no Python frame>
Extension modules: numpy (total: 1)
"""


def test_a_dump_is_read():
    first, second, third = parse_dump(DUMP)
    assert (first.handle, first.name, first.asked) == (0x7F01, "worker (1)", False)
    assert [(it.line, it.function) for it in first.frames] == [(359, "wait"), (0, "<module>")]
    assert second.asked
    assert second.frames == (('/tmp/a "quoted" name.py', 4, "f.<locals>.g"),)
    assert third.frames == ()


def test_half_a_dump_is_read_as_far_as_it_goes():
    for end in range(len(DUMP)):
        assert len(parse_dump(DUMP[:end])) <= 3
