"""What the kernel of a stage has at each of its cells: what it takes, and what it must not see.

A kernel holds a variable in one version at a time. Its own cells make the same versions of them
as in a run from top to bottom, as they find in it what they would find then. As soon as a cell of
another stage has touched a variable, the kernel's is too old: it is hidden, and taken again if a
cell needs it. A variable is taken at most once, and as its giver has it at the end.

Variables that share memory come from one giver, so that they share it here, too.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from nbflow.core.cells.staging.versions import Versions

#: Stands for variables of which nothing is known but that some code may have made them.
_REST = ""


@dataclass(frozen=True, slots=True)
class Taken:
    """A variable that a stage takes, in which version, right before which cell."""

    name: str
    version: int
    cell: int


@dataclass(frozen=True, slots=True)
class Kernel:
    """What happens in the kernel of one stage.

    Parameters
    ----------
    own
        The cells that do work in it.
    cells
        All cells that it runs, in order.
    takes
        What it takes.
    hides
        Variables that are taken away right before a cell.
    ends_with
        The versions of what it has in the end.
    """

    own: tuple[int, ...]
    cells: tuple[int, ...]
    takes: tuple[Taken, ...]
    hides: dict[int, tuple[str, ...]]
    ends_with: dict[str, int]


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why cells cannot be cut like that, and how they could.

    Parameters
    ----------
    apart
        Cells that had better be in another stage than the others; empty if that does not help.
    together
        Cells that can be in one stage instead.
    """

    apart: tuple[int, ...]
    together: tuple[int, ...]


@dataclass(slots=True)
class _Course:
    """A kernel while its cells are followed."""

    has: dict[str, int] = field(default_factory=dict)
    taken: dict[str, Taken] = field(default_factory=dict)
    hides: dict[int, tuple[str, ...]] = field(default_factory=dict)


class Kernels:
    """Follows the cells of stages.

    Parameters
    ----------
    versions
        The versions of all variables.
    """

    def __init__(self, versions: Versions) -> None:
        self._versions = versions
        #: What kernels repeat of cells that are not theirs: all of it, or a part.
        self._replayed = [at for at, cell in enumerate(versions.cells) if cell.replayed]
        self._parts = [at for at, cell in enumerate(versions.cells) if cell.part is not None]
        working = (at for at, cell in enumerate(versions.cells) if not cell.replayed)
        self._last = max(working, default=-1)
        self._known: dict[tuple[int, ...], Kernel | Misfit] = {}

    def of(self, own: Collection[int]) -> Kernel | Misfit:
        """Return what the kernel of a stage with these cells has, or why that cannot be."""
        key = tuple(sorted(own))
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._follow(key)
        return found

    def _follow(self, own: tuple[int, ...]) -> Kernel | Misfit:
        ours = frozenset(own)
        # What is only repeated after the last cell that works belongs to the stage of that one.
        end = len(self._versions.cells) if own[-1] == self._last else own[-1]
        parts = {cell for cell in self._parts if cell < end} - ours
        runs = sorted({*own, *parts, *(cell for cell in self._replayed if cell < end)})
        course = _Course()
        previous = -1
        has_all = True
        for at, cell in enumerate(runs):
            # A kernel that has run all cells before has all as it is.
            has_all = has_all and at == cell and cell not in parts
            if not has_all:
                self._hide(course, range(previous + 1, cell + (cell in parts)), cell)
                misfit = self._take(course, cell, ours) if cell in ours else None
                if misfit is not None:
                    return misfit
            if cell in parts:
                self._run_part(course, cell)
            else:
                self._run(course, cell)
            previous = cell
        takes = tuple(course.taken.values())
        return Kernel(own, tuple(runs), takes, course.hides, course.has)

    def _hide(self, course: _Course, others: range, cell: int) -> None:
        """Take away what cells of other stages have touched since the last cell."""
        versions = self._versions
        old: set[str] = set()
        for other in others:
            if versions.touches_all[other]:
                old |= {name for name in course.has if name.isidentifier() or name == _REST}
            old |= course.has.keys() & versions.touched[other]
        for name in old:
            del course.has[name]
        hidden = tuple(sorted(name for name in old if name.isidentifier()))
        if hidden:
            course.hides[cell] = hidden

    def _take(self, course: _Course, cell: int, own: Collection[int]) -> Misfit | None:
        for name, version in self._versions.needs(cell):
            if course.has.get(name) == version:
                continue
            if version not in own:
                earlier = course.taken.get(name)
                if earlier is not None:
                    later = sorted(each for each in own if each >= cell)
                    return Misfit(tuple(later), (version, cell))
                course.taken[name] = Taken(name, version, cell)
            course.has[name] = version
        return None

    def _run(self, course: _Course, cell: int) -> None:
        versions = self._versions
        if versions.touches_all[cell]:
            course.has.update((name, cell) for name in course.has if name.isidentifier())
            course.has[_REST] = cell
        course.has.update(dict.fromkeys(versions.touched[cell], cell))
        for name in versions.imported_again[cell]:
            version = versions.before(cell, name)
            if version is not None:
                course.has[name] = version
        for name in versions.gone_after(cell):
            course.has.pop(name, None)

    def _run_part(self, course: _Course, cell: int) -> None:
        """Follow what is only repeated of a cell: it imports, and it sets."""
        versions = self._versions
        part = versions.cells[cell].part
        for name in part.names if part is not None else ():
            again = name in versions.imported_again[cell]
            version = versions.before(cell, name) if again else cell
            if version is not None:
                course.has[name] = version


class Giving:
    """Who gives what, in one way to cut the cells.

    Parameters
    ----------
    versions
        The versions of all variables.
    kernels
        The kernels of the stages, each after those that it waits for.
    before
        Of each stage: those that end before it begins, as bits.
    """

    def __init__(
        self, versions: Versions, kernels: Sequence[Kernel], before: Sequence[int]
    ) -> None:
        self._versions = versions
        self._kernels = kernels
        self._before = before
        self._home = {cell: at for at, kernel in enumerate(kernels) for cell in kernel.own}
        self.misfits: list[Misfit] = []
        self.sources = [self._sources(at) for at in range(len(kernels))]

    def _sources(self, stage: int) -> dict[str, int]:
        found: dict[str, int] = {}
        for group in self._groups(self._kernels[stage].takes):
            giver = self._giver(stage, group)
            if giver is None:
                self.misfits += self._misfits(group)
            else:
                found.update((each.name, giver) for each in group)
        return found

    def _groups(self, takes: Sequence[Taken]) -> list[list[Taken]]:
        """Return what is taken, put together as it shares memory."""
        homes = {self._home[each.version] for each in takes}
        if len(homes) == 1 and all(self._fits(min(homes), each) for each in takes):
            return [list(takes)]
        groups: list[tuple[set[int], list[Taken]]] = []
        for each in takes:
            pieces = set(self._versions.shared(each.name, each.cell))
            members = [each]
            apart = []
            for group in groups:
                if group[0].isdisjoint(pieces):
                    apart.append(group)
                else:
                    pieces |= group[0]
                    members = group[1] + members
            groups = [*apart, (pieces, members)]
        return [members for _, members in groups]

    def _giver(self, stage: int, group: Sequence[Taken]) -> int | None:
        homes = sorted({self._home[each.version] for each in group}, reverse=True)
        others = (at for at in range(stage) if self._before[stage] >> at & 1 and at not in homes)
        for at in (*homes, *others):
            if all(self._fits(at, each) for each in group):
                return at
        return None

    def _fits(self, stage: int, taken: Taken) -> bool:
        has = self._kernels[stage].ends_with
        return has.get(taken.name, has.get(_REST)) == taken.version

    def _misfits(self, group: Sequence[Taken]) -> list[Misfit]:
        homes = {self._home[each.version] for each in group}
        if len(homes) > 1:
            return [Misfit((), tuple(each.version for each in group))]
        found: list[Misfit] = []
        own = self._kernels[homes.pop()].own
        for each in group:
            if not self._fits(self._home[each.version], each):
                apart = self._versions.all_without(each.name, each.version, own)
                found.append(Misfit(apart, (each.version, each.cell)))
        return found
