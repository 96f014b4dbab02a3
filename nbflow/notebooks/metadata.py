"""The progress of a notebook, written into its metadata as papermill does it.

papermill's own `NotebookExecutionManager` fills in the fields. Two things differ. It saves after
every change; here a save is only suggested. And at the end it calls every cell completed
that it did not see fail; here a cell that did not run stays ``pending``.
"""

from collections.abc import Callable
from datetime import UTC, datetime

import nbformat
from nbformat import NotebookNode
from papermill.engines import NotebookExecutionManager
from papermill.execute import (
    ERROR_ANCHOR_MSG,
    ERROR_MARKER_TAG,
    ERROR_MESSAGE_TEMPLATE,
    prepare_notebook_metadata,
    remove_error_markers,
)

#: Cells that `mark_error` puts before the failed one.
MARKERS = 2


class Metadata(NotebookExecutionManager):  # type: ignore[misc]
    """papermill's metadata of one notebook.

    Parameters
    ----------
    notebook
        Parameters are already injected.
    clock
        Seconds since the epoch.
    changed
        Called after every change.
    """

    def __init__(
        self,
        notebook: NotebookNode,
        *,
        clock: Callable[[], float],
        changed: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._changed = changed
        super().__init__(notebook, progress_bar=False)

    def now(self) -> datetime:
        """Return the time of the clock."""
        return datetime.fromtimestamp(self._clock(), UTC)

    def save(self, **_: object) -> None:
        """Suggest a save."""
        self._changed()

    def notebook_start(self, **_: object) -> None:
        """Mark every cell as pending, and drop what an earlier execution left."""
        for cell in self.nb.cells:
            cell.metadata.pop("execution", None)
        super().notebook_start()

    def notebook_complete(self, **_: object) -> None:
        """Note the end; the cells' statuses are true as they are."""
        end = self.now()
        self.nb.metadata.papermill["end_time"] = end.isoformat()
        self.nb.metadata.papermill["duration"] = (end - self.start_time).total_seconds()
        self._changed()

    def cell_failed(self, index: int) -> None:
        """Note that a cell failed, now."""
        self.cell_exception(self.nb.cells[index], cell_index=index)
        self.cell_complete(self.nb.cells[index], cell_index=index)


def prepare(notebook: NotebookNode, input_path: str, output_path: str | None) -> NotebookNode:
    """Note the paths, and remove the error marks of an earlier execution."""
    prepared: NotebookNode = prepare_notebook_metadata(notebook, input_path, output_path)
    unmarked: NotebookNode = remove_error_markers(prepared)
    return unmarked


def mark_error(notebook: NotebookNode, index: int) -> None:
    """Insert papermill's two cells: one on top that links to the other, before the failed cell."""
    count = notebook.cells[index].get("execution_count")
    notebook.cells.insert(index, _marker(ERROR_ANCHOR_MSG))
    notebook.cells.insert(0, _marker(ERROR_MESSAGE_TEMPLATE % (" " if count is None else count)))


def _marker(text: str) -> NotebookNode:
    metadata = {"tags": [ERROR_MARKER_TAG]}
    cell: NotebookNode = nbformat.v4.new_markdown_cell(text, metadata=metadata)
    return cell
