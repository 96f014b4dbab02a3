"""What became of attempts whose Dask tasks tell nothing any more.

A future ends without an outcome when its worker died, when somebody restarted the cluster, or when
the connection to the scheduler broke, which cancels them all. Then the attempt's fence tells
whether it has begun:

- It has not: it never will, now that the driver has claimed the fence. It is handed over again, as
  the same attempt, since nothing has happened.
- It has: its worker may still be at it. Workers are asked what they hold; what one holds is
  *adopted*: its end will come as an event, as ever. What none holds, twice in a row, is lost.
  Twice, because an end and the answer of the worker that reported it travel by different ways.

What a worker reported while nobody listened is in the scheduler's log of the driver's topic
(Dask keeps the last thousand messages of each). A scheduler that is started anew knows nothing;
then everything is lost, and what an attempt had finished shows in its receipt.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable

import msgspec

from nbflow.cluster import fences, remote
from nbflow.cluster.asking import ask_all
from nbflow.cluster.handing_over import Handed
from nbflow.cluster.link import Link
from nbflow.cluster.reporting import encode
from nbflow.core.attempts import AttemptTask
from nbflow.core.ids import AttemptId

#: How long workers may take to say what they hold, in seconds.
ANSWER_S = 5.0

#: Who claims fences here.
_DRIVER = "driver"

#: How long an event of our own may take to come back, in seconds, until it is sent again.
ECHO_S = 1.0


class Settler:
    """Settles attempts of one driver.

    Parameters
    ----------
    topic
        Where the driver listens.
    link
        The line to the scheduler.
    in_flight
        The attempts that are with the cluster, shared with the adapter.
    receive
        Takes a message of the topic.
    lose
        Gives an attempt up.
    again
        Hands attempts over that have not begun.
    """

    def __init__(
        self,
        topic: str,
        link: Link,
        in_flight: dict[AttemptId, Handed],
        *,
        receive: Callable[[bytes], None],
        lose: Callable[[AttemptId, str], None],
        again: Callable[[list[AttemptTask]], None],
    ) -> None:
        self._topic = topic
        self._link = link
        self._in_flight = in_flight
        self._receive = receive
        self._lose = lose
        self._again = again
        #: Adopted attempts that no worker held when they were last asked.
        self._missed: set[AttemptId] = set()
        #: Set when a message without reports has come back.
        self.echo = asyncio.Event()

    async def catch_up(self) -> None:
        """Learn what happened while a new connection was made; nothing is missed from here on.

        Raises
        ------
        OSError
            If the connection breaks again.
        """
        client = self._link.client
        while True:
            self.echo.clear()
            await client.log_event(self._topic, encode([]))
            try:
                async with asyncio.timeout(ECHO_S):
                    await self.echo.wait()
                break
            except TimeoutError:
                continue  # The scheduler had not subscribed us yet.
        await self.settle(list(self._in_flight))
        await self.look_after_adopted()
        for _, message in await client.get_events(self._topic):
            self._receive(message)

    async def settle(self, attempts: Iterable[AttemptId], lost: str = "") -> None:
        """Hand over again what has not begun; adopt the rest, or lose it for the reason `lost`.

        Raises
        ------
        OSError
            If the connection breaks; then these attempts are to be settled once more.
        """
        self._again(await self.unbegun(attempts, lost))

    async def unbegun(self, attempts: Iterable[AttemptId], lost: str = "") -> list[AttemptTask]:
        """Return what has not begun, and never will; adopt or lose the rest, as `settle` does.

        Raises
        ------
        OSError
            If the connection breaks; then these attempts are to be settled once more.
        """
        bundles: defaultdict[str, dict[AttemptId, Handed]] = defaultdict(dict)
        for attempt in attempts:
            handed = self._in_flight[attempt]
            bundles[handed.fence][attempt] = handed
        unbegun: list[tuple[AttemptTask, Handed]] = []
        for fence, bundle in bundles.items():
            scheduler = self._link.client.scheduler
            holder = await fences.claim(scheduler, self._topic, fence, _DRIVER)
            for attempt, handed in bundle.items():
                if self._in_flight.get(attempt) is not handed:
                    continue  # Its end was reported just now, or somebody else has settled it.
                if holder in {None, _DRIVER} and handed.resubmittable is not None:
                    unbegun.append((handed.resubmittable, handed))
                elif lost:
                    self._lose(attempt, lost)
                else:
                    handed.future = None
        return [task for task, handed in unbegun if self._in_flight.get(task.id) is handed]

    async def look_after_adopted(self) -> None:
        """Ask workers for the adopted attempts; lose those that nobody has had twice in a row."""
        adopted = {one for one, handed in self._in_flight.items() if handed.future is None}
        if not adopted:
            return
        held = await self._held_by_workers(adopted)
        for attempt in adopted - held:
            if attempt in self._in_flight and attempt in self._missed:
                self._lose(attempt, "no worker of the cluster has it any more")
        self._missed = (adopted - held) & self._in_flight.keys()

    async def _held_by_workers(self, asked: set[AttemptId]) -> set[AttemptId]:
        """Return which attempts may be with a worker: where one does not answer, all it had."""
        try:
            answers = await ask_all(self._link.client, remote.adopt, self._topic, within_s=ANSWER_S)
        except TimeoutError:
            return asked
        held: set[AttemptId] = set()
        unheard: set[str] = set()
        for worker, answer in answers.items():
            if isinstance(answer, BaseException):
                unheard.add(worker)
            else:
                held.update(msgspec.msgpack.decode(answer, type=list[AttemptId]))
        may_be_held = {
            one for one in asked & self._in_flight.keys() if self._in_flight[one].may_be_on(unheard)
        }
        return held | may_be_held
