"""Cells that must run in one kernel, and the order in which cells must run.

A *unit* is a set of cells that cannot be parted: since what they share cannot be moved, or since
they would have to wait for each other. A *segment* is a part of the notebook that no stage leaves:
it ends before and after cells that may write outside, which begin only after all before them is
known to be right.

Cells are known by their places in the notebook. What is only replayed is in no unit.
"""

from collections.abc import Iterable, Iterator, Sequence

from nbflow.core.cells.facts import Analysis
from nbflow.core.cells.staging.outside import has_effects
from nbflow.core.cells.staging.versions import Versions


class Units:
    """The units of a notebook.

    Parameters
    ----------
    analysis
        What is known of the cells.
    versions
        The versions of their variables.
    """

    def __init__(self, analysis: Analysis, versions: Versions) -> None:
        self._cells = analysis.cells
        self._versions = versions
        #: The cells that do work.
        self.working = [at for at, cell in enumerate(self._cells) if not cell.replayed]
        self._root = {cell: cell for cell in self.working}
        self._effects = [cell for cell in self.working if has_effects(self._cells[cell])]
        self.waits = self._waits(analysis)
        #: Of each cell: all cells before it, as bits.
        self.above = self._all_above()
        #: Of each cell: the cells before it from which no other of those follows.
        self.nearest = {cell: tuple(self._nearest(cell)) for cell in self.working}
        self._join_what_stays(analysis)
        self._close()

    # --- questions ----------------------------------------------------------------------------

    def of(self, cell: int) -> int:
        """Return the unit of a cell: the first of its cells."""
        root = self._root
        while root[cell] != cell:
            root[cell] = root[root[cell]]
            cell = root[cell]
        return cell

    def members(self) -> dict[int, list[int]]:
        """Return the cells of each unit."""
        found: dict[int, list[int]] = {}
        for cell in self.working:
            found.setdefault(self.of(cell), []).append(cell)
        return found

    def sources(self) -> dict[int, set[int]]:
        """Return the units that each unit waits for, without some that follow from others."""
        found: dict[int, set[int]] = {}
        for cell, nearest in self.nearest.items():
            unit = self.of(cell)
            found.setdefault(unit, set()).update({self.of(each) for each in nearest} - {unit})
        return found

    def segments(self) -> dict[int, int]:
        """Return of each unit in which segment it lies."""
        effects = set(self._effects)
        closed = {self.of(cell) for cell in effects}
        found: dict[int, int] = {}
        segment, last = 0, -1
        for cell in self.working:
            unit = self.of(cell)
            now = unit if unit in closed else -1
            segment += now != last
            last = now
            found.setdefault(unit, segment)
        return found

    # --- joining ------------------------------------------------------------------------------

    def join(self, cells: Iterable[int]) -> None:
        """Let cells be one unit, and whatever follows from that."""
        self._join(cells)
        self._close()

    def _join(self, cells: Iterable[int]) -> bool:
        units = sorted({self.of(cell) for cell in cells})
        for unit in units[1:]:
            self._root[unit] = units[0]
        return len(units) > 1

    def _join_what_stays(self, analysis: Analysis) -> None:
        versions = self._versions
        for place in self.working:
            for name, version in versions.sources(place):
                if version in self._root and versions.stays(name, version, place):
                    self._join((version, place))
        for ends in self._hidden_dependences(analysis):
            self._join(ends)
        for place in self.working:
            if "history" in self._cells[place].traits:
                self._join(cell for cell in self.working if cell <= place)
            if "lasting" in self._cells[place].traits:
                self._join(cell for cell in self.working if cell >= place)
        self._join_what_is_nameless()
        for first, second in zip(self.working, self.working[1:], strict=False):
            if first in self._effects and second in self._effects:
                self._join((first, second))

    def _join_what_is_nameless(self) -> None:
        """Join cells that reach variables by other ways than their names: these stand nowhere."""
        blind = [place for place in self.working if "forgets" in self._cells[place].traits]
        if blind:
            self._join(cell for cell in self.working if blind[0] <= cell <= blind[-1])

    def _hidden_dependences(self, analysis: Analysis) -> Iterator[tuple[int, int]]:
        """Yield cells that share what is no variable, as the memory of a library."""
        numbers = {cell.number: at for at, cell in enumerate(self._cells)}
        for each in analysis.dependences:
            ends = (numbers[each.source], numbers[each.target])
            known = each.name in self._versions.names or each.name in self._cells[ends[1]].needs
            if each.kind == "data" and not known and all(end in self._root for end in ends):
                yield ends

    def _close(self) -> None:
        """Join what waits for each other, and what lies on both sides of a cell with effects."""
        while True:
            joined = [self._join(ring) for ring in _rings(self.sources())]
            joined += [self._join(cells) for cells in self._across_effects()]
            if not any(joined):
                return

    def _across_effects(self) -> Iterator[list[int]]:
        effects = set(self._effects)
        wide = [cells for cells in self.members().values() if len(cells) > 1 and effects]
        for cells in wide:
            inside = [cell for cell in self.working if cells[0] <= cell <= cells[-1]]
            if len(inside) > len(cells) and not effects.isdisjoint(inside):
                yield inside

    # --- order --------------------------------------------------------------------------------

    def _waits(self, analysis: Analysis) -> dict[int, set[int]]:
        numbers = {cell.number: at for at, cell in enumerate(self._cells)}
        waits: dict[int, set[int]] = {cell: set() for cell in self.working}
        for each in analysis.dependences:
            source, target = numbers[each.source], numbers[each.target]
            if each.kind == "replay" or source not in waits:
                continue
            # Whoever repeats a cell waits for what that cell waits for.
            for cell in (target,) if target in waits else self._from(target):
                waits[cell].add(source)
        for cell in self.working:
            versions = (version for _, version in self._versions.sources(cell))
            waits[cell].update(version for version in versions if version in waits)
        self._add_effects(waits)
        return waits

    def _add_effects(self, waits: dict[int, set[int]]) -> None:
        for effect in self._effects:
            waits[effect].update(cell for cell in self.working if cell < effect)
        last, importing = -1, -1
        for place, cell in enumerate(self._cells):
            if "imports" in cell.traits:
                # The module may be a file that a cell before has written.
                importing = last
            if place in waits and importing >= 0:
                waits[place].add(importing)
            if place in waits and has_effects(cell):
                last = place

    def _from(self, place: int) -> Sequence[int]:
        return [cell for cell in self.working if cell > place]

    def _all_above(self) -> dict[int, int]:
        above: dict[int, int] = {}
        for cell in self.working:
            found = 0
            for source in sorted(self.waits[cell], reverse=True):
                if not found >> source & 1:
                    found |= above[source] | 1 << source
            above[cell] = found
        return above

    def _nearest(self, cell: int) -> Iterator[int]:
        found = 0
        for source in sorted(self.waits[cell], reverse=True):
            if not found >> source & 1:
                found |= self.above[source] | 1 << source
                yield source


def _rings(sources: dict[int, set[int]]) -> Iterator[list[int]]:
    """Yield sets of units that wait for each other (Tarjan's algorithm)."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    open_units: dict[int, None] = {}
    for start, first in sources.items():
        if start in index:
            continue
        stack = [(start, iter(first))]
        index[start] = low[start] = len(index)
        open_units[start] = None
        while stack:
            unit, rest = stack[-1]
            following = next(rest, None)
            if following is None:
                stack.pop()
                if stack:
                    low[stack[-1][0]] = min(low[stack[-1][0]], low[unit])
                if low[unit] == index[unit]:
                    yield from _closed_ring(unit, open_units)
            elif following not in index:
                index[following] = low[following] = len(index)
                open_units[following] = None
                stack.append((following, iter(sources[following])))
            elif following in open_units:
                low[unit] = min(low[unit], index[following])


def _closed_ring(unit: int, open_units: dict[int, None]) -> Iterator[list[int]]:
    ring: list[int] = []
    while not ring or ring[-1] != unit:
        ring.append(open_units.popitem()[0])
    if len(ring) > 1:
        yield ring
