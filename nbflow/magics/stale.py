"""Which cells of a notebook have to run again, given what the session has executed.

A cell is fresh if the session has executed it as it stands, after the cells whose variables it
uses, and with exactly their variables, and if nothing else has bound its own variables since. It is
stale otherwise, and so is all that depends on a stale cell. If a stale cell needs a variable as a
fresh cell had left it, and the session does not have it like that any more (a later cell has
changed it), the fresh one has to run again, too.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from nbflow.core.cells import Analysis, CellFacts, analyze
from nbflow.core.cells.facts import NameUse
from nbflow.definition.cell_text import cell_texts
from nbflow.definition.code_cells import CodeCell

#: What begins cells that are nbflow's own matter.
_OWN = ("%nbflow", "%load_ext nbflow", "%reload_ext nbflow", "%unload_ext nbflow")
_NODE = "%%nbflow_node"


def work_of(cells: Iterable[CodeCell]) -> tuple[CodeCell, ...]:
    """Return the cells that do work, each as what it does: without nbflow's own magics."""
    plain = (CodeCell(it.index, _without_magic(it.source), it.tags) for it in cells)
    return tuple(cell for cell in plain if not cell.source.strip().startswith(_OWN))


def stale_cells(
    notebook: Sequence[CodeCell], executed: Sequence[CodeCell], failed: Iterable[int] = ()
) -> tuple[Analysis, frozenset[int]]:
    """Return what is known of a notebook's cells, and the numbers of those that are stale.

    Parameters
    ----------
    notebook
        Its cells, as of `work_of`.
    executed
        The session's cells, as of `work_of`, in the order of execution.
    failed
        The indices of those of them that have failed.
    """
    return _Comparison(notebook, executed, frozenset(failed)).found()


class _Comparison:
    def __init__(
        self, notebook: Sequence[CodeCell], executed: Sequence[CodeCell], failed: frozenset[int]
    ) -> None:
        texts, history = cell_texts(notebook), cell_texts(executed)
        self.analysis, past = analyze(texts), analyze(history)
        sources = {cell.index: cell.source.strip() for cell in notebook}
        by_source: dict[str, list[int]] = defaultdict(list)
        for text in history:
            if text.index not in failed:
                by_source[(text.source or text.text).strip()].append(text.number)
        #: cell -> its latest execution. Of equal cells, the last has the latest.
        self.run_of: dict[int, int] = {}
        for text in reversed(texts):
            runs = by_source[sources[text.index]]
            if runs:
                self.run_of[text.number] = runs.pop()
        self._cell_of = {run: cell for cell, run in self.run_of.items()}
        self._needs = _data_sources(self.analysis)
        self._had = _data_sources(past)
        self._last = {name: cell.number for cell in past.cells for name in touched(cell)}

    def found(self) -> tuple[Analysis, frozenset[int]]:
        stale = {cell.number for cell in self.analysis.cells if not self._is_fresh(cell.number)}
        stale |= self._overwritten()
        while new := (self._behind(stale) | self._lost_by(stale)) - stale:
            stale |= new
        return self.analysis, frozenset(stale)

    def _is_fresh(self, cell: int) -> bool:
        """Whether a cell was executed as it stands, with what it needs from the right cells."""
        run = self.run_of.get(cell)
        if run is None:
            return False
        wanted = self._needs.get(cell, {})
        for name, runs in self._had.get(run, {}).items():
            if {self._cell_of.get(each) for each in runs} != wanted.get(name, set()):
                return False
        return wanted.keys() == self._had.get(run, {}).keys()

    def _overwritten(self) -> set[int]:
        """Return the cells that were the last to bind a variable, which others have bound since."""
        last = {name: cell.number for cell in self.analysis.cells for name in touched(cell)}
        return {
            cell
            for name, cell in last.items()
            if name in self._last and self._last[name] not in self._cell_of
        }

    def _behind(self, stale: set[int]) -> set[int]:
        """Return what depends on stale cells."""
        return {each.target for each in self.analysis.dependences if each.source in stale}

    def _lost_by(self, stale: set[int]) -> set[int]:
        """Return the fresh cells whose variables stale ones need, and nobody has as they were."""
        lost: set[int] = set()
        for cell in stale:
            for name, sources in self._needs.get(cell, {}).items():
                fresh = sources - stale
                runs = {self.run_of[each] for each in fresh}
                if fresh and self._last.get(name) not in runs:
                    lost |= fresh
        return lost


def touched(cell: CellFacts) -> set[str]:
    """Return the variables that a cell binds, changes or deletes."""
    uses: tuple[NameUse, ...] = (*cell.writes, *cell.changes, *cell.deletes)
    return {use.name for use in uses}


def _data_sources(analysis: Analysis) -> dict[int, dict[str, set[int]]]:
    """Return, for each cell, from which cells it has which variable."""
    found: dict[int, dict[str, set[int]]] = {}
    for each in analysis.dependences:
        if each.kind == "data":
            found.setdefault(each.target, {}).setdefault(each.name, set()).add(each.source)
    return found


def _without_magic(source: str) -> str:
    if not source.startswith(_NODE):
        return source
    return source.partition("\n")[2]
