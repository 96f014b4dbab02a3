"""One notebook, and all that is found out about it."""

import statistics
import time
from pathlib import Path
from typing import Literal

import msgspec
from distributed import LocalCluster

from corpus.oracle import Bound, bound_of, trace
from corpus.oracle.bound import parallelism
from corpus.oracle.tracing import NoTraceError
from nbflow.core.cells import Analysis
from nbflow.core.errors import DefinitionError, NbflowError
from nbflow.definition.cell_text import analyze_notebook
from nbflow.definition.notebook_file import NotebookFiles
from nbflow.definition.options import NodeOptions
from nbflow.definition.targets import BareNotebook
from nbflow.notebooks.comparing import Difference
from nbflow.session.both_ways import Asked, Schedule, Verified, Way, copies, verify
from nbflow.session.both_ways.timing import cell_times

_LENGTH = 160


class Wanted(msgspec.Struct, frozen=True):
    """How notebooks are to be tried.

    Parameters
    ----------
    seeds
        How often each is run by cells, each time cut and ordered otherwise.
    timeout_s
        For a whole run.
    failing
        Whether those that fail in order are compared, too, rather than left out.
    oracle
        Whether to find the bound of what is possible.
    """

    seeds: int = 2
    timeout_s: float = 120.0
    failing: bool = False
    oracle: bool = True


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What is found out about a notebook.

    Parameters
    ----------
    notebook
        Its name.
    verdict
        Whether it is the same both ways.
    why
        Why it was left out, or the first difference.
    conflicts, excused
        Stages that did more than was known of them; differences that cannot be avoided.
    stages, at_once, in_order_s, by_cells_s
        Medians over the runs by cells.
    cells
        That run.
    by_count, by_time
        Available parallelism that the analysis has found: all cells that work by the longest chain
        of them, by their number and by their durations.
    bound
        The same by what a run has shown; None if that could not be found out.
    took_s
        For all of it.
    """

    notebook: str
    verdict: Literal["equal", "different", "left out"]
    why: str = ""
    conflicts: tuple[str, ...] = ()
    excused: int = 0
    stages: float = 1
    at_once: float = 1
    in_order_s: float = 0.0
    by_cells_s: float = 0.0
    cells: int = 0
    by_count: float = 1.0
    by_time: float = 1.0
    bound: Bound | None = None
    took_s: float = 0.0


def tried(name: str, path: Path, wanted: Wanted, cluster: LocalCluster) -> Found:
    """Run a notebook in order and by cells, compare, and find its bound."""
    began = time.monotonic()
    asked = Asked(
        notebook=BareNotebook(
            path=str(path), place=name, options=NodeOptions(timeout={"hard": wanted.timeout_s})
        ),
        cluster=cluster,
    )
    schedules = [Schedule("all"), *(Schedule("random", n) for n in range(1, wanted.seeds))]
    try:
        verified = verify(asked, schedules, failing=wanted.failing)
    except DefinitionError as error:
        return Found(notebook=name, verdict="left out", why=str(error.problems[0])[:_LENGTH])
    except NbflowError as error:
        return Found(notebook=name, verdict="left out", why=str(error)[:_LENGTH])
    if not verified.found:
        why = failure_of(verified.expected)
        took_s = time.monotonic() - began
        return Found(notebook=name, verdict="left out", why=why, took_s=took_s)
    found = _compared(name, verified)
    found = _measured(found, verified.expected, path, asked, wanted)
    return msgspec.structs.replace(found, took_s=time.monotonic() - began)


def failure_of(way: Way) -> str:
    """Say in a line why a run has failed."""
    for cell in way.notebook.cells:
        for output in cell.get("outputs", ()):
            if output.output_type == "error":
                return f"{output.ename}: {output.evalue}".strip().splitlines()[0][:_LENGTH]
    return way.outcome


def _compared(name: str, verified: Verified) -> Found:
    ways = verified.found
    return Found(
        notebook=name,
        verdict="equal" if verified.is_equal else "different",
        why=_first_difference(verified),
        conflicts=tuple(conflict for way in ways for conflict in way.conflicts),
        excused=sum(len(them) for them in verified.excused.values()),
        stages=statistics.median(len(way.stages) or 1 for way in ways),
        at_once=statistics.median(way.at_once or 1 for way in ways),
        in_order_s=verified.expected.elapsed_s,
        by_cells_s=statistics.median(way.elapsed_s for way in ways),
        cells=verified.cells,
    )


def _first_difference(verified: Verified) -> str:
    for way in verified.found:
        for difference in verified.differences[way.name]:
            ended = f" ({way.reason})" if way.outcome != verified.expected.outcome else ""
            return f"{way.name}: {_told(difference)}{ended}"
    return ""


def _told(difference: Difference) -> str:
    where = "the notebook" if difference.number is None else f"cell {difference.number}"
    what = f"{where}, {difference.what}, line {difference.line}"
    return f"{what}: {difference.expected!r} is {difference.found!r}"


def _measured(found: Found, way: Way, path: Path, asked: Asked, wanted: Wanted) -> Found:
    analysis = analyze_notebook(NotebookFiles().parsed(str(path)))
    if analysis.language:
        return found
    seconds = cell_times([way.notebook])
    sources = waiting(analysis)
    found = msgspec.structs.replace(
        found,
        by_count=parallelism(sources, dict.fromkeys(sources, 1.0)),
        by_time=parallelism(sources, seconds),
    )
    if not wanted.oracle or way.outcome != "succeeded":
        return found
    replayed = {cell.number for cell in analysis.cells if cell.replayed}
    with copies.workplace(asked) as place:
        place.renew()
        try:
            traced = trace(Path(place.asked.notebook.path), wanted.timeout_s)
        except NoTraceError:
            # Not every notebook bears being watched; what was compared stands without it.
            return found
    return msgspec.structs.replace(found, bound=bound_of(traced, replayed, seconds))


def waiting(analysis: Analysis) -> dict[int, set[int]]:
    """Return the cells that each cell waits for, by what is known of its text."""
    sources: dict[int, set[int]] = {
        cell.number: set() for cell in analysis.cells if not cell.replayed
    }
    for each in analysis.dependences:
        if each.kind != "replay" and each.target in sources and each.source in sources:
            sources[each.target].add(each.source)
    return sources
