"""From the analysis of a notebook to what each of its stages is told."""

from collections.abc import Collection, Mapping

import msgspec

from nbflow.core.cells.facts import Analysis, CellFacts
from nbflow.core.cells.staging.cutting import Cut, Cutting
from nbflow.core.cells.staging.kernels import Kernel
from nbflow.core.cells.staging.outside import does_anything, files_written, sets
from nbflow.core.cells.staging.units import Units
from nbflow.core.cells.staging.versions import Versions
from nbflow.core.cells.staging.weighing import Worth
from nbflow.core.stages import StageCell, StageSpec

#: Any variable, among those that a cell may change or write.
ANY = "*"


class StagePlan(msgspec.Struct, frozen=True):
    """A stage, and what it needs of others.

    Parameters
    ----------
    spec
        What it runs.
    sources
        The place of the stage that gives each variable, or state of a generator, that it takes.
    after
        Places of stages that must have succeeded before, besides the sources.
    """

    spec: StageSpec
    sources: dict[str, int] = {}
    after: tuple[int, ...] = ()


class Staging(msgspec.Struct, frozen=True):
    """The stages of a notebook, each after all that it waits for.

    Parameters
    ----------
    stages
        Every cell is in one of them; what is replayed belongs to one and is repeated by others.
    holders
        The place of the stage that has each variable as it is at the notebook's end.
    rest
        The place of the stage that has variables of which nothing is known, if there may be any.
    """

    stages: tuple[StagePlan, ...]
    holders: Mapping[str, int | None] = {}
    rest: int | None = None

    def before(self, place: int) -> tuple[int, ...]:
        """Return the places of all stages that end before a stage begins."""
        found: set[int] = set()
        open_places = [place]
        while open_places:
            stage = self.stages[open_places.pop()]
            new = {*stage.sources.values(), *stage.after} - found
            found |= new
            open_places += new
        return tuple(sorted(found))

    def longest(self, counted: Collection[int]) -> int:
        """Return how many of the cells with these numbers are on the longest way to the end."""
        ends: list[int] = []
        for stage in self.stages:
            begin = max((ends[each] for each in {*stage.sources.values(), *stage.after}), default=0)
            ends.append(begin + len({*stage.spec.numbers} & {*counted}))
        return max(ends, default=0)

    def holder(self, name: str) -> int | None:
        """Return the stage that can give a variable as it is at the end; None if none can."""
        return self.holders.get(name, self.rest)


def stage_cells(
    analysis: Analysis, *, worth: Worth, pinned: Collection[tuple[int, str]] = ()
) -> Staging:
    """Return the stages of a notebook.

    Parameters
    ----------
    analysis
        What is known of its cells.
    worth
        What is worth a kernel.
    pinned
        Numbers of cells, and variables that cannot leave the kernel in which that cell made them.
    """
    cells = analysis.cells
    if analysis.language or all(cell.replayed for cell in cells):
        return _one_stage(analysis)
    places = {cell.number: at for at, cell in enumerate(cells)}
    versions = Versions(
        cells, [(places[number], name) for number, name in pinned if number in places]
    )
    cut = Cutting(versions, Units(analysis, versions), worth).best()
    owners = _owners(cells, cut)
    stages = tuple(
        StagePlan(_spec(versions, kernel, owners, place), cut.sources[place], _after(cut, place))
        for place, kernel in enumerate(cut.kernels)
    )
    return Staging(stages, _holders(versions, cut), _rest(versions, cut))


def _one_stage(analysis: Analysis) -> Staging:
    cells = tuple(
        StageCell(index=cell.index, number=cell.number, changes=(ANY,), writes=(ANY,))
        for cell in analysis.cells
    )
    if not cells:
        return Staging(())
    spec = StageSpec(cells=cells, settings=True, writes_anything=True, background=True)
    return Staging((StagePlan(spec),), rest=0)


def _owners(cells: Collection[CellFacts], cut: Cut) -> dict[int, int]:
    """Return which stage keeps the results of each cell: of what is replayed, the next one's."""
    home = {cell: place for place, kernel in enumerate(cut.kernels) for cell in kernel.own}
    owner = home[max(home)]
    found: dict[int, int] = {}
    for at in reversed(range(len(cells))):
        owner = found[at] = home.get(at, owner)
    return found


def _spec(versions: Versions, kernel: Kernel, owners: Mapping[int, int], place: int) -> StageSpec:
    takes: dict[int, list[str]] = {}
    for taken in kernel.takes:
        takes.setdefault(taken.cell, []).append(taken.name)
    cells = tuple(
        _stage_cell(
            versions,
            at,
            replayed=owners[at] != place,
            takes=tuple(takes.get(at, ())),
            hides=kernel.hides.get(at, ()),
        )
        for at in kernel.cells
    )
    own = [versions.cells[at] for at in kernel.cells if owners[at] == place]
    mine = (at for at in kernel.cells if owners[at] == place)
    touched = {name for at in mine for name in versions.touched[at]}
    files = {name for cell in own for name in files_written(cell)}
    return StageSpec(
        cells=cells,
        generators=tuple(sorted(name for name in touched if not name.isidentifier())),
        settings=any(sets(cell) for cell in own),
        writes_files=tuple(sorted(files)),
        writes_anything=any(does_anything(cell) for cell in own),
        background=any("background" in cell.traits for cell in own),
    )


def _stage_cell(
    versions: Versions, at: int, *, replayed: bool, takes: tuple[str, ...], hides: tuple[str, ...]
) -> StageCell:
    cell = versions.cells[at]
    if replayed and cell.part is not None:
        return StageCell(
            index=cell.index,
            number=cell.number,
            replayed=True,
            part=cell.part.text,
            hides=hides,
            writes=cell.part.names,
        )
    writes = {use.name for use in (*cell.writes, *cell.deletes)}
    changes = {name for name in versions.changed[at] if name.isidentifier()}
    return StageCell(
        index=cell.index,
        number=cell.number,
        replayed=replayed,
        takes=takes,
        hides=hides,
        changes=(ANY,) if versions.touches_all[at] else tuple(sorted(changes)),
        writes=(ANY,) if "forgets" in cell.traits else tuple(sorted(writes)),
    )


def _after(cut: Cut, place: int) -> tuple[int, ...]:
    """Return for what a stage waits, without what gives to it or follows from others."""
    waits = cut.waits[place]
    sources = {*cut.sources[place].values()}
    implied = 0
    for each in waits | sources:
        implied |= cut.before[each]
    return tuple(sorted(each for each in waits - sources if not implied >> each & 1))


def _holders(versions: Versions, cut: Cut) -> dict[str, int | None]:
    return {
        name: _holder(versions, cut, name) for name in sorted(versions.names) if name.isidentifier()
    }


def _holder(versions: Versions, cut: Cut, name: str) -> int | None:
    end = len(versions.cells)
    version = versions.before(end, name)
    if version is None or versions.stays(name, version, end):
        return None
    having = [at for at, kernel in enumerate(cut.kernels) if kernel.ends_with.get(name) == version]
    making = (at for at in having if version in cut.kernels[at].own)
    return next(making, having[-1] if having else None)


def _rest(versions: Versions, cut: Cut) -> int | None:
    last = max((at for at, every in enumerate(versions.touches_all) if every), default=None)
    return next((at for at, kernel in enumerate(cut.kernels) if last in kernel.own), None)
