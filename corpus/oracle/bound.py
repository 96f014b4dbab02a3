"""From what cells have done to how far they could run side by side at most."""

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from corpus.oracle.tracing import Traced


class Bound(msgspec.Struct, frozen=True):
    """Cells divided by the longest chain: by their number, and by the time they take."""

    by_count: float
    by_time: float


def bound_of(
    traced: Sequence[Traced], replayed: Collection[int], seconds: Mapping[int, float]
) -> Bound:
    """Return how many times faster a notebook could be at most.

    Parameters
    ----------
    traced
        Its cells.
    replayed
        Those that each kernel can repeat for itself; they wait for none, and none for them.
    seconds
        How long each takes.
    """
    sources = dependences([cell for cell in traced if cell.cell not in replayed])
    counts = dict.fromkeys(sources, 1.0)
    times = {cell: seconds.get(cell, 0.0) for cell in sources}
    return Bound(parallelism(sources, counts), parallelism(sources, times))


def parallelism(sources: Mapping[int, Collection[int]], weights: Mapping[int, float]) -> float:
    """Return all weights divided by those of the heaviest chain; `sources` by cell, in order."""
    until: dict[int, float] = {}
    for cell, needed in sources.items():
        before = max((until[each] for each in needed if each in until), default=0.0)
        until[cell] = weights.get(cell, 0.0) + before
    longest = max(until.values(), default=0.0)
    return sum(weights.get(cell, 0.0) for cell in sources) / longest if longest else 1.0


def dependences(traced: Iterable[Traced]) -> dict[int, set[int]]:
    """Return the cells that each cell truly needed, by cell, in order.

    Of variables, who has written last what a cell has read: each kernel has its own memory, so
    nobody waits for readers. Of files, programs and the network there is one for all: who writes
    waits for readers, too. A cell that seeds a generator needs no earlier state of it.
    """
    writer: dict[str, int] = {}
    outside = _Outside()
    found: dict[int, set[int]] = {}
    for cell in traced:
        needed = {writer[name] for name in (*cell.reads, *cell.changes) if name in writer}
        for name in cell.generators:
            token = f"generator {name}"
            if token in writer and not cell.seeds:
                needed.add(writer[token])
            writer[token] = cell.cell
        needed |= outside.needed_by(cell)
        writer |= dict.fromkeys((*cell.binds, *cell.changes, *cell.deletes), cell.cell)
        found[cell.cell] = needed - {cell.cell}
    return found


class _Outside:
    """Who has touched what all kernels share."""

    def __init__(self) -> None:
        self._wrote: dict[str, int] = {}
        self._read: dict[str, set[int]] = {}
        #: The last cell that has started a program, and all that have touched anything since.
        self._program: set[int] = set()
        self._since: set[int] = set()

    def needed_by(self, cell: Traced) -> set[int]:
        """Return what a cell has to wait for, and note what it does."""
        if cell.programs:
            needed = self._program | self._since
            self._program, self._since = {cell.cell}, set()
            return needed
        if not (cell.reads_files or cell.writes_files):
            return set()
        needed = set(self._program)
        for path in (*cell.reads_files, *cell.writes_files):
            needed |= {self._wrote[path]} if path in self._wrote else set()
        for path in cell.writes_files:
            needed |= self._read.pop(path, set())
            self._wrote[path] = cell.cell
        for path in cell.reads_files:
            self._read.setdefault(path, set()).add(cell.cell)
        self._since.add(cell.cell)
        return needed
