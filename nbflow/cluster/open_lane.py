"""A lane, as its worker has it (see `lanes`).

All of this happens in the worker's event loop, so a lane is either still open when an errand
arrives, and then does it, or refuses it as a whole.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from nbflow.cluster.reporting import ReportBuffer, encode
from nbflow.core.attempts import AttemptTask, Report

#: How long a lane stays open after its last attempt, in seconds: the driver has to make that
#: attempt durable first, which takes a slow disk some ten milliseconds.
LINGER_S = 0.05

#: How long the reports of an errand may wait for its end, to travel with the answer, in seconds. An
#: errand that takes longer reports as everything else does: by events.
ANSWER_WITHIN_S = 0.005


class Reports(Protocol):
    """Where an attempt's reports go."""

    def put(self, report: Report, *, more_follows: bool = False) -> None:
        """Add a report."""

    def flush(self) -> None:
        """Send everything that waits."""


class Errand:
    """Attempts that came to a lane, and the answer to who sent them.

    Parameters
    ----------
    tasks
        The attempts.
    events
        The way of reports that are too late for the answer.
    """

    def __init__(self, tasks: Sequence[AttemptTask], events: ReportBuffer) -> None:
        self.tasks = tasks
        #: A message of reports; empty if they come by events; None if the errand was refused.
        self.answer: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self._events = events
        self._reports: list[Report] = []
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Let the time run in which the end has to come to travel with the answer."""
        self._timer = asyncio.get_running_loop().call_later(ANSWER_WITHIN_S, self._by_events)

    def put(self, report: Report, *, more_follows: bool = False) -> None:
        """Add a report to the answer, or to the events."""
        if self.answer.done():
            self._events.put(report, more_follows=more_follows)
        else:
            self._reports.append(report)

    def flush(self) -> None:
        """Send what waits: the errand has ended."""
        if self.answer.done():
            self._events.flush()
        else:
            assert self._timer is not None, "what has ended has begun"
            self._timer.cancel()
            self.answer.set_result(encode(self._reports))

    def refuse(self) -> None:
        """Say that none of it has begun."""
        self.answer.set_result(None)

    def _by_events(self) -> None:
        self.answer.set_result(b"")
        for report in self._reports:
            self._events.put(report)


class OpenLane:
    """A Dask task of ours that stays for errands."""

    def __init__(self) -> None:
        self._open = True
        self._errands: deque[Errand] = deque()
        self._waiter: asyncio.Future[None] | None = None

    def add(self, errand: Errand) -> None:
        """Take an errand, or refuse it."""
        if not self._open:
            errand.refuse()
            return
        self._errands.append(errand)
        self._wake()

    def close(self) -> None:
        """Take no more errands; those that have not begun are refused."""
        self._open = False
        self._wake()
        while self._errands:
            self._errands.popleft().refuse()

    async def next(self) -> Errand | None:
        """Return the next errand; None if the lane has been closed, or nobody sent one in time."""
        if self._open and not self._errands:
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            timer = loop.call_later(LINGER_S, self.close)
            try:
                await self._waiter
            finally:
                timer.cancel()
                self._waiter = None
        if not self._errands:
            return None
        errand = self._errands.popleft()
        errand.begin()
        return errand

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
