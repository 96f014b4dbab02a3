"""Effects: what a turn of the driver does in the world, once its records are durable.

They are collected while events are made, and carried out together after the commit.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from nbflow.core import machine as m
from nbflow.core.attempts import Ended, failed_unbegun
from nbflow.core.ids import AttemptId
from nbflow.core.results import Result
from nbflow.driver.stimuli import RetryTimer, Stimulus, StopOverdue
from nbflow.driver.surroundings import Surroundings
from nbflow.driver.tasks import TaskMaker

_T = TypeVar("_T")

#: How long attempts that were asked to stop may take to say goodbye, in seconds.
STOP_GRACE_S = 15.0


class Effects:
    """What is to be done after the next commit.

    Parameters
    ----------
    surroundings
        The ports.
    writer
        The driver's single writing thread.
    put
        Receives what timers have to say, in the loop's thread.
    clock
        Seconds since the epoch.
    """

    def __init__(
        self,
        surroundings: Surroundings,
        writer: ThreadPoolExecutor,
        put: Callable[[Stimulus], None],
        clock: Callable[[], float],
    ) -> None:
        self._surroundings = surroundings
        self._writer = writer
        self._put = put
        self._clock = clock
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self.to_submit: list[AttemptId] = []
        self.to_cancel: list[AttemptId] = []
        self.to_wait: list[m.WaitForRetry] = []
        self.to_keep: list[Result] = []
        #: Requests in the journal that have been taken up.
        self.consumed: list[int] = []

    @property
    def waits(self) -> bool:
        """Whether a timer is set, or about to be."""
        return bool(self._timers or self.to_wait)

    async def happen(self, run: m.Run, epoch: int, tasks: TaskMaker) -> None:
        """Carry out everything, in an order in which nobody waits for what can come later."""
        loop = asyncio.get_running_loop()
        cluster = self._surroundings.cluster
        if self.to_submit:
            attempts, self.to_submit = self.to_submit, []
            ready, failures = await tasks.take(attempts)
            for attempt, reason in failures.items():
                self._put(Ended(failed_unbegun(attempt, self._clock(), reason)))
            await cluster.submit(ready)
        if self.to_cancel:
            attempts, self.to_cancel = self.to_cancel, []
            loop.call_later(STOP_GRACE_S, self._put, StopOverdue(tuple(attempts)))
            await cluster.cancel(attempts)
        for wait in self.to_wait:
            self._timers[wait.node] = loop.call_later(
                self._delay_s(run, wait), self._put, RetryTimer(wait.node, wait.attempt)
            )
        self.to_wait.clear()
        for signal in self.consumed:
            await self.write(self._surroundings.journal.consume, run.id, epoch, signal)
        self.consumed.clear()
        if self.to_keep and self._surroundings.cache is not None:
            results, self.to_keep = self.to_keep, []
            for result in results:
                await self.write(self._surroundings.cache.keep, result)

    def timer_fired(self, node: str) -> None:
        """Forget the timer of `node`."""
        self._timers.pop(node, None)

    def forget_timers(self) -> None:
        """Call off every timer."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    async def write(self, call: Callable[..., _T], *args: object) -> _T:
        """Run a blocking call of a port in the writing thread."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, call, *args)

    def _delay_s(self, run: m.Run, wait: m.WaitForRetry) -> float:
        """Return how long a retry has to wait; never longer than its policy's longest delay.

        A clock that was set back since the retry was recorded must not hold it up.
        """
        longest_s = run.graph.nodes[wait.node].policy.retries.max_backoff
        return min(longest_s, max(0.0, wait.due_at - self._clock()))
