"""What is probed: the process tree of a kernel, or the thread of a function.

A subject is looked at in the prober's thread, once a second, and a last time when its attempt is
over; what that has brought is in its tally.
"""

import os
import sys
from collections.abc import Callable
from typing import Protocol

import psutil

from nbflow.core.stacks import Stack
from nbflow.core.usage import Doing, Usage
from nbflow.worker.probing.doing import ThreadWatch
from nbflow.worker.probing.files import KeptFiles, read
from nbflow.worker.probing.gpus import Gpus
from nbflow.worker.probing.processes import Denied, Look, Moment, Totals, Tree
from nbflow.worker.probing.silence import Silence
from nbflow.worker.probing.sockets import Sockets
from nbflow.worker.probing.tallying import Latest, Tally
from nbflow.worker.probing.targets import UNREADABLE

#: A sample of less than this many seconds would say nothing of rates.
_SHORTEST_S = 0.2
#: Share of the time for which a thread that is busy has at least wanted a processor.
_BUSY = 0.25


class Round(Protocol):
    """What all subjects of one round share."""

    moment: Moment
    sockets: Sockets
    gpus: Gpus


class _Rates:
    """Turns what has been used in all into what is used now."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._before: tuple[float, Latest] | None = None

    def begin(self, now: float, latest: Latest) -> None:
        """Note what had been used by now."""
        self._before = (now, latest)

    def sample(
        self, round_: Round, latest: Latest, doing: Doing, pids: tuple[int, ...]
    ) -> Usage | None:
        moment = round_.moment
        if self._before is None:
            self.begin(moment.now, latest)
            return None
        before_s, before = self._before
        seconds = moment.now - before_s
        if seconds < _SHORTEST_S:
            return None
        self.begin(moment.now, latest)
        totals, earlier = latest.totals, before.totals
        gpu = round_.gpus.use_of(pids) if round_.gpus.any else None
        usage = Usage(
            at=moment.at,
            cpu_percent=round((totals.cpu_s - earlier.cpu_s) / seconds * 100, 1),
            memory_bytes=totals.memory_bytes,
            swap_bytes=totals.swap_bytes,
            processes=totals.processes,
            threads=totals.threads,
            read_bytes_per_s=round((totals.read_bytes - earlier.read_bytes) / seconds, 1),
            written_bytes_per_s=round((totals.written_bytes - earlier.written_bytes) / seconds, 1),
            io_wait_percent=min(
                100.0, round((totals.io_wait_s - earlier.io_wait_s) / seconds * 100, 1)
            ),
            page_ins_per_s=round((totals.page_ins - earlier.page_ins) / seconds, 1),
            network_bytes_per_s=_rate(latest.network_bytes, before.network_bytes, seconds),
            gpu_percent=gpu.percent if gpu else None,
            gpu_memory_bytes=gpu.memory_bytes if gpu else None,
            doing=doing,
        )
        self._tally.sample(usage, seconds)
        return usage


class KernelSubject:
    """A kernel and all that it has started.

    Parameters
    ----------
    pid
        The kernel's process; its first thread runs the cells.
    tally
        The attempt's.
    silence
        Says when a stack is due.
    """

    def __init__(self, pid: int, tally: Tally, silence: Silence) -> None:
        self.tally = tally
        self.denied = Denied()
        self._files = KeptFiles()
        self._tree = Tree(pid, self.denied, self._files)
        self._thread = ThreadWatch(pid, pid, self.denied, self._files)
        self._rates = _Rates(tally)
        self._silence = silence
        #: What the whole kernel and its main thread had used when that was last looked at.
        self._cpu_s = (-1.0, 0.0)

    @property
    def members(self) -> tuple[int, ...]:
        """The kernel's processes."""
        return self._tree.members or (self._tree.pid,)

    def look(self, round_: Round) -> Usage | None:
        """Return a sample, if it is time for one and the kernel lives."""
        moment = round_.moment
        totals = self._tree.look(moment)
        if totals is None:
            return None
        first = self._tree.first
        assert first is not None
        cpu_s = self._main_cpu_s(first)
        doing = self._thread.look(first.state, cpu_s, moment.now, self.members)
        latest = Latest(totals, round_.sockets.total_bytes(self._tree.pid))
        self.tally.look(latest)
        return self._rates.sample(round_, latest, doing, self.members)

    def last_look(self, round_: Round) -> None:
        """Note what it has used to the end, and how much memory it had at the most."""
        self.look(round_)
        self.tally.peaked(self._tree.peak_bytes())
        self.tally.tree_ended()

    def due_stack(self, now: float) -> Callable[[], Stack] | None:
        """Return what takes a stack, if the cell has been silent for long enough."""
        return self._silence.due(now)

    def close(self) -> None:
        """Close its files."""
        self._files.close()

    def _main_cpu_s(self, first: Look) -> float:
        """Return the processor time of the thread that runs the cells."""
        if first.cpu_s != self._cpu_s[0]:
            try:
                main = Look.at(f"/proc/{self._tree.pid}/task/{self._tree.pid}")
            except UNREADABLE:
                return first.cpu_s
            self._cpu_s = (first.cpu_s, main.cpu_s)
        return self._cpu_s[1]


class ThreadSubject:
    """A function that runs in a thread of the worker: what of the worker's use is its own.

    Parameters
    ----------
    thread
        As the system numbers it.
    tally
        The attempt's.
    now
        Seconds of a clock that nobody sets; the first sample tells what was used since.
    """

    def __init__(self, thread: int, tally: Tally, now: float) -> None:
        self.tally = tally
        self.denied = Denied()
        self._thread = thread
        self._watch = ThreadWatch(os.getpid(), thread, self.denied)
        self._rates = _Rates(tally)
        #: When it was last looked at, and for how long it had wanted a processor by then.
        self._wanted: tuple[float, float] | None = None
        if (look := self._look()) is not None:
            self._rates.begin(now, self._latest(look))
            self._is_busy(now)

    @property
    def members(self) -> tuple[int, ...]:
        """None: the worker's process is not the function's."""
        return ()

    def look(self, round_: Round) -> Usage | None:
        """Return a sample, if it is time for one; its memory is that of the whole worker."""
        now = round_.moment.now
        look = self._look()
        if look is None:
            return None
        doing = self._watch.look(look.state, look.cpu_s, now)
        if self._is_busy(now) and doing.state == "sleeping" and doing.call in {"futex", ""}:
            # It waits for the interpreter's lock, which others have now and then: foremost who
            # looks here. Or it did a moment ago.
            doing = Doing(state="running")
        return self._rates.sample(round_, self._latest(look), doing, ())

    def _look(self) -> Look | None:
        try:
            return Look.at(f"/proc/self/task/{self._thread}")
        except UNREADABLE:
            return None

    @staticmethod
    def _latest(look: Look) -> Latest:
        return Latest(
            Totals(cpu_s=look.cpu_s, memory_bytes=look.memory_bytes, threads=1, processes=1)
        )

    def _is_busy(self, now: float) -> bool:
        """Whether it has wanted a processor for a good part of the time since the last look."""
        try:
            ran_ns, waited_ns, _ = read(b"/proc/self/task/%d/schedstat" % self._thread).split()
        except OSError:
            return False  # It has ended, or the system does not tell.
        wanted_s = (int(ran_ns) + int(waited_ns)) / 1e9
        before, self._wanted = self._wanted, (now, wanted_s)
        return before is not None and wanted_s - before[1] >= _BUSY * (now - before[0])

    def last_look(self, round_: Round) -> None:
        """Nothing: the function itself has told what it has used."""

    def due_stack(self, now: float) -> None:
        """Return nothing: a function's stack is not taken."""

    def close(self) -> None:
        """Nothing is held."""


class PortableSubject:
    """A kernel on a system without ``/proc``: processors, memory, threads, and no more."""

    def __init__(self, pid: int, tally: Tally) -> None:
        self.tally = tally
        self.denied = Denied()
        self._pid = pid
        self._highest_cpu_s = 0.0
        self._rates = _Rates(tally)

    @property
    def members(self) -> tuple[int, ...]:
        """None that anything else here could be told of."""
        return ()

    def look(self, round_: Round) -> Usage | None:
        """Return a sample, if it is time for one and the kernel lives."""
        totals = self._totals()
        if totals is None:
            return None
        self.tally.look(Latest(totals))
        return self._rates.sample(round_, Latest(totals), Doing(), ())

    def last_look(self, round_: Round) -> None:
        """Note what it has used to the end."""
        self.look(round_)
        self.tally.tree_ended()

    def due_stack(self, now: float) -> None:
        """Return nothing: no stack can be taken."""

    def close(self) -> None:
        """Nothing is held."""

    def _totals(self) -> Totals | None:
        totals = Totals()
        try:
            first = psutil.Process(self._pid)
            members = [first, *first.children(recursive=True)]
        except psutil.Error:
            return None
        for process in members:
            try:
                with process.oneshot():
                    times, memory = process.cpu_times(), process.memory_info()
                    threads = process.num_threads()
            except psutil.Error:
                continue
            used_s = times.user + times.system + times.children_user + times.children_system
            totals = totals._replace(
                cpu_s=totals.cpu_s + used_s,
                memory_bytes=totals.memory_bytes + memory.rss,
                threads=totals.threads + threads,
                processes=totals.processes + 1,
            )
        self._highest_cpu_s = max(self._highest_cpu_s, totals.cpu_s)
        return totals._replace(cpu_s=self._highest_cpu_s)


def kernel_subject(pid: int, tally: Tally, silence: Silence) -> "KernelSubject | PortableSubject":
    """Return what probes the kernel `pid` on this system."""
    if sys.platform == "linux":
        return KernelSubject(pid, tally, silence)
    return PortableSubject(pid, tally)


def thread_subject(thread: int, tally: Tally, now: float) -> ThreadSubject | None:
    """Return what probes a thread of this process; None where that cannot be."""
    return ThreadSubject(thread, tally, now) if sys.platform == "linux" else None


def _rate(now: int | None, before: int | None, seconds: float) -> float | None:
    if now is None or before is None:
        return None
    return round(max(0, now - before) / seconds, 1)
