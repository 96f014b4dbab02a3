"""The progress of a notebook, written into its metadata as papermill does it.

papermill's own `NotebookExecutionManager` fills in the fields. Two things differ. It saves after
every change; here it is only told which cell has changed. And at the end it calls every cell
completed that it did not see fail; here a cell that did not run stays ``pending``, and one that was
not seen to end has failed.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
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

from nbflow.core.usage import UsageSum
from nbflow.notebooks import authors
from nbflow.notebooks.authors import Author

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
        Called after every change, with an index: cells from there on may differ; the number
        of cells if only the notebook's own metadata does.
    important
        Called instead where people should see the change at once: a cell has failed.
    author
        The attempt that writes the notebook, if it is one of a run.
    shown
        Of papermill's manager: ``progress_bar``, ``log_output``.
    """

    def __init__(
        self,
        notebook: NotebookNode,
        *,
        clock: Callable[[], float],
        changed: Callable[[int], None],
        important: Callable[[int], None] | None = None,
        author: Author | None = None,
        **shown: Any,
    ) -> None:
        self._clock = clock
        self._changed = changed
        self._important = important or changed
        self._author = author
        super().__init__(notebook, **{"progress_bar": False, **shown})

    def now(self) -> datetime:
        """Return the time of the clock."""
        return datetime.fromtimestamp(self._clock(), UTC)

    def changed(self, first: int) -> None:
        """Tell that cells from `first` on may differ."""
        self._changed(first)

    def save(self, **_: object) -> None:
        """Do nothing: where papermill calls this, what has changed is told as well."""

    def notebook_start(self, **_: object) -> None:
        """Mark every cell as pending, and drop what an earlier execution left."""
        for cell in self.nb.cells:
            cell.metadata.pop("execution", None)
        for key in ("usage", authors.METADATA):
            self.nb.metadata.get("nbflow", {}).pop(key, None)
        if self._author is not None:
            self._note(authors.METADATA, self._author)
        super().notebook_start()
        self._changed(0)

    def cell_start(self, cell: NotebookNode, cell_index: int = 0, **_: object) -> None:
        """Note that a cell begins."""
        super().cell_start(cell, cell_index)
        self._changed(cell_index)

    def cell_complete(self, cell: NotebookNode, cell_index: int = 0, **_: object) -> None:
        """Note that a cell has ended: completed, if it has not failed."""
        super().cell_complete(cell, cell_index)
        failed = cell.metadata.papermill["status"] == self.FAILED
        (self._important if failed else self._changed)(cell_index)

    def cell_failed(self, index: int) -> None:
        """Note that a cell failed, now."""
        self.cell_exception(self.nb.cells[index], cell_index=index)
        self.cell_complete(self.nb.cells[index], cell_index=index)

    def notebook_complete(self, **_: object) -> None:
        """Note the end. A cell that still runs was broken off; the others' statuses are true."""
        for index, cell in enumerate(self.nb.cells):
            if cell.metadata.get("papermill", {}).get("status") == self.RUNNING:
                self.cell_failed(index)
        end = self.now()
        self.nb.metadata.papermill["end_time"] = end.isoformat()
        self.nb.metadata.papermill["duration"] = (end - self.start_time).total_seconds()
        self._changed(len(self.nb.cells))

    def note_usage(self, usage: UsageSum | None) -> None:
        """Note what the execution has used in all, beside what papermill writes."""
        if usage is not None:
            self._note("usage", usage)
            self._changed(len(self.nb.cells))

    def _note(self, key: str, value: msgspec.Struct) -> None:
        ours = self.nb.metadata.setdefault("nbflow", NotebookNode())
        ours[key] = nbformat.from_dict(msgspec.to_builtins(value))


def prepare(
    notebook: NotebookNode,
    input_path: str,
    output_path: str | None,
    *,
    report_mode: bool = False,
) -> NotebookNode:
    """Note the paths, remove the error marks of an earlier execution, and hide sources if asked."""
    prepared: NotebookNode = prepare_notebook_metadata(
        notebook, input_path, output_path, report_mode
    )
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
