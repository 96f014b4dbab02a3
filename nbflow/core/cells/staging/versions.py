"""Which cells touch which variables, and which variables share memory.

In a run from top to bottom a variable has one *version* after the other: each cell that may bind
it, delete it, or change in place what can be reached through it makes a new one, named after the
cell.
Global random generators are variables here, too; their names are words.

Cells are known by their places in the notebook, from 0.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence

from nbflow.core.cells.effects.arrays import RNG
from nbflow.core.cells.effects.standard import PYTHON
from nbflow.core.cells.facts import CellFacts

#: The generators that code which cannot be seen may draw from.
_GENERATORS = (PYTHON, RNG)


class Versions:
    """The versions of all variables.

    Parameters
    ----------
    cells
        What is known of the cells, in order.
    pinned
        Places of cells, and variables that cannot leave the kernel in which that cell made them.
    """

    def __init__(self, cells: Sequence[CellFacts], pinned: Collection[tuple[int, str]]) -> None:
        self.cells = cells
        #: Of each cell: variables that get a new version; those that it may have changed in place.
        self.touched: list[frozenset[str]] = []
        self.changed: list[frozenset[str]] = []
        #: Of each cell: whether it may touch all variables.
        self.touches_all: list[bool] = []
        #: Of each cell: variables that it imports again, as they are.
        self.imported_again: list[frozenset[str]] = []
        self._imports: dict[str, str] = {}
        self._needs: list[frozenset[str]] = []
        self._gone = [frozenset(cell.pieces.gone) for cell in cells]
        self._touchers: dict[str, list[int]] = {}
        self._touching_all: list[int] = []
        #: Of each variable: cells that have bound it, and where it has lain since.
        self._bound: dict[str, list[tuple[int, frozenset[int]]]] = {}
        #: Of each piece: what it holds, since which cell; and what holds it.
        self._holds: dict[int, list[tuple[int, int]]] = {}
        self._holders: dict[int, list[int]] = {}
        self._names: dict[int, set[str]] = {}
        self._everything = frozenset[int]()
        self._classes: set[int] = set()
        for place in range(len(cells)):
            self._follow(place)
        self._stuck, self._pinned_names = self._find_stuck(pinned)
        self._classes = self._find_quiet_classes()

    # --- questions ----------------------------------------------------------------------------

    def before(self, cell: int, name: str) -> int | None:
        """Return which version of a variable a cell finds; None if there is no such variable."""
        version = _last(self._touchers.get(name, ()), cell)
        if name.isidentifier():
            version = max(version, _last(self._touching_all, cell))
        return None if version < 0 or name in self._gone[version] else version

    def all_without(self, name: str, version: int, among: Collection[int]) -> tuple[int, ...]:
        """Return those of some cells at whose end a variable has a later version."""
        later = sorted(other for other in among if other > version)
        return tuple(each for each in later if self.before(each + 1, name) != version)

    def needs(self, cell: int) -> Iterator[tuple[str, int]]:
        """Yield the variables that must be as in a run from top to bottom, and their versions."""
        names: Iterable[str] = self._needs[cell]
        if self.touches_all[cell]:
            known = (name for name, by in self._touchers.items() if by[0] < cell)
            names = {*names, *(name for name in known if name.isidentifier())}
        for name in sorted(names):
            version = self.before(cell, name)
            if version is not None:
                yield name, version

    def sources(self, cell: int) -> Iterator[tuple[str, int]]:
        """Yield as `needs` does; one without a name stands for all variables of one version."""
        last = _last(self._touching_all, cell)
        if not (self.touches_all[cell] and last >= 0):
            yield from self.needs(cell)
            return
        yield "", last
        since = {name for each in range(last + 1, cell) for name in self.touched[each]}
        for name in sorted(since | self._needs[cell]):
            version = self.before(cell, name)
            if version is not None:
                yield name, version

    def gone_after(self, cell: int) -> frozenset[str]:
        """Return the variables that a cell surely deletes."""
        return self._gone[cell]

    def stays(self, name: str, version: int, cell: int) -> bool:
        """Whether a variable as a cell finds it cannot leave its kernel."""
        if (version, name) in self._pinned_names:
            return True
        return bool(self._stuck) and not self._stuck.isdisjoint(self._where(name, cell))

    def shared(self, name: str, cell: int) -> frozenset[int]:
        """Return the pieces of memory of a variable as a cell finds it.

        Classes that nobody changes are none: they are known by their identity everywhere.
        """
        return self._reach(self._where(name, cell), cell)

    @property
    def names(self) -> Collection[str]:
        """All variables and generators."""
        return self._touchers.keys()

    # --- following the cells ------------------------------------------------------------------

    def _follow(self, place: int) -> None:
        cell = self.cells[place]
        pieces = cell.pieces
        if pieces.everything:
            self._everything = frozenset({pieces.everything})
        for holder, held in pieces.holds:
            self._holds.setdefault(holder, []).append((held, place))
            self._holders.setdefault(held, []).append(holder)
        above = _closure(pieces.changes, self._holders)
        found = self._names_in(above)
        changes_all = not self._everything.isdisjoint(above)
        self._bind(place, pieces.binds, pieces.gone)
        # Seen from before the cell they are needed, seen from after it they are new.
        needed = frozenset(found)
        changed = frozenset({*found, *self._names_in(above)})
        draws, begins = self._generators(cell)
        names = {*(use.name for use in cell.writes), *(use.name for use in cell.deletes)}
        self.changed.append(changed)
        again = self._again(place, changed) & names
        self.touched.append(frozenset({*names, *changed, *draws, *begins} - again))
        self.imported_again.append(frozenset(again))
        self.touches_all.append("forgets" in cell.traits or changes_all)
        if self.touches_all[place]:
            self._imports.clear()
        self._imports = {
            name: what
            for name, what in (self._imports | dict(pieces.imports)).items()
            if name not in self.touched[place] or name in dict(pieces.imports)
        }
        self._needs.append(frozenset({*cell.needs, *needed, *draws}))
        for name in self.touched[place]:
            self._touchers.setdefault(name, []).append(place)
        if self.touches_all[place]:
            self._touching_all.append(place)

    def _again(self, place: int, changed: Collection[str]) -> set[str]:
        """Return what a cell imports that stands for the same already, so that nothing is new."""
        return {
            name
            for name, what in self.cells[place].pieces.imports
            if self._imports.get(name) == what and name not in changed
        }

    def _bind(
        self, place: int, binds: Iterable[tuple[str, tuple[int, ...]]], gone: Iterable[str]
    ) -> None:
        for name, where in (*binds, *((name, ()) for name in gone)):
            history = self._bound.setdefault(name, [])
            for piece in history[-1][1] if history else ():
                self._names[piece].discard(name)
            history.append((place, frozenset(where)))
            for piece in where:
                self._names.setdefault(piece, set()).add(name)

    def _names_in(self, pieces: Iterable[int]) -> set[str]:
        return {name for piece in pieces for name in self._names.get(piece, ())}

    @staticmethod
    def _generators(cell: CellFacts) -> tuple[set[str], set[str]]:
        """Return the generators that a cell draws from, and those that it begins anew."""
        draws: set[str] = set()
        begins: set[str] = set()
        for use in cell.touches:
            if use.touch.kind == "random":
                known = {use.touch.name} if use.touch.name else set(_GENERATORS)
                if use.touch.fresh:
                    begins |= known
                else:
                    draws |= known - begins
                    begins |= known
        if "anything" in cell.traits:
            draws |= set(_GENERATORS) - begins
        return draws, begins

    # --- memory -------------------------------------------------------------------------------

    def _where(self, name: str, cell: int) -> frozenset[int]:
        """Return the pieces in which a variable itself lies before a cell."""
        history = self._bound.get(name, [])
        at = bisect_left(history, cell, key=_place_of) - 1
        bound, where = history[at] if at >= 0 else (-1, frozenset[int]())
        return self._everything if _last(self._touching_all, cell) > bound else where

    def _reach(self, pieces: Iterable[int], cell: int) -> frozenset[int]:
        found = {piece for piece in pieces if piece not in self._classes}
        stack = list(found)
        while stack:
            for held, since in self._holds.get(stack.pop(), ()):
                if since < cell and held not in found and held not in self._classes:
                    found.add(held)
                    stack.append(held)
        return frozenset(found)

    def _find_stuck(
        self, pinned: Collection[tuple[int, str]]
    ) -> tuple[set[int], set[tuple[int, str]]]:
        """Return the pieces from which something can be reached that stays, and lone variables."""
        seeds = {piece for cell in self.cells for piece in cell.pieces.stay}
        names: set[tuple[int, str]] = set()
        for place, name in pinned:
            where = self._reach(self._where(name, place + 1), place + 1)
            own = {piece for piece in where if piece >= self.cells[place].pieces.first}
            seeds |= own or where
            names.add((place, name))
        return _closure(seeds, self._holders), names

    def _find_quiet_classes(self) -> set[int]:
        """Return the notebook's classes that no cell changes but the one that makes them."""
        classes = {piece for cell in self.cells for piece in cell.pieces.classes}
        late = {
            piece
            for cell in self.cells
            for piece in cell.pieces.changes
            if piece < cell.pieces.first
        }
        return classes - _closure(late, self._holders) if classes else classes


def _last(cells: Sequence[int], cell: int) -> int:
    """Return the last of some cells before a cell; -1 if there is none."""
    at = bisect_left(cells, cell)
    return cells[at - 1] if at else -1


def _place_of(bound: tuple[int, frozenset[int]]) -> int:
    return bound[0]


def _closure(pieces: Iterable[int], further: dict[int, list[int]]) -> set[int]:
    found = set(pieces)
    stack = list(found)
    while stack:
        for each in further.get(stack.pop(), ()):
            if each not in found:
                found.add(each)
                stack.append(each)
    return found
