"""Two executed notebooks side by side: what of the one is not what the other has."""

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

import msgspec
from nbformat import NotebookNode

from nbflow.notebooks.comparing.metadata import told, widget_states
from nbflow.notebooks.comparing.pictures import picture_file
from nbflow.notebooks.comparing.rules import common_form
from nbflow.notebooks.comparing.shown import Shown, shown_by

#: Characters of a line that a difference tells, and how many of them stand before the place.
_LINE_LENGTH, _BEFORE = 200, 60
#: What stands for a line that is not there.
MISSING = "(nothing)"


class Difference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing in which two executed notebooks differ.

    Parameters
    ----------
    what
        What it is: ``stdout``, ``output 2 (display_data), text/plain``, ``execution count``…
    expected, found
        The first line that differs, in the one and in the other; a long one is cut.
    line
        Which line of the text that is, from 1.
    index
        Place of the cell among all cells of the executed notebook; None for the notebook itself.
    number
        The cell as Jupyter counts it, if it has been counted.
    first_line
        The beginning of the cell's source.
    source
        All of it.
    unsure
        Why it need not be the same each time; empty if it must.
    """

    what: str
    expected: str
    found: str
    line: int
    index: int | None = None
    number: int | None = None
    first_line: str = ""
    source: str = ""
    unsure: str = ""

    @property
    def place(self) -> tuple[int | None, str]:
        """By what it is found again in another comparison of the same notebook."""
        return self.index, self.what


def compare(
    expected: NotebookNode, found: NotebookNode, unsure: Mapping[str, str] | None = None
) -> tuple[Difference, ...]:
    """Return everything in which two executed notebooks differ, in the order of the cells.

    Parameters
    ----------
    expected, found
        The notebooks; each is left as it is.
    unsure
        By the source of a cell, why what it gives need not be the same each time.
    """
    return tuple(
        msgspec.structs.replace(each, unsure=(unsure or {}).get(each.source, ""))
        for each in _differences(expected, found)
    )


def compare_texts(what: str, expected: str, found: str) -> tuple[Difference, ...]:
    """Compare two texts as they are; the difference is in `what`."""
    return tuple(_of_text(what, expected, found))


def compare_files(what: str, expected: bytes, found: bytes, mime: str) -> tuple[Difference, ...]:
    """Compare the contents of two files of a MIME type as the outputs of cells are compared."""
    return tuple(_of_text(what, _readable(expected, mime), _readable(found, mime)))


def _readable(content: bytes, mime: str) -> str:
    try:
        return common_form(content.decode(), mime)
    except UnicodeDecodeError:
        return picture_file(content, mime)


def _differences(expected: NotebookNode, found: NotebookNode) -> Iterator[Difference]:
    cells, others = expected.cells, found.cells
    for index, (cell, other) in enumerate(zip(cells, others, strict=False)):
        yield from _of_cell(index, cell, other)
    if len(cells) != len(others):
        at = min(len(cells), len(others))
        one, two = (_cell_name(them, at) for them in (cells, others))
        yield Difference(what="number of cells", expected=one, found=two, line=at + 1)
    metadata, other = expected.metadata, found.metadata
    for what, one, two in (
        ("metadata", told(metadata), told(other)),
        ("widgets", widget_states(metadata), widget_states(other)),
    ):
        yield from _of_text(what, one, two)


def _of_cell(index: int, cell: NotebookNode, other: NotebookNode) -> Iterator[Difference]:
    pairs = [
        (cell.cell_type, other.cell_type, "kind of cell"),
        (cell.source, other.source, "source"),
        (_count(cell), _count(other), "execution count"),
        (told(cell.metadata), told(other.metadata), "metadata"),
    ]
    for text, other_text, what in pairs:
        yield from (_in(each, index, cell) for each in _of_text(what, text, other_text))
    shown, others = shown_by(cell), shown_by(other)
    for each in _of_outputs(shown, others):
        yield _in(each, index, cell)


def _of_outputs(shown: tuple[Shown, ...], others: tuple[Shown, ...]) -> Iterator[Difference]:
    """Compare outputs in order; where there is another one, what follows says nothing more."""
    for one, two in zip_longest(shown, others):
        if one is None or two is None or one.what != two.what:
            what = one.what if one is not None else two.what
            yield Difference(what=what, expected=_name(one), found=_name(two), line=1)
            return
        yield from _of_text(one.what, one.text, two.text)


def _of_text(what: str, one: str, two: str) -> Iterator[Difference]:
    if one == two:
        return
    pairs = zip_longest(one.splitlines(keepends=True), two.splitlines(keepends=True))
    for line, (here, there) in enumerate(pairs, start=1):
        if here != there:
            expected, found = _around(here, there)
            yield Difference(what=what, expected=expected, found=found, line=line)
            return


def _around(here: str | None, there: str | None) -> tuple[str, str]:
    """Return two lines, long ones from a little before the place where they differ."""
    if here is None or there is None:
        return _cut(here, 0), _cut(there, 0)
    if here.rstrip("\r\n") == there.rstrip("\r\n"):
        # Only the end of the line differs: it has to be seen.
        return repr(here)[-_LINE_LENGTH:], repr(there)[-_LINE_LENGTH:]
    at = next((i for i, (a, b) in enumerate(zip(here, there, strict=False)) if a != b), 0)
    start = 0 if max(len(here), len(there)) <= _LINE_LENGTH else max(0, at - _BEFORE)
    return _cut(here, start), _cut(there, start)


def _cut(line: str | None, start: int) -> str:
    if line is None:
        return MISSING
    text = line.rstrip("\r\n")[start:]
    end = "…" if len(text) > _LINE_LENGTH else ""
    return ("…" if start else "") + text[:_LINE_LENGTH] + end


def _name(shown: Shown | None) -> str:
    if shown is None:
        return MISSING
    first = shown.text.splitlines()[0] if shown.text else ""
    return f"{shown.what}: {_cut(first, 0)}"


def _count(cell: NotebookNode) -> str:
    return str(cell.get("execution_count"))


def _cell_name(cells: list[Any], at: int) -> str:
    return _first_line(cells[at].source) if at < len(cells) else MISSING


def _in(difference: Difference, index: int, cell: NotebookNode) -> Difference:
    return msgspec.structs.replace(
        difference,
        index=index,
        number=cell.get("execution_count"),
        first_line=_first_line(cell.source),
        source=cell.source,
    )


def _first_line(source: str) -> str:
    return next((line.strip() for line in source.splitlines() if line.strip()), "")
