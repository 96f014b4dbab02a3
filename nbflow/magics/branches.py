"""Cut stale cells into branches that run side by side, each in a kernel of its own.

Cells that depend on one another are in one branch, in the order of the notebook. What fresh cells
have bound comes from the session. Before each cell, whatever the kernel holds in another version
than a run from top to bottom would have there is hidden, so that nothing wrong can be read.

Cells that may write outside are all in one branch, which begins when the others have succeeded as
far as they have earlier cells.
"""

from collections.abc import Iterable, Mapping

import msgspec

from nbflow.core.cells import Analysis, CellFacts
from nbflow.core.stages import StageCell, StageSpec
from nbflow.magics.needs import Variables, names_read
from nbflow.magics.planning import drawn_generators
from nbflow.magics.stale import touched

#: Kinds of touches that leave traces outside.
_OUTSIDE = frozenset({"file", "world"})


class Branch(msgspec.Struct, frozen=True, kw_only=True):
    """Cells that run in one kernel, in order.

    Parameters
    ----------
    cells
        Their numbers.
    spec
        The stage.
    needs
        Variables that it takes from the session.
    helps
        Such as it takes if they can be sent.
    brings
        Variables that the session gets from it.
    deletes
        Those that it may delete.
    after
        Places of the branches that must have succeeded before.
    """

    cells: tuple[int, ...]
    spec: StageSpec
    needs: tuple[str, ...]
    helps: tuple[str, ...]
    brings: tuple[str, ...]
    deletes: tuple[str, ...] = ()
    after: tuple[int, ...] = ()


def branches_of(
    analysis: Analysis, stale: Iterable[int], texts: Mapping[int, str], variables: Variables
) -> tuple[Branch, ...]:
    """Return the branches of the stale cells of a notebook.

    Parameters
    ----------
    analysis
        Of the notebook.
    stale
        Numbers of cells; whatever depends on one of them is among them.
    texts
        The cells as plain Python, by number.
    variables
        Of the session.
    """
    groups = _groups(analysis, sorted(stale))
    writing = [cell.number for cell in analysis.cells if _writes_outside(cell)]
    branches = []
    for place, group in enumerate(groups):
        branch = _Cutter(analysis, frozenset(stale), texts, variables).cut(group)
        effects = [cell for cell in group if cell in writing]
        if effects:
            after = tuple(
                other
                for other, cells in enumerate(groups)
                if other != place and cells[0] < effects[-1]
            )
            branch = msgspec.structs.replace(branch, after=after)
        branches.append(branch)
    return tuple(branches)


def _writes_outside(cell: CellFacts) -> bool:
    return any(use.touch.kind in _OUTSIDE and use.touch.write for use in cell.touches)


def _groups(analysis: Analysis, stale: list[int]) -> list[list[int]]:
    """Return the stale cells in groups, of which none depends on another."""
    leader = {cell: cell for cell in stale}

    def find(cell: int) -> int:
        while leader[cell] != cell:
            cell = leader[cell]
        return cell

    for each in analysis.dependences:
        if each.kind != "replay" and each.source in leader and each.target in leader:
            leader[find(each.target)] = find(each.source)
    writing = [it.number for it in analysis.cells if it.number in leader and _writes_outside(it)]
    for cell in writing[1:]:
        leader[find(cell)] = find(writing[0])
    groups: dict[int, list[int]] = {}
    for cell in stale:
        groups.setdefault(find(cell), []).append(cell)
    return list(groups.values())


class _Cutter:
    """Makes the stage of one group of cells."""

    def __init__(
        self,
        analysis: Analysis,
        stale: frozenset[int],
        texts: Mapping[int, str],
        variables: Variables,
    ) -> None:
        self._facts = {cell.number: cell for cell in analysis.cells}
        self._stale = stale
        self._texts = texts
        self._variables = variables
        #: name -> whose version the kernel holds, and whose a run from top to bottom would have.
        self._held: dict[str, int] = {}
        self._current: dict[str, int] = {}
        self._needs: set[str] = set()
        self._helps: set[str] = set()
        self._generators: set[str] = set()

    def cut(self, group: list[int]) -> Branch:
        own = frozenset(group)
        cells: list[StageCell] = []
        for number, facts in self._facts.items():
            if number > group[-1]:
                break
            if number in own or facts.replayed:
                cells.append(self._cell(facts, replayed=number not in own))
            for name in touched(facts):
                self._current[name] = number
        last = {name: cell.number for cell in self._facts.values() for name in touched(cell)}
        brings = sorted(name for name, number in last.items() if number in own)
        generators = tuple(sorted(self._generators))
        return Branch(
            cells=tuple(group),
            spec=StageSpec(
                cells=tuple(cells),
                generators=generators,
                writes_anything=True,
                optional=tuple(brings),
            ),
            needs=tuple(sorted(self._needs)),
            helps=(*sorted(self._helps), *generators),
            brings=(*brings, *generators),
            deletes=tuple(name for name in brings if self._deletes(last[name], name)),
        )

    def _cell(self, facts: CellFacts, *, replayed: bool) -> StageCell:
        takes = () if replayed else self._taken(facts)
        hides = sorted(
            name
            for name, version in self._held.items()
            if version != self._current.get(name, 0) and name not in takes
        )
        for name in hides:
            del self._held[name]
        for name in takes:
            self._held[name] = self._current.get(name, 0)
        writes = {use.name for use in (*facts.writes, *facts.deletes)}
        changes = {use.name for use in facts.changes}
        for name in writes | changes:
            self._held[name] = facts.number
        return StageCell(
            index=facts.index,
            number=facts.number,
            replayed=replayed,
            takes=takes,
            hides=tuple(hides),
            changes=tuple(sorted(changes)),
            writes=tuple(sorted(writes)),
        )

    def _taken(self, facts: CellFacts) -> tuple[str, ...]:
        """Return what a cell takes from the session: what no stale cell has to give."""
        read = names_read(self._texts[facts.number]) | {use.name for use in facts.reads}
        read |= {use.name for use in facts.changes}
        wanted = {name for name in read & self._variables.values.keys() if self._is_open(name)}
        used = self._variables.with_globals(wanted) - wanted
        helps = {name for name in used if self._is_open(name)}
        generators = set(drawn_generators(facts)) - self._generators
        self._needs |= wanted
        self._helps |= helps
        self._generators |= generators
        return (*sorted(wanted | helps), *sorted(generators))

    def _deletes(self, number: int, name: str) -> bool:
        return any(use.name == name for use in self._facts[number].deletes)

    def _is_open(self, name: str) -> bool:
        """Whether a variable is to be had from the session, and the kernel does not have it yet."""
        current = self._current.get(name, 0)
        return current not in self._stale and self._held.get(name, -1) != current
