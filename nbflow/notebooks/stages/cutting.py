"""Cut the cells of one stage out of a notebook, and know again where they belong.

Parameters are injected into the whole notebook, as papermill does it, and old error marks go; both
move cells. So each cell carries its place in the notebook as it was written, until the notebook is
put together again.
"""

from collections.abc import Mapping

import msgspec
from nbformat import NotebookNode

from nbflow.core.stages import INJECTED, StageCell, StageSpec

#: Where a cell carries its place.
_PLACE = "nbflow_place"
_INJECTED_TAG, _PARAMETERS_TAG = "injected-parameters", "parameters"


class Cut(msgspec.Struct, frozen=True):
    """The notebook of a stage.

    Parameters
    ----------
    notebook
        Has the stage's cells alone.
    positions
        For each of them, its position in `StageSpec.cells`; None for the injected cell that
        follows the parameters.
    places
        For each of them, its place in the whole notebook; see `by_place`.
    repeated
        Indices of those that are only repeated here: their results are another stage's.
    sources
        For each of them, its text as the notebook has it.
    counts
        For each of them, what Jupyter's counter shows in a run from top to bottom.
    """

    notebook: NotebookNode
    positions: tuple[int | None, ...]
    places: tuple[int, ...]
    repeated: tuple[int, ...]
    sources: tuple[str, ...]
    counts: tuple[int, ...]


def note_places(notebook: NotebookNode) -> None:
    """Let each cell carry its place; before anything moves them."""
    for index, cell in enumerate(notebook.cells):
        cell.metadata[_PLACE] = index


def replaced_place(written: NotebookNode) -> int:
    """Return the place of an older injected cell, which gives way to the new one, or `INJECTED`."""
    place = _first_tagged(written, _INJECTED_TAG)
    return INJECTED if place is None else place


def by_place(notebook: NotebookNode, injected: int = INJECTED) -> dict[int, int]:
    """Return the index of each cell by its place, and take the places away.

    Parameters
    ----------
    notebook
        With its injected cell.
    injected
        The place of that cell, which carries none; see `replaced_place`.
    """
    found: dict[int, int] = {}
    for index, cell in enumerate(notebook.cells):
        place = cell.metadata.pop(_PLACE, None)
        if place is not None:
            found[place] = index
        elif _INJECTED_TAG in cell.metadata.get("tags", ()):
            found[injected] = index
    return found


def cut(
    notebook: NotebookNode, spec: StageSpec, *, written: NotebookNode, indices: Mapping[int, int]
) -> Cut:
    """Return the notebook of a stage.

    Parameters
    ----------
    notebook
        The whole, with its injected cell.
    spec
        The stage.
    written
        The notebook as it was written.
    indices
        As of `by_place`, of `notebook`.
    """
    injected_before = _injected_before(written) if spec.injected else None
    parameters = _first_tagged(written, _PARAMETERS_TAG)
    found: list[tuple[bool, int | None, int, int]] = []
    parts = {cell.index: cell.part for cell in spec.cells if cell.part}
    for position, cell in enumerate(spec.cells):
        if cell.index in indices:
            found.append((cell.replayed, position, cell.index, _count(cell, injected_before)))
        if cell.index == parameters and INJECTED in indices:
            found.append((cell.replayed, None, INJECTED, cell.number + 1))
    whole = [notebook.cells[indices[place]] for *_, place, _ in found]
    cells = [
        _part(cell, parts.get(place)) for cell, (*_, place, _) in zip(whole, found, strict=True)
    ]
    return Cut(
        notebook=NotebookNode({**notebook, "cells": cells}),
        positions=tuple(position for _, position, _, _ in found),
        places=tuple(place for *_, place, _ in found),
        repeated=tuple(index for index, (repeated, *_) in enumerate(found) if repeated),
        sources=tuple(cell.source for cell in whole),
        counts=tuple(count for *_, count in found),
    )


def _part(cell: NotebookNode, text: str | None) -> NotebookNode:
    return cell if text is None else NotebookNode({**cell, "source": text})


def _count(cell: StageCell, injected_before: int | None) -> int:
    if cell.index == INJECTED:
        return 1
    return cell.number + (injected_before is not None and cell.index >= injected_before)


def _injected_before(written: NotebookNode) -> int | None:
    """Return the place before which a new cell will be injected; None if it replaces one."""
    if _first_tagged(written, _INJECTED_TAG) is not None:
        return None
    parameters = _first_tagged(written, _PARAMETERS_TAG)
    return 0 if parameters is None else parameters + 1


def _first_tagged(notebook: NotebookNode, tag: str) -> int | None:
    for index, cell in enumerate(notebook.cells):
        if tag in cell.metadata.get("tags", ()):
            return index
    return None
