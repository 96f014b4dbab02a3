"""Run a notebook's cells on a kernel of nbflow's, in the background."""

import asyncio
import itertools
from dataclasses import dataclass

from nbflow.core.events import ErrorInfo
from nbflow.core.states import Reason
from nbflow.engine.listening import Listener
from nbflow.engine.options import EngineOptions
from nbflow.engine.timing import TimingGuard
from nbflow.kernels import Kernel, WarmPool, Wishes, start_kernel
from nbflow.kernels.preloading import fork_safe
from nbflow.notebooks.cells import CellOptions
from nbflow.notebooks.engine_metadata import EngineMetadata
from nbflow.notebooks.execution import CellProgress, Execution, Failure
from nbflow.notebooks.guard import Bounds, StopRequest, unless_stopped
from nbflow.notebooks.imports import imported_modules

_STOPPED_EARLY = "stopped before its first cell"


@dataclass(frozen=True)
class Performance:
    """One notebook to run."""

    metadata: EngineMetadata
    kernel_name: str
    options: EngineOptions
    #: Where the kernel comes from.
    pool: WarmPool

    async def perform(self, stop: StopRequest) -> Failure | None:
        """Run all cells; return why they did not all run, or None.

        Raises
        ------
        NoSuchKernel, UnusableKernel, KernelStartFailed
            If there is no kernel to run them in.
        """
        kernel = await self._started(stop)
        if kernel is None:
            info = ErrorInfo("Stopped", _STOPPED_EARLY)
            return Failure(Reason("interrupted", _STOPPED_EARLY), info)
        try:
            async with self.metadata.live():
                return await self._run(kernel, stop)
        finally:
            await kernel.shutdown()

    async def _started(self, stop: StopRequest) -> Kernel | None:
        """Start the kernel, unless the caller has had enough before it is up."""
        options = self.options
        starting = start_kernel(
            self.kernel_name,
            cwd=options.cwd,
            env={},
            start_timeout_s=options.start_timeout_s,
            arguments=options.extra_arguments,
            wishes=Wishes(self.pool, self._preload()),
        )
        return await unless_stopped(starting, stop)

    def _preload(self) -> tuple[str, ...]:
        """Return what the notebook imports, as far as it can be loaded before a fork."""
        code = (cell.source for cell in self.metadata.nb.cells if cell.cell_type == "code")
        return fork_safe(itertools.chain.from_iterable(map(imported_modules, code)))

    async def _run(self, kernel: Kernel, stop: StopRequest) -> Failure | None:
        options, metadata = self.options, self.metadata
        bounds = Bounds(asyncio.get_running_loop().time(), memory_bytes=options.memory_bytes)
        guard = TimingGuard(kernel, bounds, stop, lambda: run.place, options.timeouts)
        listener = Listener(options)
        begins = guard.hook(options.traits.get("on_cell_execute"))
        cells = CellOptions(
            output_limit=options.output_limit,
            traits={**options.traits, "on_cell_execute": begins},
            heard=listener.heard if listener.wanted else None,
        )
        run = Execution(metadata.nb, kernel, metadata, _untold, metadata.changed, cells)
        async with guard:
            return await run.run(guard)


def _untold(_progress: CellProgress) -> None:
    """Tell nobody: papermill's progress bar follows the metadata."""
