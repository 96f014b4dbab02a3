"""A thread with an event loop, on which a process's kernels live.

The system kills kernels when the thread that started them ends (`nbflow.kernels.leash`), and warm
kernels are worth having only if what they are forked from stays. A caller's thread promises neither
to live on nor to have no loop of its own that is running. So there is one thread more in a process,
started when it is first needed, which ends with the process, and with all kernels in good
order.
"""

import asyncio
import atexit
import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from nbflow.kernels import WarmPool
from nbflow.notebooks.guard import StopRequest

T = TypeVar("T")

#: How often a waiting caller looks for signals, at least.
_SIGNALS_S = 0.2
#: Seconds that kernels may take to end when the process does; the system kills those left.
_CLOSE_S = 5.0


class Job(Generic[T]):
    """Something that runs in the background, and what its caller may do meanwhile."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, stop: StopRequest, ended: Future[T]
    ) -> None:
        self._loop = loop
        self._stop = stop
        self._ended = ended
        self._over = False
        # Of the kind that a handler of a signal cannot leave half locked, whatever it raises.
        self._runs = threading.Lock()
        self._runs.acquire()
        ended.add_done_callback(self._end)

    def result(self) -> T:
        """Wait for the end; return its result or raise its error. Signals are handled meanwhile."""
        while not self._over:
            # Of two signals at once, the system may hand both to another thread, and then this one
            # (Python runs handlers in no other) is not woken.
            self._runs.acquire(timeout=_SIGNALS_S)
        return self._ended.result()

    def ask(self) -> None:
        """Ask it to end early. Safe in signal handlers."""
        self._loop.call_soon_threadsafe(self._stop.ask)

    def insist(self) -> None:
        """Have its kernel killed."""
        self._loop.call_soon_threadsafe(self._stop.insist)

    def _end(self, _ended: Future[T]) -> None:
        self._over = True
        self._runs.release()


class Background:
    """The thread and its loop, started now, and the process's warm kernels."""

    def __init__(self) -> None:
        #: Where kernels come from; it starts nothing before the first one is wanted.
        self.pool = WarmPool()
        # Of this class, because ZeroMQ's sockets need a loop that watches file descriptors.
        self._loop = asyncio.SelectorEventLoop()
        self._helpers = ThreadPoolExecutor(thread_name_prefix="nbflow-engine-helper")
        self._loop.set_default_executor(self._helpers)
        self._jobs: dict[asyncio.Task[None], StopRequest] = {}
        self._thread = threading.Thread(target=self._run, name="nbflow-engine", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it can take jobs; false in a process forked from its own."""
        return self._thread.is_alive()

    def start(self, work: Callable[[StopRequest], Awaitable[T]]) -> Job[T]:
        """Begin `work` there, in the caller's context: its log lines belong to the caller."""
        stop = StopRequest()

        async def job() -> T:
            task = asyncio.current_task()
            assert task is not None
            self._jobs[task] = stop
            try:
                return await work(stop)
            finally:
                del self._jobs[task]

        return Job(self._loop, stop, asyncio.run_coroutine_threadsafe(job(), self._loop))

    def close(self) -> None:
        """Kill the kernels of jobs that still run, and end the thread."""
        if not self.alive:
            return
        ended = asyncio.run_coroutine_threadsafe(self._end_jobs(), self._loop)
        ended.add_done_callback(lambda _: self._loop.call_soon_threadsafe(self._loop.stop))
        self._thread.join(_CLOSE_S)
        self.pool.close()

    async def _end_jobs(self) -> None:
        for stop in self._jobs.values():
            stop.insist()
        if self._jobs:
            await asyncio.wait(list(self._jobs))

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            # Not the loop's own way, which needs a new thread: too late for that at exit.
            self._helpers.shutdown()
            self._loop.close()


class _Process:
    """A process, and its background if that has been needed yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._background: Background | None = None

    def background(self) -> Background:
        with self._lock:
            if self._background is None or not self._background.alive:
                self._background = Background()
                atexit.register(self._background.close)
            return self._background

    def forget(self) -> None:
        """Start anew: in a forked process there is neither the thread nor who holds the lock."""
        self._lock = threading.Lock()
        self._background = None

    def close(self) -> None:
        with self._lock:
            if self._background is not None:
                atexit.unregister(self._background.close)
                self._background.close()
                self._background = None


#: The one global of this package: a process has one thread for kernels, whoever calls papermill.
_process = _Process()


def background() -> Background:
    """Return this process's background, started if need be."""
    return _process.background()


def close() -> None:
    """End this process's background; the next notebook starts a new one."""
    _process.close()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_process.forget)
