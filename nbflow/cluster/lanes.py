"""Lanes: quick functions go straight to a worker that has just ended one.

A Dask task costs about ten milliseconds from its submission to the record of its end: the client
tells the scheduler, which tells a worker, which tells the scheduler, which tells the client. For
ten thousand functions at once that does not matter (`bundles`); for a chain of functions that take
a tenth of a millisecond it is all that matters, since each waits for the record of the one before.

So a Dask task of quick functions may stay open as a *lane* for a moment after its last attempt
(`open_lane.LINGER_S`), and the driver sends what is ready next to it directly: an *errand*, a call
to the worker and its answer, half a millisecond there and back. Nothing else changes. An attempt is
recorded as scheduled before it is sent; it runs inside the Dask task, in its place on the worker;
its outcome is in the task's result as well, in case the answer is lost.

- A lane holds a thread that somebody else may want. So none is opened or used while Dask has
  more tasks of ours than threads, idle ones are closed when that begins, and none is used for
  longer than `LANE_S`.
- A lane that has ended meanwhile refuses an errand before any of it begins: it is handed over as a
  task of its own. The news of the lane's end comes by another way, and may overtake the refusal: it
  says nothing of an errand until that has been answered. If the call breaks, nobody knows whether
  the errand has begun. Then the end of the lane's Dask task tells, as it does for everything that
  runs in it.
- Only functions that have been *seen* to be quick travel so: what takes long has its own name on
  Dask's dashboard. And only on the embedded cluster: on any other, workers cannot always be reached
  from here, and a task may be run again, so that each attempt needs a fence.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec
from distributed import Future

from nbflow.cluster.link import Link
from nbflow.core.attempts import AttemptTask
from nbflow.core.ids import AttemptId

#: How long a lane may be used, in seconds. Then the next attempt is a Dask task again, so that Dask
#: sees its tasks end, and no task's result grows without limit.
LANE_S = 1.0

#: How long an errand's answer is waited for once its lane has ended, in seconds.
ANSWER_S = 5.0

Errand: TypeAlias = Sequence[AttemptTask]


@dataclass(eq=False)
class Lane:
    """A Dask task that may stay open, as the driver sees it."""

    #: Its name, on its worker.
    serial: str
    future: Future[Any]
    #: All that were ever handed to it; shared with the watch over its future.
    attempts: list[AttemptId]
    #: When it must not be used any more, in the loop's seconds.
    closes_at: float
    #: The worker's address; empty until an attempt has started there.
    worker: str = ""
    #: Those of its attempts that have not ended.
    unfinished: set[AttemptId] = field(default_factory=set)
    #: Set once the latest errand has been answered, or its call has broken; None before the first.
    answered: asyncio.Event | None = None


class Lanes:
    """The lanes of one driver.

    Parameters
    ----------
    topic
        Where the driver listens.
    link
        The line to the cluster.
    clock
        The loop's seconds.
    begin
        Runs a coroutine beside the driver.
    receive
        Takes a message of reports.
    """

    def __init__(
        self,
        topic: str,
        link: Link,
        clock: Callable[[], float],
        *,
        begin: Callable[[Coroutine[Any, Any, None]], None],
        receive: Callable[[bytes], None],
    ) -> None:
        self._topic = topic
        self._link = link
        self._clock = clock
        self._begin = begin
        self._receive = receive
        #: Those that may be used, by the future of their task.
        self._lanes: dict[Future[Any], Lane] = {}

    def __len__(self) -> int:
        """Return how many may be open."""
        return len(self._lanes)

    def opened(self, serial: str, future: Future[Any], attempts: list[AttemptId]) -> None:
        """Know that a task which has been submitted will stay for more."""
        closes_at = self._clock() + LANE_S
        self._lanes[future] = Lane(serial, future, attempts, closes_at, unfinished=set(attempts))

    def started(self, future: Future[Any] | None, worker: str) -> None:
        """Learn where a task is, if it is a lane."""
        if future in self._lanes:
            self._lanes[future].worker = worker

    def over(self, future: Future[Any] | None, attempt: AttemptId) -> None:
        """Note that an attempt of a task has ended, or was given up."""
        if future in self._lanes:
            self._lanes[future].unfinished.discard(attempt)

    def gone(self, future: Future[Any]) -> None:
        """Forget a lane, if it was one: its task is over, or must not be used any more."""
        self._lanes.pop(future, None)

    async def ended(self, future: Future[Any]) -> None:
        """Forget a lane, if it was one, since its task is over; wait until it owes no answer."""
        lane = self._lanes.get(future)
        self.gone(future)
        if lane is not None and lane.answered is not None:
            with contextlib.suppress(TimeoutError):  # of a worker that hangs
                async with asyncio.timeout(ANSWER_S):
                    await lane.answered.wait()

    def idle(self) -> Lane | None:
        """Return a lane that has nothing to do and may be used, if there is one."""
        now = self._clock()
        for lane in self._lanes.values():
            if lane.worker and not lane.unfinished and now < lane.closes_at:
                return lane
        return None

    def send(self, lane: Lane, errand: Errand, refused: Callable[[Lane, Errand], None]) -> None:
        """Send attempts to an idle lane; `refused` takes them back if it has ended meanwhile."""
        attempts = [task.id for task in errand]
        lane.attempts += attempts
        lane.unfinished.update(attempts)
        # Not that of the errand before, whose answer may be on its way if its reports came first.
        lane.answered = asyncio.Event()
        self._begin(self._run(lane, errand, lane.answered, refused))

    def close_idle(self) -> None:
        """Give back the threads of lanes that have nothing to do."""
        while (lane := self.idle()) is not None:
            self.gone(lane.future)
            self._begin(self._close(lane))

    async def _run(
        self,
        lane: Lane,
        errand: Errand,
        answered: asyncio.Event,
        refused: Callable[[Lane, Errand], None],
    ) -> None:
        message = msgspec.msgpack.encode(errand)
        try:
            answer = await self._link.client.rpc(lane.worker).nbflow_errand(
                topic=self._topic, lane=lane.serial, message=message
            )
        except OSError:
            self.gone(lane.future)  # the end of its task will tell
        else:
            if answer is None:
                self.gone(lane.future)
                refused(lane, errand)
            elif answer:
                self._receive(answer)
        finally:
            answered.set()

    async def _close(self, lane: Lane) -> None:
        try:
            await self._link.client.rpc(lane.worker).nbflow_close_lane(
                topic=self._topic, lane=lane.serial
            )
        except OSError:
            return  # with the worker, or by itself in a moment
