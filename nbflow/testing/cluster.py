"""A cluster without Dask: attempts are coroutines in the driver's own loop.

For tests of drivers and of programs built on nbflow. What an attempt does is a
function of the test's; the fake keeps the port's contract: `Started` at most once,
then exactly one `Ended` or `Lost`, and stopped attempts say so.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, TypeAlias

from nbflow.core.attempts import AttemptTask, Ended, Lost, Outcome, Report, Started, StoreRef
from nbflow.core.ids import AttemptId
from nbflow.core.states import LossKind, Reason
from nbflow.core.values import Inline, Value
from nbflow.ports import ClusterInfo

#: What an attempt does: returns its outputs, or raises, which fails it.
Behaviour: TypeAlias = Callable[[AttemptTask], Awaitable[dict[str, Value]]]


async def succeed(task: AttemptTask) -> dict[str, Value]:
    """Give every output that is asked for the value None."""
    return {name: Inline(None) for name in task.outputs}


class FakeCluster:
    """The `Cluster` port in one process.

    Parameters
    ----------
    behaviour
        What attempts do.
    clock
        Seconds since the epoch.
    """

    def __init__(
        self, behaviour: Behaviour = succeed, *, clock: Callable[[], float] = lambda: 0.0
    ) -> None:
        self._behaviour = behaviour
        self._clock = clock
        self._report: Callable[[Report], None] = lambda _: None
        self._running: dict[AttemptId, asyncio.Task[None]] = {}
        #: Every task that was ever submitted, in order.
        self.submitted: list[AttemptTask] = []

    async def start(self, report: Callable[[Report], None]) -> None:
        """Begin to take attempts."""
        self._report = report

    async def survey(self, store: StoreRef) -> ClusterInfo:
        """Say that one worker is here, which shares the store."""
        del store
        return ClusterInfo(
            address="fake://",
            dashboard="",
            workers=1,
            threads=1,
            shares_store=True,
            kernels=frozenset({"python3"}),
            resources={},
        )

    async def submit(self, tasks: Sequence[AttemptTask]) -> None:
        """Run the attempts as coroutines."""
        for task in tasks:
            self.submitted.append(task)
            self._running[task.id] = asyncio.create_task(self._perform(task))

    async def cancel(self, attempts: Sequence[AttemptId]) -> None:
        """Cancel the attempts' coroutines, once; each ends as ``stopped``."""
        for attempt in attempts:
            running = self._running.get(attempt)
            if running is not None and not running.cancelling():
                running.cancel()

    def lose(
        self,
        attempt: AttemptId,
        message: str = "worker fake was lost",
        kind: LossKind = "worker_lost",
    ) -> None:
        """Let the attempt vanish, as when its worker is killed."""
        self._running.pop(attempt).cancel()
        self._report(Lost(attempt, message, kind))

    async def close(self) -> None:
        """Cancel whatever still runs."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _perform(self, task: AttemptTask) -> None:
        started_at = self._clock()
        self._report(Started(task.id, "fake", started_at))
        try:
            outputs = await self._behaviour(task)
        except asyncio.CancelledError:
            if task.id in self._running:  # stopped, not lost
                self._end(self._outcome(task, started_at, "stopped"))
        except Exception as error:  # noqa: BLE001 - whatever a test's behaviour raises fails it
            reason = Reason("error", f"{type(error).__name__}: {error}")
            self._end(self._outcome(task, started_at, "failed", reason=reason))
        else:
            self._end(self._outcome(task, started_at, "succeeded", outputs))

    def _outcome(
        self,
        task: AttemptTask,
        started_at: float,
        status: Literal["succeeded", "failed", "stopped"],
        outputs: dict[str, Value] | None = None,
        reason: Reason | None = None,
    ) -> Outcome:
        return Outcome(
            id=task.id,
            status=status,
            started_at=started_at,
            ended_at=self._clock(),
            outputs=outputs or {},
            reason=reason,
        )

    def _end(self, outcome: Outcome) -> None:
        del self._running[outcome.id]
        self._report(Ended(outcome))
