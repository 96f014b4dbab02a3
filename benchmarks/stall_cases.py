"""Notebooks that stall, each in its own way, and healthy ones that are quiet for long.

The tests and the benchmark of the diagnosis share them.
"""

import contextlib
import fcntl
import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Self

import nbformat

import nbflow
from nbflow.core.findings import Finding

#: What every stall begins with: `begun()` is called right before it.
_STALL_PRELUDE = """
import os, socket, subprocess, sys, threading, time
from pathlib import Path

def begun():
    Path(MARK).touch()
"""

#: What every healthy notebook begins with.
_HEALTHY_PRELUDE = """
import asyncio, concurrent.futures, fcntl, hashlib, http.client, logging, logging.handlers
import multiprocessing, mmap, os, queue, sched, select, selectors, signal, socket, socketserver
import sqlite3, subprocess, sys, tempfile, threading, time, urllib.request, zlib
import numpy

def work(seconds):
    end = time.monotonic() + seconds
    n = 0
    while time.monotonic() < end:
        n += 1
    return n

def later(function, *arguments):
    thread = threading.Timer(QUIET_S, function, arguments)
    thread.start()
    return thread
"""

#: How long healthy notebooks are quiet, and how often they are looked at, in seconds.
QUIET_S, LOOK_S = 9.0, 0.5


class Stall(NamedTuple):
    """One stall: what its notebook does, and what it is to be called."""

    kind: str
    code: str
    #: Declared seconds; None where the evidence alone must do.
    expected: float | None = None
    memory: str | None = None
    #: Text of the line at which it stands, as its evidence has it; empty where it is none.
    line: str = ""


STALLS = {
    "lock": Stall(
        "blocked_on_lock",
        "lock = threading.Lock()\nlock.acquire()\nbegun()\nlock.acquire()",
        line="lock.acquire()",
    ),
    "threads": Stall(
        "blocked_on_lock",
        "lock = threading.Lock()\nlock.acquire()\n"
        "other = threading.Thread(target=lock.acquire)\nother.start()\nbegun()\nother.join()",
    ),
    "server": Stall(
        "blocked_on_network",
        "line = socket.create_connection(('127.0.0.1', PORT))\nbegun()\nline.recv(1)",
        expected=1,
        line="line.recv(1)",
    ),
    "loop": Stall(
        "cpu_bound_loop",
        "n = 0\nbegun()\nwhile True: n += 1",
        expected=1,
        line="while True: n += 1",
    ),
    "sleep": Stall("sleeping", "begun()\ntime.sleep(3600)", expected=1, line="time.sleep(3600)"),
    "fifo": Stall(
        "blocked_on_io",
        "os.mkfifo(MARK + '.fifo')\nbegun()\nopen(MARK + '.fifo').read()",
        expected=1,
    ),
    "child": Stall("blocked_on_process", "begun()\nsubprocess.run(['sleep', '3600'])", expected=1),
    "answer": Stall(
        "blocked_on_process",
        "begun()\nsubprocess.run(['sleep', '3600'], capture_output=True)",
        expected=1,
    ),
    "input": Stall(
        "waiting_for_input",
        "end, kept = os.pipe()\nsys.stdin = os.fdopen(end)\nbegun()\nsys.stdin.readline()",
        line="sys.stdin.readline()",
    ),
    "memory": Stall(
        "memory_pressure",
        "import psutil\nkept = []\n"
        "while psutil.Process().memory_info().rss < 0.94 * 400e6:\n"
        "    kept.append(os.urandom(4_000_000))\nbegun()\ntime.sleep(3600)",
        memory="400MB",
    ),
    "stopped": Stall("stopped", "begun()\nos.kill(os.getpid(), 19)"),
    "file_lock": Stall(
        "blocked_on_lock",
        "import fcntl\nfile = open(LOCKED)\nbegun()\nfcntl.flock(file, fcntl.LOCK_EX)",
        expected=1,
    ),
    # Uninterruptible, as a wait for a disk that does not answer: the system holds up who starts a
    # process by `vfork` until that one is under way.
    "disk": Stall(
        "blocked_on_io",
        "import ctypes, signal\nlibc = ctypes.CDLL(None)\nstack = (ctypes.c_longdouble * 4096)()\n"
        "top = ctypes.c_void_p(ctypes.addressof(stack) + ctypes.sizeof(stack))\n"
        "CLONE_VFORK = 0x4000\nbegun()\n"
        "libc.clone(libc.pause, top, CLONE_VFORK | signal.SIGCHLD, None)",
        expected=1,
    ),
    "awaited": Stall("sleeping", "import asyncio\nbegun()\nawait asyncio.sleep(3600)", expected=1),
}

HEALTHY = {
    # Sleep, and look from time to time.
    "sleep": "time.sleep(QUIET_S)",
    "poll_by_sleep": "end = time.time() + QUIET_S\nwhile time.time() < end:\n    time.sleep(0.2)",
    "select_as_sleep": "select.select([], [], [], QUIET_S)",
    "schedule": "s = sched.scheduler()\ns.enter(QUIET_S, 1, print)\ns.run()",
    "await_sleep": "await asyncio.sleep(QUIET_S)",
    "await_many": "await asyncio.gather(*(asyncio.sleep(QUIET_S - i) for i in range(5)))",
    "await_thread": "await asyncio.to_thread(time.sleep, QUIET_S)",
    "await_queue": (
        "q = asyncio.Queue()\n"
        "asyncio.get_running_loop().call_later(QUIET_S, q.put_nowait, 1)\nawait q.get()"
    ),
    "await_process": (
        "p = await asyncio.create_subprocess_exec('sleep', str(QUIET_S))\nawait p.wait()"
    ),
    "await_server": (
        "r, w = await asyncio.open_connection('127.0.0.1', PORT)\n"
        "w.write(b'GET / HTTP/1.0\\r\\n\\r\\n')\nawait r.read()\nw.close()"
    ),
    # Threads that wait for each other.
    "pool": (
        "with concurrent.futures.ThreadPoolExecutor(4) as pool:\n"
        "    list(pool.map(time.sleep, [QUIET_S, 1, 1]))"
    ),
    "pool_at_work": (
        "with concurrent.futures.ThreadPoolExecutor(1) as pool:\n"
        "    pool.submit(work, QUIET_S).result()"
    ),
    "event_by_timer": "done = threading.Event()\nlater(done.set)\ndone.wait()",
    "join": "t = threading.Thread(target=time.sleep, args=[QUIET_S])\nt.start()\nt.join()",
    "queue_workers": (
        "q = queue.Queue()\n"
        "def take():\n    while (item := q.get()) is not None:\n        time.sleep(item)\n"
        "        q.task_done()\n"
        "threads = [threading.Thread(target=take) for _ in range(3)]\n"
        "[t.start() for t in threads]\nq.put(QUIET_S)\nq.join()\n"
        "[q.put(None) for _ in threads]\n[t.join() for t in threads]"
    ),
    "idle_workers": (
        "q = queue.Queue()\nthreads = [threading.Thread(target=q.get) for _ in range(3)]\n"
        "[t.start() for t in threads]\ntime.sleep(QUIET_S)\n[q.put(1) for _ in threads]"
    ),
    "lock_of_a_sleeper": (
        "lock = threading.Lock()\n"
        "def hold():\n    with lock:\n        time.sleep(QUIET_S)\n"
        "t = threading.Thread(target=hold)\nt.start()\ntime.sleep(0.1)\n"
        "with lock:\n    pass\nt.join()"
    ),
    "lock_of_a_worker": (
        "lock = threading.Lock()\n"
        "def hold():\n    with lock:\n        work(QUIET_S)\n"
        "t = threading.Thread(target=hold)\nt.start()\ntime.sleep(0.1)\n"
        "lock.acquire()\nlock.release()\nt.join()"
    ),
    "lock_with_a_limit": "lock = threading.Lock()\nlock.acquire()\nlock.acquire(timeout=QUIET_S)",
    "condition": (
        "c = threading.Condition()\n"
        "def tell():\n    with c:\n        c.notify()\n"
        "with c:\n    later(tell)\n    c.wait()"
    ),
    "barrier": (
        "b = threading.Barrier(3)\nthreads = [threading.Thread(target=b.wait) for _ in range(2)]\n"
        "[t.start() for t in threads]\nlater(b.wait)\n[t.join() for t in threads]"
    ),
    "log_listener": (
        "q = queue.Queue()\nlistener = logging.handlers.QueueListener(q)\nlistener.start()\n"
        "time.sleep(QUIET_S)\nlistener.stop()"
    ),
    # Sockets.
    "http": "urllib.request.urlopen(f'http://127.0.0.1:{PORT}/').read()",
    "http_with_a_limit": (
        "line = http.client.HTTPConnection('127.0.0.1', PORT, timeout=60)\n"
        "line.request('GET', '/')\nline.getresponse().read()"
    ),
    "socket": (
        "line = socket.create_connection(('127.0.0.1', PORT))\n"
        "line.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n')\nline.recv(1)"
    ),
    "http_in_a_thread": (
        "t = threading.Thread(target=lambda: urllib.request.urlopen(f'http://127.0.0.1:{PORT}/'))\n"
        "t.start()\nt.join()"
    ),
    "accept": (
        "s = socket.create_server(('127.0.0.1', 0))\n"
        "later(lambda: socket.create_connection(s.getsockname()).close())\ns.accept()"
    ),
    "datagram": (
        "a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)\nlater(a.send, b'x')\n"
        "b.recv(1)"
    ),
    "server": (
        "server = socketserver.ThreadingTCPServer(\n"
        "    ('127.0.0.1', 0), socketserver.BaseRequestHandler)\n"
        "later(server.shutdown)\nserver.serve_forever()\nserver.server_close()"
    ),
    # Other processes.
    "child": "subprocess.run(['sleep', str(QUIET_S)])",
    "child_that_is_read": "subprocess.run(['sleep', str(QUIET_S)], capture_output=True)",
    "shell": "get_ipython().system(f'sleep {QUIET_S}')",
    "system": "os.system(f'sleep {QUIET_S}')",
    "process_pool": (
        "with multiprocessing.get_context('fork').Pool(2) as pool:\n"
        "    pool.map(time.sleep, [QUIET_S, 1])"
    ),
    "process_executor": (
        "context = multiprocessing.get_context('fork')\n"
        "with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:\n"
        "    pool.submit(time.sleep, QUIET_S).result()"
    ),
    "joblib": (
        "import joblib\n"
        "joblib.Parallel(n_jobs=2)(joblib.delayed(time.sleep)(s) for s in [QUIET_S, 1])"
    ),
    # Work without a word.
    "compute": "work(QUIET_S)",
    "arrays": (
        "end = time.monotonic() + QUIET_S\n"
        "while time.monotonic() < end:\n    numpy.linalg.svd(numpy.ones((150, 150)))"
    ),
    "much_memory": "kept = b'x' * 150_000_000\ntime.sleep(QUIET_S)",
    "files": (
        "with tempfile.TemporaryFile() as f:\n    end = time.monotonic() + QUIET_S\n"
        "    while time.monotonic() < end:\n        f.write(b'x' * 10_000)\n"
        "        os.fsync(f.fileno())\n        f.seek(0)\n        time.sleep(0.05)"
    ),
    "pipe": "r, w = os.pipe()\nlater(os.write, w, b'x')\nos.read(r, 1)",
    "fifo": (
        "name = tempfile.mktemp()\nos.mkfifo(name)\n"
        "def write():\n    with open(name, 'w') as f:\n        time.sleep(QUIET_S)\n"
        "        f.write('x')\n"
        "t = threading.Thread(target=write)\nt.start()\nopen(name).read()\nt.join()\n"
        "os.unlink(name)"
    ),
    "alarm": "signal.signal(signal.SIGALRM, lambda *_: None)\nsignal.alarm(9)\nsignal.pause()",
}


class Watch:
    """Looks at a run whenever it changes, and notes when each finding came first."""

    def __init__(self, run: nbflow.Run) -> None:
        self.run = run
        self.first: dict[tuple[str, str], tuple[float, Finding]] = {}

    def look(self) -> dict[tuple[str, str], Finding]:
        """Return the findings of now, by node and kind."""
        found = {(it.node, str(it.kind)): it for it in self.run.diagnose().findings}
        for key, finding in found.items():
            self.first.setdefault(key, (time.monotonic(), finding))
        return found

    def until(self, condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
        """Look until `condition` holds."""
        deadline = time.monotonic() + timeout_s
        while True:
            self.look()
            if condition():
                return
            seen = sorted(f"{node}: {kind}" for node, kind in self.first)
            assert time.monotonic() < deadline, f"not all was named in time, but {seen}"
            self.run.wait_changed(0.25)

    def named(self, node: str, kind: str) -> Finding:
        """Return the finding, as soon as it is there."""
        self.until(lambda: (node, kind) in self.first)
        return self.first[node, kind][1]


class StalledRun:
    """A run of all stalls at once; leaving its context ends it.

    Parameters
    ----------
    folder
        An empty one.
    """

    def __init__(self, folder: Path) -> None:
        self._exits = contextlib.ExitStack()
        self._begun: dict[str, float] = {}
        self._marks = {name: folder / f"{name}.mark" for name in STALLS}
        locked = folder / "locked"
        locked.touch()
        fcntl.flock(self._exits.enter_context(locked.open()), fcntl.LOCK_EX)
        silent = self._exits.enter_context(socket.create_server(("127.0.0.1", 0)))
        flow = nbflow.Flow("stalls", base_dir=folder)
        for name, stall in STALLS.items():
            known = (str(self._marks[name]), silent.getsockname()[1], str(locked))
            setting = f"MARK, PORT, LOCKED = {known!r}" + _STALL_PRELUDE
            path = written(folder / f"{name}.ipynb", setting, stall.code)
            flow.notebook(path, expected=stall.expected, memory=stall.memory)
        self.run = flow.start(cluster=nbflow.Embedded(workers=1, threads=len(STALLS)))
        self.watch = Watch(self.run)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.run.cancel()
        self.run.wait(60)
        self._exits.close()

    def named_after(self) -> dict[str, float]:
        """Return after how many seconds each stall was named, once all are.

        Seconds since it could be known: since its expectation was over, or since it had begun.
        """
        self.watch.until(self._all_named)
        after: dict[str, float] = {}
        for name, stall in STALLS.items():
            at, finding = self.watch.first[name, stall.kind]
            since_s = at - self._begun[name]
            after[name] = min(float(finding.evidence.get("over_s", since_s)), since_s)
        return after

    def _all_named(self) -> bool:
        now = time.monotonic()
        for name, mark in self._marks.items():
            if name not in self._begun and mark.exists():
                self._begun[name] = now
        # Memory that fills up may be named before the notebook says that it is full.
        return self._begun.keys() == STALLS.keys() and all(
            (name, stall.kind) in self.watch.first for name, stall in STALLS.items()
        )


def healthy_run(folder: Path, port: int) -> nbflow.Run:
    """Start a run of all healthy notebooks at once; `port` is that of a `slow_server`."""
    flow = nbflow.Flow("healthy", base_dir=folder, defaults={"expected": 60})
    for name, code in HEALTHY.items():
        setting = f"PORT, QUIET_S = {port}, {QUIET_S}" + _HEALTHY_PRELUDE
        memory = "400MB" if name == "much_memory" else None
        flow.notebook(written(folder / f"{name}.ipynb", setting, code), memory=memory)
    return flow.start(cluster=nbflow.Embedded(workers=2, threads=(len(HEALTHY) + 1) // 2))


def false_findings(run: nbflow.Run) -> tuple[dict[str, str], set[str]]:
    """Look at a healthy run to its end; return what is told, and which nodes were seen at work."""
    told: dict[str, str] = {}
    seen: set[str] = set()
    while run.view().driven:
        diagnosis = run.diagnose()
        for it in diagnosis.findings:
            told[f"{it.node}: {it.kind}"] = f"{it.summary} {it.evidence}"
        seen.update(activity.node for activity in diagnosis.activities)
        pause = time.monotonic() + LOOK_S
        while run.view().driven and (left_s := pause - time.monotonic()) > 0:
            run.wait_changed(left_s)
    run.wait(60)
    return told, seen


@contextlib.contextmanager
def slow_server() -> Iterator[int]:
    """Serve HTTP, each answer after a while; gives the port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Slow)
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Slow(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        time.sleep(QUIET_S)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def written(path: Path, *cells: str) -> Path:
    """Write a Python notebook of these cells."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    code = [nbformat.v4.new_code_cell(source) for source in cells]
    notebook = nbformat.v4.new_notebook(cells=code, metadata={"kernelspec": kernel})
    nbformat.write(notebook, path)
    return path
