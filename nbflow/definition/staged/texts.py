"""The cells of a notebook as the analysis wants them: with its parameters, and with lessons.

The injected cell binds variables as any other. Where it stands alone it is a cell of its own,
before all others; where it follows the cell tagged ``parameters``, or takes the place of an older
one, its assignments are read as part of that cell, in whose stage it runs.

What a run has taught of a cell is said by the tags with which an author could have said it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import msgspec

from nbflow.core.cells import CellText
from nbflow.core.stage_results import Lesson, source_digest
from nbflow.core.stages import INJECTED
from nbflow.definition.cell_text import cell_texts
from nbflow.definition.faults import Fault
from nbflow.definition.notebook_file import Notebook
from nbflow.definition.staged.asking import LearnedCells

_PARAMETERS, _INJECTED_TAG = "parameters", "injected-parameters"
#: The number of the injected cell where it is one of its own.
_FIRST = 0
_BARRIER, _PURE = "nbflow:barrier", "nbflow:pure"


@dataclass(frozen=True, slots=True)
class Texts:
    """Cells, ready to be analysed and cut."""

    cells: tuple[CellText, ...]
    #: Seconds that cells are known to take, by number.
    seconds: dict[int, float]
    #: Variables that cannot leave the kernel in which a cell has made them: (number, name).
    pinned: frozenset[tuple[int, str]]
    #: The number of the cell with which the parameters come; None if there are none.
    injected: int | None


def texts_of(notebook: Notebook, params: Sequence[str], learned: LearnedCells) -> Texts:
    """Return the cells of a Python notebook.

    Parameters
    ----------
    notebook
        The notebook.
    params
        The names that it gets from outside.
    learned
        What earlier runs have taught.

    Raises
    ------
    Fault
        If nobody could tell in which cell its parameters come.
    """
    cells = list(cell_texts(notebook.cells))
    injected = _inject(cells, notebook, params) if params else None
    by_index = {cell.index: cell for cell in notebook.cells}
    digests = {
        cell.number: source_digest(by_index[cell.index].source)
        for cell in cells
        if cell.index in by_index
    }
    seconds: dict[int, float] = {}
    pinned: set[tuple[int, str]] = set()
    before = _edited(learned.order, tuple(digests.values()))
    for place, cell in enumerate(cells):
        if cell.number not in digests:
            continue
        now = digests[cell.number]
        known = learned.seconds.get(now, by_index[cell.index].seconds)
        if known is None:
            known = learned.seconds.get(before.get(now, ""))
        if known is not None:
            seconds[cell.number] = known
        lessons = learned.lessons.get(digests[cell.number], ())
        pinned.update((cell.number, it.name) for it in lessons if it.kind == "pinned")
        cells[place] = _taught(cell, lessons)
    return Texts(tuple(cells), seconds, frozenset(pinned), injected)


def _edited(before: Sequence[str], now: Sequence[str]) -> dict[str, str]:
    """Return which cell was which before somebody edited it: it may take as long as that did.

    >>> _edited(["a", "b", "c"], ["a", "B", "c", "d"])
    {'B': 'b'}
    """
    found: dict[str, str] = {}
    blocks = SequenceMatcher(None, before, now, autojunk=False).get_opcodes() if before else ()
    for kind, first, last, start, end in blocks:
        if kind == "replace" and last - first == end - start:
            found.update(zip(now[start:end], before[first:last], strict=True))
    return found


def _inject(cells: list[CellText], notebook: Notebook, params: Sequence[str]) -> int:
    """Add the assignments of the injected cell to `cells`; return the number of their cell."""
    written = "".join(f"{name} = None\n" for name in params)
    for tag in (_INJECTED_TAG, _PARAMETERS):
        index = next((cell.index for cell in notebook.cells if tag in cell.tags), None)
        if index is None:
            continue
        place = next((i for i, cell in enumerate(cells) if cell.index == index), None)
        if place is None or cells[place].local:
            raise _no_place(tag)
        cell = cells[place]
        if tag == _INJECTED_TAG:
            cells[place] = CellText(number=cell.number, index=index, text=written, tags=cell.tags)
        else:
            source = cell.source or cell.text
            text = f"{cell.text.rstrip()}\n{written}"
            cells[place] = msgspec.structs.replace(cell, text=text, source=source)
        return cell.number
    if notebook.parameters_source is not None:
        raise _no_place(_PARAMETERS)
    cells.insert(0, CellText(number=_FIRST, index=INJECTED, text=written, tags=(_INJECTED_TAG,)))
    return _FIRST


def _no_place(tag: str) -> Fault:
    return Fault(
        f"its cell tagged {tag!r} does not run as a cell of plain Python",
        "Tag a code cell that assigns the defaults",
    )


def _taught(cell: CellText, lessons: Iterable[Lesson]) -> CellText:
    tags = tuple(dict.fromkeys(tag for lesson in lessons for tag in _tags(lesson)))
    if not tags:
        return cell
    # What was seen is worth more than what was said.
    kept = tuple(tag for tag in cell.tags if tag != _PURE)
    return msgspec.structs.replace(cell, tags=(*kept, *tags))


def _tags(lesson: Lesson) -> Iterator[str]:
    if lesson.kind == "pinned":
        return
    if lesson.kind == "reads" and lesson.name.isidentifier():
        yield f"nbflow:reads={lesson.name}"
    elif lesson.kind in ("changes", "writes") and lesson.name.isidentifier():
        yield f"nbflow:writes={lesson.name}"
    else:
        # Files and the state of libraries have no tag that would leave standing what is known.
        yield _BARRIER
