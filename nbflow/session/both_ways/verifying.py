"""Runs of one notebook side by side: what differs, and whether it has to be equal.

Trying decides: where two runs in order differ, nothing can be demanded of a third. Those further
runs are only made if something differs; several, if the analysis holds a cell for one that does not
give the same each time (it draws without a seed, say), since that may be the same by chance. From
the second on, memory that nobody has set holds something else; they excuse no other cells than
those.
What the analysis says excuses nothing by itself: of much it only does not know.
"""

import mimetypes
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from nbflow.core.cells import Analysis
from nbflow.core.states import NodeState
from nbflow.definition.cell_text import analyze_notebook
from nbflow.definition.notebook_file import NotebookFiles
from nbflow.notebooks.comparing import Difference, compare, compare_files, compare_texts
from nbflow.session.both_ways.copies import Asked, FileLeft, Workplace, workplace
from nbflow.session.both_ways.schedules import Schedule
from nbflow.session.both_ways.stirring import stirring
from nbflow.session.both_ways.ways import Way, by_cells, in_order

#: Why something need not be the same.
_SHOWN = "runs in order differ there, too"
#: How often a notebook is run in order besides, at most, for cells that may give something else.
_MORE = 4


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What came of running a notebook both ways.

    Parameters
    ----------
    notebook
        Its path, as it was named.
    expected
        The run in order.
    found
        The runs by cells.
    differences
        What differs and must not, by the name of the run by cells.
    excused
        What differs, and is not the same each time anyway.
    cells
        How many of its cells run.
    language
        The notebook's, if it is one that cannot be analysed.
    uncopied
        Why all runs have worked in the notebook's own folder; empty if each had a copy.
    """

    notebook: str
    expected: Way
    found: tuple[Way, ...]
    differences: Mapping[str, tuple[Difference, ...]]
    excused: Mapping[str, tuple[Difference, ...]]
    cells: int
    language: str = ""
    uncopied: str = ""

    @property
    def is_equal(self) -> bool:
        """Whether nothing differs that must not."""
        return not any(self.differences.values())


def verify(asked: Asked, schedules: Sequence[Schedule], *, failing: bool = True) -> Verified:
    """Run a notebook in order and, with each schedule, by cells, and compare.

    Parameters
    ----------
    asked
        The notebook.
    schedules
        How its cells become stages, once for each.
    failing
        Whether to go on with a notebook that fails in order.

    Raises
    ------
    nbflow.core.errors.DefinitionError
        If it is not fit to run.
    """
    with workplace(asked) as place:
        expected = in_order(place)
        analysis, sources = _analysis(place.asked.notebook.path)
        unsure = unsure_cells(analysis, sources)
        goes_on = failing or expected.outcome == NodeState.SUCCEEDED
        found = tuple(by_cells(place, schedule) for schedule in (schedules if goes_on else ()))
        differences = {way.name: tuple(differing(expected, way, unsure)) for way in found}
        shown = _shown(place, expected, differences)
        return Verified(
            notebook=asked.notebook.place or asked.notebook.path,
            expected=expected,
            found=found,
            differences={
                name: tuple(each for each in them if each.place not in shown)
                for name, them in differences.items()
            },
            excused={
                name: tuple(_excused(each) for each in them if each.place in shown)
                for name, them in differences.items()
            },
            cells=len(analysis.cells),
            language=analysis.language,
            uncopied=place.uncopied,
        )


def differing(expected: Way, found: Way, unsure: Mapping[str, str]) -> Iterator[Difference]:
    """Yield all in which two runs differ: how they end, their notebooks, the files they leave.

    `unsure` is by the source of a cell, as of `compare`.
    """
    yield from compare_texts("outcome", expected.outcome, found.outcome)
    yield from compare(expected.notebook, found.notebook, unsure)
    for path in sorted({*expected.files, *found.files}):
        yield from _of_file(path, expected.files.get(path), found.files.get(path))


def unsure_cells(analysis: Analysis, sources: Mapping[int, str]) -> dict[str, str]:
    """Return why cells may not give the same each time, by their sources.

    Parameters
    ----------
    analysis
        What is known of them.
    sources
        Of cells, by index.
    """
    whys: dict[int, str] = {}
    for cell in analysis.cells:
        if cell.unsure:
            whys[cell.number] = cell.unsure[0].words
    for cell in analysis.cells:
        for each in analysis.dependences:
            if each.target == cell.number and each.kind == "data" and each.source in whys:
                whys.setdefault(cell.number, f"it reads {each.name} of cell {each.source}")
    return {
        sources[cell.index]: whys[cell.number]
        for cell in analysis.cells
        if cell.number in whys and cell.index in sources
    }


def _analysis(path: str) -> tuple[Analysis, dict[int, str]]:
    notebook = NotebookFiles().parsed(path)
    return analyze_notebook(notebook), {cell.index: cell.source for cell in notebook.cells}


def _shown(
    place: Workplace, expected: Way, differences: Mapping[str, Iterable[Difference]]
) -> set[object]:
    """Return the places in which runs in order differ, too; run again as often as it takes."""
    left = [each for them in differences.values() for each in them]
    shown: set[object] = set()
    if left:
        again = in_order(place)
        shown.update(each.place for each in differing(expected, again, {}))
    for _ in range(_MORE):
        unsure = {each.place for each in left if each.unsure} - shown
        if not unsure:
            break
        with stirring() as env:
            again = in_order(place, env=env)
        shown.update(unsure & {each.place for each in differing(expected, again, {})})
    return shown


def _excused(difference: Difference) -> Difference:
    known = f" ({difference.unsure})" if difference.unsure else ""
    return msgspec.structs.replace(difference, unsure=f"{_SHOWN}{known}")


def _of_file(path: str, one: FileLeft | None, two: FileLeft | None) -> Iterator[Difference]:
    what = f"file {path}"
    if one is None or two is None or one.content is None or two.content is None:
        yield from compare_texts(what, _about(one), _about(two))
    elif one.digest != two.digest:
        mime = mimetypes.guess_type(path)[0] or "text/plain"
        yield from compare_files(what, one.content, two.content, mime)


def _about(file: FileLeft | None) -> str:
    if file is None:
        return "(as it was)"
    return f"written: {file.digest}" if file.digest else "(gone)"
