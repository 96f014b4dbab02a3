"""What came of a corpus, as a table for people and as figures."""

import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import msgspec

from corpus.trying import Found
from nbflow.cli.text import table


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """A corpus in figures; medians are over the notebooks that ran.

    Parameters
    ----------
    notebooks, ran, equal, different
        How many.
    with_conflicts, conflicts
        Notebooks of which a stage did more than was known of it, and such stages.
    staged
        Notebooks that were cut into more than one stage.
    stages, speed_up
        Medians. The speed-up is only indicative: the cuts are those of a test, not of a gain.
    by_count, by_time
        Medians of the available parallelism that the analysis finds.
    bound_by_count, bound_by_time
        Medians of what an oracle sees.
    reached
        Median of the one divided by the other, by number of cells.
    """

    notebooks: int
    ran: int
    equal: int
    different: int
    with_conflicts: int
    conflicts: int
    staged: int
    stages: float
    speed_up: float
    by_count: float
    by_time: float
    bound_by_count: float
    bound_by_time: float
    reached: float


def figures(found: Sequence[Found]) -> Figures:
    """Return a corpus in figures."""
    ran = [each for each in found if each.verdict != "left out"]
    seen = [each for each in ran if each.bound is not None]
    verdicts = Counter(each.verdict for each in found)
    return Figures(
        notebooks=len(found),
        ran=len(ran),
        equal=verdicts["equal"],
        different=verdicts["different"],
        with_conflicts=sum(bool(each.conflicts) for each in ran),
        conflicts=sum(len(each.conflicts) for each in ran),
        staged=sum(each.stages > 1 for each in ran),
        stages=_median(ran, lambda it: it.stages),
        speed_up=_median(ran, lambda it: it.in_order_s / it.by_cells_s if it.by_cells_s else 1.0),
        by_count=_median(ran, lambda it: it.by_count),
        by_time=_median(ran, lambda it: it.by_time),
        bound_by_count=_median(seen, lambda it: _bound(it)[0]),
        bound_by_time=_median(seen, lambda it: _bound(it)[1]),
        reached=_median(seen, lambda it: it.by_count / _bound(it)[0]),
    )


def lines(found: Sequence[Found]) -> Iterator[str]:
    """Tell what came of each notebook, and of all."""
    rows: list[tuple[str, ...]] = [
        ("notebook", "verdict", "cells", "stages", "found", "bound", "in order", "by cells", "")
    ]
    rows += [_row(each) for each in found]
    yield from table(rows)
    all_of = figures(found)
    yield ""
    yield (
        f"{all_of.notebooks} notebooks, {all_of.ran} ran: {all_of.equal} equal, "
        f"{all_of.different} different; conflicts in {all_of.with_conflicts} ({all_of.conflicts} "
        f"stages); {all_of.staged} cut into stages, {all_of.stages:g} in the median"
    )
    yield (
        f"parallelism, medians: found {all_of.by_count:.2f} by number of cells, "
        f"{all_of.by_time:.2f} by time; bound by an oracle {all_of.bound_by_count:.2f} and "
        f"{all_of.bound_by_time:.2f}; {all_of.reached:.0%} of the bound reached"
    )


def _row(found: Found) -> tuple[str, ...]:
    if found.verdict == "left out":
        return (found.notebook, found.verdict, "", "", "", "", "", "", found.why)
    remarks = [found.why] if found.why else []
    remarks += (
        [f"{len(found.conflicts)} conflicts: {found.conflicts[0]}"] if found.conflicts else []
    )
    remarks += [f"{found.excused} excused"] if found.excused else []
    return (
        found.notebook,
        found.verdict,
        str(found.cells),
        f"{found.stages:g}",
        f"{found.by_count:.2f}",
        "?" if found.bound is None else f"{found.bound.by_count:.2f}",
        f"{found.in_order_s:.2f} s",
        f"{found.by_cells_s:.2f} s",
        "; ".join(remarks),
    )


def _bound(found: Found) -> tuple[float, float]:
    assert found.bound is not None
    return found.bound.by_count, found.bound.by_time


def _median(found: Sequence[Found], value: Callable[[Found], float]) -> float:
    return statistics.median(map(value, found)) if found else 1.0
