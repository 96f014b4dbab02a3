"""Perform an attempt: the one entry of the worker's part.

A cancellation of the task that awaits `perform` is a request to stop, not an end: the
attempt winds down (kernel interrupted, partial notebook stored) and its outcome, with the status
``stopped``, is returned. So the first cancellation is swallowed on purpose. A second one kills what
runs and is passed on.
"""

import asyncio
import time
import traceback
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import msgspec

from nbflow.core.attempts import AttemptTask, Outcome, Progress
from nbflow.core.events import ErrorInfo
from nbflow.core.spec import FunctionCode
from nbflow.core.states import Reason
from nbflow.ports import ArtifactStore
from nbflow.worker.carrying import CarriedStore
from nbflow.worker.function import perform_function
from nbflow.worker.stopping import StopRequest
from nbflow.worker.threads import FunctionThreads


async def perform(
    task: AttemptTask,
    *,
    worker_name: str,
    store: ArtifactStore | None,
    scratch: Path,
    report: Callable[[Progress], None],
    clock: Callable[[], float] = time.time,
    threads: Executor | None = None,
) -> Outcome:
    """Perform one attempt, and return how it ended; whatever goes wrong is in the outcome.

    Parameters
    ----------
    task
        The attempt.
    worker_name
        For messages.
    store
        The artifact store, or None if this worker does not share it: then all bytes come and go in
        the `carried` fields of task and outcome.
    scratch
        A folder for temporary files; left as it was found.
    report
        Receives progress, in the event loop's thread.
    clock
        Seconds since the epoch.
    threads
        Where functions run (best a `FunctionThreads` that lives as long as the worker); None for a
        thread of the attempt's own.
    """
    started_at = clock()
    carried = CarriedStore(task.carried, task.store, scratch) if store is None else None
    own_threads = FunctionThreads() if threads is None else None
    try:
        if isinstance(task.code, FunctionCode):
            outcome = await perform_function(
                task,
                store=store or carried,
                clock=clock,
                threads=threads or own_threads,
            )
        else:
            outcome = await _stoppable(...)
    finally:
        ...
