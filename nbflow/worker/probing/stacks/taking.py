"""Take the stack of a kernel: ask for it in the way that does no harm, and say what it means."""

import linecache
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from nbflow.core.ids import AttemptId
from nbflow.core.stacks import Stack, StackFrame, ThreadStack
from nbflow.worker.probing.calls import Waiting, calls_by_number
from nbflow.worker.probing.files import read
from nbflow.worker.probing.stacks.asking import Asker, NoAnswer
from nbflow.worker.probing.stacks.callers import may_be_signalled
from nbflow.worker.probing.stacks.cells import CellFiles
from nbflow.worker.probing.stacks.dump import DumpedFrame, parse_dump
from nbflow.worker.probing.stacks.spying import find_spy, spy
from nbflow.worker.probing.targets import UNREADABLE

#: Frames of a thread that are reported: the innermost, and of a deeper one also the outermost.
_INNER_FRAMES, _OUTER_FRAMES = 60, 20
#: Of the kernel's own threads, the innermost say enough.
_SERVICE_FRAMES = 3
_THREADS = 50
_LINE_LENGTH = 200
#: Where installed code lies, whose lines tell a notebook's author nothing.
_INSTALLED = ("site-packages", "dist-packages", "/lib/python", "<")
#: In whose code the kernel's own threads begin.
_SERVICES = (
    "/ipykernel/",
    "/zmq/",
    "/tornado/",
    "/debugpy/",
    "/_pydevd_bundle/",
    "/pydevd",
    "/IPython/core/history.py",
)
#: ipykernel has every thread begin there.
_WRAPPER = "run_closure"


class _Raw(NamedTuple):
    """One thread, by whatever way it was found; `native` is its number, 0 if that is not known."""

    native: int
    name: str
    frames: tuple[DumpedFrame, ...]


class _Answer(NamedTuple):
    threads: tuple[_Raw, ...]
    source: str
    problem: str = ""


class KernelStacks:
    """Takes stacks of one kernel, one at a time.

    Parameters
    ----------
    attempt
        Whose kernel it is.
    pid
        Its process; its first thread runs the cells.
    file
        To where its handler writes; None for a kernel that has none.
    cells
        The notebook's.
    clock
        Seconds since the epoch.
    mask
        Hides secrets in a text.
    find_spy
        Returns where py-spy is; None without it.
    """

    def __init__(
        self,
        attempt: AttemptId,
        pid: int,
        file: Path | None,
        cells: CellFiles,
        *,
        clock: Callable[[], float],
        mask: Callable[[str], str],
        find_spy: Callable[[], str | None] = find_spy,
    ) -> None:
        self._attempt = attempt
        self._pid = pid
        self._asker = Asker(pid, file) if file is not None else None
        self._cells = cells
        self._clock = clock
        self._mask = mask
        self._find_spy = find_spy
        self._calls = calls_by_number()
        #: What the last answer was, and where the kernel's threads stood when it had been given.
        self._last: tuple[_Answer, tuple[object, ...]] | None = None

    def take(self, running: int | None) -> Stack:
        """Return where the threads stand, while the cell with the index `running` runs."""
        waited = self._waiting(self._pid)
        before = self._standing()
        if self._last is not None and before and self._last[1] == before:
            answer = self._last[0]
        else:
            answer = self._answer()
            self._last = (answer, self._standing())
        waits = {thread: self._waiting(thread) for thread in self._thread_numbers()}
        if waited is not None:
            # It may be on its way back to where it was asked.
            waits[self._pid] = waited
        threads = [self._thread(raw, running, waits) for raw in answer.threads[:_THREADS]]
        if not threads:
            # Still, where it waits is known.
            threads = [self._thread(_Raw(self._pid, "", ()), running, waits)]
        # The one that runs the cells first, the kernel's own last.
        threads.sort(key=lambda it: (not it.main, it.service))
        return Stack(
            self._attempt,
            self._clock(),
            tuple(threads),
            source="py-spy" if answer.source == "py-spy" else "faulthandler",
            problem=answer.problem,
        )

    # Asking.

    def _answer(self) -> _Answer:
        state = self._state()
        if state in "Tt":
            return self._spied("the kernel is stopped (SIGSTOP, or a debugger)", always=True)
        if self._asker is None:
            return self._spied("kernels of this kind cannot be asked")
        waiting = self._waiting(self._pid) if state in "SD" else None
        if waiting is not None and not may_be_signalled(self._pid, waiting):
            return self._spied(
                f"compiled code waits in {waiting.name}, which asking would break off"
            )
        try:
            return _Answer(self._dumped(self._asker.ask()), "faulthandler")
        except (NoAnswer, OSError) as error:
            # In a wait for a disk, no signal arrives.
            return self._spied(str(error))

    def _spied(self, problem: str, *, always: bool = False) -> _Answer:
        """Ask py-spy instead, since there is a problem (that is always to be told)."""
        program = self._find_spy()
        if program is None:
            return _Answer((), "faulthandler", f"{problem}. py-spy, if installed, could tell more")
        try:
            spied = spy(program, self._pid)
        except NoAnswer as error:
            return _Answer((), "py-spy", f"{problem}; {error}")
        threads = tuple(_Raw(it.native, it.name, it.frames) for it in spied)
        return _Answer(threads, "py-spy", problem if always else "")

    def _dumped(self, text: str) -> tuple[_Raw, ...]:
        """Return the threads of a dump, with their numbers as far as they are found out.

        A dump names threads by where the C library keeps what it knows of them: at the upper end of
        the thread's stack. So a thread belongs to the nearest name above its stack pointer.
        """
        threads = parse_dump(text)
        handles = sorted(it.handle for it in threads if not it.asked)
        numbers: dict[int, int] = {}
        for number in self._thread_numbers():
            waiting = None if number == self._pid else self._waiting(number)
            if waiting is not None:
                above = [handle for handle in handles if handle > waiting.stack_pointer]
                if above:
                    numbers.setdefault(above[0], number)
        return tuple(
            _Raw(self._pid if it.asked else numbers.get(it.handle, 0), it.name, it.frames)
            for it in threads
        )

    # Saying what it means.

    def _thread(
        self, raw: _Raw, running: int | None, waits: dict[int, Waiting | None]
    ) -> ThreadStack:
        main = raw.native == self._pid
        waiting = waits.get(raw.native)
        service = not main and self._is_service(raw.frames)
        shown = raw.frames[:_SERVICE_FRAMES] if service else self._users(raw.frames)
        return ThreadStack(
            frames=tuple(self._frame(it, running if main else None) for it in shown),
            name="MainThread" if main else raw.name or self._name(raw.native),
            main=main,
            service=service,
            call=waiting.name if waiting is not None else "",
            timed=waiting is not None and waiting.is_timed,
        )

    def _users(self, frames: tuple[DumpedFrame, ...]) -> tuple[DumpedFrame, ...]:
        """Leave out how the kernel has come to run the cell, and the middle of what is deep."""
        cells = [at for at, it in enumerate(frames) if self._cells.is_cell(it.file)]
        shown = frames[: cells[-1] + 1] if cells else frames
        if len(shown) > _INNER_FRAMES + _OUTER_FRAMES:
            shown = (*shown[:_INNER_FRAMES], *shown[-_OUTER_FRAMES:])
        return shown

    def _frame(self, frame: DumpedFrame, running: int | None) -> StackFrame:
        place = self._cells.find(frame.file, frame.line, running)
        if place is None and running is not None and self._cells.is_cell(frame.file):
            # Of a kernel that names its files otherwise.
            return StackFrame(frame.file, frame.line, frame.function, running)
        if place is not None:
            text = self._mask(place.text)[:_LINE_LENGTH]
            return StackFrame(frame.file, place.line, frame.function, place.cell, text)
        text = "" if any(it in frame.file for it in _INSTALLED) else self._line(frame)
        return StackFrame(frame.file, frame.line, frame.function, None, text)

    def _line(self, frame: DumpedFrame) -> str:
        return self._mask(linecache.getline(frame.file, frame.line).strip())[:_LINE_LENGTH]

    def _is_service(self, frames: Iterable[DumpedFrame]) -> bool:
        outermost = next(
            (
                it
                for it in reversed(tuple(frames))
                if not it.file.endswith("/threading.py") and it.function != _WRAPPER
            ),
            None,
        )
        return outermost is not None and any(it in outermost.file for it in _SERVICES)

    # Looking.

    def _standing(self) -> tuple[object, ...]:
        """Return what changes whenever the thread that runs the cells moves; empty if it runs."""
        waiting = self._waiting(self._pid)
        if waiting is None and self._state() not in "Tt":
            return ()
        try:
            data = read(f"/proc/{self._pid}/task/{self._pid}/status".encode())
        except UNREADABLE:
            return ()
        switches = [line for line in data.splitlines() if b"ctxt_switches" in line]
        return (waiting, *switches)

    def _state(self) -> str:
        try:
            data = read(f"/proc/{self._pid}/task/{self._pid}/stat".encode())
        except UNREADABLE:
            return "?"
        return chr(data[data.rindex(b")") + 2])

    def _waiting(self, thread: int) -> Waiting | None:
        try:
            data = read(f"/proc/{self._pid}/task/{thread}/syscall".encode())
            return Waiting.parse(data, self._calls)
        except UNREADABLE:
            return None

    def _thread_numbers(self) -> list[int]:
        try:
            return sorted(map(int, os.listdir(f"/proc/{self._pid}/task")))  # noqa: PTH208 - pathlib is slower
        except OSError:
            return []

    def _name(self, thread: int) -> str:
        """Return a thread's name, if it is one of its own."""
        try:
            own, main = (
                read(f"/proc/{self._pid}/task/{it}/comm".encode()) for it in (thread, self._pid)
            )
        except UNREADABLE:
            return ""
        return "" if own == main else own.decode(errors="replace").strip()
