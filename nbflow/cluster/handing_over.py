"""Handing attempts over to Dask: in bundles, each a task with a key and a fence of its own.

A key was never used before: `(label, run, node, attempt, epoch, serial)`. The label is what Dask's
dashboard groups by, and reads as `FLOW/NODE`, or, in flows of very many nodes, as the flow and the
name of the node's group or function (a scheduler never forgets a label).

While the connection to the scheduler is lost, attempts wait here.
"""

import asyncio
import contextvars
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from dask.typing import Key
from distributed import Future
from distributed.client import ClosedClientError

from nbflow._version import __version__
from nbflow.cluster import connecting, remote
from nbflow.cluster.bundles import SCOUT_WAIT_S, Bundle, Bundler
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

    #: For handing it over again; None once it is known to have begun.
    task: AttemptTask | None
    #: Empty on a cluster that runs no task twice.
    fence: str
    #: Of the Dask task that holds it; None for an adopted attempt (see `settling`).
    future: Future[Any] | None
    started: Started | None = None


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
        Is given each new Dask task: its future, and its attempts.
    """

    def __init__(
        self,
        topic: str,
        link: Link,
        places: Places,
        in_flight: dict[AttemptId, Handed],
        *,
        fenced: bool,
        watch: Callable[[Future[Any], tuple[AttemptId, ...]], None],
    ) -> None:
        self._topic = topic
        self._link = link
        self._places = places
        self._in_flight = in_flight
        self._fenced = fenced
        self._watch = watch
        #: What tasks call on this cluster, and how many threads it has.
        self.entry: connecting.Entry = remote.perform
        self.threads = 1
        self._bundler = Bundler()
        #: Attempts that wait until the first of their function has been seen to run.
        self._waiting: list[AttemptTask] = []
        #: Attempts that wait until the connection is restored.
        self._held: list[AttemptTask] = []
        self._digests: dict[AttemptId, str] = {}
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

    def ended(self, outcome: Outcome) -> None:
        """Learn from an attempt how long its function takes."""
        digest = self._digests.pop(outcome.id, None)
        if digest is not None:
            self._bundler.observe(digest, outcome.ended_at - outcome.started_at)
            if self._waiting:
                self._submit_waiting()

    def lost(self, attempt: AttemptId) -> None:
        """Forget an attempt that will not end."""
        self._digests.pop(attempt, None)

    def _submit_waiting(self) -> None:
        """Hand over the attempts that waited for their scouts."""
        tasks, self._waiting = self._waiting, []
        bundles, unknown = self._bundler.cut(tasks, self.threads)
        # Their scouts are slow, so bundles would not pay.
        self._submit_bundles([*bundles, *((task,) for task in unknown)])

    def _submit_bundles(self, bundles: Sequence[Bundle]) -> None:
        alike: defaultdict[tuple[object, ...], list[Bundle]] = defaultdict(list)
        for bundle in bundles:
            first = bundle[0]
            alike[first.priority, tuple(sorted(first.resources.items()))].append(bundle)
        for group in alike.values():
            self._submit_alike(group)

    def _submit_alike(self, bundles: Sequence[Bundle]) -> None:
        """Submit bundles of one priority and one set of resources as one graph."""
        if self._fenced and not self._link.is_up:
            self._held.extend(task for bundle in bundles for task in bundle)
            return
        graph: dict[Key, Any] = {}
        fences: list[str] = []
        for bundle in bundles:
            serial = next(self._serials)
            # What must never begin twice has a fence even where nothing is known to run twice.
            fenced = self._fenced or any(task.careful for task in bundle)
            fences.append(str(serial) if fenced else "")
            message = msgspec.msgpack.encode(bundle)
            call = (self.entry, self._topic, message, __version__, fences[-1])
            graph[self._key(bundle, serial)] = call
        try:
            futures = self._submit_graph(graph, bundles[0][0])
        except (OSError, RuntimeError, ClosedClientError) as error:
            # A client whose scheduler is gone refuses in one of these ways.
            if not self._fenced:
                raise ClusterError(f"the connection to the scheduler is lost: {error}") from error
            self._link.suspect()
            self._held.extend(task for bundle in bundles for task in bundle)
            return
        for bundle, future, fence in zip(bundles, futures, fences, strict=True):
            for task in bundle:
                self._in_flight[task.id] = Handed(task if fence else None, fence, future)
                if isinstance(task.code, FunctionCode):
                    self._digests[task.id] = task.code.digest
            self._watch(future, tuple(task.id for task in bundle))

    def _submit_graph(self, graph: dict[Key, Any], like: AttemptTask) -> list[Future[Any]]:
        preferred = self._places.preferred
        # In an empty context: annotations of whoever started this (`dask.annotate`), such as
        # retries, are not meant for attempts.
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
