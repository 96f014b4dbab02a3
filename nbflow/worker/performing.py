"""Perform an attempt: the one entry of the worker's part.

A cancellation of the task that awaits `perform` is a request to stop, not an end: the
attempt winds down (kernel interrupted, partial notebook stored), and its outcome, with the status
``stopped``, is returned. So the first cancellation is swallowed on purpose. A second one
kills what runs, and is passed on.
"""

import asyncio
import importlib
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import msgspec

from nbflow.core.attempts import AttemptTask, Outcome, stopped_unbegun
from nbflow.core.events import ErrorInfo
from nbflow.core.spec import FunctionCode, NotebookCode
from nbflow.core.states import Reason
from nbflow.ports import ArtifactStore
from nbflow.worker.carrying import CarriedStore
from nbflow.worker.facilities import Facilities
from nbflow.worker.function import perform_function
from nbflow.worker.telling import Told


async def perform(
    task: AttemptTask,
    *,
    worker_name: str,
    store: ArtifactStore | None,
    scratch: Path,
    report: Callable[[Told], None],
    clock: Callable[[], float] = time.time,
    facilities: Facilities | None = None,
) -> Outcome:
    """Perform one attempt, and return how it ended; whatever goes wrong is in the outcome.

    Parameters
    ----------
    task
        The attempt.
    worker_name
        For messages.
    store
        The artifact store, or None if this worker does not share it: then all bytes come and go
        in the `carried` fields of task and outcome.
    scratch
        A folder for temporary files; they are removed again.
    report
        Receives progress, checkpoints, samples, stacks, and what is printed, in the event loop's
        thread.
    clock
        Seconds since the epoch.
    facilities
        What the worker's attempts share; None for the attempt's own.
    """
    if facilities is None:
        own_facilities = Facilities()
        try:
            return await perform(
                task,
                worker_name=worker_name,
                store=store,
                scratch=scratch,
                report=report,
                clock=clock,
                facilities=own_facilities,
            )
        finally:
            await asyncio.to_thread(own_facilities.close)
    if store is None:
        own = CarriedStore(task.carried, task.store, scratch)
        try:
            outcome = await _perform(task, worker_name, own, scratch, report, clock, facilities)
        finally:
            own.close()
        return msgspec.structs.replace(outcome, carried=own.added)
    return await _perform(task, worker_name, store, scratch, report, clock, facilities)


def load_notebooks() -> None:
    """Load what runs notebooks, if it is not there yet. Blocks.

    One thread at a time: papermill and its engines import each other, and of two threads that meet
    half-way, Python lets one see what the other has only half loaded.
    """
    with _LOADING:
        for name in ("assembly", "stage"):
            importlib.import_module(f"nbflow.worker.{name}")


_LOADING = threading.Lock()


async def _perform(
    task: AttemptTask,
    worker_name: str,
    store: ArtifactStore,
    scratch: Path,
    report: Callable[[Told], None],
    clock: Callable[[], float],
    facilities: Facilities,
) -> Outcome:
    started_at = clock()
    try:
        if isinstance(task.code, FunctionCode):
            return await perform_function(
                task,
                worker_name=worker_name,
                store=store,
                report=report,
                clock=clock,
                threads=facilities.threads,
                prober=facilities.prober,
            )
        return await _notebook(task, worker_name, store, scratch, report, clock, facilities)
    except Exception as error:  # noqa: BLE001 - told in the outcome, with its traceback
        # Foremost a store that cannot be read or written. The worker must live on.
        name = type(error).__name__
        message = f"on worker {worker_name}: {error}"
        return Outcome(
            id=task.id,
            status="failed",
            started_at=started_at,
            ended_at=clock(),
            reason=Reason("error", f"{name} {message}"),
            error=ErrorInfo(name, message, traceback=traceback.format_exc()),
        )


async def _notebook(
    task: AttemptTask,
    worker_name: str,
    store: ArtifactStore,
    scratch: Path,
    report: Callable[[Told], None],
    clock: Callable[[], float],
    facilities: Facilities,
) -> Outcome:
    try:
        await asyncio.to_thread(load_notebooks)
    except asyncio.CancelledError:
        # What is being loaded serves the next one; of this notebook, nothing has begun.
        _swallow_cancellation()
        return stopped_unbegun(task.id, clock())
    # Lazy: a worker that only runs functions need not load papermill, nbclient and nbformat.
    from nbflow.notebooks.guard import StopRequest
    from nbflow.worker.assembly import AssemblyAttempt
    from nbflow.worker.notebook import NotebookAttempt
    from nbflow.worker.stage import StageAttempt

    stop = StopRequest()
    assert isinstance(task.code, NotebookCode)
    kind = NotebookAttempt
    if task.code.stage is not None:
        kind = StageAttempt
    elif task.code.stages:
        kind = AssemblyAttempt
    attempt = kind(
        task,
        worker_name=worker_name,
        store=store,
        scratch=scratch,
        report=report,
        clock=clock,
        stop=stop,
        pool=facilities.pool,
        prober=facilities.prober,
    )
    # In a task of its own, which is never cancelled: it ends its kernel and stores what it has.
    work = asyncio.create_task(attempt.perform(), name=f"nbflow-{task.id}")
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        _swallow_cancellation()
        stop.ask()
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        stop.insist()
        await asyncio.wait({work})
        raise


def _swallow_cancellation() -> None:
    current = asyncio.current_task()
    assert current is not None
    current.uncancel()
