"""The probing of one attempt of a function, which runs in a thread of the worker.

Its processor time is its own, as the system counts it for each thread. Memory belongs to the
worker, and whoever else runs in it: a sample tells the worker's, the sum of an attempt none.
Functions that end soon, as most do, are never looked at: that would cost more than they do.
"""

import asyncio
import threading
import time
from collections.abc import Callable

import msgspec

from nbflow.core.ids import AttemptId
from nbflow.core.usage import UsageSum
from nbflow.worker.probing.prober import Prober, Watched
from nbflow.worker.probing.subjects import thread_subject
from nbflow.worker.probing.tallying import Tally
from nbflow.worker.telling import Told

#: Seconds after which a function is looked at.
_AFTER_S = 0.5


class FunctionUsage:
    """What one call has used. Written by its thread."""

    def __init__(self) -> None:
        self.tally = Tally()
        #: The thread in which it runs; None while it runs in none.
        self.thread: int | None = None
        self._began_s = 0.0
        self._cpu_s: float | None = None

    def begin(self) -> None:
        """Note that the call begins in this thread."""
        self.thread = threading.get_native_id()
        self._began_s = time.thread_time()

    def leave_thread(self) -> None:
        """Note that the call goes on elsewhere."""
        self.thread = None

    def sum(self) -> UsageSum | None:
        """Return what it has used; None if that is not known."""
        if self.thread is not None and self.thread == threading.get_native_id():
            self._cpu_s = time.thread_time() - self._began_s
        sampled = self.tally.sum() or UsageSum()
        if self._cpu_s is None:
            return sampled if sampled.samples else None
        return msgspec.structs.replace(
            sampled, cpu_s=round(self._cpu_s, 6), memory_bytes_mean=0, memory_bytes_peak=0
        )


class FunctionProbing:
    """Has the prober look at a function, if it runs for long. Used in the event loop."""

    def __init__(
        self,
        usage: FunctionUsage,
        attempt: AttemptId,
        prober: Prober,
        report: Callable[[Told], None],
    ) -> None:
        self._usage = usage
        self._attempt = attempt
        self._prober = prober
        self._report = report
        self._watched: Watched | None = None
        self._timer = asyncio.get_running_loop().call_later(_AFTER_S, self._begin)

    def end(self) -> None:
        """Look no more."""
        self._timer.cancel()
        if self._watched is not None:
            self._watched.wanted = False
            self._prober.drop(self._watched)

    def _begin(self) -> None:
        if self._usage.thread is None:
            return
        now = self._prober.monotonic()
        subject = thread_subject(self._usage.thread, self._usage.tally, now)
        if subject is not None:
            loop = asyncio.get_running_loop()
            self._watched = Watched(self._attempt, subject, self._report, loop)
            self._prober.watch(self._watched)
