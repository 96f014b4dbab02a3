"""What all attempts of one worker share: threads, warm kernels, and the prober of both."""

import os
import sys
from typing import TYPE_CHECKING

from nbflow.core.attempts import KernelPool
from nbflow.worker.probing.prober import Prober
from nbflow.worker.threads import FunctionThreads

if TYPE_CHECKING:
    from nbflow.kernels import WarmPool


class Facilities:
    """Lives as long as its worker, and must be closed with it."""

    def __init__(self) -> None:
        self.threads = FunctionThreads()
        self.prober = Prober()
        self._pool: WarmPool | None = None

    @property
    def pool(self) -> "WarmPool | None":
        """Where warm kernels come from; None where processes cannot be forked safely."""
        if self._pool is None and sys.platform == "linux":
            # Lazy: a worker that only runs functions needs neither kernels nor fork servers.
            from nbflow.kernels import WarmPool

            self._pool = WarmPool()
        return self._pool

    @property
    def kernels(self) -> KernelPool | None:
        """What the pool of warm kernels has done so far; None before anybody wanted one."""
        if self._pool is None:
            return None
        stats = self._pool.stats()
        return KernelPool(stats.idle, stats.hits, stats.misses, stats.ordinary)

    def expect_notebooks(self) -> None:
        """Have a fork server started, since kernels will soon be wanted."""
        if self.pool is not None:
            from nbflow.kernels.birth import NO_HISTORY_FILE, Birth  # lazy, as the pool

            env = dict(os.environ)
            self.pool.prepare(Birth.of((sys.executable,), (NO_HISTORY_FILE,), env), env, ())

    def close(self) -> None:
        """End the prober, idle threads, and all fork servers with their kernels."""
        self.prober.close()
        self.threads.shutdown(wait=True)
        if self._pool is not None:
            self._pool.close()
