"""A desk at a cluster that is not nbflow's own: scheduler and workers are in the test's loop."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from distributed import Scheduler, Worker
from support.cluster_desk import Desk

from nbflow.artifacts import FileStore
from nbflow.cluster import DaskCluster
from nbflow.core.attempts import Lost, WorkerNote

LOCAL = {"dashboard": False, "dashboard_address": "127.0.0.1:0", "host": "127.0.0.1"}


class OutsideDesk(Desk):
    """A desk whose cluster can be made to lose workers.

    Parameters
    ----------
    scheduler
        Of the cluster.
    store
        Where the code of attempts is.
    stack
        Ends the workers.
    """

    def __init__(self, scheduler: Scheduler, store: FileStore, stack: AsyncExitStack) -> None:
        super().__init__(DaskCluster(scheduler.address, clock=time.time), store)
        self.scheduler = scheduler
        self.workers: list[Worker] = []
        self._stack = stack

    @classmethod
    @asynccontextmanager
    async def opened(cls, folder: Path, workers: int = 1) -> AsyncIterator["OutsideDesk"]:
        """A desk at a cluster of so many workers, which has been surveyed if there is one."""
        async with Scheduler(port=0, **LOCAL) as scheduler, AsyncExitStack() as stack:
            it = cls(scheduler, FileStore.open(folder / "store"), stack)
            await it.cluster.start(it.put)
            stack.push_async_callback(it.cluster.close)
            for _ in range(workers):
                await it.add_worker()
            if workers:
                await it.cluster.survey(it.store.ref)
            yield it

    async def add_worker(self, **options: object) -> Worker:
        """Add a worker of one thread."""
        worker = Worker(self.scheduler.address, nthreads=1, **{**LOCAL, **options})
        self.workers.append(worker)
        return await self._stack.enter_async_context(worker)

    async def lose(self, address: str) -> None:
        """Let a worker die, as far as anybody else can see."""
        (worker,) = (each for each in self.workers if each.address == address)
        silence(worker)
        await self.scheduler.remove_worker(address, stimulus_id="test")

    def notes(self) -> list[str]:
        return [report.message for report in self.reports if isinstance(report, WorkerNote)]

    def lost(self) -> list[str]:
        return [report.message for report in self.reports if isinstance(report, Lost)]


def silence(worker: Worker) -> None:
    """Let no report of a worker arrive any more."""
    worker.log_event = lambda topic, message: None
