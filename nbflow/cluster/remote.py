"""What runs on a Dask worker, one of ours or somebody else's.

A worker needs nothing but nbflow in its environment: no plugin is installed
beforehand. The first call that reaches a worker makes its `WorkerSide`, which
lives as long as the worker and is shared by all drivers that use it.

`perform` is the one coroutine that every Dask task of ours runs; `probe` and `stop` are called
through `Client.run`.
"""

import asyncio
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
from distributed import get_worker

from nbflow._version import __version__
from nbflow.artifacts import FileStore
from nbflow.cluster.reporting import ReportBuffer
from nbflow.core.attempts import AttemptTask, Ended, Lost, Outcome, Started, StoreRef
from nbflow.core.ids import AttemptId
from nbflow.worker import Facilities
from nbflow.worker import perform as perform_attempt

_tasks_decoder = msgspec.msgpack.Decoder(list[AttemptTask])
_EXTENSION = "nbflow"


class ProbeResult(msgspec.Struct, frozen=True):
    """What a worker says of itself."""

    version: str
    python: str
    threads: int
    shares_store: bool
    kernels: list[str]
    resources: dict[str, float]


class WorkerSide:
    """nbflow's part of one Dask worker.

    Parameters
    ----------
    worker
        The `distributed.Worker`.
    facilities
        What attempts share; None for new ones. Closed with the worker.
    """

    def __init__(self, worker: Any, facilities: Facilities | None = None) -> None:
        self._worker = worker
        self._running: dict[AttemptId, asyncio.Task[Outcome]] = {}
        #: Attempts that were asked to stop; those that have not begun never will.
        self._stopped: set[AttemptId] = set()
        self._stores: dict[StoreRef, FileStore | None] = {}
        self._buffers: dict[str, ReportBuffer] = {}
        # In the worker's own folder: what a killed worker leaves there goes with it.
        self._scratch = tempfile.TemporaryDirectory(
            prefix="nbflow-", dir=worker.local_directory, ignore_cleanup_errors=True
        )
        self.facilities = facilities or Facilities()
        # Held here: the loop itself holds no task.
        self._closing = asyncio.create_task(self._close_with_worker())

    @classmethod
    def of(cls, worker: Any) -> "WorkerSide":
        """Return the worker's side, made at first use."""
        side = worker.extensions.get(_EXTENSION)
        if side is None:
            side = cls(worker)
            side.settle()
        return side  # type: ignore[no-any-return]

    def settle(self) -> None:
        """Become what `of` returns for this worker."""
        self._worker.extensions[_EXTENSION] = self

    def store(self, ref: StoreRef) -> FileStore | None:
        """Return the driver's artifact store, or None if it is not to be seen from here."""
        if ref not in self._stores:
            self._stores[ref] = FileStore.open_ref(ref)
        return self._stores[ref]

    def buffer(self, topic: str) -> ReportBuffer:
        """Return the buffer of reports to the driver that listens to `topic`."""
        if topic not in self._buffers:
            self._buffers[topic] = ReportBuffer(lambda data: self._worker.log_event(topic, data))
        return self._buffers[topic]

    async def _close_with_worker(self) -> None:
        """End what attempts have shared, as soon as the worker (or its loop) ends."""
        try:
            await self._worker.finished()
        finally:
            # Blocks, but for no longer than it takes to kill kernels.
            self.facilities.close()

    async def perform(self, task: AttemptTask, reports: ReportBuffer) -> Outcome | None:
        """Perform one attempt; None if this worker cannot even begin it."""
        if task.id in self._stopped:
            now = time.time()
            return Outcome(id=task.id, status="stopped", started_at=now, ended_at=now)
        store = self.store(task.store)
        if store is None and task.code.digest not in task.carried:
            message = f"worker {self._worker.address} does not see the store {task.store.url}"
            reports.put(Lost(task.id, message))
            return None
        reports.put(Started(task.id, self._worker.address, time.time()))
        running = asyncio.create_task(
            perform_attempt(
                task,
                worker_name=self._worker.address,
                store=store,
                scratch=Path(self._scratch.name),
                report=reports.put,
                facilities=self.facilities,
            ),
            name=f"nbflow-{task.id}",
        )
        self._running[task.id] = running
        try:
            return await running
        finally:
            del self._running[task.id]

    def stop(self, attempts: list[AttemptId]) -> None:
        """Stop attempts that run here, and refuse those that have not begun."""
        for attempt in attempts:
            self._stopped.add(attempt)
            running = self._running.get(attempt)
            if running is not None:
                running.cancel()


async def perform(topic: str, message: bytes) -> bytes:
    """Perform a bundle of attempts one after the other; the body of every Dask task of ours.

    Parameters
    ----------
    topic
        Where the driver listens.
    message
        The attempts' tasks, encoded.

    Returns
    -------
    bytes
        The outcomes once more: the driver reads them if a report was lost on its way.
    """
    side = WorkerSide.of(get_worker())
    reports = side.buffer(topic)
    tasks = _tasks_decoder.decode(message)
    outcomes: list[Outcome] = []
    for position, task in enumerate(tasks, start=1):
        outcome = await side.perform(task, reports)
        if outcome is not None:
            outcomes.append(outcome)
            if not outcome.carried:
                reports.put(Ended(outcome), more_follows=position < len(tasks))
    reports.flush()
    return msgspec.msgpack.encode(outcomes)


async def probe(ref: StoreRef, list_kernels: bool, dask_worker: Any) -> bytes:
    """Say what this worker can do. Runs through `Client.run`, which passes `dask_worker`."""
    # Listing kernels reads a dozen folders: not on the event loop, which other tasks need.
    kernels = await asyncio.to_thread(_kernels) if list_kernels else []
    result = ProbeResult(
        version=__version__,
        python=platform.python_version(),
        threads=dask_worker.state.nthreads,
        shares_store=WorkerSide.of(dask_worker).store(ref) is not None,
        kernels=kernels,
        resources={name: float(n) for name, n in dask_worker.state.total_resources.items()},
    )
    return msgspec.msgpack.encode(result)


async def stop(attempts: list[AttemptId], dask_worker: Any) -> None:
    """Stop attempts on this worker. Runs through `Client.run`, which passes `dask_worker`."""
    WorkerSide.of(dask_worker).stop(attempts)


def _kernels() -> list[str]:
    from nbflow.kernels import kernel_names  # lazy: jupyter_client is slow to import

    return sorted(kernel_names())
