"""The code cells of a notebook: all that runs of it."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

#: The tag by which nbclient is told not to run a cell.
_SKIPPED = "skip-execution"
#: When a cell began and had ended, as JupyterLab and nbclient note it.
_BEGAN, _ENDED = "iopub.execute_input", "shell.execute_reply"


@dataclass(frozen=True, slots=True)
class CodeCell:
    """A code cell; `index` counts all cells of its notebook."""

    index: int
    source: str
    #: All its tags, sorted.
    tags: tuple[str, ...] = ()
    #: How long it took when it last ran, as far as the file tells.
    seconds: float | None = None


def code_cells(notebook: Mapping[str, Any]) -> tuple[CodeCell, ...]:
    """Return the code cells of a notebook in format 4."""
    return tuple(
        CodeCell(index, source_of(cell), tags_of(cell), seconds_of(cell))
        for index, cell in enumerate(notebook.get("cells", ()))
        if cell.get("cell_type") == "code"
    )


def running(cells: Iterable[CodeCell]) -> Iterator[CodeCell]:
    """Yield the cells that are run, in order; the first has the number 1."""
    return (cell for cell in cells if cell.source.strip() and _SKIPPED not in cell.tags)


def source_of(cell: Mapping[str, Any]) -> str:
    """Return a cell's text, which files may hold line by line."""
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(source)


def tags_of(cell: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a cell's tags, sorted."""
    metadata = cell.get("metadata")
    tags = metadata.get("tags") if isinstance(metadata, Mapping) else None
    return tuple(sorted(map(str, tags or ())))


def seconds_of(cell: Mapping[str, Any]) -> float | None:
    """Return how long a cell took when it last ran, as papermill or Jupyter have noted it."""
    metadata = cell.get("metadata")
    noted = metadata if isinstance(metadata, Mapping) else {}
    papermill, times = noted.get("papermill"), noted.get("execution")
    if isinstance(papermill, Mapping) and papermill.get("status") == "completed":
        seconds = papermill.get("duration")
    elif isinstance(times, Mapping):
        seconds = _between(times.get(_BEGAN), times.get(_ENDED))
    else:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        return None
    return float(seconds) if 0 <= seconds < math.inf else None


def _between(began: object, ended: object) -> float | None:
    try:
        span = datetime.fromisoformat(str(ended)) - datetime.fromisoformat(str(began))
    except (ValueError, TypeError):
        # No times, or one with a zone and one without.
        return None
    return span.total_seconds()
