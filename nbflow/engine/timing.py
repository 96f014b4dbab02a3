"""nbclient's timeouts: for each cell, perhaps by its source, and perhaps not the end.

A guard's own limits end the notebook. ``execution_timeout`` does that too; but with nbclient's
``interrupt_on_timeout`` the cell is only interrupted, and whether the notebook goes on is for
``allow_errors`` to say. ``timeout_func`` is given a cell and returns its seconds.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nbclient.util import run_hook
from nbformat import NotebookNode

from nbflow.kernels import Kernel
from nbflow.notebooks.guard import Bounds, Guard, StopRequest


@dataclass(frozen=True)
class CellTimeouts:
    """The seconds that a cell may take (none, 0 and less are no limit), and what happens then."""

    limit_s: float | None = None
    function: Callable[[NotebookNode], float | None] | None = None
    interrupt: bool = False

    def of(self, cell: NotebookNode) -> float | None:
        """Return the limit of one cell, in seconds."""
        limit_s = self.limit_s if self.function is None else self.function(cell)
        return limit_s if limit_s and limit_s > 0 else None


class TimingGuard(Guard):
    """A guard that limits each cell as nbclient would."""

    def __init__(
        self,
        kernel: Kernel,
        bounds: Bounds,
        stop: StopRequest,
        place: Callable[[], str],
        timeouts: CellTimeouts,
    ) -> None:
        super().__init__(kernel, bounds, stop, place)
        self._timeouts = timeouts

    def hook(self, users: Callable[..., Any] | None) -> Callable[..., Any]:
        """Return nbclient's ``on_cell_execute`` that limits the cell, and then calls the user's."""

        async def begins(cell: NotebookNode, cell_index: int) -> None:
            self._limit(self._timeouts.of(cell))
            await run_hook(users, cell=cell, cell_index=cell_index)

        return begins

    def _limit(self, limit_s: float | None) -> None:
        if limit_s is None:
            return
        if self._timeouts.interrupt:
            watch = self._interrupt_every(limit_s)
        else:
            now = asyncio.get_running_loop().time()
            watch = self._watch_hard("timeout of a cell", limit_s, now)
        self._cell_watches.append(self._watch(watch))

    async def _interrupt_every(self, limit_s: float) -> None:
        while True:
            await asyncio.sleep(limit_s)
            await self._interrupt()
