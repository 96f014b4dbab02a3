"""A real kernel that does something for long, and what a worker finds out about it from outside."""

import asyncio
import os
import time
from contextlib import asynccontextmanager, suppress

from nbflow.core.ids import AttemptId
from nbflow.kernels import KernelDied, WarmPool, Wishes, start_kernel
from nbflow.worker.probing.doing import ThreadWatch
from nbflow.worker.probing.processes import Denied, Tree, this_moment
from nbflow.worker.probing.stacks import CellFiles, KernelStacks

ID = AttemptId("run", "node", 1, 1)
#: Until when something must have come about, in seconds.
LIMIT_S = 20.0


class Probed:
    """A kernel that runs one cell, with the index 0."""

    def __init__(self, kernel, code, **more):
        self.kernel = kernel
        self.pid = kernel.pid
        self.denied = Denied()
        self.tree = Tree(self.pid, self.denied)
        self.thread = ThreadWatch(self.pid, self.pid, self.denied)
        self.stacks = KernelStacks(
            ID,
            self.pid,
            kernel.answers,
            CellFiles({0: code}),
            clock=time.time,
            mask=lambda text: text,
            **{"find_spy": lambda: None, **more},
        )
        self.running = asyncio.create_task(kernel.run_silently(code))

    def totals(self):
        return self.tree.look(this_moment(time.time(), time.monotonic()))

    def doing(self):
        self.totals()
        first = self.tree.first
        return self.thread.look(first.state, first.cpu_s, time.monotonic(), self.tree.members)

    async def until(self, condition):
        """Return what the thread does as soon as that fulfils a condition."""
        deadline = time.monotonic() + LIMIT_S
        while True:
            doing = self.doing()
            if condition(doing):
                return doing
            assert time.monotonic() < deadline, f"it came to {doing}"
            await asyncio.sleep(0.02)

    async def begun(self, marker):
        deadline = time.monotonic() + LIMIT_S
        while not marker.exists():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)

    async def stack(self):
        return await asyncio.to_thread(self.stacks.take, 0)


@asynccontextmanager
async def probed(folder, code, *, warm=True, env=None, **more):
    """Run `code` as the only cell of a kernel, which is killed at the end."""
    pool = WarmPool(idle_limit=0) if warm else None
    try:
        wishes = Wishes(pool=pool)
        kernel = await start_kernel("python3", cwd=folder, env=env or {}, wishes=wishes)
        it = Probed(kernel, code, **more)
        try:
            yield it
        finally:
            await kernel.kill()
            with suppress(KernelDied):
                await it.running
            await kernel.shutdown()
    finally:
        if pool is not None:
            await asyncio.to_thread(pool.close)


def waits_in(*calls):
    return lambda doing: doing.state in ("sleeping", "disk") and doing.call in calls


def exists(pid):
    return os.path.exists(f"/proc/{pid}")  # noqa: PTH110
