"""Reasons in words: ``cell 7 reads `df` in line 1, which cell 3 may have changed by …``."""

import ast
from collections.abc import Mapping, Sequence

from nbflow.core.cells.facts import CellText, Dependence, DependenceKind
from nbflow.core.cells.ledger import Page
from nbflow.core.cells.values import Act

#: Longest piece of source in a sentence, in characters.
_SNIPPET = 60

_HERE = {
    "reads": "reads",
    "changes": "may change",
    "deletes": "deletes",
    "defines": "keeps, or binds anew,",
    "may define": "keeps, or binds anew,",
    "imports": "keeps, or imports anew,",
    "may change any variable": "may use any variable, so",
}
_THERE = {
    "defines": "which {cell} binds{place}",
    "may define": "which {cell} may bind{place}",
    "imports": "which {cell} imports{place}",
    "makes": "which {cell} makes by {code}{place}",
    "deletes": "which {cell} deletes{place}",
    "shares": "which {cell} has given another holder by {code}{place}",
    "changes": "which {cell} may have changed by {code}{place}",
    "may change any variable": "which {cell} may have changed by code that cannot be seen{place}",
}


class Wording:
    """Puts the dependences of a notebook's cells into words.

    Parameters
    ----------
    cells
        All cells, by their numbers.
    """

    def __init__(self, cells: Mapping[int, CellText]) -> None:
        self._cells = cells
        self._lines: dict[int, tuple[Sequence[str], Sequence[str]]] = {}

    def dependences(self, page: Page) -> list[Dependence]:
        """Return all dependences of a cell on earlier ones, in the cells' order."""
        found = [
            Dependence(
                source=source,
                target=page.cell,
                kind=kind,
                name=name,
                why=self._why(kind, name, there, here),
                source_line=line_of(there),
                target_line=line_of(here),
            )
            for (source, kind, name), (there, here) in page.edges.items()
        ]
        return sorted(found, key=lambda each: (each.source, each.kind, each.name))

    def code(self, act: Act) -> str:
        """Return the source of what is done, on one line, shortened."""
        node = act.node
        if node is None or not hasattr(node, "lineno"):
            return "itself"
        begin, end = node.lineno, getattr(node, "end_lineno", node.lineno)
        text_lines, source_lines = self._lines_of(act.cell)
        lines = list(text_lines[begin - 1 : end])
        if not lines:
            return "itself"
        written = list(source_lines[begin - 1 : end])
        if written != lines and len(source_lines) == len(text_lines):
            lines = written  # A magic, as its author wrote it.
        elif lines[0].startswith("get_ipython().run_cell_magic("):
            lines = [next(line for line in source_lines if line.strip())]
        else:
            if begin == end:
                last = getattr(node, "end_col_offset", None)
                lines[0] = lines[0][: _characters(lines[0], last)]
            lines[0] = lines[0][_characters(lines[0], getattr(node, "col_offset", 0)) :]
        text = " ".join(" ".join(lines).split())
        return f"`{text}`" if len(text) <= _SNIPPET else f"`{text[: _SNIPPET - 1]}…`"

    def _why(self, kind: DependenceKind, name: str, there: Act, here: Act) -> str:
        if kind == "order" or here.verb in ("uses", "sets", "calls unknown code", "stops"):
            return self._order(name, there, here)
        via = f" through `{here.via}()`" if here.via else ""
        variable = f"`{name}`" if name else "a value"
        this = f"cell {here.cell} {_HERE.get(here.verb, 'needs')} {variable}{via}{_place(here)}"
        other = _THERE.get(there.verb, "which {cell} has{place}")
        by = f" (in `{there.via}()`)" if there.via else ""
        return f"{this}, " + other.format(
            cell=f"cell {there.cell}", place=_place(there), code=self.code(there) + by
        )

    def _order(self, name: str, there: Act, here: Act) -> str:
        if there.verb == "stops" or here.verb == "stops":
            barrier = there if there.verb == "stops" else here
            other = here if barrier is there else there
            side = "after" if barrier is there else "before"
            return (
                f"cell {barrier.cell} is a barrier: {name}{_place(barrier)}; "
                f"cell {other.cell} comes {side} it"
            )
        if there.verb == "sets" and here.verb != "sets":
            return f"cell {here.cell} needs the {name} that cell {there.cell} sets{_place(there)}"
        if "calls unknown code" in (there.verb, here.verb):
            which = here if here.verb == "calls unknown code" else there
            return (
                f"cell {which.cell} calls code that is not known, "
                f"{self.code(which)}{_place(which)}, "
                f"which may touch {name} like cell {(there if which is here else here).cell}"
            )
        return (
            f"cell {here.cell} uses {name}{_place(here)}, as cell {there.cell} does by "
            f"{self.code(there)}{_place(there)}"
        )

    def _lines_of(self, cell: int) -> tuple[Sequence[str], Sequence[str]]:
        """Return the lines of a cell as they are followed, and as they were written."""
        if cell not in self._lines:
            text, source = self._cells[cell].text, self._cells[cell].source
            lines = text.splitlines()
            self._lines[cell] = (lines, source.splitlines() if source else lines)
        return self._lines[cell]


def line_of(act: Act) -> int:
    """Return the line of a cell in which something is done; 0 if it is the cell as a whole."""
    return getattr(act.node, "lineno", 0) if isinstance(act.node, ast.AST) else 0


def _place(act: Act) -> str:
    line = line_of(act)
    return f" in line {line}" if line else ""


def _characters(line: str, offset: int | None) -> int | None:
    """Return how many characters the first `offset` bytes of a line are."""
    return None if offset is None else len(line.encode()[:offset].decode(errors="ignore"))
