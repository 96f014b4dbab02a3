"""The probing of one attempt of a notebook: its kernels, one after the other, and its cells."""

import asyncio
from collections.abc import Callable

from nbformat import NotebookNode

from nbflow.core.ids import AttemptId
from nbflow.core.usage import UsageSum
from nbflow.kernels import Kernel
from nbflow.worker.probing.prober import Prober, Watched
from nbflow.worker.probing.silence import Silence
from nbflow.worker.probing.stacks import CellFiles, KernelStacks
from nbflow.worker.probing.subjects import kernel_subject
from nbflow.worker.probing.tallying import Tally
from nbflow.worker.telling import Told


class Attendance:
    """Used in the event loop only.

    Parameters
    ----------
    attempt
        Whose it is.
    prober
        The worker's; None: nothing is probed.
    report
        Receives samples, stacks and notes.
    clock
        Seconds since the epoch.
    mask
        Hides secrets in a text.
    """

    def __init__(
        self,
        attempt: AttemptId,
        prober: Prober | None,
        report: Callable[[Told], None],
        *,
        clock: Callable[[], float],
        mask: Callable[[str], str],
    ) -> None:
        self._attempt = attempt
        self._prober = prober
        self._report = report
        self._clock = clock
        self._mask = mask
        self._tally = Tally()
        self._silence: Silence | None = None
        self._watched: Watched | None = None

    def begin(self, kernel: Kernel, notebook: NotebookNode) -> None:
        """Attend to a kernel, which is to run the cells of a notebook."""
        if self._prober is None or kernel.pid is None:
            return
        take = None
        if kernel.answers is not None:
            sources = {
                index: str(cell.source)
                for index, cell in enumerate(notebook.cells)
                if cell.cell_type == "code"
            }
            stacks = KernelStacks(
                self._attempt,
                kernel.pid,
                kernel.answers,
                CellFiles(sources),
                clock=self._clock,
                mask=self._mask,
            )
            take = stacks.take
        self._silence = Silence(self._prober.monotonic, take)
        subject = kernel_subject(kernel.pid, self._tally, self._silence)
        loop = asyncio.get_running_loop()
        self._watched = Watched(self._attempt, subject, self._report, loop)
        self._prober.watch(self._watched)

    def cell_begins(self, index: int | None) -> None:
        """Note that a cell begins; None: that none runs any more."""
        if self._silence is not None:
            self._silence.cell_begins(index)

    def heard(self) -> None:
        """Note that the cell has printed or shown something."""
        if self._silence is not None:
            self._silence.heard()

    async def end(self) -> None:
        """Look at the kernel for the last time; it must still run, if it has not died."""
        watched, self._watched, self._silence = self._watched, None, None
        if self._prober is not None and watched is not None:
            watched.wanted = False
            await asyncio.to_thread(self._prober.release, watched)

    def sum(self) -> UsageSum | None:
        """Return what all kernels have used; None if nobody has been able to look."""
        return self._tally.sum()
