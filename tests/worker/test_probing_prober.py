"""The prober: rounds over all attempts, their sums, and that it never harms an attempt."""

import asyncio
import itertools
import os
import resource
import socket
import subprocess
import threading
import time

import psutil
import pytest
from probed_kernel import ID, LIMIT_S, probed, waits_in

from nbflow.core.attempts import Printed, Progress, Sampled, WorkerNote
from nbflow.core.ids import AttemptId
from nbflow.core.stacks import Stack
from nbflow.core.usage import Usage
from nbflow.worker.probing.calls import Waiting, calls_by_number
from nbflow.worker.probing.gpus import Gpus
from nbflow.worker.probing.prober import Prober, Watched
from nbflow.worker.probing.processes import Births, Denied, Look, Moment, Totals, this_moment
from nbflow.worker.probing.silence import Silence
from nbflow.worker.probing.sockets import Sockets
from nbflow.worker.probing.subjects import KernelSubject, PortableSubject, thread_subject
from nbflow.worker.probing.tallying import Latest, Tally

# Attempts, as a whole.


def of(bench, kind):
    return [report for report in bench.reports if isinstance(report, kind)]


def test_an_attempt_tells_what_it_uses_and_where_it_stands(bench):
    code = (
        "import time\nkept = bytearray(50_000_000)\n"
        "while time.process_time() < 0.1:\n    pass\n"
        "time.sleep(3.5)"
    )
    outcome = bench.run(bench.notebook("1", code, "2", outputs=()))
    assert outcome.status == "succeeded"

    samples = [report.usage for report in of(bench, Sampled)]
    assert 2 <= len(samples) <= 4
    assert [b.at - a.at for a, b in itertools.pairwise(samples)] == pytest.approx(
        [1.0] * (len(samples) - 1), abs=0.5
    )
    last = samples[-1]
    assert last.memory_bytes > 50_000_000
    assert (last.processes, last.network_bytes_per_s) == (1, 0.0)
    assert (last.doing.state, last.doing.call, last.doing.timed) == (
        "sleeping",
        "clock_nanosleep",
        True,
    )
    assert last.doing.since_s > 0.5

    stack = of(bench, Stack)[0]
    assert stack.cell_frame.cell == 1
    assert stack.cell_frame.text == "time.sleep(3.5)"
    assert len(of(bench, Stack)) == 1

    usage = outcome.usage
    # The last look, at the end, is no sample that anybody has heard of.
    assert usage.samples - len(samples) in (0, 1)
    assert 0.08 <= usage.cpu_s < 10
    assert usage.memory_bytes_peak >= last.memory_bytes
    assert usage.threads_peak >= last.threads
    assert bench.executed(outcome).metadata.nbflow.usage.cpu_s == usage.cpu_s


def test_a_short_attempt_has_a_sum_without_samples(bench):
    outcome = bench.run(bench.notebook("1"))
    assert of(bench, Sampled) == []
    usage = outcome.usage
    assert usage.samples == 0
    assert usage.memory_bytes_peak > usage.threads_peak > 1
    assert usage.memory_bytes_mean > 0


def test_a_cell_that_prints_is_not_silent(bench):
    code = "import time\nfor n in range(7):\n    print(n, flush=True)\n    time.sleep(0.5)"
    assert bench.run(bench.notebook(code, heard=True)).status == "succeeded"
    assert of(bench, Stack) == []
    assert "".join(report.text for report in of(bench, Printed)) == "".join(
        f"{n}\n" for n in range(7)
    )
    ats = [report.at for report in of(bench, Printed)]
    assert ats == sorted(ats)
    assert abs(ats[-1] - time.time()) < 60


def test_a_kernel_that_dies_has_a_sum(bench):
    code = "import os, time\ntime.sleep(2.5)\nos._exit(3)"
    outcome = bench.run(bench.notebook(code))
    assert outcome.reason.kind == "kernel_died"
    assert outcome.usage.samples >= 1
    assert outcome.usage.memory_bytes_peak > 1_000_000


def test_a_kernel_that_is_not_pythons_is_sampled_and_not_asked(bench, bash):
    outcome = bench.run(bench.notebook("sleep 2.6", kernel="bash", language="bash"))
    assert outcome.status == "succeeded"
    assert of(bench, Stack) == []
    assert outcome.usage.processes_peak >= 2
    assert of(bench, Progress)


def test_an_older_sum_in_a_notebook_is_not_kept(bench):
    task = bench.notebook("1 / 0")
    executed = bench.executed(bench.run(task))
    executed.metadata.nbflow.usage["stale"] = True
    import nbformat

    nbformat.write(executed, bench.folder / "book" / "node.ipynb")
    data = (bench.folder / "book" / "node.ipynb").read_bytes()
    from nbflow.core.spec import NotebookCode

    digest = bench.store.put(data, "notebook").digest
    again = bench.task(NotebookCode(str(bench.folder / "book" / "node.ipynb"), digest))
    assert "stale" not in bench.executed(bench.run(again)).metadata.nbflow.usage


def test_what_a_notebook_receives_is_counted(bench):
    size = 3_000_000
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def serve():
            link, _ = server.accept()
            with link:
                link.sendall(bytes(size))
                link.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        code = (
            f"import socket, time\nlink = socket.create_connection(('127.0.0.1', {port}))\n"
            f"left = {size}\nwhile left:\n    left -= len(link.recv(65536))\ntime.sleep(2.5)"
        )
        outcome = bench.run(bench.notebook(code))
        thread.join()
    assert outcome.status == "succeeded"
    assert size <= outcome.usage.network_bytes < 2 * size


# Functions.


def busy(seconds):
    begin = time.thread_time()
    while time.thread_time() - begin < seconds:
        pass
    print("done")


def test_a_function_tells_its_own_processor_time(bench):
    def function(seconds):
        import time

        begin = time.thread_time()
        while time.thread_time() - begin < seconds:
            pass

    short = bench.run(bench.function(function, params={"seconds": 0.2}))
    assert 0.2 <= short.usage.cpu_s < 1
    assert (short.usage.samples, short.usage.memory_bytes_peak) == (0, 0)
    long = bench.run(bench.function(function, params={"seconds": 2.5}))
    assert 2.5 <= long.usage.cpu_s < 4
    samples = [report.usage for report in of(bench, Sampled)]
    # It never waits for anything but a processor, and the interpreter's lock, which the prober has
    # now and then. How much it gets of a processor is the machine's affair.
    assert {sample.doing.state for sample in samples} == {"running"}
    assert min(sample.cpu_percent for sample in samples) > 0
    assert samples[0].memory_bytes > 1_000_000


def test_pages_that_were_read_from_a_disk_are_counted():
    told = resource.getrusage(resource.RUSAGE_SELF).ru_majflt
    assert told <= Look.at("/proc/self").page_ins <= told + 100


def test_a_function_is_looked_at_while_programs_start_elsewhere(bench):
    def function():
        import time

        begin = time.thread_time()
        while time.thread_time() - begin < 2.5:
            pass

    # Whatever is read of each new program would wait for the lock that the function holds.
    loop = "while :; do /bin/true & wait; done"
    with subprocess.Popen(["bash", "-c", loop]) as programs:
        try:
            bench.run(bench.function(function))
        finally:
            programs.kill()
    assert of(bench, Sampled)


def test_a_busy_thread_that_waits_for_the_interpreter_is_not_called_blocked():
    ends = threading.Event()
    numbers = []

    def compute():
        numbers.append(threading.get_native_id())
        while not ends.is_set():
            sum(range(1000))

    async def samples(count):
        told = []
        subject = thread_subject(numbers[0], Tally(), time.monotonic())
        loop = asyncio.get_running_loop()
        prober.watch(Watched(AttemptId("run", "node", 1, 1), subject, told.append, loop))
        while len(told) < count:
            await asyncio.sleep(0.05)
        return [report.usage for report in told]

    # Two of them: mostly one waits for the other.
    threads = [threading.Thread(target=compute) for _ in range(2)]
    for thread in threads:
        thread.start()
    prober = Prober()
    try:
        told = asyncio.run(samples(6))
    finally:
        ends.set()
        prober.close()
        for thread in threads:
            thread.join()
    assert {(sample.doing.state, sample.doing.call) for sample in told} == {("running", "")}


def test_a_function_prints_live(bench):
    def function(path):
        import sys
        import time
        from pathlib import Path

        print("one")
        print("oops", file=sys.stderr)
        while not Path(path).exists():
            time.sleep(0.01)
        print("two")

    go_on = bench.folder / "go on"

    def report(told):
        bench.reports.append(told)
        go_on.touch()

    task = bench.function(function, params={"path": str(go_on)}, heard=True)
    outcome = bench.run(task, report=report)
    assert [(it.cell, it.stream, it.text) for it in of(bench, Printed)] == [
        (-1, "stdout", "one\n"),
        (-1, "stderr", "oops\n"),
        (-1, "stdout", "two\n"),
    ]
    assert bench.store.get(outcome.log.digest) == b"one\noops\ntwo\n"


def test_a_function_that_nobody_hears_reports_nothing(bench):
    def function():
        print("one")

    assert bench.run(bench.function(function)).log is not None
    assert bench.reports == []


def test_a_function_that_floods_is_cut_for_who_listens(bench):
    def function():
        print("x" * 100_000)

    bench.run(bench.function(function, heard=True))
    (report,) = of(bench, Printed)
    assert report.text.endswith("84,001 characters more; the log of the node has more]\n")


# The prober alone.


class Fake:
    """A subject that does as it is told."""

    members = ()

    def __init__(self, usage=None, error=None, stack=None, denied=""):
        self.usage, self.error, self.stack = usage, error, stack
        self.tally = Tally()
        self.denied = Denied()
        self.denied.path = denied
        self.looks = 0

    def look(self, round_):
        self.looks += 1
        if self.error:
            raise self.error
        return self.usage

    last_look = look

    def due_stack(self, now):
        return self.stack

    def close(self):
        self.closed = True


def rounds(*subjects, wanted, period_s=0.02):
    """Let a prober look at subjects until what is `wanted` has been told; return all reports."""

    async def scenario():
        prober = Prober(period_s=period_s)
        told = []
        loop = asyncio.get_running_loop()
        watched = [
            Watched(AttemptId("run", f"n{number}", 1, 1), subject, told.append, loop)
            for number, subject in enumerate(subjects)
        ]
        try:
            for each in watched:
                prober.watch(each)
            deadline = loop.time() + LIMIT_S
            while not wanted(told):
                assert loop.time() < deadline, told
                await asyncio.sleep(0.01)
            for each in watched:
                each.wanted = False
                await asyncio.to_thread(prober.release, each)
        finally:
            await asyncio.to_thread(prober.close)
        return told

    return asyncio.run(scenario())


def samples_of(told, node):
    return [it for it in told if isinstance(it, Sampled) and it.id.node == node]


def test_a_subject_that_breaks_is_told_once_and_the_others_go_on():
    usage = Usage(at=1.0)
    good, bad = Fake(usage), Fake(error=ZeroDivisionError("of no use"))
    worse = Fake(error=ZeroDivisionError("again"))
    told = rounds(good, bad, worse, wanted=lambda told: len(samples_of(told, "n0")) > 3)
    notes = [it.message for it in told if isinstance(it, WorkerNote)]
    assert len(notes) == 1
    assert notes[0].startswith("what nodes use cannot be measured: ZeroDivisionError: ")
    assert (bad.looks, worse.looks) == (1, 1)
    assert bad.closed
    assert good.closed
    assert samples_of(told, "n0")[0].usage is usage


def test_what_may_not_be_read_is_told_once():
    subjects = [Fake(Usage(at=1.0), denied="/proc/7/io") for _ in range(2)]
    told = rounds(*subjects, wanted=lambda told: len(samples_of(told, "n1")) > 3)
    (note,) = [it.message for it in told if isinstance(it, WorkerNote)]
    assert note.startswith("/proc/7/io may not be read")


def test_a_stack_that_takes_long_holds_up_no_round():
    gate = threading.Event()
    stack = Stack(ID, 1.0, ())
    slow = Fake(Usage(at=1.0), stack=lambda: gate.wait(LIMIT_S) and stack)

    def wanted(told):
        if len(samples_of(told, "n0")) > 5:
            gate.set()
        return stack in told

    told = rounds(slow, wanted=wanted)
    assert told.index(stack) > 5


def test_a_stack_that_fails_is_told():
    def fail():
        raise RuntimeError("no stack")

    told = rounds(
        Fake(Usage(at=1.0), stack=fail),
        wanted=lambda told: any(isinstance(it, WorkerNote) for it in told),
    )
    assert sum(isinstance(it, WorkerNote) for it in told) == 1


def test_a_prober_that_is_closed_looks_at_nobody():
    async def scenario():
        prober = Prober()
        prober.close()
        subject = Fake()
        watched = Watched(ID, subject, lambda _: None, asyncio.get_running_loop())
        prober.watch(watched)
        prober.release(watched)
        prober.close()
        return subject.looks

    assert asyncio.run(scenario()) == 0


class FakeRound:
    def __init__(self, at, now):
        self.moment = this_moment(at, now)
        self.sockets = Sockets()
        self.sockets.known = False
        self.gpus = Gpus()


def test_without_proc_less_is_known(tmp_path):
    # Processor time is told in ticks of 10 ms, and a kernel that only sleeps may use less than one.
    code = "import time\nwhile time.process_time() < 0.1:\n    pass\ntime.sleep(60)"

    async def scenario():
        async with probed(tmp_path, code) as it:
            await it.until(waits_in("clock_nanosleep", "nanosleep"))
            subject = PortableSubject(it.pid, Tally())
            first = subject.look(FakeRound(10.0, 1.0))
            second = subject.look(FakeRound(11.0, 2.0))
            subject.last_look(FakeRound(12.0, 3.0))
        return first, second, subject.tally.sum(), subject.look(FakeRound(13.0, 4.0))

    first, second, total, after = asyncio.run(scenario())
    assert (first, after) == (None, None)
    assert (second.at, second.processes, second.network_bytes_per_s) == (11.0, 1, None)
    assert second.memory_bytes > 1_000_000
    assert total.samples == 2
    assert 0.08 <= total.cpu_s < 5


def test_a_daemon_whose_parent_has_ended_still_belongs_to_its_kernel(tmp_path):
    code = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    time.sleep(1)\n"
        "    if os.fork() == 0:\n"
        "        time.sleep(60)\n"
        "    time.sleep(1)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "time.sleep(60)"
    )

    async def scenario():
        async with probed(tmp_path, code) as it:
            await it.until(lambda _: len(it.tree.members) == 3)
            await it.until(lambda _: len(it.tree.members) == 2)
            (daemon,) = set(it.tree.members) - {it.pid}
            return psutil.Process(daemon).ppid(), it.pid

    parent, kernel = asyncio.run(scenario())
    assert parent != kernel


def test_a_process_that_has_ended_has_no_sample():
    ended = os.spawnlp(os.P_NOWAIT, "true", "true")
    os.waitpid(ended, 0)
    subject = KernelSubject(ended, Tally(), Silence(time.monotonic, None))
    assert subject.look(FakeRound(1.0, 1.0)) is None
    subject.last_look(FakeRound(2.0, 2.0))
    assert subject.tally.sum() is None


# When a cell is silent.


@pytest.mark.parametrize(
    ("until_s", "due"),
    [
        (1, []),
        (3, [2]),
        (40, [2, 4, 8, 16, 32]),
        (200, [2, 4, 8, 16, 32, 60, 120, 180]),
    ],
)
def test_stacks_are_due_ever_more_seldom(until_s, due):
    now = 100.0
    silence = Silence(lambda: now, lambda cell: Stack(ID, float(cell), ()))
    assert silence.due(1000.0) is None
    silence.cell_begins(7)
    seen = []
    for second in range(until_s + 1):
        take = silence.due(100.0 + second)
        if take is not None:
            seen.append(second)
            assert take().at == 7.0
    assert seen == due


def test_what_is_heard_begins_a_new_silence():
    now = 100.0
    silence = Silence(lambda: now, lambda cell: Stack(ID, 0.0, ()))
    silence.cell_begins(0)
    assert silence.due(102.0) is not None
    now = 103.0
    silence.heard()
    assert silence.due(104.0) is None
    assert silence.due(105.0) is not None
    silence.cell_begins(None)
    assert silence.due(300.0) is None


# Sums.


def test_a_sum_is_that_of_all_kernels_of_an_attempt():
    tally = Tally()
    assert tally.sum() is None
    tally.look(Latest(Totals(cpu_s=1.0, read_bytes=5, memory_bytes=10, threads=3, processes=1), 7))
    tally.sample(Usage(at=1.0, cpu_percent=50.0, memory_bytes=10, gpu_percent=30.0), 1.0)
    tally.tree_ended()
    tally.look(Latest(Totals(cpu_s=2.0, read_bytes=6, memory_bytes=30), None))
    tally.peaked(40)
    tally.sample(Usage(at=2.0, cpu_percent=150.0, memory_bytes=30, gpu_memory_bytes=9), 3.0)
    total = tally.sum()
    assert tally.sum() == total
    assert (total.samples, total.cpu_s, total.read_bytes, total.network_bytes) == (2, 3.0, 11, 7)
    assert (total.cpu_percent_mean, total.cpu_percent_peak) == (125.0, 150.0)
    assert (total.memory_bytes_mean, total.memory_bytes_peak) == (25, 40)
    assert (total.gpu_percent_mean, total.gpu_memory_bytes_peak) == (30.0, 9)


# System calls.


@pytest.mark.parametrize(
    ("machine", "number", "name"),
    [("x86_64", 202, "futex"), ("x86_64", 7, "poll"), ("aarch64", 98, "futex")],
)
def test_numbers_of_calls(machine, number, name):
    assert calls_by_number(machine)[number].name == name


def test_another_machine_has_no_calls():
    assert calls_by_number("vax") == {}
    assert Waiting.parse(b"202 0x1 0x2 0 0 0 0 0x7 0x8", {}).name == ""


@pytest.mark.parametrize(
    ("text", "timed", "breaks"),
    [
        ("202 0x1 0x80 0x0 0x0 0x0 0x0 0x7 0x8", False, False),
        ("202 0x1 0x80 0x0 0x7ff0 0x0 0x0 0x7 0x8", True, True),
        ("7 0x7ff0 0x1 0xffffffff 0x0 0x0 0x0 0x7 0x8", False, True),
        ("7 0x7ff0 0x1 0x3e8 0x0 0x0 0x0 0x7 0x8", True, True),
        ("230 0x1 0x1 0x7ff0 0x0 0x0 0x0 0x7 0x8", True, True),
        ("0 0x3 0x7ff0 0x1 0x0 0x0 0x0 0x7 0x8", False, False),
        ("999 0x3 0x7ff0 0x1 0x0 0x0 0x0 0x7 0x8", False, None),
        ("-1 0x7 0x8", False, None),
    ],
)
def test_where_a_thread_waits(text, timed, breaks):
    waiting = Waiting.parse(text.encode(), calls_by_number("x86_64"))
    assert waiting.is_timed is timed
    assert (waiting.stack_pointer, waiting.program_counter) == (7, 8)
    broken_off = waiting.call.is_broken_off(waiting.arguments) if waiting.call else None
    assert broken_off is breaks


def test_a_thread_that_runs_waits_nowhere():
    assert Waiting.parse(b"running\n", {}) is None


def test_no_number_stands_for_two_calls():
    for machine in ("x86_64", "aarch64"):
        calls = calls_by_number(machine)
        assert len({call.name for call in calls.values()}) == len(calls) > 50


def test_a_moment_is_of_this_machine():
    assert this_moment(1.0, 2.0) == Moment(1.0, 2.0, None, *this_moment(3.0, 4.0)[3:])


def test_who_was_started_is_found_by_the_parent():
    births = Births()
    assert births.look() is None
    child = os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "60")
    try:
        found = births.look()
        assert found is None or child in found[os.getpid()]
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
