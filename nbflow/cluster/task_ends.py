"""What the end of a Dask task says of its attempts that no report has told of.

Mostly nothing is left to say: the reports came first. But a report may be lost on its way, and then
the task's result has the outcome; a worker may die, which ends the task with an error; a worker
may refuse what it cannot run, and another one may be able to; and somebody else may cancel the
task, or restart the whole cluster.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from distributed import Future
from distributed.scheduler import KilledWorker

from nbflow.cluster import payloads, remote
from nbflow.cluster.handing_over import Counter, Handed
from nbflow.cluster.link import Link
from nbflow.cluster.placing import Places
from nbflow.cluster.settling import Settler
from nbflow.core.attempts import Outcome, failed_unbegun
from nbflow.core.errors import ClusterError
from nbflow.core.ids import AttemptId
from nbflow.core.states import Reason

_log = logging.getLogger(__name__)


class TaskEnds:
    """Waits for the ends of one driver's tasks.

    Parameters
    ----------
    in_flight
        The attempts that are with the cluster, shared with the adapter.
    link
        The line to the scheduler.
    places
        Which workers may have attempts.
    counter
        Hands over again.
    settler
        Finds out what became of attempts whose task tells nothing; None for a cluster of our own,
        which runs no task twice: there they are lost.
    ended
        Takes the outcome of an attempt that is with the cluster.
    lose
        Gives such an attempt up.
    clock
        Seconds since the epoch.
    """

    def __init__(
        self,
        in_flight: dict[AttemptId, Handed],
        link: Link,
        places: Places,
        counter: Counter,
        settler: Settler | None,
        *,
        ended: Callable[[Outcome], None],
        lose: Callable[[AttemptId, str], None],
        clock: Callable[[], float],
    ) -> None:
        self._in_flight = in_flight
        self._link = link
        self._places = places
        self._counter = counter
        self._settler = settler
        self._ended = ended
        self._lose = lose
        self._clock = clock

    async def watch(self, future: Future[Any], attempts: Sequence[AttemptId]) -> None:
        """Report whatever the task's end says of attempts that have not been reported."""
        # `distributed.wait` would ask for a process-wide default client, which is not ours to set.
        state = future._state  # noqa: SLF001 - waiting on it has no public, asynchronous equal
        while state is not None and future.status == "pending":
            await state.wait()
        await self._counter.task_over(future)
        if not self._left(future, attempts):
            return
        if self._settler is not None and not self._link.is_up:
            return  # Whoever restores the connection settles these as well.
        try:
            await self._conclude(future, attempts)
        except OSError as error:
            # The connection breaks this very moment.
            _log.info("the end of a task is not known yet: %s", error)
            self._link.suspect()
        except Exception as error:
            # Nobody else watches over them, unless the connection is being restored.
            if self._settler is None or self._link.is_up:
                left = self._left(future, attempts)
                self._lose_all(left, f"what became of it cannot be told: {error!r}")
            raise

    async def _conclude(self, future: Future[Any], attempts: Sequence[AttemptId]) -> None:
        if future.status == "finished" and await self._finished(future, attempts):
            return
        left = self._left(future, attempts)
        if future.status == "error":
            await self._erred(future, await future.exception(), left)
        else:
            await self._interrupted(left)

    async def _finished(self, future: Future[Any], attempts: Sequence[AttemptId]) -> bool:
        """Take outcomes from a task's result; False if it cannot be had any more.

        A result may die with its worker before it is here. Then Dask runs the task once more, and
        the future has that run's end.
        """
        try:
            message, parts = await future
        except Exception:
            if future.status in {"error", "cancelled"}:
                return False
            raise
        outcomes = msgspec.msgpack.decode(message, type=list[Outcome])
        for outcome in payloads.joined(outcomes, parts):
            self._ended(outcome)
        left = self._left(future, attempts)
        self._lose_all(left, "its worker ended the task without an outcome")
        return True

    def _left(self, future: Future[Any], attempts: Sequence[AttemptId]) -> list[AttemptId]:
        """Return those of a task's attempts that are open, and not with another task by now."""
        return [attempt for attempt in attempts if self._counter.is_with(attempt, future)]

    async def _erred(
        self, future: Future[Any], error: BaseException, attempts: Sequence[AttemptId]
    ) -> None:
        match error:
            case KilledWorker() if self._settler is not None:
                await self._settler.settle(attempts, lost=_killed(error))
            case KilledWorker():
                self._lose_all(attempts, _killed(error))
            case remote.BegunElsewhere():
                self._lose_all(attempts, str(error))
            case remote.Unfit() | ImportError() if self._settler is not None:
                await self._place(future, attempts, error, self._settler)
            case _:
                for attempt in attempts:
                    self._ended(self._unperformed(attempt, error))

    async def _place(
        self,
        future: Future[Any],
        attempts: Sequence[AttemptId],
        refusal: remote.Unfit | ImportError,
        settler: Settler,
    ) -> None:
        """Hand over elsewhere what a worker has refused."""
        # Dask may have run the task before, on a worker that is gone: this one refused without a
        # look at the fence.
        unbegun = await settler.unbegun(
            attempts, lost="its worker was lost while the node ran on it"
        )
        for task in unbegun:
            self._in_flight[task.id].unplaced = True
        why = await self._places.look_again(self._link.client)
        if not why and isinstance(refusal, ImportError) and self._places.preferred is None:
            why = f"{type(refusal).__name__}: {refusal}"  # and yet all workers are said to be fit
        left = [task for task in unbegun if self._counter.is_with(task.id, future)]
        if not why:
            self._counter.submit_again(left)
            return
        for task in left:
            self._ended(self._unperformed(task.id, ClusterError(why)))

    def _lose_all(self, attempts: Sequence[AttemptId], message: str) -> None:
        for attempt in attempts:
            self._lose(attempt, message)

    async def _interrupted(self, attempts: Sequence[AttemptId]) -> None:
        """Somebody else cancelled the task or restarted the cluster, or the connection broke."""
        if self._settler is None:
            self._lose_all(attempts, "the connection to the scheduler was interrupted")
        else:
            await self._settler.settle(attempts)

    def _unperformed(self, attempt: AttemptId, error: BaseException) -> Outcome:
        message = f"the cluster could not run it: {type(error).__name__}: {error}"
        return failed_unbegun(attempt, self._clock(), Reason("error", message))


def _killed(error: KilledWorker) -> str:
    return f"worker {error.last_worker.address} was lost"
