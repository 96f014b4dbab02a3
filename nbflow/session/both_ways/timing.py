"""How long a notebook takes in order and by cells, and what bounds that.

The time of a run is that from the start of its first kernel to the end of its last: a cluster that
has to start first takes as long either way. Cells are timed in the runs in order, where nothing
runs beside them. No way of running the notebook can be faster than the longest chain of cells each
of which needs the one before.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from nbformat import NotebookNode

from nbflow.core.cells import Analysis, analyze
from nbflow.definition.cell_text import cell_texts
from nbflow.definition.notebook_file import NotebookFiles
from nbflow.session.both_ways.copies import Asked, workplace
from nbflow.session.both_ways.schedules import Schedule
from nbflow.session.both_ways.ways import Way, by_cells, in_order


class CellTime(msgspec.Struct, frozen=True):
    """How long a cell takes, and whether it is on the critical path."""

    number: int
    first_line: str
    seconds: float
    is_critical: bool = False


class Bench(msgspec.Struct, frozen=True, kw_only=True):
    """How long a notebook takes both ways; all times are medians, in seconds.

    Parameters
    ----------
    notebook
        Its path, as it was named.
    rounds
        How often each way was run.
    in_order_s, by_cells_s
        The runs.
    cells
        Its cells, in order.
    critical_s
        The time of the longest chain of cells that need each other: no run can take less.
    stages
        How many the last run by cells had; 1 if it was worth no more than one kernel.
    at_once
        The most of them that ran at the same time.
    conflicts
        Of all runs by cells.
    outcome
        How the notebook ended.
    """

    notebook: str
    rounds: int
    in_order_s: float
    by_cells_s: float
    cells: tuple[CellTime, ...]
    critical_s: float
    stages: int
    at_once: int
    conflicts: int
    outcome: str

    @property
    def gain(self) -> float:
        """How many times faster it is by cells."""
        return self.in_order_s / self.by_cells_s if self.by_cells_s else 1.0

    @property
    def bound(self) -> float:
        """How many times faster it could be at most, if kernels and moving values cost nothing."""
        whole_s = sum(cell.seconds for cell in self.cells)
        return whole_s / self.critical_s if self.critical_s else 1.0


def bench(asked: Asked, rounds: int) -> Bench:
    """Time a notebook both ways, in turn.

    The runs in order teach what cells take: the stages are those of a notebook that has run before.

    Raises
    ------
    nbflow.core.errors.DefinitionError
        If it is not fit to run.
    """
    ordered: list[Way] = []
    staged: list[Way] = []
    with workplace(asked) as place:
        for _ in range(rounds):
            ordered.append(in_order(place))
            staged.append(by_cells(place, Schedule("worth")))
        notebook = NotebookFiles().parsed(place.asked.notebook.path)
        analysis = analyze(cell_texts(notebook.cells)) if notebook.is_python else None
    times = cell_times([way.notebook for way in ordered])
    critical = set() if analysis is None else critical_path(analysis, times)
    named = {} if analysis is None else {it.number: it.first_line for it in analysis.cells}
    cells = tuple(
        CellTime(number, named.get(number, ""), seconds, not critical or number in critical)
        for number, seconds in times.items()
    )
    return Bench(
        notebook=asked.notebook.place or asked.notebook.path,
        rounds=rounds,
        in_order_s=statistics.median(way.elapsed_s for way in ordered),
        by_cells_s=statistics.median(way.elapsed_s for way in staged),
        cells=cells,
        critical_s=sum(cell.seconds for cell in cells if cell.is_critical),
        stages=len(staged[-1].stages) or 1,
        at_once=staged[-1].at_once or 1,
        conflicts=sum(len(way.conflicts) for way in staged),
        outcome=ordered[-1].outcome,
    )


def cell_times(notebooks: Sequence[NotebookNode]) -> dict[int, float]:
    """Return how long each cell takes, by number: the median of several executions.

    Injected cells and those that did not run are left out.
    """
    found: dict[int, list[float]] = {}
    for notebook in notebooks:
        number = 0
        for cell in notebook.cells:
            tags = cell.metadata.get("tags", ())
            if cell.cell_type != "code" or not cell.source.strip() or "skip-execution" in tags:
                continue
            number += "injected-parameters" not in tags
            seconds = cell.metadata.get("papermill", {}).get("duration")
            if seconds is not None and "injected-parameters" not in tags:
                found.setdefault(number, []).append(seconds)
    return {number: statistics.median(each) for number, each in sorted(found.items())}


def critical_path(analysis: Analysis, seconds: Mapping[int, float]) -> set[int]:
    """Return the cells of the longest chain, by time, in which each needs the one before.

    What is replayed counts for those that need it: it runs before them in the same kernel.
    """
    sources: dict[int, list[int]] = {}
    for each in analysis.dependences:
        sources.setdefault(each.target, []).append(each.source)
    until_s: dict[int, float] = {}
    via: dict[int, int | None] = {}
    for number in sorted(seconds):
        known: Iterable[int] = (it for it in sources.get(number, ()) if it in until_s)
        last = max(known, key=until_s.__getitem__, default=None)
        via[number] = last
        until_s[number] = seconds[number] + (0.0 if last is None else until_s[last])
    at = max(until_s, key=until_s.__getitem__, default=None)
    path: set[int] = set()
    while at is not None:
        path.add(at)
        at = via[at]
    return path
