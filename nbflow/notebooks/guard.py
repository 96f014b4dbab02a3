"""Limits of a running node: time, memory, and somebody's wish to stop it.

A guard watches beside the cells. When a limit is reached it first decides (`verdict`), and then
interrupts or kills the kernel; the cell that ran then fails, and whoever ran it finds in the
verdict why. The first verdict stands, but for a kill, which overrides an interrupt.
"""

import asyncio
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Literal, Self

import msgspec

from nbflow.core.policies import Timeout
from nbflow.core.states import Reason
from nbflow.kernels import Kernel

#: How often memory is looked at.
_MEMORY_POLL_S = 0.5
#: How long an interrupted cell may clean up when the node is to stop.
STOP_GRACE_S = 5.0
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


class Bounds(msgspec.Struct, frozen=True):
    """What an attempt may use. `began_at` is the event loop's time when its seconds began."""

    began_at: float
    timeout: Timeout = Timeout()
    memory_bytes: int | None = None


class Verdict(msgspec.Struct, frozen=True):
    """Why a guard stepped in."""

    status: Literal["failed", "stopped"]
    reason: Reason


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
        self._kernel = kernel
        self._bounds = bounds
        self._stop = stop
        self._place = place
        self._watches: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        timeout = self._bounds.timeout
        watches: list[Coroutine[Any, Any, None]] = [self._watch_stop()]
        if timeout.soft is not None:
            watches.append(self._watch_soft(timeout.soft))
        if timeout.hard is not None:
            watches.append(self._watch_hard(timeout.hard))
        if self._bounds.memory_bytes is not None:
            watches.append(self._watch_memory(self._bounds.memory_bytes))
        self._watches = [asyncio.create_task(watch) for watch in watches]
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

    async def _watch_soft(self, limit_s: float) -> None:
        await self._until(limit_s)
        message = f"interrupted after {limit_s:g} s (soft timeout) {self._place()}"
        self._decide("failed", Reason("timed_out", message))
        await self._interrupt()

    async def _watch_hard(self, limit_s: float) -> None:
        await self._until(limit_s)
        message = f"killed after {limit_s:g} s (hard timeout) {self._place()}"
        self._decide("failed", Reason("timed_out", message), final=True)
        await self._kernel.kill()

    async def _watch_memory(self, limit_bytes: int) -> None:
        used = 0
        while used <= limit_bytes:
            await asyncio.sleep(_MEMORY_POLL_S)
            used = await asyncio.to_thread(self._kernel.memory_bytes)
        message = (
            f"killed {self._place()}: its processes used {_megabytes(used)}, the limit is "
            f"{_megabytes(limit_bytes)}. Raise `memory`, or let the notebook load less at a time"
        )
        self._decide("failed", Reason("out_of_memory", message), final=True)
        await self._kernel.kill()

    async def _watch_stop(self) -> None:
        await self._stop.asked.wait()
        self._decide("stopped", Reason("interrupted", f"stopped {self._place()}"))
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
        except TimeoutError:
            pass  # A kernel that does not say when it begins a cell, or has none to run.
        await self._kernel.interrupt()

    async def _until(self, limit_s: float) -> None:
        await asyncio.sleep(self._bounds.began_at + limit_s - asyncio.get_running_loop().time())

    def _decide(
        self, status: Literal["failed", "stopped"], reason: Reason, *, final: bool = False
    ) -> None:
        if self.verdict is None or (final and self.verdict.status == "failed"):
            self.verdict = Verdict(status, reason)


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1_000_000:,.0f} MB"
