"""Perform an attempt of a function node.

The way of a function that takes and returns small JSON values is kept short: one hop to a thread and
back, no file, and the unpickled function is kept for the next attempt. A thread cannot be
interrupted: when time is up or the attempt is to stop, the outcome says so, and the function
goes on in the background with nobody waiting for it.
"""

import asyncio
import copy
import inspect
import threading
import traceback
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from contextvars import copy_context
from typing import Any

import msgspec

from nbflow import guest
from nbflow.core.attempts import AttemptTask, Outcome
from nbflow.core.events import ErrorInfo
from nbflow.core.spec import FunctionCode
from nbflow.core.states import FailureKind, LossKind, Reason
from nbflow.core.values import Artifact, Binding, Fields, Inline, Items, Value
from nbflow.notebooks.keeping import keep_value
from nbflow.ports import ArtifactStore
from nbflow.worker.receipts import with_receipt
from nbflow.worker.streams import Log, printing_to

#: The output that a function's return value becomes.
RESULT = "result"

_TRACEBACK_LIMIT = 6000
_MESSAGE_LIMIT = 2000
_FUNCTIONS_KEPT = 256


async def perform_function(
    task: AttemptTask,
    *,
    store: ArtifactStore,
    clock: Callable[[], float],
    threads: Executor,
) -> Outcome:
    """Perform one attempt of a function node; see `nbflow.worker.perform`."""
    attempt = _FunctionAttempt(task, store, clock)
    limit_s = task.timeout.hard if task.timeout.hard is not None else task.timeout.soft
    try:
        async with asyncio.timeout(limit_s):
            return await attempt.perform(threads)
    except TimeoutError:
        message = f"took longer than {limit_s:g} s. {_GOES_ON}"
        return attempt.ended("failed", "timed_out", message)
    except asyncio.CancelledError:
        running = asyncio.current_task()
        assert running is not None
        # Deliberately swallowed, see `nbflow.worker.performing`.
        running.uncancel()
        return attempt.ended("stopped", "interrupted", f"stopped while it ran. {_GOES_ON}")


_GOES_ON = "A Python function cannot be interrupted, so it may go on in the background for a while"


class _FunctionAttempt:
    """One call. All but the awaiting of coroutines happens in a thread."""

    def __init__(
        self, task: AttemptTask, store: ArtifactStore, clock: Callable[[], float]
    ) -> None:
        self._task = task
        self._store = store
        self._clock = clock
        self._log = Log()
        self._started_at = clock()

    async def perform(self, threads: Executor) -> Outcome:
        loop = asyncio.get_running_loop()
        outcome = await loop.run_in_executor(threads, copy_context().run, self._call)
        if isinstance(outcome, Outcome):
            return outcome
        # The function was asynchronous: it runs here, in the worker's loop.
        with printing_to(self._log):
            try:
                result = await outcome
            except Exception as error:  # noqa: BLE001 - the user's function; told in the outcome
                return await asyncio.to_thread(self._raised, error)
        return await asyncio.to_thread(self._returned, result)

    def ended(
        self,
        status: Any,
        kind: FailureKind | LossKind | None = None,
        message: str = "",
        *,
        error: ErrorInfo | None = None,
        outputs: dict[str, Value] | None = None,
        log: Artifact | None = None,
    ) -> Outcome:
        """Return the outcome as of now."""
        return Outcome(
            id=self._task.id,
            status=status,
            started_at=self._started_at,
            ended_at=self._clock(),
            outputs=outputs or {},
            log=log,
            reason=Reason(kind, message[:_MESSAGE_LIMIT]) if kind else None,
            error=error,
        )

    def _call(self) -> "Outcome | Awaitable[Any]":
        with printing_to(self._log):
            try:
                function = _load_function(self._task.code, self._store)
                params = {name: self._load(name) for name in self._task.params}
                result = function(**params)
            except BaseException as error:  # noqa: BLE001 - the user's function; told in the outcome
                return self._raised(error)
        return result if inspect.isawaitable(result) else self._returned(result)
