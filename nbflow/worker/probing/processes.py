"""What a tree of processes has used by now, read from ``/proc``.

Counts of processes that have ended pass to their parents when these ask for their exit codes, so
the sum over a tree only grows, but for what a process that nobody asks for takes along. So the
highest sum so far counts.

Reading has to be cheap: a hundred kernels are looked at every second. Who has children is asked for
only where something was started since the round before (`Births`).
"""

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from nbflow.worker.probing.files import KeptFiles, read
from nbflow.worker.probing.targets import UNREADABLE

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
#: Children are asked for this often (in rounds) even if nothing seems to have been started.
_LOOK_AGAIN = 15
#: If more was started between two rounds, each tree is asked for its children instead.
_MANY = 300


class Moment(NamedTuple):
    """What is read once for all trees of one round."""

    #: Seconds since the epoch, and seconds of a clock that nobody sets.
    at: float
    now: float
    #: Processes that were started since the round before, by their parents; None: not known.
    births: Mapping[int, Sequence[int]] | None = None
    #: Whether anything of this machine's memory lies on a disk.
    swapping: bool = False
    #: Whether the system counts how long processes wait for disks.
    counts_waits: bool = False


def this_moment(at: float, now: float, births: Mapping[int, Sequence[int]] | None = None) -> Moment:
    """Read what all trees of a round share."""
    return Moment(at, now, births, _is_swapping(), _counts_waits())


class Births:
    """Finds out who was started since it was last asked, anywhere on this machine.

    The system numbers processes and threads in the order in which they begin, and tells the latest
    number: so only the numbers since then have to be looked at, and not every thread's children.
    """

    def __init__(self) -> None:
        self._last = 0

    def look(self) -> Mapping[int, Sequence[int]] | None:
        """Return the processes that are new, by their parents; None if that is not known."""
        try:
            last, before = int(read(b"/proc/loadavg").split()[-1]), self._last
        except UNREADABLE:
            return None
        self._last = last
        # After the highest number, the lowest free one is next. Some sandboxes always tell 1.
        if not 1 < before <= last <= before + _MANY:
            return None
        found: dict[int, list[int]] = {}
        for pid in range(before + 1, last + 1):
            look = _look(pid)
            if look is not None:
                found.setdefault(look.parent, []).append(pid)
        return found


class Totals(NamedTuple):
    """What a tree has used since its beginning, and what it holds now."""

    cpu_s: float = 0.0
    read_bytes: int = 0
    written_bytes: int = 0
    io_wait_s: float = 0.0
    memory_bytes: int = 0
    swap_bytes: int = 0
    threads: int = 0
    processes: int = 0
    #: Pages that had to be read from a disk first.
    page_ins: int = 0


class Look(NamedTuple):
    """One process, as ``/proc/PID/stat`` has it."""

    state: str
    parent: int
    cpu_s: float
    #: Of its children that have ended.
    children_cpu_s: float
    threads: int
    started: int
    memory_bytes: int
    #: Of its first thread.
    io_wait_s: float
    page_ins: int

    @classmethod
    def at(cls, place: str) -> "Look":
        """Read ``stat`` of a process, or of a thread, in its folder of ``/proc``.

        Raises
        ------
        OSError
            If it is gone.
        """
        return cls.parse(read(f"{place}/stat".encode()))

    @classmethod
    def parse(cls, data: bytes) -> "Look":
        """Return what ``stat`` says.

        Raises
        ------
        ValueError
            If it says nothing.
        """
        # The name before it may hold anything, parentheses included.
        words = data[data.rindex(b")") + 2 :].split()
        return cls(
            state=words[0].decode(),
            parent=int(words[1]),
            cpu_s=(int(words[11]) + int(words[12])) / _TICKS,
            children_cpu_s=(int(words[13]) + int(words[14])) / _TICKS,
            threads=int(words[17]),
            started=int(words[19]),
            memory_bytes=max(0, int(words[21])) * _PAGE_BYTES,
            io_wait_s=int(words[39]) / _TICKS,
            page_ins=int(words[9]),
        )


class Tree:
    """A process and its descendants, those included whose parents have ended.

    Parameters
    ----------
    pid
        The first of them.
    denied
        Called with the path of a file that may not be read.
    files
        Keeps files of the first process open.
    """

    def __init__(self, pid: int, denied: "Denied", files: KeptFiles | None = None) -> None:
        self.pid = pid
        self._denied = denied
        self._files = files
        #: When each began, which tells a process from another one with the same number.
        self._members: dict[int, int] = {}
        self._looks = 0
        self._highest = Totals()
        self._waited_s = 0.0
        self._looked_at: float | None = None
        #: The first process at the last look, and what the system said of it then.
        self.first: Look | None = None
        self._said = b""

    @property
    def members(self) -> tuple[int, ...]:
        """The processes at the last look, the first one first."""
        return tuple(self._members)

    def look(self, moment: Moment) -> Totals | None:
        """Return what the tree has used; None if its first process has ended."""
        looks = self._alive()
        if self.pid not in looks:
            return None
        self._find_children(looks, moment)
        self._count_disk_states(looks, moment)
        self._highest = self._sum(looks, moment)
        return self._highest

    def peak_bytes(self) -> int:
        """Return the most memory that the first process has ever had; 0 if nobody knows."""
        return _status_bytes(self.pid, b"VmHWM:")

    def _sum(self, looks: dict[int, Look], moment: Moment) -> Totals:
        cpu_s, waited_s = 0.0, 0.0
        memory_bytes = threads = read_bytes = written_bytes = page_ins = 0
        for pid, look in looks.items():
            cpu_s += look.cpu_s + look.children_cpu_s
            waited_s += look.io_wait_s
            memory_bytes += look.memory_bytes
            threads += look.threads
            page_ins += look.page_ins
            one_read, one_written = self._io(pid)
            read_bytes += one_read
            written_bytes += one_written
        before = self._highest
        return Totals(
            cpu_s=max(cpu_s, before.cpu_s),
            read_bytes=max(read_bytes, before.read_bytes),
            written_bytes=max(written_bytes, before.written_bytes),
            io_wait_s=max(waited_s if moment.counts_waits else self._waited_s, before.io_wait_s),
            memory_bytes=memory_bytes,
            swap_bytes=sum(map(_swap_bytes, looks)) if moment.swapping else 0,
            threads=threads,
            processes=len(looks),
            page_ins=max(page_ins, before.page_ins),
        )

    def _alive(self) -> dict[int, Look]:
        """Look at those that are known; the others have ended."""
        looks: dict[int, Look] = {}
        for pid in self._members or (self.pid,):
            look = self._look(pid)
            if look is not None and self._members.get(pid, look.started) == look.started:
                looks[pid] = look
        self._members = {pid: look.started for pid, look in looks.items()}
        return looks

    def _look(self, pid: int) -> Look | None:
        try:
            data = self._read(pid, f"/proc/{pid}/stat")
            if pid != self.pid:
                return Look.parse(data)
            if data != self._said:
                self._said, self.first = data, Look.parse(data)
        except UNREADABLE:
            return None
        return self.first

    def _read(self, pid: int, path: str) -> bytes:
        if self._files is not None and pid == self.pid:
            return self._files.read(path)
        return read(path.encode())

    def _find_children(self, looks: dict[int, Look], moment: Moment) -> None:
        births = moment.births if self._looks % _LOOK_AGAIN else None
        self._looks += 1
        if births is not None and not births:
            return
        unasked = list(looks)
        while unasked:
            parent = unasked.pop()
            # A new number may also be a thread's, which has its process's parent.
            born = births is None or parent in births
            children = self._children(parent) if born else ()
            for child in children:
                look = None if child in looks else _look(child)
                if look is not None:
                    looks[child] = look
                    self._members[child] = look.started
                    unasked.append(child)

    def _children(self, pid: int) -> list[int]:
        found: list[int] = []
        try:
            # A child belongs to the thread that has started it.
            for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - pathlib is slower
                data = read(f"/proc/{pid}/task/{thread}/children".encode())
                found += map(int, data.split())
        except UNREADABLE:
            return found
        return found

    def _io(self, pid: int) -> tuple[int, int]:
        path = f"/proc/{pid}/io"
        try:
            data = self._read(pid, path)
        except PermissionError:
            self._denied(path)
            return 0, 0
        except OSError:
            return 0, 0
        # After "rchar", "wchar", "syscr" and "syscw".
        words = data.split()
        return (int(words[9]), int(words[11])) if len(words) > 11 else (0, 0)  # noqa: PLR2004

    def _count_disk_states(self, looks: dict[int, Look], moment: Moment) -> None:
        """Count the time since the last look as waited, if the tree waits for a disk now."""
        if self._looked_at is not None and any(it.state == "D" for it in looks.values()):
            self._waited_s += moment.now - self._looked_at
        self._looked_at = moment.now


class Denied:
    """Notes, once, that something may not be read."""

    def __init__(self) -> None:
        self.path = ""

    def __call__(self, path: str) -> None:
        """Note that `path` may not be read."""
        self.path = self.path or path


def _look(pid: int) -> Look | None:
    try:
        return Look.at(f"/proc/{pid}")
    except UNREADABLE:
        return None


def _swap_bytes(pid: int) -> int:
    return _status_bytes(pid, b"VmSwap:")


def _status_bytes(pid: int, name: bytes) -> int:
    try:
        data = read(f"/proc/{pid}/status".encode())
    except UNREADABLE:
        return 0
    _, found, rest = data.partition(name)
    return int(rest.split(maxsplit=1)[0]) * 1024 if found else 0


def _is_swapping() -> bool:
    try:
        areas = read(b"/proc/swaps").splitlines()[1:]
        return any(int(area.split()[3]) > 0 for area in areas)
    except (*UNREADABLE, IndexError):
        return False


def _counts_waits() -> bool:
    try:
        return read(b"/proc/sys/kernel/task_delayacct").strip() == b"1"
    except FileNotFoundError:
        # Before that could be chosen, such systems counted, or had no such field.
        return False
    except OSError:
        return False
