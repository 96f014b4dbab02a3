"""The adapter of the `Cluster` port: Dask as seen by a driver.

Attempts become Dask tasks (`handing_over`), or go straight to a worker that has just ended some
(`lanes`). Coming back: reports arrive as Dask events on a topic of this driver's own. The future of
a task is watched too, for what no report can tell (`task_ends`): its worker died or refused it, or
the task could not be unpickled.

Somebody else's cluster may lose its connection or its scheduler (`link`), run a task again
behind our back (`fences`), and be joined by workers that are of no use (`placing`). What became
of attempts after that is settled in `settling`.
"""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

import msgspec
from distributed import Future

from nbflow.cluster import connecting, fences, remote
from nbflow.cluster.asking import ask_all
from nbflow.cluster.connecting import Target
from nbflow.cluster.embedded import Embedded, EmbeddedCluster
from nbflow.cluster.handing_over import Counter, Handed
from nbflow.cluster.lanes import Lanes
from nbflow.cluster.link import Link
from nbflow.cluster.placing import Places
from nbflow.cluster.reporting import decode
from nbflow.cluster.settling import Settler
from nbflow.cluster.task_ends import TaskEnds
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
    stopped_unbegun,
)
from nbflow.core.errors import ClusterError
from nbflow.core.ids import AttemptId
from nbflow.core.states import LossKind
from nbflow.ports import ClusterInfo

#: How often the futures of ended attempts are released, in seconds.
RELEASE_EVERY_S = 0.25

#: How long stopping attempts may keep the driver waiting, in seconds.
CALL_S = 10.0

#: How long a worker may take to hear that attempts are to be stopped, in seconds; twice, and the
#: scheduler is still to be asked within `CALL_S`.
TOLD_WITHIN_S = 3.0

#: What the scheduler says of tasks that are with a worker, or over: they tell what becomes of them.
#: Of the end of one, the driver need not know yet.
_TELLS = frozenset({"processing", "memory", "erred"})

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
        lanes = Lanes(
            self._topic, self._link, time.monotonic, begin=self._begin, receive=self._receive
        )
        self._counter = Counter(
            self._topic,
            self._link,
            self._places,
            self._in_flight,
            entry=remote.perform if self._is_ours else connecting.foreign_entry(),
            fenced=not self._is_ours,
            watch=lambda future, attempts: self._begin(self._ends.watch(future, attempts)),
            lanes=lanes,
        )
        self._settler = Settler(
            self._topic,
            self._link,
            self._in_flight,
            receive=self._receive,
            lose=self._lose,
            again=self._counter.submit_again,
        )
        self._ends = TaskEnds(
            self._in_flight,
            self._link,
            self._places,
            self._counter,
            None if self._is_ours else self._settler,
            ended=self._ended,
            lose=self._lose,
            clock=clock,
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
        for attempt in withdrawn:
            self._report(Ended(stopped_unbegun(attempt, self._clock())))
        foreign = wanted - self._in_flight.keys() - set(withdrawn)
        if foreign and not self._is_ours and self._link.is_up:
            # Nobody waits for them, and one worker that does not answer would keep the driver.
            self._begin(self._stop_foreign(foreign))
        for attempt in wanted & self._in_flight.keys():
            if self._in_flight[attempt].unplaced:
                self._ended(stopped_unbegun(attempt, self._clock()))
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
            await self._say_goodbye()
        await self._link.close()
        if self._embedded is not None:
            await self._embedded.close()

    async def _say_goodbye(self) -> None:
        """Leave nothing at somebody else's scheduler."""
        try:
            async with asyncio.timeout(CALL_S):
                await fences.forget(self._link.client.scheduler, self._topic)
                await connecting.forget_topic(self._link.client, self._topic)
        except (OSError, ValueError) as error:
            # The second is what a scheduler says that runs nobody's functions. It keeps a few names
            # then, and the last messages.
            _log.info("the scheduler keeps what it has of this driver: %s", error)

    async def _survey(self, store: StoreRef) -> ClusterInfo:
        client = self._link.client
        answers = await self._ask_workers(store)
        has_dashboard = not isinstance(self._target, Embedded) or self._target.dashboard
        probes = list(answers.probes.values())
        return connecting.info_of(client, probes, has_dashboard=has_dashboard)

    async def _ask_workers(self, store: StoreRef) -> connecting.Answers:
        """Ask until one has answered: what was there, and idle, may leave before it has."""
        give_up_at: float | None = None
        while True:
            async with self._first_worker():
                # Our own workers have this program's kernels; listing them takes a moment.
                answers = await self._places.survey(
                    self._link.client, store, list_kernels=not self._is_ours
                )
            if answers.probes:
                return answers
            now = time.monotonic()
            give_up_at = give_up_at or now + connecting.FIRST_WORKER_TIMEOUT_S
            if answers.unheard and now >= give_up_at:
                raise connecting.nobody_answers(answers)

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
        try:
            async with asyncio.timeout(CALL_S):
                # What a worker has by now, it knows to refuse; the rest never gets to one.
                silent = await self._stop_on_workers(attempts)
                await self._withdraw(attempts & self._in_flight.keys())
            untold = {
                one
                for one in attempts & self._in_flight.keys()
                if self._in_flight[one].may_be_on(silent)
            }
        except TimeoutError:
            _log.info("attempts could not be stopped yet: the scheduler is silent")
            untold = attempts
        except OSError as error:
            _log.info("attempts could not be stopped yet: %s", error)
            self._to_stop |= attempts
            self._link.suspect()
            return
        # Once more, and each time takes some seconds; the driver does not wait for that.
        self._begin(self._stop(untold & self._in_flight.keys()))

    async def _stop_on_workers(self, attempts: set[AttemptId]) -> set[str]:
        """Tell the workers; return those that have not answered."""
        answers = await ask_all(
            self._link.client, remote.stop, list(attempts), within_s=TOLD_WITHIN_S
        )
        return {worker for worker, it in answers.items() if isinstance(it, TimeoutError)}

    async def _withdraw(self, attempts: set[AttemptId]) -> None:
        """Take back from the scheduler what is with no worker."""
        futures = {one: self._in_flight[one].future for one in attempts}
        keys = [future.key for future in futures.values() if future is not None]
        states = await self._link.client.scheduler.get_task_status(keys=keys)
        withdrawn: list[Future[Any]] = []
        for attempt, future in futures.items():
            handed = self._in_flight.get(attempt)
            if handed is None or future is None or handed.future is not future:
                continue
            state = states[future.key]
            if state in _TELLS:
                continue
            if not handed.begun:
                self._ended(stopped_unbegun(attempt, self._clock()))
            elif state is not None:
                self._lose(attempt, "its worker was lost while the node ran on it")
            else:
                continue  # Somebody else has cancelled its task, which has an end then.
            withdrawn.append(future)
        await self._link.client.cancel(withdrawn)

    async def _stop_foreign(self, attempts: set[AttemptId]) -> None:
        """Stop what this driver has not begun, or not any more, where a worker still has it."""
        try:
            async with asyncio.timeout(CALL_S):
                await self._stop_on_workers(attempts)
        except OSError as error:
            _log.info("attempts of an earlier driver may go on: %s", error)

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
                        self._counter.started(handed, report)
                        self._report(report)
                case _:
                    self._report(report)

    def _ended(self, outcome: Outcome) -> None:
        handed = self._in_flight.pop(outcome.id, None)
        if handed is None:
            return  # reported already, by an event or by the future
        if handed.future is not None:
            self._let_go(handed.future)
        self._counter.ended(handed, outcome)
        self._report(Ended(outcome))

    def _lose(self, attempt: AttemptId, message: str, kind: LossKind = "worker_lost") -> None:
        self._counter.over(self._in_flight.pop(attempt), attempt)
        self._report(Lost(attempt, message, kind))

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

    # --- the connection -----------------------------------------------------------------------

    async def _restored(self, same_scheduler: bool) -> None:
        client = self._link.client
        client.subscribe_topic(self._topic, self._event)
        if same_scheduler:
            await self._settler.catch_up()
        else:
            for attempt in list(self._in_flight):
                self._lose(attempt, "the scheduler was restarted", "scheduler_lost")

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
