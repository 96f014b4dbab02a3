"""Handing attempts over to Dask: in bundles, each a task with a key and a fence of its own.

A bundle of quick functions may go straight to a worker instead (`lanes`).

A key was never used before: `(label, run, node, attempt, epoch, serial)`. The label is what Dask's
dashboard groups by, and reads as `FLOW/NODE`, or, in flows of very many nodes, as the flow and the
name of the node's group or function (a scheduler never forgets a label).

While the connection to the scheduler is lost, attempts wait here.
"""

import asyncio
import contextvars
import itertools
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dask.typing import Key
from distributed import Future
from distributed.client import ClosedClientError

from nbflow._version import __version__
from nbflow.cluster import connecting, payloads
from nbflow.cluster.bundles import SCOUT_WAIT_S, Bundle, Bundler
from nbflow.cluster.lanes import Errand, Lane, Lanes
from nbflow.cluster.link import Link
from nbflow.cluster.placing import Places
from nbflow.core.attempts import AttemptTask, Outcome, Started
from nbflow.core.errors import ClusterError
from nbflow.core.ids import AttemptId, groups_of
from nbflow.core.spec import FunctionCode

#: Different nodes after which the dashboard shows groups and functions instead of nodes.
MAX_LABELS = 256


@dataclass(slots=True)
class Handed:
    """An attempt that is with the cluster."""

    #: For handing it over again; None if it must not be: it has begun, or its task has no fence.
    resubmittable: AttemptTask | None
    #: Empty on a cluster that runs no task twice.
    fence: str
    #: Of the Dask task that holds it; None for an adopted attempt (see `settling`).
    future: Future[Any] | None
    #: Of its function's code; empty for a notebook.
    digest: str = ""
    started: Started | None = None
    #: Whether no worker has it, nor will: one has refused it, and it waits for another one.
    unplaced: bool = False

    @property
    def begun(self) -> bool:
        """Whether it is known to have begun."""
        return self.started is not None

    def may_be_on(self, workers: Collection[str]) -> bool:
        """Whether one of these workers may have it."""
        return bool(workers) and (self.started is None or self.started.worker in workers)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A bundle as it is submitted."""

    bundle: Bundle
    key: Key
    #: The function of the Dask task, and its arguments.
    call: tuple[Any, ...]
    #: Empty where none is needed.
    fence: str
    #: The name of the lane that the task stays open as; empty if it does not.
    lane: str


class Counter:
    """Takes attempts and hands them over.

    Parameters
    ----------
    topic
        Where the driver listens.
    link
        The line to the scheduler.
    places
        Which workers may have them.
    fenced
        Whether this cluster may run a task twice, so that each needs a fence.
    in_flight
        The attempts that are with the cluster, shared with the adapter.
    watch
        Is given each new Dask task: its future, and its attempts. They become more if it is a lane.
    lanes
        By which quick functions may go straight to a worker, where no fences are needed.
    """

    def __init__(
        self,
        topic: str,
        link: Link,
        places: Places,
        in_flight: dict[AttemptId, Handed],
        *,
        entry: connecting.Entry,
        fenced: bool,
        watch: Callable[[Future[Any], list[AttemptId]], None],
        lanes: Lanes,
    ) -> None:
        self._topic = topic
        self._link = link
        self._places = places
        self._in_flight = in_flight
        self._entry = entry
        self._fenced = fenced
        self._watch = watch
        self._lanes = lanes
        #: How many attempts of each Dask task are unfinished; lanes keep their own account.
        self._unfinished: dict[Future[Any], int] = {}
        #: How many threads the cluster has.
        self.threads = 1
        self._bundler = Bundler()
        #: Attempts that wait until the first of their function has been seen to run.
        self._waiting: list[AttemptTask] = []
        #: Attempts that wait until the connection is restored.
        self._held: list[AttemptTask] = []
        self._labels: set[str] = set()
        self._serials = itertools.count(1)

    def submit(self, tasks: Sequence[AttemptTask]) -> None:
        """Hand over attempts, in as few messages as their priorities and resources allow."""
        bundles, waiting = self._bundler.cut(tasks, self.threads)
        if waiting:
            self._waiting.extend(waiting)
            asyncio.get_running_loop().call_later(SCOUT_WAIT_S, self._submit_waiting)
        self._submit_bundles(bundles)

    def submit_again(self, tasks: Iterable[AttemptTask]) -> None:
        """Hand over attempts that were with the cluster and have not begun, each by itself."""
        again = list(tasks)
        for task in again:
            self._in_flight.pop(task.id, None)
        self._submit_bundles([(task,) for task in again])

    def submit_held(self) -> None:
        """Hand over what has waited for the connection."""
        held, self._held = self._held, []
        self._submit_bundles([(task,) for task in held])

    def withdraw(self, wanted: set[AttemptId]) -> list[AttemptId]:
        """Take back those of the attempts that still wait here; return them."""
        taken: list[AttemptId] = []
        for queue in (self._waiting, self._held):
            taken.extend(task.id for task in queue if task.id in wanted)
            queue[:] = [task for task in queue if task.id not in wanted]
        return taken

    def started(self, handed: Handed, report: Started) -> None:
        """Learn that an attempt has begun, and where."""
        handed.resubmittable, handed.started = None, report
        self._lanes.started(handed.future, report.worker)

    def ended(self, handed: Handed, outcome: Outcome) -> None:
        """Learn from an attempt how long its function takes."""
        self.over(handed, outcome.id)
        if handed.digest:
            self._bundler.observe(handed.digest, outcome.ended_at - outcome.started_at)
            if self._waiting:
                self._submit_waiting()

    def over(self, handed: Handed, attempt: AttemptId) -> None:
        """Know that an attempt is not with the cluster any more."""
        self._lanes.over(handed.future, attempt)
        if handed.future in self._unfinished:
            self._unfinished[handed.future] -= 1
            if not self._unfinished[handed.future]:
                del self._unfinished[handed.future]
        if self._busy > self.threads:
            self._lanes.close_idle()

    def is_with(self, attempt: AttemptId, future: Future[Any]) -> bool:
        """Whether an attempt is open, and in this Dask task."""
        return attempt in self._in_flight and self._in_flight[attempt].future is future

    async def task_over(self, future: Future[Any]) -> None:
        """Know that a Dask task is over; wait until all that was sent to it has been answered."""
        self._unfinished.pop(future, None)
        await self._lanes.ended(future)

    def _submit_waiting(self) -> None:
        """Hand over the attempts that waited for their scouts."""
        tasks, self._waiting = self._waiting, []
        bundles, unknown = self._bundler.cut(tasks, self.threads)
        # Their scouts are slow, so bundles would not pay.
        self._submit_bundles([*bundles, *((task,) for task in unknown)])

    def _submit_bundles(self, bundles: Sequence[Bundle]) -> None:
        alike: defaultdict[tuple[object, ...], list[Bundle]] = defaultdict(list)
        for bundle in self._not_sent(bundles):
            first = bundle[0]
            resources = tuple(sorted(first.resources.items()))
            # What is sent together stays in a scheduler's memory together.
            alike[first.priority, resources, payloads.large_in(bundle)].append(bundle)
        for group in alike.values():
            self._submit_alike(group)

    def _not_sent(self, bundles: Sequence[Bundle]) -> list[Bundle]:
        """Send to idle lanes what may go there; return the rest."""
        rest: list[Bundle] = []
        for bundle in bundles:
            suits = self._busy <= self.threads and self._suits_lanes(bundle)
            lane = self._lanes.idle() if suits else None
            if lane is None:
                rest.append(bundle)
            else:
                self._note(bundle, "", lane.future)
                self._lanes.send(lane, bundle, self._refused)
        if self._busy + len(rest) > self.threads:
            self._lanes.close_idle()
        return rest

    def _refused(self, lane: Lane, errand: Errand) -> None:
        """Hand over as a task what a lane has refused, unless it was given up meanwhile."""
        left = [task for task in errand if self.is_with(task.id, lane.future)]
        for task in left:
            del self._in_flight[task.id]
        if left:
            self._submit_bundles([tuple(left)])

    @property
    def _busy(self) -> int:
        """How many Dask tasks of ours have, or want, a thread."""
        return len(self._unfinished) + len(self._lanes)

    def _suits_lanes(self, bundle: Bundle) -> bool:
        return self._bundler.is_quick(bundle) and not any(
            task.careful or task.resources for task in bundle
        )

    def _submit_alike(self, bundles: Sequence[Bundle]) -> None:
        """Submit bundles of one priority and one set of resources as one graph."""
        if self._fenced and not self._link.is_up:
            self._held.extend(task for bundle in bundles for task in bundle)
            return
        may_stay = not self._fenced and self._busy + len(bundles) <= self.threads
        wrap = payloads.sharing()
        prepared = [self._prepare(bundle, wrap, may_stay=may_stay) for bundle in bundles]
        try:
            futures = self._submit_graph(prepared)
        except (OSError, RuntimeError, ClosedClientError) as error:
            # A client whose scheduler is gone refuses in one of these ways.
            if not self._fenced:
                raise ClusterError(f"the connection to the scheduler is lost: {error}") from error
            self._link.suspect()
            self._held.extend(task for bundle in bundles for task in bundle)
            return
        for each, future in zip(prepared, futures, strict=True):
            self._note(each.bundle, each.fence, future)
            attempts = [task.id for task in each.bundle]
            if each.lane:
                self._lanes.opened(each.lane, future, attempts)
            else:
                self._unfinished[future] = len(attempts)
            self._watch(future, attempts)

    def _prepare(self, bundle: Bundle, wrap: payloads.Wrap, *, may_stay: bool) -> _Prepared:
        serial = next(self._serials)
        # What must never begin twice has a fence even where nothing is known to run twice.
        is_fenced = self._fenced or any(task.careful for task in bundle)
        fence = str(serial) if is_fenced else ""
        lane = str(serial) if may_stay and self._suits_lanes(bundle) else ""
        message, parts = payloads.pack(bundle, wrap)
        call = (self._entry, self._topic, message, __version__, fence, lane, *parts)
        return _Prepared(bundle, self._key(bundle, serial), call, fence, lane)

    def _note(self, bundle: Bundle, fence: str, future: Future[Any]) -> None:
        """Note that attempts are with the cluster."""
        for task in bundle:
            digest = task.code.digest if isinstance(task.code, FunctionCode) else ""
            self._in_flight[task.id] = Handed(task if fence else None, fence, future, digest)

    def _submit_graph(self, prepared: Sequence[_Prepared]) -> list[Future[Any]]:
        graph = {each.key: each.call for each in prepared}
        like = prepared[0].bundle[0]
        # Where Dask may choose others than the workers named, it may do without resources, too.
        preferred = None if like.resources else self._places.preferred
        # In an empty context: annotations of whoever started this (`dask.annotate`), such as
        # retries, are not meant for attempts.
        with payloads.unremarked():
            futures: list[Future[Any]] = contextvars.Context().run(
                self._link.client.get,
                graph,
                list(graph),
                sync=False,
                priority=like.priority,
                resources=like.resources or None,
                workers=preferred,
                allow_other_workers=None if preferred is None else True,
            )
        return futures

    def _key(self, bundle: Bundle, serial: int) -> Key:
        first = bundle[0]
        label = self._label(first)
        key = (label, first.id.run, first.id.node, first.id.number, first.id.epoch, serial)
        return key if len(bundle) == 1 else (*key, f"and {len(bundle) - 1} more")

    def _label(self, task: AttemptTask) -> str:
        whole = f"{task.flow}/{self._name(task)}" if task.flow else self._name(task)
        # Dask takes what is behind some dashes for noise: `train-2` would be shown as `train`.
        return whole.replace("-", "_")

    def _name(self, task: AttemptTask) -> str:
        if task.id.node in self._labels or len(self._labels) < MAX_LABELS:
            self._labels.add(task.id.node)
            return task.id.node
        if isinstance(task.code, FunctionCode):
            return task.code.label
        return next(iter(groups_of(task.id.node)), "notebooks")
