"""The code cells of a notebook: all that runs of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class CodeCell:
    """A code cell; `index` counts all cells of its notebook."""

    index: int
    source: str
    #: All its tags, sorted.
    tags: tuple[str, ...] = ()


def code_cells(notebook: Mapping[str, Any]) -> tuple[CodeCell, ...]:
    """Return the code cells of a notebook in format 4."""
    return tuple(
        CodeCell(index, source_of(cell), tags_of(cell))
        for index, cell in enumerate(notebook.get("cells", ()))
        if cell.get("cell_type") == "code"
    )


def source_of(cell: Mapping[str, Any]) -> str:
    """Return a cell's text, which files may hold line by line."""
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(source)


def tags_of(cell: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a cell's tags, sorted."""
    metadata = cell.get("metadata")
    tags = metadata.get("tags") if isinstance(metadata, Mapping) else None
    return tuple(sorted(map(str, tags or ())))
