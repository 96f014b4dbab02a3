"""The adapter of the `Cluster` port: Dask as seen by a driver.

Attempts become Dask tasks (`handing_over`). Coming back: reports arrive as Dask events on a
topic of this driver's own. The future of a task is watched too, for what no report can tell:
its worker died or refused it, or the task could not be unpickled.

Somebody else's cluster may lose its connection or its scheduler (`link`), run a task again
behind our back (`fences`), and be joined by workers that are of no use (`placing`). What became
of attempts after that is settled in `settling`.
"""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import CancelledError
from typing import Any

import msgspec
from distributed import Future
from distributed.scheduler import KilledWorker

from nbflow.cluster import connecting, fences, remote
from nbflow.cluster.connecting import Target
from nbflow.cluster.embedded import Embedded, EmbeddedCluster
from nbflow.cluster.handing_over import Counter, Handed
from nbflow.cluster.link import Link
from nbflow.cluster.placing import Places
from nbflow.cluster.reporting import decode
from nbflow.cluster.settling import Settler
from nbflow.cluster.watching_workers import WorkerWatch
from nbflow.core.attempts import (
    AttemptTask,
    ClusterGone,
    Ended,
    Lost,
    Outcome,
    Report,
    Started,
    StoreRef,
    WorkerNote,
)
from nbflow.core.errors import ClusterError
from nbflow.core.ids import AttemptId
from nbflow.core.states import Reason
from nbflow.ports import ClusterInfo

#: How often the futures of ended attempts are released, in seconds.
RELEASE_EVERY_S = 0.25

#: How long stopping attempts may keep the driver waiting, in seconds.
CALL_S = 10.0

_log = logging.getLogger(__name__)


class DaskCluster:
    """Runs attempts on Dask.

    Parameters
    ----------
    target
        `Embedded` for a cluster of our own; otherwise the address of a scheduler, the path of a
        scheduler file, a `distributed.Client`, or a Cluster object.
    clock
        Seconds since the epoch.
    """

    def __init__(self, target: Target, *, clock: Callable[[], float]) -> None:
        self._target = target
        self._clock = clock
        self._topic = f"nbflow-{uuid.uuid4().hex[:12]}"
        #: Our own scheduler runs no task twice; anybody else's may.
        self._is_ours = isinstance(target, Embedded)
        self._embedded: EmbeddedCluster | None = None
        self._report: Callable[[Report], None] = lambda _: None
        self._watchers: set[asyncio.Task[None]] = set()
        #: Attempts that are with the cluster.
        self._in_flight: dict[AttemptId, Handed] = {}
        #: Attempts to be stopped as soon as the connection is restored.
        self._to_stop: set[AttemptId] = set()
        #: Attempts that a worker which cannot run them has refused.
        self._refused: dict[AttemptId, AttemptTask] = {}
        #: Futures of attempts that have ended, soon to be released.
        self._spent: list[Future[Any]] = []
        self._said_no_worker = False
        self._workers: WorkerWatch | None = None
        self._places = Places(self._note)
        self._link = Link(
            target,
            restored=self._restored,
            ready=self._go_on,
            pulse=self._pulse,
            note=self._note,
            gone=lambda why: self._report(ClusterGone(why)),
        )
        self._counter = Counter(
            self._topic,
            self._link,
            self._places,
            self._in_flight,
            fenced=not self._is_ours,
            watch=lambda future, attempts: self._begin(self._watch(future, attempts)),
        )
        self._settler = Settler(
            self._topic,
            self._link,
            self._in_flight,
            receive=self._receive,
            lose=self._lose,
            again=self._counter.submit_again,
        )

    async def start(self, report: Callable[[Report], None]) -> None:
        """Connect, or start the embedded cluster.

        Raises
        ------
        ClusterError
            If the scheduler cannot be reached.
        """
        self._report = report
        if isinstance(self._target, Embedded):
            self._embedded = EmbeddedCluster(
                self._target,
                note=self._note,
                gone=lambda text: report(ClusterGone(text)),
            )
            await self._embedded.start()
        await self._link.open(None if self._embedded is None else self._embedded.address)
        self._link.client.subscribe_topic(self._topic, self._event)
        self._workers = WorkerWatch(report, self._clock)
        self._workers.watch(self._link.client)

    async def survey(self, store: StoreRef) -> ClusterInfo:
        """Wait for the first worker, and ask all that are there what they can do.

        Raises
        ------
        ClusterError
            If no worker comes, or one cannot run this nbflow.
        """
        try:
            info = await self._survey(store)
        except OSError as error:
            raise ClusterError(f"the connection to the scheduler is lost: {error}") from error
        if self._embedded is not None:
            # Workers that are still on their way count: they will be here in a moment.
            workers, threads = self._embedded.config.sized()
            info = msgspec.structs.replace(info, workers=workers, threads=workers * threads)
        self._counter.threads = max(1, info.threads)
        return info

    async def submit(self, tasks: Sequence[AttemptTask]) -> None:
        """Hand over attempts, in as few messages as their priorities and resources allow."""
        self._counter.submit(tasks)

    async def cancel(self, attempts: Sequence[AttemptId]) -> None:
        """Stop attempts wherever they are: on their worker, or before they get there."""
        wanted = set(attempts)
        withdrawn = self._counter.withdraw(wanted)
        withdrawn += [attempt for attempt in wanted if self._refused.pop(attempt, None) is not None]
        for attempt in withdrawn:
            self._report(Ended(_stopped(attempt, self._clock())))
        await self._stop(wanted & self._in_flight.keys())

    async def close(self) -> None:
        """Let go of all attempts and of the connection; an embedded cluster ends."""
        if self._workers is not None:
            await self._workers.close()
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        self._in_flight.clear()
        self._spent.clear()
        if not self._is_ours and self._link.is_up:
            with contextlib.suppress(OSError):  # the scheduler keeps a few names for ever then
                forgetting = fences.forget(self._link.client.scheduler, self._topic)
                await asyncio.wait_for(forgetting, CALL_S)
        await self._link.close()
        if self._embedded is not None:
            await self._embedded.close()

    async def _survey(self, store: StoreRef) -> ClusterInfo:
        client = self._link.client
        if not self._is_ours:
            self._counter.entry = await connecting.entry_for(client)
        probes: dict[str, remote.ProbeResult] = {}
        while not probes:  # what was there, and idle, may leave before it has answered
            async with self._first_worker():
                # Our own workers have this program's kernels; listing them takes a moment.
                probes = await self._places.survey(client, store, list_kernels=not self._is_ours)
        has_dashboard = not isinstance(self._target, Embedded) or self._target.dashboard
        return connecting.info_of(client, list(probes.values()), has_dashboard=has_dashboard)

    @contextlib.asynccontextmanager
    async def _first_worker(self) -> AsyncIterator[None]:
        if self._embedded is not None:
            await self._embedded.first_worker()
            yield
        else:
            async with connecting.first_worker(self._link.client, self._topic):
                yield

    async def _stop(self, attempts: set[AttemptId]) -> None:
        if not attempts:
            return
        if not self._link.is_up:
            self._to_stop |= attempts
            return
        client = self._link.client
        try:
            async with asyncio.timeout(CALL_S):
                await client.run(remote.stop, list(attempts), on_error="ignore")
                # What a worker has by now, it knows to refuse; the rest never gets to one.
                processing = await client.processing()
                with_workers = {key for keys in processing.values() for key in keys}
                withdrawn: list[Future[Any]] = []
                for attempt in attempts & self._in_flight.keys():
                    future = self._in_flight[attempt].future
                    if future is not None and future.key not in with_workers:
                        withdrawn.append(future)
                        self._ended(_stopped(attempt, self._clock()))
                await client.cancel(withdrawn)
        except OSError as error:
            # Once more with the next connection; the driver does not wait for that.
            _log.info("attempts could not be stopped yet: %s", error)
            self._to_stop |= attempts

    # --- coming back --------------------------------------------------------------------------

    def _event(self, event: tuple[float, bytes]) -> None:
        _, message = event
        self._receive(message)

    def _receive(self, message: bytes) -> None:
        reports = decode(message)
        if not reports:
            self._settler.echo.set()
        for report in reports:
            match report:
                case Ended(outcome):
                    self._ended(outcome)
                case Started(id=attempt):
                    handed = self._in_flight.get(attempt)
                    # With a new connection, what was heard before may be read again.
                    if handed is not None and handed.started != report:
                        handed.task, handed.started = None, report
                        self._report(report)
                case _:
                    self._report(report)

    def _ended(self, outcome: Outcome) -> None:
        handed = self._in_flight.pop(outcome.id, None)
        if handed is None:
            return  # reported already, by an event or by the future
        if handed.future is not None:
            self._let_go(handed.future)
        self._counter.ended(outcome)
        self._report(Ended(outcome))

    def _lose(self, attempt: AttemptId, message: str) -> None:
        del self._in_flight[attempt]
        self._counter.lost(attempt)
        self._report(Lost(attempt, message))

    def _let_go(self, future: Future[Any]) -> None:
        """Release a task's future, but not at once.

        A release makes the scheduler write to the worker, and whatever it writes next, such
        as the successor's task, would wait for its batching interval of 5 ms.
        """
        if not self._spent:
            asyncio.get_running_loop().call_later(RELEASE_EVERY_S, self._spent.clear)
        self._spent.append(future)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        watcher = asyncio.create_task(work)
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watched)

    def _watched(self, watcher: asyncio.Task[None]) -> None:
        self._watchers.discard(watcher)
        if not watcher.cancelled() and (error := watcher.exception()) is not None:
            _log.error("the watch over a task of the cluster has ended", exc_info=error)

    async def _watch(self, future: Future[Any], attempts: Sequence[AttemptId]) -> None:
        """Report whatever the task's end says of attempts that have not been reported."""
        # `distributed.wait` would ask for a process-wide default client, which is not ours to set.
        state = future._state  # noqa: SLF001 - waiting on it has no public, asynchronous equal
        while state is not None and future.status == "pending":
            await state.wait()
        if not self._left(future, attempts):
            return
        try:
            await self._conclude(future, attempts)
        except OSError as error:
            # The connection breaks this very moment: whoever restores it settles these as well.
            _log.info("the end of a task is not known yet: %s", error)
            self._link.suspect()

    async def _conclude(self, future: Future[Any], attempts: Sequence[AttemptId]) -> None:
        if future.status == "error":
            await self._erred(await future.exception(), self._left(future, attempts))
            return
        if future.status == "finished":
            with contextlib.suppress(CancelledError):  # while it was being fetched
                for outcome in msgspec.msgpack.decode(await future, type=list[Outcome]):
                    self._ended(outcome)
                for attempt in self._left(future, attempts):
                    self._lose(attempt, "its worker ended the task without an outcome")
                return
        await self._interrupted(self._left(future, attempts))

    def _left(self, future: Future[Any], attempts: Sequence[AttemptId]) -> list[AttemptId]:
        """Return those of a task's attempts that are open, and not with another task by now."""
        return [
            attempt
            for attempt in attempts
            if attempt in self._in_flight and self._in_flight[attempt].future is future
        ]

    async def _erred(self, error: BaseException, attempts: Sequence[AttemptId]) -> None:
        if isinstance(error, KilledWorker):
            message = f"worker {error.last_worker.address} was lost"
            if not self._is_ours:
                await self._settler.settle(attempts, lost=message)
                return
        elif isinstance(error, remote.BegunElsewhere):
            message = str(error)
        elif isinstance(error, remote.Unfit | ImportError) and not self._is_ours:
            await self._place(attempts, error)
            return
        else:
            for attempt in attempts:
                self._ended(_unperformed(attempt, self._clock(), error))
            return
        for attempt in attempts:
            self._lose(attempt, message)

    async def _place(self, attempts: Sequence[AttemptId], error: BaseException) -> None:
        """Hand over elsewhere what a worker has refused."""
        for attempt in attempts:
            task = self._in_flight.pop(attempt).task
            assert task is not None, "an attempt that was refused has not begun"
            self._refused[attempt] = task
        try:
            why = await self._places.look_again(self._link.client) if self._link.is_up else ""
            if not why and isinstance(error, ImportError) and self._places.preferred is None:
                why = f"{type(error).__name__}: {error}"  # and yet all workers are said to be fit
        except OSError:
            self._link.suspect()
            why = ""
        tasks = [self._refused.pop(attempt) for attempt in attempts if attempt in self._refused]
        if not why:
            self._counter.submit_again(tasks)
            return
        for task in tasks:
            self._report(Ended(_unperformed(task.id, self._clock(), ClusterError(why))))

    async def _interrupted(self, attempts: Sequence[AttemptId]) -> None:
        """Somebody else cancelled the task or restarted the cluster, or the connection broke."""
        if self._is_ours:
            for attempt in attempts:
                self._lose(attempt, "the connection to the scheduler was interrupted")
        elif self._link.is_up:
            await self._settler.settle(attempts)

    # --- the connection -----------------------------------------------------------------------

    async def _restored(self, same_scheduler: bool) -> None:
        client = self._link.client
        client.subscribe_topic(self._topic, self._event)
        self._counter.entry = await connecting.entry_for(client)
        if same_scheduler:
            await self._settler.catch_up()
        else:
            for attempt in list(self._in_flight):
                self._lose(attempt, "the scheduler was restarted")

    def _go_on(self) -> None:
        """Do what has waited for the connection."""
        if self._workers is not None:
            self._workers.watch(self._link.client)
        attempts, self._to_stop = self._to_stop, set()
        self._begin(self._stop(attempts & self._in_flight.keys()))
        self._counter.submit_held()

    async def _pulse(self, workers: int) -> None:
        has_none = workers == 0 and bool(self._in_flight)
        if has_none and not self._said_no_worker:
            self._note(f"the cluster has no worker; {len(self._in_flight)} attempts wait for one")
        self._said_no_worker = has_none
        await self._settler.look_after_adopted()

    def _note(self, text: str) -> None:
        self._report(WorkerNote(text))


def _stopped(attempt: AttemptId, now: float) -> Outcome:
    return Outcome(id=attempt, status="stopped", started_at=now, ended_at=now)


def _unperformed(attempt: AttemptId, now: float, error: BaseException) -> Outcome:
    message = f"the cluster could not run it: {type(error).__name__}: {error}"
    return Outcome(
        id=attempt,
        status="failed",
        started_at=now,
        ended_at=now,
        reason=Reason("error", message),
    )
