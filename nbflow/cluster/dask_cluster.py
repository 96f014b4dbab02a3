"""The adapter of the `Cluster` port: Dask as seen by a driver.

Handing over: one Dask task per bundle, each with a key that was never used
before, `(label, run, node, attempt, epoch)`. The label is what Dask's dashboard groups
by, so it is the node's name, or, in flows of very many nodes, the name of its group or
function (a scheduler never forgets a label).

Coming back: reports arrive as Dask events on a topic of this driver's own. The
future of a task is watched too, for what no report can tell: its worker died,
the task could not be unpickled, or the connection was interrupted.
"""

import asyncio
import logging
import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from dask.typing import Key
from distributed import Future
from distributed.scheduler import KilledWorker

from nbflow.cluster import connecting, remote
from nbflow.cluster.bundles import SCOUT_WAIT_S, Bundle, Bundler
from nbflow.cluster.connecting import Target
from nbflow.cluster.embedded import Embedded, EmbeddedCluster
from nbflow.cluster.reporting import decode
from nbflow.core.attempts import (
    AttemptTask,
    ClusterGone,
    Ended,
    Lost,
    Outcome,
    Report,
    StoreRef,
    WorkerNote,
)
from nbflow.core.errors import ClusterError
from nbflow.core.ids import AttemptId, groups_of
from nbflow.core.spec import FunctionCode
from nbflow.core.states import Reason
from nbflow.ports import ClusterInfo

#: How often the futures of ended attempts are released, in seconds.
RELEASE_EVERY_S = 0.25

#: Different nodes after which the dashboard shows groups and functions instead of nodes.
MAX_LABELS = 256

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
        self._embedded: EmbeddedCluster | None = None
        self._client: Any = None
        self._entry: connecting.Entry = remote.perform
        self._report: Callable[[Report], None] = lambda _: None
        self._bundler = Bundler()
        #: Attempts that wait until the first of their function has been seen to run.
        self._waiting: list[AttemptTask] = []
        self._digests: dict[AttemptId, str] = {}
        self._labels: set[str] = set()
        self._watchers: set[asyncio.Task[None]] = set()
        #: Attempts that are with the cluster, and the future of the task that holds each.
        self._futures: dict[AttemptId, Future[Any]] = {}
        #: Futures of attempts that have ended, soon to be released.
        self._spent: list[Future[Any]] = []
        self._threads = 1

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
                note=lambda text: report(WorkerNote(text)),
                gone=lambda text: report(ClusterGone(text)),
            )
            await self._embedded.start()
        address = None if self._embedded is None else self._embedded.address
        client = self._client = await connecting.connect(self._target, address)
        # The client would hold messages back for up to 10 ms to send them together. A
        # driver sends one batch a turn, and the next node waits for it.
        client.scheduler_comm.interval = 0
        client.subscribe_topic(self._topic, self._receive)

    async def survey(self, store: StoreRef) -> ClusterInfo:
        """Wait for the first worker, and ask all that are there what they can do.

        Raises
        ------
        ClusterError
            If no worker comes, or one cannot run this nbflow.
        """
        if self._embedded is not None:
            await self._embedded.first_worker()
        else:
            await connecting.first_worker(self._client)
        # Our own workers have this program's kernels; listing them takes a moment.
        is_ours = self._embedded is not None
        probes = await connecting.probe(self._client, store, list_kernels=not is_ours)
        for doubt in connecting.doubts(probes):
            self._report(WorkerNote(doubt))
        if not is_ours:
            self._entry = await connecting.entry_for(self._client)
        has_dashboard = not isinstance(self._target, Embedded) or self._target.dashboard
        info = connecting.info_of(self._client, list(probes.values()), has_dashboard=has_dashboard)
        if self._embedded is not None:
            # Workers that are still on their way count: they will be here in a moment.
            workers, threads = self._embedded.config.sized()
            info = msgspec.structs.replace(info, workers=workers, threads=workers * threads)
        self._threads = max(1, info.threads)
        return info

    async def submit(self, tasks: Sequence[AttemptTask]) -> None:
        """Hand over attempts, in as few messages as their priorities and resources allow."""
        bundles, waiting = self._bundler.cut(tasks, self._threads)
        if waiting:
            self._waiting.extend(waiting)
            asyncio.get_running_loop().call_later(SCOUT_WAIT_S, self._submit_waiting)
        self._submit_bundles(bundles)

    def _submit_waiting(self) -> None:
        """Hand over the attempts that waited for their scouts."""
        tasks, self._waiting = self._waiting, []
        bundles, unknown = self._bundler.cut(tasks, self._threads)
        # Their scouts are slow, so bundles would not pay.
        self._submit_bundles([*bundles, *((task,) for task in unknown)])

    def _submit_bundles(self, bundles: Sequence[Bundle]) -> None:
        alike: defaultdict[tuple[object, ...], list[Bundle]] = defaultdict(list)
        for bundle in bundles:
            first = bundle[0]
            alike[first.priority, tuple(sorted(first.resources.items()))].append(bundle)
        for group in alike.values():
            self._submit_alike(group)

    async def cancel(self, attempts: Sequence[AttemptId]) -> None:
        """Stop attempts wherever they are: on their worker, or before they get there."""
        if not attempts or self._client is None:
            return
        wanted = set(attempts)
        for task in self._waiting:
            if task.id in wanted:
                self._report(Ended(_stopped(task.id, self._clock())))
        self._waiting = [task for task in self._waiting if task.id not in wanted]
        await self._client.run(remote.stop, list(attempts), on_error="ignore")
        # What a worker has by now, it knows to refuse; the rest never gets to one.
        processing = await self._client.processing()
        with_workers = {key for keys in processing.values() for key in keys}
        withdrawn: list[Future[Any]] = []
        for attempt in attempts:
            future = self._futures.get(attempt)
            if future is not None and future.key not in with_workers:
                withdrawn.append(future)
                self._ended(_stopped(attempt, self._clock()))
        await self._client.cancel(withdrawn)

    async def close(self) -> None:
        """Let go of all attempts and of the connection; an embedded cluster ends."""
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        self._futures.clear()
        self._spent.clear()
        if self._client is not None:
            await self._client.close()
        if self._embedded is not None:
            await self._embedded.close()

    # --- handing over -------------------------------------------------------------------------

    def _submit_alike(self, bundles: Sequence[Bundle]) -> None:
        """Submit bundles of one priority and one set of resources as one graph."""
        assert self._client is not None, "the cluster has not been started"
        first = bundles[0][0]
        graph: dict[Key, Any] = {}
        for bundle in bundles:
            message = msgspec.msgpack.encode(bundle)
            graph[self._key(bundle)] = (self._entry, self._topic, message)
        try:
            futures = self._client.get(
                graph,
                list(graph),
                sync=False,
                priority=first.priority,
                resources=first.resources or None,
            )
        except (OSError, RuntimeError) as error:
            # A client whose scheduler is gone refuses in one of these ways.
            raise ClusterError(f"the connection to the scheduler is lost: {error}") from error
        for bundle, future in zip(bundles, futures, strict=True):
            attempts = tuple(task.id for task in bundle)
            for task in bundle:
                self._futures[task.id] = future
                if isinstance(task.code, FunctionCode):
                    self._digests[task.id] = task.code.digest
            watcher = asyncio.create_task(self._watch(future, attempts))
            self._watchers.add(watcher)
            watcher.add_done_callback(self._watched)

    def _key(self, bundle: Bundle) -> Key:
        first = bundle[0]
        label = self._label(first)
        key = (label, first.id.run, first.id.node, first.id.number, first.id.epoch)
        return key if len(bundle) == 1 else (*key, f"and {len(bundle) - 1} more")

    def _label(self, task: AttemptTask) -> str:
        if task.id.node in self._labels or len(self._labels) < MAX_LABELS:
            self._labels.add(task.id.node)
            return task.id.node
        if isinstance(task.code, FunctionCode):
            return task.code.label
        return next(iter(groups_of(task.id.node)), "notebooks")

    # --- coming back --------------------------------------------------------------------------

    def _receive(self, event: tuple[float, bytes]) -> None:
        _, message = event
        for report in decode(message):
            match report:
                case Ended(outcome):
                    self._ended(outcome)
                case Lost(id=attempt):
                    self._futures.pop(attempt, None)
                    self._report(report)
                case _:
                    self._report(report)

    def _ended(self, outcome: Outcome) -> None:
        future = self._futures.pop(outcome.id, None)
        if future is None:
            return  # reported already, by an event or by the future
        self._let_go(future)
        digest = self._digests.pop(outcome.id, None)
        if digest is not None:
            self._bundler.observe(digest, outcome.ended_at - outcome.started_at)
            if self._waiting:
                self._submit_waiting()
        self._report(Ended(outcome))

    def _let_go(self, future: Future[Any]) -> None:
        """Release a task's future, but not at once.

        A release makes the scheduler write to the worker, and whatever it writes next, such
        as the successor's task, would wait for its batching interval of 5 ms.
        """
        if not self._spent:
            asyncio.get_running_loop().call_later(RELEASE_EVERY_S, self._spent.clear)
        self._spent.append(future)

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
        left = [attempt for attempt in attempts if attempt in self._futures]
        if not left:
            return
        if future.status == "finished":
            for outcome in msgspec.msgpack.decode(await future, type=list[Outcome]):
                self._ended(outcome)
            left = [attempt for attempt in left if attempt in self._futures]
            message = "its worker ended the task without an outcome"
        elif future.status == "error":
            error = await future.exception()
            if not isinstance(error, KilledWorker):
                for attempt in left:
                    self._ended(_unperformed(attempt, self._clock(), error))
                return
            message = f"worker {error.last_worker.address} was lost"
        else:
            message = "the connection to the scheduler was interrupted"
        for attempt in left:
            del self._futures[attempt]
            self._digests.pop(attempt, None)
            self._report(Lost(attempt, message))


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
