"""What has been executed in a session, as the analysis of cells wants it.

The session's cells are those of a notebook that runs from top to bottom, in the order in which
they were executed: a cell that was executed twice is there twice. A cell whose work a cluster does
counts as if it had been executed here.
"""

from collections.abc import Sequence
from typing import Any

from nbflow.core.cells import CellText
from nbflow.definition.cell_text import cell_texts
from nbflow.definition.code_cells import CodeCell


class Executed:
    """The cells that a session has executed.

    Parameters
    ----------
    shell
        IPython's.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        #: What the cell of that number has executed in place of itself.
        self._instead: dict[int, tuple[str, ...]] = {}
        #: The numbers of those that have failed, as far as the extension was there.
        self.failed: set[int] = set()
        shell.events.register("post_run_cell", self._note_result)

    def close(self) -> None:
        """Take note of nothing any more."""
        self._shell.events.unregister("post_run_cell", self._note_result)

    def _note_result(self, result: Any) -> None:
        if not result.success and result.execution_count is not None:
            self.failed.add(result.execution_count)

    @property
    def current(self) -> int:
        """The number of the cell that was begun last: the one that is being executed."""
        # IPython's own counter is one further by then, or not, depending on its version.
        return len(self._shell.history_manager.input_hist_raw) - 1

    def note_instead(self, sources: Sequence[str]) -> None:
        """Take note that the current cell has had these executed, and has done nothing else."""
        self._instead[self.current] = tuple(sources)

    def cells(self) -> tuple[CodeCell, ...]:
        """Return the cells before the current one; the index of each is its number."""
        return self._cells(self.current)

    def begun(self) -> tuple[CodeCell, ...]:
        """Return the cells up to the current one."""
        return self._cells(self.current + 1)

    def _cells(self, end: int) -> tuple[CodeCell, ...]:
        raw = self._shell.history_manager.input_hist_raw
        return tuple(
            CodeCell(number, source)
            for number in range(1, end)
            for source in self._instead.get(number, (raw[number],))
        )

    def texts(self, *more: str) -> tuple[CellText, ...]:
        """Return the cells as plain Python, and behind them `more`, as if they came next."""
        upcoming = (CodeCell(self.current, source) for source in more)
        return cell_texts((*self.cells(), *upcoming))
