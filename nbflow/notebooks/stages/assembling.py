"""Put a notebook together out of what its stages have run.

What comes out is the notebook that a run from top to bottom gives: each cell as the stage has left
it that keeps its results, cells without code marked as papermill marks them, and metadata of the
notebook once.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from nbformat import NotebookNode

from nbflow.core.stage_results import StageRecord
from nbflow.notebooks.metadata import Metadata

#: Where a stage's notebook has its record: ``metadata.nbflow.stage``.
OURS, RECORD = "nbflow", "stage"

_COMPLETED = "completed"
_WIDGETS = "application/vnd.jupyter.widget-state+json"


class Part(msgspec.Struct, frozen=True):
    """The notebook of a stage, and its record."""

    notebook: NotebookNode
    record: StageRecord

    def completed(self) -> frozenset[int]:
        """Return the places of the cells that have run and were not broken off."""
        return frozenset(place for place, cell in self.kept() if _status(cell) == _COMPLETED)

    def place_of(self, index: int | None) -> int | None:
        """Return the place in the whole of a cell of the stage; None if it has none."""
        if index is None or index >= len(self.record.places):
            return None
        return self.record.places[index]

    def kept(self) -> Iterable[tuple[int, NotebookNode]]:
        """Yield each cell whose results the stage keeps, with its place."""
        repeated = frozenset(self.record.repeated)
        for index, cell in enumerate(self.notebook.cells):
            if index not in repeated:
                yield self.record.places[index], cell

    def cell_at(self, place: int) -> NotebookNode:
        """Return the cell that has this place in the whole, also if it was only repeated."""
        cell: NotebookNode = self.notebook.cells[self.record.places.index(place)]
        return cell


def with_record(notebook: NotebookNode, record: StageRecord) -> None:
    """Write a stage's record into its notebook."""
    ours = notebook.metadata.setdefault(OURS, NotebookNode())
    ours[RECORD] = msgspec.to_builtins(record)


def part_of(notebook: NotebookNode) -> Part | None:
    """Return a stage's notebook with its record; None if it has none."""
    record = notebook.metadata.get(OURS, {}).get(RECORD)
    if record is None:
        return None
    part = Part(notebook, msgspec.convert(record, StageRecord))
    return part if len(part.record.places) == len(notebook.cells) else None


def assemble(
    notebook: NotebookNode,
    parts: Iterable[Part],
    indices: Mapping[int, int],
    metadata: Metadata,
    *,
    failed: tuple[Part, int] | None = None,
) -> None:
    """Take the results of all stages over into the whole notebook.

    Parameters
    ----------
    notebook
        Prepared as for a run; is changed in place.
    parts
        What the stages bring.
    indices
        The index of each cell in `notebook`, by its place.
    metadata
        Of `notebook`, begun.
    failed
        The stage that has failed, and the place of the cell in which it has: nothing after that
        cell counts.
    """
    last = None if failed is None else indices[failed[1]]
    starts = []
    for part in parts:
        about = part.notebook.metadata
        notebook.metadata["language_info"] = about.get("language_info", {})
        starts.append(about.papermill.get("start_time"))
        for place, cell in part.kept():
            index = indices[place]
            if last is None or index <= last:
                _take_over(notebook.cells[index], cell)
        _merge_widgets(notebook, about)
    if failed is not None and last is not None:
        # Others may have had more luck with a cell that each of them repeats.
        part, place = failed
        _take_over(notebook.cells[last], part.cell_at(place))
    for index, cell in enumerate(notebook.cells[: None if last is None else last]):
        if cell.cell_type != "code" or not cell.source.strip():
            metadata.cell_start(cell, cell_index=index)
            metadata.cell_complete(cell, cell_index=index)
    begun = min((start for start in starts if start), default=None)
    if begun is not None:
        notebook.metadata.papermill["start_time"] = begun
    if last is not None:
        notebook.metadata.papermill["exception"] = True


def _take_over(mine: NotebookNode, theirs: NotebookNode) -> None:
    mine.metadata = theirs.metadata
    mine.outputs = theirs.outputs
    mine.execution_count = theirs.execution_count


def _merge_widgets(notebook: NotebookNode, about: Mapping[str, Any]) -> None:
    theirs = about.get("widgets", {}).get(_WIDGETS)
    if theirs is None:
        return
    widgets = notebook.metadata.setdefault("widgets", NotebookNode())
    mine = widgets.setdefault(_WIDGETS, NotebookNode({**theirs, "state": NotebookNode()}))
    mine["state"].update(theirs["state"])


def _status(cell: NotebookNode) -> str:
    return str(cell.metadata.get("papermill", {}).get("status", ""))
