"""Nodes that run: what speaks against one without a clock, what with it, and what never does."""

import pytest
from facts_of import Scene, frame, library, node, running, thread, worker

from nbflow.core import events as ev
from nbflow.core.states import Reason

POOL = library("wait", "/usr/lib/python3.11/threading.py")
LOCK = frame("lock.acquire()")
JOIN = library("_wait_for_tstate_lock", "/usr/lib/python3.11/threading.py")
IDLE = thread(POOL, library("get", "/usr/lib/python3.11/queue.py"), name="pool-0")
SERVICE = thread(library("select", "selectors.py"), call="epoll_wait", service=True, name="iopub")


def locked(seconds=60.0, **does):
    """A node whose main thread waits at a lock, for ten seconds by now."""
    return running(seconds).does(
        **{"state": "sleeping", "call": "futex", "since_s": 10.0, "cpu": 0.1, **does}
    )


# --- evidence, whatever the clock says ------------------------------------------------------------


def test_a_stopped_kernel():
    (found,) = running().does(state="stopped", since_s=3.0).findings()
    assert (found.kind, found.severity, found.since_s) == ("stopped", "stuck", 3.0)
    assert any("-CONT" in text for text in found.suggestions)


@pytest.mark.parametrize(
    ("text", "function"),
    [
        ("x = input('name? ')", "<module>"),
        ("line = sys.stdin.readline()", "<module>"),
        ("data = os.read(0, 10)", "<module>"),
        ("ask()", "getpass"),
    ],
)
def test_waiting_for_input(text, function):
    scene = running().does(state="sleeping", call="read", target="pipe", since_s=4.0)
    scene.stands(thread(frame(text, function=function), call="read"))
    (found,) = scene.findings()
    assert (found.kind, found.severity) == ("waiting_for_input", "stuck")
    assert found.summary.startswith("cell 3, line 7")
    assert "`params`" in found.suggestions[0]


def test_waiting_for_a_terminal():
    scene = running().does(state="sleeping", call="read", target="terminal /dev/pts/0", since_s=4)
    assert scene.kinds() == ["waiting_for_input"]


@pytest.mark.parametrize("text", ["os.read(r, 1)", "rows = source.input(9)", "read_input(p)"])
def test_reading_a_pipe_is_not_asking_a_person(text):
    scene = running().does(state="sleeping", call="read", target="pipe", since_s=400.0)
    assert scene.stands(thread(frame(text), call="read")).findings() == []


@pytest.mark.parametrize(
    "stands",
    [
        thread(frame("with lock:")),
        thread(frame("with self.lock: n += 1")),
        thread(JOIN, frame("t.join()")),
        thread(POOL, library("result", "/usr/lib/python3.11/concurrent/futures/_base.py")),
        thread(library("get", "/usr/lib/python3.11/queue.py"), frame("q.get()")),
    ],
    ids=["with", "with, in one line", "join", "future", "queue"],
)
def test_waits_of_python_itself(stands):
    assert locked().stands(stands, SERVICE).kinds() == ["blocked_on_lock"]


def test_a_deadlock_with_itself():
    (found,) = locked().stands(thread(LOCK), SERVICE).findings()
    assert (found.kind, found.severity) == ("blocked_on_lock", "stuck")
    assert found.evidence["deadlock"]
    assert (found.evidence["cell"], found.evidence["line"]) == (3, 7)
    assert "cell 3, line 7 (`lock.acquire()`)" in found.summary


def test_a_deadlock_of_threads():
    (found,) = locked().stands(thread(JOIN, frame("t.join()")), IDLE, IDLE).findings()
    assert "2 other threads" in found.summary
    assert len(found.evidence["threads"]) == 3


@pytest.mark.parametrize(
    "scene",
    [
        pytest.param(lambda: locked().stands(thread(LOCK, timed=True)), id="it has a time limit"),
        pytest.param(
            lambda: locked(timed=True).stands(thread(LOCK)), id="the system says it has one"
        ),
        pytest.param(locked, id="nobody has seen the threads"),
        pytest.param(lambda: locked().stands(thread(LOCK), problem="no answer"), id="not all seen"),
        pytest.param(lambda: locked().stands(thread(LOCK), age_s=30.0), id="seen before the wait"),
        pytest.param(lambda: locked(since_s=0.5).stands(thread(LOCK)), id="a moment"),
        pytest.param(lambda: locked(cpu=1.5).stands(thread(LOCK)), id="something goes on"),
        pytest.param(
            lambda: locked().uses(network_bytes_per_s=9e3).stands(thread(LOCK)), id="data flow"
        ),
        pytest.param(
            lambda: locked().stands(thread(frame("server.wait()"))), id="a wait of a library's own"
        ),
        pytest.param(lambda: locked(cpu=40.0).stands(thread(LOCK)), id="native threads compute"),
        pytest.param(lambda: locked(processes=2).stands(thread(LOCK)), id="a child may work"),
        pytest.param(
            lambda: locked().stands(
                thread(frame("f.result()")), thread(frame("s.recv(9)"), call="recvfrom")
            ),
            id="a thread waits for a server",
        ),
        pytest.param(
            lambda: locked().stands(
                thread(frame("q.get()")), thread(frame("time.sleep(9)"), call="clock_nanosleep")
            ),
            id="a thread sleeps",
        ),
        pytest.param(
            lambda: locked().stands(thread(frame("t.join()")), thread(frame("n += 1"), call="")),
            id="a thread runs",
        ),
        pytest.param(
            lambda: locked().stands(
                thread(library("read_table", "/x/pyarrow/parquet/core.py"), frame("read()"))
            ),
            id="a library waits for its own thread",
        ),
    ],
)
def test_what_looks_like_a_deadlock(scene):
    assert scene().findings() == []


def test_a_fifo_without_a_partner():
    def opening(since_s):
        waiting = running().does(
            state="sleeping", call="openat", target="fifo /tmp/x", since_s=since_s
        )
        return waiting.stands(thread(frame("open('/tmp/x')"), call="openat")).findings()

    assert opening(5.0) == [], "the other end may be on its way"
    (found,) = opening(12.0)
    assert (found.kind, found.severity) == ("blocked_on_io", "stuck")
    assert "fifo /tmp/x" in found.summary


def test_opening_a_file_that_takes_long():
    assert running(900).does(state="sleeping", call="openat", target="/nfs/x").findings() == []


def test_memory_at_its_limit():
    scene = running(memory_bytes=1000).does(cpu=100.0, memory=930, state="running")
    (found,) = scene.findings()
    assert (found.kind, found.severity) == ("memory_pressure", "stuck")
    assert "`memory`" in found.suggestions[0]
    assert running(memory_bytes=1000).does(cpu=100.0, memory=850).findings() == []
    assert running().does(cpu=100.0, memory=10**12).findings() == []


@pytest.mark.parametrize(
    ("state", "uses", "said"),
    [
        ("disk", {"io_wait_percent": 60.0}, "it waits for that 60% of the time"),
        # Seen where the system does not count how long processes wait for disks.
        ("running", {"page_ins_per_s": 4200.0}, "it waits for 4,200 pieces of its memory a second"),
    ],
)
def test_swapping(state, uses, said):
    scene = running().does(state=state, cpu=30.0).uses(swap_bytes=10**8, **uses)
    (found,) = scene.findings()
    assert found.kind == "memory_pressure"
    assert found.summary.endswith(f" are on disk; {said}")


@pytest.mark.parametrize(
    "uses",
    [
        {"swap_bytes": 10**8, "io_wait_percent": 0.0},
        {"swap_bytes": 10**6, "io_wait_percent": 60.0},
        {"swap_bytes": 0, "io_wait_percent": 90.0},
        {"swap_bytes": 0, "page_ins_per_s": 9000.0},
        {"swap_bytes": 10**8, "page_ins_per_s": 20.0},
    ],
    ids=["swapped out and at rest", "little", "a slow disk", "a mapped file", "some of it back"],
)
def test_what_is_not_swapping(uses):
    assert running().does(state="sleeping", cpu=3.0).uses(**uses).findings() == []


def test_a_worker_without_memory():
    scene = running().does(state="running", cpu=90.0)
    scene.workers = (worker(paused=True, memory_bytes=95 * 10**7),)
    (found,) = scene.findings()
    assert found.kind == "memory_pressure"
    scene.workers = (worker(paused=True, memory_bytes=10**7),)  # it is about to be retired
    assert scene.findings() == []


def test_a_silent_worker():
    scene = running(100)
    scene.workers = (worker(silent_s=40.0),)
    (found,) = scene.findings()
    assert (found.kind, found.severity, found.since_s) == ("worker_lost", "stuck", 40.0)
    scene.workers = (worker(silent_s=20.0),)
    assert scene.findings() == []
    scene.workers = (worker(silent_s=40.0), *(worker(f"w{i}") for i in range(1500)))
    assert scene.findings() == []  # so many beat less often


def test_a_worker_that_is_gone():
    scene = running(30)
    scene.workers = (worker("tcp://10.0.0.2:1"),)
    assert scene.kinds() == ["worker_lost"]
    scene = running(3)  # it may have joined since the workers were told
    scene.workers = (worker("tcp://10.0.0.2:1"),)
    assert scene.findings() == []


def test_a_worker_that_is_gone_without_another():
    scene = running(3)
    scene.workers = ()
    assert scene.kinds() == ["no_worker"]
    scene = running(1)
    scene.workers = ()
    assert scene.findings() == []


def test_a_worker_that_is_gone_and_no_other_has_what_it_had():
    scene = running(30, resources={"GPU": 1})
    scene.workers = (worker("tcp://10.0.0.2:1"),)
    assert scene.kinds() == ["resources_unsatisfiable"]
    scene.workers = (worker("tcp://10.0.0.2:1", resources={"GPU": 1}),)
    assert scene.kinds() == ["worker_lost"]


def test_a_kernel_that_has_ended():
    (found,) = running().does(state="zombie").findings()
    assert (found.kind, found.severity) == ("kernel_dead", "stuck")


# --- far over what was expected -------------------------------------------------------------------

SLEEP = {"state": "sleeping", "call": "clock_nanosleep", "timed": True}
RECV = {"state": "sleeping", "call": "recvfrom", "target": "socket 10.0.0.5:5432"}
POLL = {"state": "sleeping", "call": "poll", "timed": True}
CHILD = {"state": "sleeping", "call": "wait4", "target": "process 47 (sort)", "processes": 2}
PIPED = {"state": "sleeping", "call": "poll", "target": "pipe, process 47 (sort)", "processes": 2}
FUTEX = {"state": "sleeping", "call": "futex"}

OVERDUE = {
    "a loop": ({"state": "running", "cpu": 100.0}, [frame("while True:")], "cpu_bound_loop"),
    "a sleep": (SLEEP, [frame("time.sleep(600)")], "sleeping"),
    "a sleep, unseen": (SLEEP, [], "sleeping"),
    "a sleep in a loop of events": (
        {"state": "sleeping", "call": "epoll_wait", "timed": True},
        [library("select", "/usr/lib/python3.11/selectors.py")],
        "sleeping",
    ),
    "a server": (RECV, [frame("s.recv(10)")], "blocked_on_network"),
    "a server, with a time limit": (POLL, [frame("s.recv(10)")], "blocked_on_network"),
    "a server, by a library": (
        POLL,
        [library("read", "/usr/lib/python3.11/ssl.py"), frame("get(url)")],
        "blocked_on_network",
    ),
    "a server, in a loop of events": (
        {**POLL, "call": "epoll_wait", "target": "socket 10.0.0.5:80"},
        [],
        "blocked_on_network",
    ),
    "a child": (CHILD, [frame("p.wait()")], "blocked_on_process"),
    "what a child says": (PIPED, [library("select", "selectors.py")], "blocked_on_process"),
    "a child, by its stack": (
        {**POLL, "processes": 2},
        [library("select", "selectors.py"), library("communicate", "/usr/lib/subprocess.py")],
        "blocked_on_process",
    ),
    "a lock": ({**FUTEX, "timed": True}, [LOCK], "blocked_on_lock"),
    "a lock on a file": ({**FUTEX, "call": "flock"}, [frame("flock(f, 2)")], "blocked_on_lock"),
    "a disk": ({"state": "disk", "call": "read", "target": "/nfs/x"}, [], "blocked_on_io"),
    "a pipe": ({"state": "sleeping", "call": "read", "target": "pipe"}, [], "blocked_on_io"),
    "a person": (
        {"state": "sleeping", "call": "read", "target": "pipe"},
        [frame("input()")],
        "waiting_for_input",
    ),
    "a signal": ({"state": "stopped"}, [], "stopped"),
    "several things": ({"state": "sleeping", "call": "epoll_wait", "target": "eventfd"}, [], None),
    "nobody can look": ({"state": "unknown"}, [], None),
}


@pytest.mark.parametrize("name", OVERDUE)
def test_what_a_node_does_says_what_its_delay_is_called(name):
    does, frames, kind = OVERDUE[name]
    scene = running(25.0, expected=10.0).does(**does)
    if frames:
        scene.stands(thread(*frames, call=does.get("call", "")))
    (found,) = scene.findings()
    assert (found.kind, found.severity) == (kind or "slower_than_expected", "stuck")
    assert found.expected_s == 10.0
    assert found.evidence["limit_s"] == 20.0
    assert "10 s were expected (declared)" in found.summary
    assert any("`expected`" in text for text in found.suggestions)
    assert any("nbflow resume r --from a" in text for text in found.suggestions)


#: All but what is wrong whatever the clock says.
INNOCENT = [name for name in OVERDUE if name not in ("a person", "a signal")]


@pytest.mark.parametrize("name", INNOCENT)
def test_what_is_within_its_time_is_healthy(name):
    does, frames, _ = OVERDUE[name]
    scene = running(19.0, expected=10.0).does(**does, since_s=15.0)
    if frames:
        scene.stands(thread(*frames, call=does.get("call", ""), timed=does.get("timed", False)))
    assert scene.findings() == []


@pytest.mark.parametrize("name", INNOCENT)
def test_without_an_expectation_nothing_takes_too_long(name):
    does, frames, _ = OVERDUE[name]
    scene = running(100_000.0).does(**does, since_s=9_000.0)
    if frames:
        scene.stands(thread(*frames, call=does.get("call", ""), timed=does.get("timed", False)))
    assert scene.findings() == []


def test_a_thread_that_waits_for_another_is_called_by_what_that_does():
    scene = (
        running(25.0, expected=10.0)
        .does(**FUTEX)
        .stands(
            thread(frame("f.result()")), thread(frame("s.recv(9)"), call="recvfrom", name="fetch")
        )
    )
    (found,) = scene.findings()
    assert found.kind == "blocked_on_network"
    assert "its thread fetch" in found.summary


def test_a_thread_that_computes_for_another():
    scene = running(25.0, expected=10.0).does(**FUTEX, cpu=100.0)
    assert scene.stands(thread(frame("f.result()"))).kinds() == ["cpu_bound_loop"]


def test_a_thread_that_tends_children():
    tends = thread(
        library("wait", "/usr/lib/python3.11/multiprocessing/connection.py"), call="poll"
    )
    scene = running(25.0, expected=10.0).does(**FUTEX, processes=3)
    assert scene.stands(thread(frame("f.result()")), tends).kinds() == ["blocked_on_process"]


def test_a_child_that_does_nothing_either():
    (idle,) = running(25.0, expected=10.0).does(**CHILD).findings()
    (busy,) = running(25.0, expected=10.0).does(**CHILD, cpu=99.0).findings()
    assert "process 47 (sort), which does nothing either" in idle.summary
    assert "process 47 (sort), which computes" in busy.summary


def test_computing_that_moves_data_is_slow_and_no_loop():
    scene = running(25.0, expected=10.0).does(state="running", cpu=100.0)
    scene.uses(read_bytes_per_s=5e7).stands(thread(frame("load()"), call=""))
    assert scene.kinds() == ["slower_than_expected"]


def test_computing_that_gets_on_through_its_cells_is_slow_and_no_loop():
    scene = running(25.0, expected=10.0).does(state="running", cpu=100.0).gets_on(4, 9)
    assert scene.kinds() == ["slower_than_expected"]


def test_evidence_comes_before_the_clock():
    scene = running(25.0, expected=10.0, memory_bytes=1000).does(memory=950, state="running")
    assert scene.kinds() == ["memory_pressure"]


def test_samples_of_an_earlier_attempt_say_nothing():
    scene = Scene(node("a", retries=1)).start().does(state="stopped", since_s=9.0).after(20)
    scene.tell(ev.AttemptLost("a", 1, Reason("worker_lost", "gone"))).start().after(3)
    assert scene.findings() == []


def test_of_a_run_that_nobody_drives_only_that_is_told():
    scene = running(25.0, expected=10.0).does(state="stopped", since_s=9.0)
    scene.driven = False
    assert scene.kinds() == ["driver_lost"]
