"""Limits of a running node: time, memory, output, and somebody's wish to stop it.

A guard watches beside the cells. When a limit is reached it first decides (`verdict`), and then
interrupts or kills the kernel; the cell that ran then fails, and whoever ran it finds in the
verdict why. The first verdict stands, but for a kill, which overrides an interrupt.

An interrupted cell may clean up, and hand on what it has. If no hard limit follows the soft one, it
has `SOFT_GRACE_S` seconds for that, and is killed then.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import msgspec

from nbflow.core.policies import Timeout
from nbflow.core.states import Reason
from nbflow.kernels import Kernel

T = TypeVar("T")

#: How often memory is looked at.
_MEMORY_POLL_S = 0.5
#: How long an interrupted cell may clean up when the node is to stop.
STOP_GRACE_S = 5.0
#: How long an interrupted cell may clean up when it has reached a limit, and no hard one follows.
SOFT_GRACE_S = 30.0
#: How long an interrupt waits for the kernel to begin the cell, before which it has no effect.
_BEGIN_S = 1.0


class StopRequest:
    """Somebody's wish to stop an attempt: `ask` once politely, `insist` to have it killed."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.insisted = asyncio.Event()

    def ask(self) -> None:
        """Interrupt the attempt, and give it a few seconds to clean up."""
        self.asked.set()

    def insist(self) -> None:
        """Kill the attempt."""
        self.asked.set()
        self.insisted.set()


async def unless_stopped(work: Coroutine[Any, Any, T], stop: StopRequest) -> T | None:
    """Return what `work` gives; None if it was cancelled, since somebody wished to stop before."""
    working = asyncio.create_task(work)
    asked = asyncio.create_task(stop.asked.wait())
    await asyncio.wait({working, asked}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if not working.done():
        working.cancel()
        await asyncio.wait({working})
    return None if working.cancelled() else working.result()


class Bounds(msgspec.Struct, frozen=True):
    """What an attempt may use.

    `began_at` is the event loop's time when its seconds began; `grace_s` are the seconds between an
    interrupt and a kill where no hard limit says when.
    """

    began_at: float
    timeout: Timeout = Timeout()
    memory_bytes: int | None = None
    grace_s: float = SOFT_GRACE_S


class Verdict(msgspec.Struct, frozen=True):
    """Why a guard stepped in. `error` is its name as that of an exception."""

    status: Literal["failed", "stopped"]
    reason: Reason
    error: str


class Guard:
    """Watches one kernel for as long as its context is entered.

    Parameters
    ----------
    kernel
        Is interrupted or killed.
    bounds
        The limits.
    stop
        Somebody's wish to stop.
    place
        Says what runs now, for messages: ``"in cell 3"``.
    """

    def __init__(
        self, kernel: Kernel, bounds: Bounds, stop: StopRequest, place: Callable[[], str]
    ) -> None:
        self.verdict: Verdict | None = None
        #: Set while an interrupt would reach the cell.
        self.interruptible = asyncio.Event()
        #: Whether the cell that runs now, or has just ended, has been interrupted by this guard.
        self.struck = False
        #: How often memory began or ceased to be counted; odd while it is not.
        self._uncounted = 0
        self._kernel = kernel
        self._bounds = bounds
        self._stop = stop
        self._place = place
        self._watches: set[asyncio.Task[None]] = set()
        #: Those of `_watches` that concern the running cell only.
        self._cell_watches: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        timeout, began_at = self._bounds.timeout, self._bounds.began_at
        self._watch(self._watch_stop())
        if timeout.soft is not None:
            lonely = timeout.hard is None
            self._watch(self._watch_soft("soft timeout", timeout.soft, began_at, lonely=lonely))
        if timeout.hard is not None:
            self._watch(self._watch_hard("hard timeout", timeout.hard, began_at))
        if self._bounds.memory_bytes is not None:
            self._watch(self._watch_memory(self._bounds.memory_bytes))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for watch in self._watches:
            watch.cancel()
        for result in await asyncio.gather(*self._watches, return_exceptions=True):
            if isinstance(result, Exception) and error is None:
                raise result
        if kind is asyncio.CancelledError:
            # The loop ends, and the kernel next: until then, the cell may clean up.
            await self._kernel.interrupt()

    def begin_cell(self) -> None:
        """Limit the cell that begins now."""
        self.struck = False
        timeout, now = self._bounds.timeout, asyncio.get_running_loop().time()
        watches: list[Coroutine[Any, Any, None]] = []
        if timeout.cell_soft is not None:
            lonely = timeout.cell_hard is None
            what = "soft timeout of a cell"
            watches.append(self._watch_soft(what, timeout.cell_soft, now, lonely=lonely))
        if timeout.cell_hard is not None:
            watches.append(self._watch_hard("hard timeout of a cell", timeout.cell_hard, now))
        self._cell_watches = [self._watch(watch) for watch in watches]

    def end_cell(self) -> None:
        """Let the limits of the cell go; it has ended."""
        self.interruptible.clear()
        for watch in self._cell_watches:
            watch.cancel()

    def fail(self, error: str, message: Callable[[str], str]) -> None:
        """Let the node fail: interrupt its cell, and kill it if it does not end.

        Parameters
        ----------
        error
            The name of what went wrong, as that of an exception.
        message
            Is given the place, and returns what went wrong and what to do.
        """
        reason = Reason("error", message(self._place()))
        self._decide("failed", reason, error)
        self._cell_watches.append(self._watch(self._end_softly(reason, error, lonely=True)))

    @contextmanager
    def memory_uncounted(self) -> Iterator[None]:
        """Count no memory meanwhile: a fork of the kernel shares it, and it would count twice."""
        self._uncounted += 1
        try:
            yield
        finally:
            self._uncounted += 1

    async def _watch_soft(
        self, what: str, limit_s: float, began_at: float, *, lonely: bool
    ) -> None:
        await _until(began_at + limit_s)
        message = f"interrupted after {limit_s:g} s ({what}) {self._place()}"
        reason = Reason("timed_out", message)
        self._decide("failed", reason, "TimedOut")
        await self._end_softly(reason, "TimedOut", lonely=lonely)

    async def _end_softly(self, reason: Reason, error: str, *, lonely: bool) -> None:
        """Interrupt; and kill after a grace, if no hard limit will."""
        await self._interrupt()
        if not lonely:
            return
        grace_s = self._bounds.grace_s
        await asyncio.sleep(grace_s)
        message = f"{reason.message}, and killed {grace_s:g} s later: the interrupt did not end it"
        self._decide("failed", Reason(reason.kind, message), error, final=True)
        await self._kernel.kill()

    async def _watch_hard(self, what: str, limit_s: float, began_at: float) -> None:
        await _until(began_at + limit_s)
        message = f"killed after {limit_s:g} s ({what}) {self._place()}"
        self._decide("failed", Reason("timed_out", message), "TimedOut", final=True)
        await self._kernel.kill()

    async def _watch_memory(self, limit_bytes: int) -> None:
        used = 0
        while used <= limit_bytes:
            await asyncio.sleep(_MEMORY_POLL_S)
            before = self._uncounted
            counted = await asyncio.to_thread(self._kernel.memory_bytes)
            # A look that took place while something was not to be counted says nothing.
            used = counted if before == self._uncounted and before % 2 == 0 else 0
        message = (
            f"killed {self._place()}: its processes used {_megabytes(used)}, the limit is "
            f"{_megabytes(limit_bytes)}. Raise `memory`, or let the notebook load less at a time"
        )
        self._decide("failed", Reason("out_of_memory", message), "OutOfMemory", final=True)
        await self._kernel.kill()

    async def _watch_stop(self) -> None:
        await self._stop.asked.wait()
        self._decide("stopped", Reason("interrupted", f"stopped {self._place()}"), "Stopped")
        await self._interrupt()
        try:
            async with asyncio.timeout(STOP_GRACE_S):
                await self._stop.insisted.wait()
        except TimeoutError:
            pass  # It had its time to clean up.
        await self._kernel.kill()

    async def _interrupt(self) -> None:
        try:
            async with asyncio.timeout(_BEGIN_S):
                await self.interruptible.wait()
            self.struck = True
        except TimeoutError:
            pass  # A kernel that does not say when it begins a cell, or has none to run.
        await self._kernel.interrupt()

    def _watch(self, watch: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        # Cells come and go; only the watches that still matter are kept.
        self._watches = {each for each in self._watches if not _is_over(each)}
        task = asyncio.create_task(watch)
        self._watches.add(task)
        return task

    def _decide(
        self,
        status: Literal["failed", "stopped"],
        reason: Reason,
        error: str,
        *,
        final: bool = False,
    ) -> None:
        if self.verdict is None or (final and self.verdict.status == "failed"):
            self.verdict = Verdict(status, reason, error)


async def _until(time_s: float) -> None:
    await asyncio.sleep(time_s - asyncio.get_running_loop().time())


def _is_over(watch: asyncio.Task[None]) -> bool:
    return watch.done() and (watch.cancelled() or watch.exception() is None)


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1_000_000:,.0f} MB"
