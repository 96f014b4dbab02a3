"""Cut stale cells into branches that run side by side, each in a kernel of its own.

Where to cut says the staging of a notebook whose first cell is all that the session has executed,
and whose other cells are the stale ones: the rules by which any notebook is cut hold for that one.
What its first cell has bound comes from the session, the rest from the branches that have bound it.

Before each cell, whatever the kernel holds in another version than a run from top to bottom would
have there is hidden, so that nothing wrong can be read.
"""

import ast
from collections.abc import Collection, Mapping, Sequence

import msgspec

from nbflow.core.cells import Analysis, CellFacts, CellText, analyze
from nbflow.core.cells.staging import Costs, stage_cells, worth_of
from nbflow.core.stages import StageCell, StageSpec
from nbflow.magics.needs import Variables, names_read
from nbflow.magics.planning import drawn_generators
from nbflow.magics.stale import touched

#: Whoever sends cells to a cluster has some that take a while; which, nobody knows.
_WORTH = worth_of({}, Costs(), default_s=2.0)


class Branch(msgspec.Struct, frozen=True, kw_only=True):
    """Cells that run in one kernel, in order.

    Parameters
    ----------
    cells
        Their numbers.
    spec
        The stage.
    sources
        The places of branches from which it has variables.
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
    sources: dict[str, int]
    needs: tuple[str, ...]
    helps: tuple[str, ...]
    brings: tuple[str, ...]
    deletes: tuple[str, ...] = ()
    after: tuple[int, ...] = ()


class Partition(msgspec.Struct, frozen=True):
    """Which cells are in which branch, and what branches get from one another.

    Parameters
    ----------
    groups
        The numbers of the cells of each branch, in order.
    sources
        For each branch: the place of the branch from which it has a variable.
    after
        For each branch: the places of those that must have succeeded before.
    """

    groups: tuple[tuple[int, ...], ...]
    sources: tuple[dict[str, int], ...]
    after: tuple[tuple[int, ...], ...]


def branches_of(
    analysis: Analysis,
    partition: Partition,
    texts: Mapping[int, CellText],
    variables: Variables,
) -> tuple[Branch, ...]:
    """Return the branches of the stale cells of a notebook.

    Parameters
    ----------
    analysis
        Of the notebook.
    partition
        Of its stale cells; whatever depends on one of them is among them.
    texts
        The cells, by number.
    variables
        Of the session.
    """
    stale = frozenset(cell for group in partition.groups for cell in group)
    handed = {name for sources in partition.sources for name in sources}
    branches = []
    for place, group in enumerate(partition.groups):
        cutter = _Cutter(analysis, stale, texts, variables, partition.sources[place])
        branch = cutter.cut(group, handed)
        branches.append(msgspec.structs.replace(branch, after=partition.after[place]))
    return tuple(branches)


def partition_of(stale: Sequence[CellText], past: Sequence[CellText]) -> Partition:
    """Return which stale cells can run side by side.

    Parameters
    ----------
    stale
        The cells.
    past
        What the session has executed.
    """
    names = sorted({use for text in stale for use in names_read(text.text)})
    looks = [_looking(names, place) for place in (1, 2)]
    shifted = [
        msgspec.structs.replace(text, number=place, index=place)
        for place, text in enumerate(stale, start=len(looks) + 2)
    ]
    number_of = {new.number: old.number for new, old in zip(shifted, stale, strict=True)}
    staging = stage_cells(analyze([_whole(past), *looks, *shifted]), worth=_WORTH)
    own = [
        tuple(number_of[it] for it in plan.spec.numbers if it in number_of)
        for plan in staging.stages
    ]
    places = [place for place, cells in enumerate(own) if cells]
    new_place = {place: new for new, place in enumerate(places)}
    return Partition(
        groups=tuple(own[place] for place in places),
        sources=tuple(
            {
                name: new_place[source]
                for name, source in staging.stages[place].sources.items()
                if source in new_place
            }
            for place in places
        ),
        after=tuple(
            tuple(new_place[it] for it in staging.stages[place].after if it in new_place)
            for place in places
        ),
    )


def _whole(past: Sequence[CellText]) -> CellText:
    """Return the session as one cell; what was no valid Python has not run."""
    valid = (text.text for text in past if not text.local and _is_valid(text.text))
    return CellText(number=1, index=0, text="\n".join(valid))


def _looking(names: Sequence[str], place: int) -> CellText:
    """Return a cell that only looks at variables: so the session stays a stage of its own."""
    return CellText(number=place + 1, index=place, text=f"assert [{', '.join(names)}] is not None")


def _is_valid(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    return True


class _Cutter:
    """Makes the stage of one group of cells."""

    def __init__(
        self,
        analysis: Analysis,
        stale: frozenset[int],
        texts: Mapping[int, CellText],
        variables: Variables,
        sources: Mapping[str, int],
    ) -> None:
        self._facts = {cell.number: cell for cell in analysis.cells}
        self._stale = stale
        self._texts = texts
        self._variables = variables
        self._sources = sources
        self._own: frozenset[int] = frozenset()
        #: name -> whose version the kernel holds, and whose a run from top to bottom would have.
        self._held: dict[str, int] = {}
        self._current: dict[str, int] = {}
        self._needs: set[str] = set()
        self._helps: set[str] = set()
        self._generators: set[str] = set()
        self._others: set[str] = set()

    def cut(self, group: Sequence[int], handed: Collection[str]) -> Branch:
        """Return the branch; what is `handed` on to others must be movable."""
        self._own = own = frozenset(group)
        cells: list[StageCell] = []
        for number, facts in self._facts.items():
            if number > group[-1]:
                break
            if number in own or facts.is_repeated:
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
                optional=tuple(name for name in brings if name not in handed),
            ),
            sources={name: self._sources[name] for name in sorted(self._others)},
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
        part = facts.part if replayed else None
        if part is not None:
            writes, changes = set(part.names), set()
        for name in writes | changes:
            self._held[name] = facts.number
        return StageCell(
            index=facts.index,
            number=facts.number,
            replayed=replayed,
            part="" if part is None else part.text,
            takes=takes,
            hides=tuple(hides),
            changes=tuple(sorted(changes)),
            writes=tuple(sorted(writes)),
        )

    def _taken(self, facts: CellFacts) -> tuple[str, ...]:
        """Return what a cell takes from the session: what no stale cell has to give."""
        read = names_read(self._texts[facts.number].text) | {use.name for use in facts.reads}
        read |= {use.name for use in facts.changes}
        wanted = {name for name in read & self._variables.values.keys() if self._is_open(name)}
        used = self._variables.with_globals(wanted) - wanted
        helps = {name for name in used if self._is_open(name)}
        drawn = set(drawn_generators(facts))
        generators = drawn - self._generators
        given = {name for name in (read | drawn) & self._sources.keys() if self._is_given(name)}
        self._needs |= wanted
        self._helps |= helps
        self._others |= given
        self._generators |= generators
        return (*sorted(wanted | helps | given), *sorted(generators - given))

    def _is_given(self, name: str) -> bool:
        """Whether a variable is to be had from another branch, and the kernel has it not yet."""
        current = self._current.get(name, 0)
        elsewhere = current in self._stale - self._own or not name.isidentifier()
        return elsewhere and self._held.get(name, -1) != current

    def _deletes(self, number: int, name: str) -> bool:
        return any(use.name == name for use in self._facts[number].deletes)

    def _is_open(self, name: str) -> bool:
        """Whether a variable is to be had from the session, and the kernel does not have it yet."""
        current = self._current.get(name, 0)
        return current not in self._stale and self._held.get(name, -1) != current
