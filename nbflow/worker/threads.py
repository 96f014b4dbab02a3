"""Threads for user functions.

Unlike `ThreadPoolExecutor`, a function that never returns (a thread cannot be stopped) keeps
nothing waiting: neither the next function, which gets a thread of its own, nor the end of the
process, which daemon threads do not hold up.
"""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class FunctionThreads(Executor):
    """Daemon threads, as many as calls run at a time; how many that are is the caller's limit."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: Threads that wait for a call. The last to rest is the first to work: its caches are warm.
        self._idle: list[_Worker] = []
        self._closed = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a call in an idle thread, or in a new one."""
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("these threads have been shut down")
            worker = self._idle.pop() if self._idle else None
        if worker is None:
            worker = _Worker(self._rest)
            worker.start()
        worker.calls.put(_Call(future, lambda: fn(*args, **kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End idle threads (and wait for that); busy ones end by themselves after their call."""
        del cancel_futures  # No call ever waits for a thread.
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.calls.put(None)
        if wait:
            for worker in idle:
                worker.join()

    def _rest(self, worker: "_Worker") -> bool:
        """Take a thread back; False tells it to end."""
        with self._lock:
            if not self._closed:
                self._idle.append(worker)
            return not self._closed


class _Call:
    """A call, and where its result goes."""

    def __init__(self, future: Future[Any], run: Callable[[], Any]) -> None:
        self.future = future
        self.run = run


class _Worker(threading.Thread):
    """One thread. It rests before it hands over a result, so that the next call finds it idle."""

    def __init__(self, rest: Callable[["_Worker"], bool]) -> None:
        super().__init__(name="nbflow-function", daemon=True)
        self.calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._rest = rest

    def run(self) -> None:
        stays = True
        while stays and (call := self.calls.get()) is not None:
            if not call.future.set_running_or_notify_cancel():
                stays = self._rest(self)
                continue
            try:
                result = call.run()
            except BaseException as error:  # noqa: BLE001 - it belongs to who awaits the future
                stays = self._rest(self)
                call.future.set_exception(error)
            else:
                stays = self._rest(self)
                call.future.set_result(result)
            # While it rests, a thread keeps nothing of its last call alive.
            del call
