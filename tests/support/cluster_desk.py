"""Where a test, in the driver's place, hands attempts over to a cluster and reads its reports."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Self

import cloudpickle

from nbflow.artifacts import FileStore
from nbflow.core.attempts import AttemptTask, Ended, Report, Started
from nbflow.core.ids import AttemptId
from nbflow.core.spec import FunctionCode
from nbflow.core.values import Inline


class Desk:
    """One side of a cluster; the other is the cluster.

    Parameters
    ----------
    cluster
        Is given attempts, and reports to `put`.
    store
        Where the code of attempts is.
    """

    def __init__(self, cluster, store: FileStore) -> None:
        self.cluster = cluster
        self.store = store
        self.reports: list[Report] = []
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Self]:
        """Have a cluster that has been surveyed; it is closed at the end."""
        try:
            await self.cluster.start(self.put)
            await self.cluster.survey(self.store.ref)
            yield self
        finally:
            await self.cluster.close()

    def put(self, report: Report) -> None:
        self.reports.append(report)
        self._changed.set()

    def task(self, node: str, function: Callable, number: int = 1, **params) -> AttemptTask:
        data = cloudpickle.dumps(function)
        self.store.put(data, "pickle")
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        return AttemptTask(
            id=AttemptId("run", node, number, 1),
            code=FunctionCode(node, digest),
            params={name: Inline(value) for name, value in params.items()},
            outputs=("result",),
            store=self.store.ref,
        )

    async def begin(self, task: AttemptTask) -> None:
        """Hand over the first attempt of all, and wait until it has begun."""
        await self.cluster.submit([task])
        await self.until(lambda: self.started() == [task.id.node])

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def started(self) -> list[str]:
        return [report.id.node for report in self.reports if isinstance(report, Started)]

    def ended(self) -> dict[str, str]:
        return {
            report.outcome.id.node: report.outcome.status
            for report in self.reports
            if isinstance(report, Ended)
        }
