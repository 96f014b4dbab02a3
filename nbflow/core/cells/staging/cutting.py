"""Cut the cells of a notebook into stages.

Some cells are *heads*: those that begin a chain that is worth a kernel. Cells with the same heads
before them (and in the same segment) are one stage. That makes no circles: whoever waits for a cell
has all heads that the cell has. Where kernels of such stages would not have what they need, some
more cells become a head together, or cells are joined. At the end, stages are joined as long as the
notebook is expected to end no later for that.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from nbflow.core.cells.staging.kernels import Giving, Kernel, Kernels, Misfit
from nbflow.core.cells.staging.units import Units
from nbflow.core.cells.staging.versions import Versions
from nbflow.core.cells.staging.weighing import Worth, finish_s

#: More chains than these, the longest, do not get a kernel by themselves.
_HEADS_MAX = 24
#: After so many cuts that do not fit, the notebook is one stage.
_CUTS_MAX = 200


@dataclass(frozen=True, slots=True)
class Cut:
    """One way to cut a notebook that is right.

    Parameters
    ----------
    kernels
        Those of the stages, each after all that it waits for.
    sources
        Of each stage: who gives it which variable.
    waits
        For which stages each waits.
    before
        Which stages end before each begins, as bits.
    """

    kernels: tuple[Kernel, ...]
    sources: tuple[dict[str, int], ...]
    waits: tuple[frozenset[int], ...]
    before: tuple[int, ...]


class Cutting:
    """Finds the best cut.

    Parameters
    ----------
    versions
        The versions of all variables.
    units
        What cannot be parted.
    worth
        What is worth a kernel.
    """

    def __init__(self, versions: Versions, units: Units, worth: Worth) -> None:
        self._versions = versions
        self._units = units
        self._worth = worth
        self._kernels = Kernels(versions)
        self._segments = units.segments()

    def best(self) -> Cut:
        """Return the cut that is expected to end first."""
        heads = self._heads()
        if not heads:
            return self._whole()
        cut = self._mended([frozenset({head}) for head in sorted(heads)])
        if not self._worth.weighs:
            return cut
        cut = self._joined(cut)
        whole = self._whole()
        return cut if self._finish_s(cut) < self._finish_s(whole) else whole

    # --- whether a cut is right ---------------------------------------------------------------

    def _fit(self, stages: Sequence[Collection[int]]) -> Cut | list[Misfit]:
        """Return the cut into these stages, or why it is not right; no reason if it is a circle."""
        home = {cell: at for at, stage in enumerate(stages) for cell in stage}
        waits = [
            {home[each] for cell in stage for each in self._units.nearest[cell]} - {at}
            for at, stage in enumerate(stages)
        ]
        try:
            order = _ordered(waits, lambda at: min(stages[at]))
        except CycleError:
            return []
        place = {stage: at for at, stage in enumerate(order)}
        found = [self._kernels.of(stages[stage]) for stage in order]
        misfits = [each for each in found if isinstance(each, Misfit)]
        if misfits:
            return misfits
        kernels = [each for each in found if isinstance(each, Kernel)]
        placed = [frozenset(place[each] for each in waits[stage]) for stage in order]
        before: list[int] = []
        for sources in placed:
            above = 0
            for each in sources:
                above |= before[each] | 1 << each
            before.append(above)
        giving = Giving(self._versions, kernels, before)
        if giving.misfits:
            return giving.misfits
        return Cut(tuple(kernels), tuple(giving.sources), tuple(placed), tuple(before))

    def _whole(self) -> Cut:
        cut = self._fit([self._units.working])
        assert isinstance(cut, Cut), "one kernel has all that its cells need"
        return cut

    def _mended(self, heads: list[frozenset[int]]) -> Cut:
        """Return a cut with these heads; where it is not right, with more, or joined cells."""
        for _ in range(_CUTS_MAX):
            cut = self._fit(self._clusters(heads))
            if isinstance(cut, Cut):
                return cut
            known = set(heads)
            for misfit in cut:
                self._mend(misfit, heads, known)
        return self._whole()

    def _mend(
        self, misfit: Misfit, heads: list[frozenset[int]], known: Collection[frozenset[int]]
    ) -> None:
        of = self._units.of
        fixed = of(misfit.together[0])
        apart = frozenset(cell for cell in misfit.apart if of(cell) != fixed)
        if not apart or apart in known:
            self._units.join(misfit.together)
        elif apart not in heads:
            heads.append(apart)

    # --- cells with the same heads ------------------------------------------------------------

    def _clusters(self, heads: Sequence[Collection[int]]) -> list[list[int]]:
        """Return the cells that have the same heads before them."""
        units = self._units
        marks: dict[int, int] = {}
        for bit, cells in enumerate(heads):
            for cell in cells:
                marks[units.of(cell)] = marks.get(units.of(cell), 0) | 1 << bit
        sources = units.sources()
        segments = units.segments()
        members = units.members()
        above: dict[int, int] = {}
        found: dict[tuple[int, int], list[int]] = {}
        for unit in TopologicalSorter(sources).static_order():
            bits = marks.get(unit, 0)
            for source in sources[unit]:
                bits |= above[source]
            above[unit] = bits
            found.setdefault((segments[unit], bits), []).extend(members[unit])
        return list(found.values())

    def _heads(self) -> set[int]:
        worth = self._worth
        numbers = {cell.number: at for at, cell in enumerate(self._versions.cells)}
        if worth.heads is not None:
            heads = {numbers[number] for number in worth.heads if number in numbers}
            return heads & {*self._units.working}
        chains = self._chains()
        if worth.always:
            return {min(chain) for chain in chains}
        seconds = {min(chain): self._seconds(chain) for chain in chains}
        if sum(seconds.values()) - self._longest_s() <= worth.costs.kernel_s:
            return set()
        heavy = sorted(
            (head for head in seconds if seconds[head] > worth.costs.kernel_s),
            key=lambda head: -seconds[head],
        )
        return set(heavy[:_HEADS_MAX])

    def _chains(self) -> list[list[int]]:
        """Return the cells of units that follow each other with nothing to choose between."""
        units = self._units
        sources, members, segments = units.sources(), units.members(), units.segments()
        followers: dict[int, set[int]] = {unit: set() for unit in sources}
        for unit, nearest in sources.items():
            for source in nearest:
                followers[source].add(unit)
        chain_of: dict[int, list[int]] = {}
        found: list[list[int]] = []
        for unit in TopologicalSorter(sources).static_order():
            before = list(sources[unit])
            goes_on = (
                len(before) == 1
                and segments[before[0]] == segments[unit]
                and not any(self._counts(each, followers) for each in followers[before[0]] - {unit})
            )
            if not goes_on:
                found.append([])
            chain_of[unit] = chain_of[before[0]] if goes_on else found[-1]
            chain_of[unit] += members[unit]
        return found

    def _counts(self, unit: int, followers: dict[int, set[int]]) -> bool:
        """Whether a unit could be worth a kernel: not what only shows something, in no time."""
        if not self._worth.weighs:
            return True
        light = self._seconds([unit]) <= self._worth.costs.kernel_s
        return not light or bool(followers[unit])

    # --- joining what is not worth it ---------------------------------------------------------

    def _joined(self, cut: Cut) -> Cut:
        """Join stages as long as the notebook ends no later for that."""
        while True:
            better = next(self._better(cut), None)
            if better is None:
                return cut
            cut = better

    def _better(self, cut: Cut) -> Iterator[Cut]:
        """Yield right cuts with one stage less that end no later, the best first."""
        now = self._finish_s(cut)
        tried: list[tuple[float, int, int]] = []
        for first in range(len(cut.kernels)):
            for second in range(first + 1, len(cut.kernels)):
                if self._may_join(cut, first, second):
                    then = self._finish_joined_s(cut, first, second)
                    if then is not None and then <= now + 1e-9:
                        tried.append((then, first, second))
        for _, first, second in sorted(tried):
            stages = [list(kernel.own) for kernel in cut.kernels]
            stages[first] += stages.pop(second)
            found = self._fit(stages)
            if isinstance(found, Cut) and self._finish_s(found) <= now + 1e-9:
                yield found

    def _may_join(self, cut: Cut, first: int, second: int) -> bool:
        units, segments = self._units, self._units.segments()
        one, other = cut.kernels[first].own[0], cut.kernels[second].own[0]
        return segments[units.of(one)] == segments[units.of(other)]

    def _finish_joined_s(self, cut: Cut, first: int, second: int) -> float | None:
        """Return when all would have ended with two stages as one; None if that is a circle."""
        to = [first if at == second else at for at in range(len(cut.kernels))]
        waits: list[set[int]] = [set() for _ in to]
        for at, before in enumerate(cut.waits):
            waits[to[at]] |= {to[each] for each in before} - {to[at]}
        kept = [at for at in range(len(to)) if at != second]
        place = {at: new for new, at in enumerate(kept)}
        waits = [{place[each] for each in waits[at]} for at in kept]
        try:
            order = _ordered(waits, lambda at: at)
        except CycleError:
            return None
        places = {at: new for new, at in enumerate(order)}
        seconds = [self._stage_s(cut.kernels[kept[at]]) for at in order]
        seconds[places[place[first]]] += self._seconds(cut.kernels[second].own)
        return self._end_s(seconds, [{places[each] for each in waits[at]} for at in order])

    # --- seconds ------------------------------------------------------------------------------

    def _finish_s(self, cut: Cut) -> float:
        return self._end_s([self._stage_s(kernel) for kernel in cut.kernels], cut.waits)

    def _end_s(self, seconds: Sequence[float], waits: Sequence[Collection[int]]) -> float:
        costs = self._worth.costs
        assembly_s = costs.assembly_s if len(seconds) > 1 else 0.0
        return assembly_s + finish_s(seconds, waits, self._worth.workers)

    def _stage_s(self, kernel: Kernel) -> float:
        costs = self._worth.costs
        whole = {at for at in kernel.cells if self._versions.cells[at].part is None}
        cells = whole.union(kernel.own)
        return costs.kernel_s + costs.value_s * len(kernel.takes) + self._seconds(cells)

    def _seconds(self, cells: Collection[int]) -> float:
        return sum(self._worth.seconds_of(self._versions.cells[cell].number) for cell in cells)

    def _longest_s(self) -> float:
        ends: dict[int, float] = {}
        for cell in self._units.working:
            begin = max((ends[each] for each in self._units.nearest[cell]), default=0.0)
            ends[cell] = begin + self._seconds([cell])
        return max(ends.values(), default=0.0)


def _ordered(waits: Sequence[Collection[int]], rank: Callable[[int], int]) -> list[int]:
    """Return places in an order in which each comes after all that it waits for.

    Raises
    ------
    CycleError
        If there is none.
    """
    sorter = TopologicalSorter(dict(enumerate(waits)))
    sorter.prepare()
    order: list[int] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=rank)
        order += ready
        sorter.done(*ready)
    return order
