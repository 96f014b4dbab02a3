"""What runs on a Dask worker, one of ours or somebody else's.

A worker needs nothing but nbflow in its environment: no plugin is installed
beforehand. The first call that reaches a worker makes its `WorkerSide`, which
lives as long as the worker and is shared by all drivers that use it.

`perform` is the one coroutine that every Dask task of ours runs; `probe`, `stop` and `adopt` are
called through `Client.run`. A task that does not begin says why by an exception (`Refused`): no
line of the node's code has run then, at least not here.
"""

import asyncio
import os
import platform
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
from distributed import get_worker

from nbflow import _logs
from nbflow._version import __version__
from nbflow.artifacts import FileStore
from nbflow.cluster import fences, payloads
from nbflow.cluster.keeping import STOPPED, Latest, Stores
from nbflow.cluster.open_lane import Errand, OpenLane, Reports
from nbflow.cluster.reporting import ReportBuffer
from nbflow.core.attempts import AttemptTask, Ended, Outcome, Started, StoreRef, stopped_unbegun
from nbflow.core.ids import AttemptId
from nbflow.worker import Facilities
from nbflow.worker import perform as perform_attempt

_tasks_decoder = msgspec.msgpack.Decoder(list[AttemptTask])
#: What a task of ours brings back: outcomes, and what they carry.
Result: TypeAlias = tuple[bytes, payloads.Parts]

_EXTENSION = "nbflow"
#: Under this name a worker's metrics have what its kernel pool does.
KERNELS = "nbflow_kernels"

#: How long a worker that ends waits for its attempts to end, in seconds: a stopped cell may clean
#: up, and a kernel have time to leave.
WIND_DOWN_S = 10.0


class Refused(Exception):
    """The task has not begun here."""


class Unfit(Refused):
    """It could not on this worker; another one may be able to."""


class BegunElsewhere(Refused):
    """It must not: another worker was first, and nobody knows how far it came."""


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

    Raises
    ------
    Unfit
        If the worker has no place to work at.
    """

    def __init__(self, worker: Any, facilities: Facilities | None = None) -> None:
        self._worker = worker
        # A worker of somebody else's is asked by its own environment.
        _logs.speak(os.environ)
        self._running: dict[AttemptId, asyncio.Task[Outcome]] = {}
        #: Attempts of tasks that have begun here and not ended, by the topic of their driver.
        self._held: defaultdict[str, set[AttemptId]] = defaultdict(set)
        #: Held attempts whose driver has lost their task's future: it learns by events alone.
        self._adopted: set[AttemptId] = set()
        #: Attempts that were asked to stop; those that have not begun never will.
        self._stopped: Latest[AttemptId] = Latest(STOPPED)
        self._stores = Stores()
        self._buffers: dict[str, ReportBuffer] = {}
        #: Lanes that are here, by the topic of their driver and their name.
        self._lanes: dict[tuple[str, str], OpenLane] = {}
        # In the worker's own folder: what a killed worker leaves there goes with it.
        self._scratch = _scratch_of(worker)
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
        self._worker.handlers["nbflow_errand"] = self.errand
        self._worker.handlers["nbflow_close_lane"] = self.close_lane
        # With its heartbeats, from where the drivers' watches take it.
        self._worker.metrics[KERNELS] = lambda _: msgspec.to_builtins(self.facilities.kernels)

    def store(self, ref: StoreRef, *, look_again: bool = False) -> FileStore | None:
        """Return the driver's artifact store, or None if it is not to be seen from here."""
        return self._stores.find(ref, look_again=look_again)

    def buffer(self, topic: str) -> ReportBuffer:
        """Return the buffer of reports to the driver that listens to `topic`."""
        if topic not in self._buffers:
            self._buffers[topic] = ReportBuffer(lambda data: self._worker.log_event(topic, data))
        return self._buffers[topic]

    async def _close_with_worker(self) -> None:
        """End what attempts have shared, as soon as the worker (or its loop) ends.

        Attempts end before that: to one that goes on, the end of its kernel would be a failure.
        """
        try:
            await self._worker.finished()
            self.stop(list(self._running))
        finally:
            # A loop that ends, as that of `dask worker --no-nanny` does on a signal, has cancelled
            # them itself, together with this task.
            try:
                if self._running:
                    await asyncio.wait(self._running.values(), timeout=WIND_DOWN_S)
            finally:
                # Blocks, but for no longer than it takes to kill kernels.
                self.facilities.close()

    async def stay(self, tasks: list[AttemptTask], topic: str, serial: str) -> list[Outcome]:
        """Perform attempts, and then what comes to the lane that this task is meanwhile."""
        lane = self._lanes[topic, serial] = OpenLane()
        try:
            outcomes = await self.perform_all(tasks, topic, "", self.buffer(topic))
            while (errand := await lane.next()) is not None:
                outcomes += await self.perform_all(errand.tasks, topic, "", errand)
        finally:
            lane.close()
            del self._lanes[topic, serial]
        return outcomes

    async def errand(self, topic: str, lane: str, message: bytes) -> bytes | None:
        """Do an errand in a lane; called by its driver, who gets `Errand.answer`."""
        if (topic, lane) not in self._lanes:
            return None
        errand = Errand(_tasks_decoder.decode(message), self.buffer(topic))
        self._lanes[topic, lane].add(errand)
        # Shielded: a broken call does not end what it asked for.
        return await asyncio.shield(errand.answer)

    async def close_lane(self, topic: str, lane: str) -> None:
        """Let a lane end; called by its driver."""
        if (topic, lane) in self._lanes:
            self._lanes[topic, lane].close()

    async def perform_all(
        self, tasks: Sequence[AttemptTask], topic: str, serial: str, reports: Reports
    ) -> list[Outcome]:
        """Perform attempts one after the other, and report each.

        Bytes travel with the task's result, unless nobody is there any more to take that.
        """
        held = self._held[topic]
        held.update(task.id for task in tasks)
        outcomes: list[Outcome] = []
        try:
            for position, task in enumerate(tasks, start=1):
                outcome = await self._perform(task, reports)
                outcomes.append(outcome)
                if not outcome.carried or self._by_event_only(task.id, tasks[0].id, serial):
                    reports.put(Ended(outcome), more_follows=position < len(tasks))
                held.discard(task.id)
                self._adopted.discard(task.id)
        finally:
            held.difference_update(task.id for task in tasks)
            reports.flush()
            if not held:
                # Its driver may not come again, and does not say so. What waits in the buffer is
                # sent by the loop's timer, and errands have one of their own.
                self._held.pop(topic, None)
                self._buffers.pop(topic, None)
        return outcomes

    def _by_event_only(self, attempt: AttemptId, first: AttemptId, serial: str) -> bool:
        """Whether the driver cannot have the result of the task any more: Dask has cancelled it."""
        if not serial or attempt in self._adopted:
            return bool(serial)
        names = (first.run, first.node, first.number, first.epoch, int(serial))
        return any(
            isinstance(key, tuple) and key[1:6] == names and state.state == "cancelled"
            for key, state in self._worker.state.tasks.items()
        )

    async def _perform(self, task: AttemptTask, reports: Reports) -> Outcome:
        if task.id in self._stopped:
            return stopped_unbegun(task.id, time.time())
        reports.put(Started(task.id, self._worker.address, time.time()))
        with _logs.about(_subject(task.id, self._worker.address)):
            running = asyncio.create_task(
                perform_attempt(
                    task,
                    worker_name=self._worker.address,
                    store=self.store(task.store),
                    scratch=Path(self._scratch.name),
                    report=reports.put,
                    facilities=self.facilities,
                ),
                name=f"nbflow-{task.id}",
            )
        self._running[task.id] = running
        try:
            return await running
        except asyncio.CancelledError:
            current = asyncio.current_task()
            assert current is not None
            if current.cancelling():
                raise  # Dask ends the whole task
            # It was stopped before its first step, and so could not say so itself.
            return stopped_unbegun(task.id, time.time())
        finally:
            del self._running[task.id]

    def adopt(self, topic: str) -> list[AttemptId]:
        """Report how the attempts held for `topic` end by events, whatever they carry."""
        held = list(self._held.get(topic, ()))
        self._adopted.update(held)
        return held

    def stop(self, attempts: list[AttemptId]) -> None:
        """Stop attempts that run here, and refuse those that have not begun.

        Who asks again has nothing new to say, and must not cut short how they wind down.
        """
        for attempt in attempts:
            if attempt in self._stopped:
                continue
            self._stopped.add(attempt)
            running = self._running.get(attempt)
            if running is not None:
                running.cancel()


async def perform(
    topic: str, message: bytes, version: str, fence: str, lane: str, *parts: Any
) -> Result:
    """Perform a bundle of attempts one after the other; the body of every Dask task of ours.

    Parameters
    ----------
    topic
        Where the driver listens.
    message
        The attempts' tasks, encoded.
    version
        The driver's nbflow, which has encoded them.
    fence
        What to claim before the first of them begins; empty where Dask runs no task twice.
    lane
        The name of the lane that the task stays open as; empty to end with its last attempt.
    parts
        What the tasks carry besides (`payloads`).

    Returns
    -------
    tuple
        The outcomes once more, and what they carry: the driver reads them if a report was lost on
        its way, or had no room for that.

    Raises
    ------
    Refused
        If none of them has begun here.
    """
    worker = get_worker()
    if version != __version__:
        raise Unfit(other_version(worker.address, __version__, version))
    side = WorkerSide.of(worker)
    tasks = payloads.joined(_tasks_decoder.decode(message), parts)
    first = tasks[0]
    is_carried = first.code.digest in first.carried
    if not is_carried and side.store(first.store, look_again=True) is None:
        raise Unfit(f"worker {worker.address} does not see the store {first.store.shown}")
    if fence:
        await _claim(worker, topic, fence)
    if lane:
        outcomes = await side.stay(tasks, topic, lane)
    else:
        outcomes = await side.perform_all(tasks, topic, fence, side.buffer(topic))
    return payloads.pack(outcomes)


def _scratch_of(worker: Any) -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(
            prefix="nbflow-", dir=worker.local_directory, ignore_cleanup_errors=True
        )
    except OSError as error:
        # Whoever cleans up temporary folders may have taken it for an old one.
        raise Unfit(
            f"worker {worker.address} cannot use its local directory {worker.local_directory} "
            f"({type(error).__name__}). Start it anew"
        ) from error


async def _claim(worker: Any, topic: str, fence: str) -> None:
    try:
        holder = await fences.claim(worker.scheduler, topic, fence, worker.address)
    except OSError as error:
        raise BegunElsewhere(
            f"worker {worker.address} has lost its connection to the scheduler"
        ) from error
    if holder is not None:
        raise BegunElsewhere(f"worker {holder} was lost or retired while the node ran on it")


def _subject(attempt: AttemptId, worker: str) -> _logs.Subject:
    return _logs.Subject(attempt.run, attempt.node, attempt.number, worker)


def other_version(worker: str, theirs: str, ours: str) -> str:
    """Say that a worker has another version of nbflow than the driver."""
    return (
        f"worker {worker} has nbflow {theirs}, and this program is nbflow {ours}. Install the same "
        "version in both environments"
    )


async def probe(ref: StoreRef, list_kernels: bool, dask_worker: Any) -> bytes:
    """Say what this worker can do. Runs through `Client.run`, which passes `dask_worker`."""
    # Listing kernels reads a dozen folders: not on the event loop, which other tasks need.
    kernels = await asyncio.to_thread(_kernels) if list_kernels else []
    result = ProbeResult(
        version=__version__,
        python=platform.python_version(),
        threads=dask_worker.state.nthreads,
        shares_store=WorkerSide.of(dask_worker).store(ref, look_again=True) is not None,
        kernels=kernels,
        resources={name: float(n) for name, n in dask_worker.state.total_resources.items()},
    )
    return msgspec.msgpack.encode(result)


async def stop(attempts: list[AttemptId], dask_worker: Any) -> None:
    """Stop attempts on this worker. Runs through `Client.run`, which passes `dask_worker`."""
    WorkerSide.of(dask_worker).stop(attempts)


async def adopt(topic: str, dask_worker: Any) -> bytes:
    """Return the attempts that are held here for a driver; it will hear of them by events alone.

    Runs through `Client.run`, which passes `dask_worker`.
    """
    return msgspec.msgpack.encode(WorkerSide.of(dask_worker).adopt(topic))


def _kernels() -> list[str]:
    from nbflow.kernels import kernel_names  # lazy: jupyter_client is slow to import

    return sorted(kernel_names())
