"""Cut the cells of a notebook into stages: chains of cells that run in one kernel.

A stage goes on as long as there is nothing to choose: its last cell has one successor, which has no
other predecessor. So a sequential notebook is one stage. What is only replayed (imports, settings)
joins no cells; such a cell belongs to the stage of the next cell that does work.
"""

import functools
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from nbflow.core.cells.facts import Analysis, Dependence

#: Whether some cells are worth a kernel of their own.
Worth = Callable[[tuple[int, ...]], bool]


class Stage(msgspec.Struct, frozen=True):
    """Cells that run in one kernel, in order, by their numbers."""

    cells: tuple[int, ...]


class StageEdge(msgspec.Struct, frozen=True):
    """A stage waits for another, by places in `Plan.stages`; for these variables, or for order."""

    source: int
    target: int
    names: tuple[str, ...]


class Plan(msgspec.Struct, frozen=True):
    """The stages of a notebook, ordered by their first cells that do work.

    Parameters
    ----------
    stages
        Every cell is in one of them.
    edges
        Without those that follow from others, unless they hand on variables.
    replayed
        The cells that each kernel repeats for itself, as far as it needs them.
    longest
        Cells on the longest path; the number of cells divided by it bounds what can be won.
    """

    stages: tuple[Stage, ...]
    edges: tuple[StageEdge, ...]
    replayed: tuple[int, ...] = ()
    longest: int = 0

    def stage_of(self, cell: int) -> int:
        """Return the place of the stage in which a cell runs."""
        return next(i for i, stage in enumerate(self.stages) if cell in stage.cells)


def plan(analysis: Analysis, worth: Worth = lambda _cells: True) -> Plan:
    """Return the stages of a notebook.

    Parameters
    ----------
    analysis
        What is known of its cells.
    worth
        Whether some cells, a chain that could run beside others, are worth a kernel of
        their own; if not, they run in the stage before them where that changes no order.
    """
    numbers = [cell.number for cell in analysis.cells]
    if analysis.language or not numbers:
        whole = (Stage(tuple(numbers)),) if numbers else ()
        return Plan(whole, (), (), len(numbers))
    replayed = {cell.number for cell in analysis.cells if cell.replayed}
    working = [number for number in numbers if number not in replayed]
    waits = _predecessors(working, analysis.dependences)
    before = _ancestors(working, waits)
    groups = _fused(_chains(working, _reduced(waits, before)), waits, worth)
    stages = _with_replayed(groups, numbers, replayed)
    home = {cell: place for place, stage in enumerate(stages) for cell in stage.cells}
    edges = _edges(analysis.dependences, home, replayed, before)
    return Plan(tuple(stages), edges, tuple(sorted(replayed)), _longest(working, waits))


def _predecessors(
    cells: Sequence[int], dependences: Iterable[Dependence]
) -> dict[int, frozenset[int]]:
    found: dict[int, set[int]] = {cell: set() for cell in cells}
    for each in dependences:
        if each.kind != "replay" and each.target in found and each.source in found:
            found[each.target].add(each.source)
    return {cell: frozenset(sources) for cell, sources in found.items()}


def _ancestors(cells: Sequence[int], waits: dict[int, frozenset[int]]) -> dict[int, int]:
    """Return the cells before each cell, as bits of a number."""
    before: dict[int, int] = {}
    for cell in cells:
        above = 0
        for source in waits[cell]:
            above |= before[source] | 1 << source
        before[cell] = above
    return before


def _reduced(waits: dict[int, frozenset[int]], before: dict[int, int]) -> dict[int, frozenset[int]]:
    """Return the predecessors that do not follow from others."""
    reduced: dict[int, frozenset[int]] = {}
    for cell, sources in waits.items():
        above = 0
        for source in sources:
            above |= before[source]
        reduced[cell] = frozenset(source for source in sources if not above >> source & 1)
    return reduced


def _chains(cells: Sequence[int], reduced: dict[int, frozenset[int]]) -> list[list[int]]:
    followers: dict[int, int] = dict.fromkeys(cells, 0)
    for sources in reduced.values():
        for source in sources:
            followers[source] += 1
    chains: list[list[int]] = []
    chain_of: dict[int, list[int]] = {}
    for cell in cells:
        before = list(reduced[cell])
        if len(before) == 1 and followers[before[0]] == 1:
            chain = chain_of[before[0]]
        else:
            chain = []
            chains.append(chain)
        chain.append(cell)
        chain_of[cell] = chain
    return chains


def _fused(
    chains: list[list[int]], waits: dict[int, frozenset[int]], worth: Worth
) -> list[list[int]]:
    """Put chains that are not worth a kernel into the stage before them, if there is one."""
    groups: list[list[int]] = []
    #: Of each group: the groups that come before it, as bits.
    before: list[int] = []
    home: dict[int, int] = {}
    for chain in chains:
        sources = {home[cell] for member in chain for cell in waits[member] if cell in home}
        above = 0
        for source in sources:
            above |= before[source] | 1 << source
        last: int | None = max(
            sources, key=lambda source: (before[source].bit_count(), source), default=None
        )
        joins = (
            last is not None
            and not worth(tuple(chain))
            and not (above & ~(before[last] | 1 << last))
        )
        if last is not None and joins:
            place = last
            groups[place] += chain
        else:
            place = len(groups)
            groups.append(list(chain))
            before.append(above)
        home.update(dict.fromkeys(chain, place))
    return groups


def _with_replayed(
    groups: list[list[int]], numbers: Sequence[int], replayed: set[int]
) -> list[Stage]:
    if not groups:
        return [Stage(tuple(numbers))]
    home = {cell: group for group in groups for cell in group}
    following = None
    extra: dict[int, list[int]] = {id(group): [] for group in groups}
    last = home[max(home)]
    for number in reversed(numbers):
        if number in replayed:
            extra[id(following or last)].append(number)
        else:
            following = home[number]
    return [Stage(tuple(sorted([*group, *extra[id(group)]]))) for group in groups]


def _edges(
    dependences: Iterable[Dependence],
    home: dict[int, int],
    replayed: set[int],
    before: Mapping[int, int],
) -> tuple[StageEdge, ...]:
    waiting = [
        each for each in dependences if each.kind != "replay" and each.source not in replayed
    ]
    # A variable comes from the last that had it, which got it from those before.
    earlier: dict[tuple[int, str], int] = {}
    for each in waiting:
        wanted = each.target, each.name
        earlier[wanted] = earlier.get(wanted, 0) | before[each.source]
    names: dict[tuple[int, int], dict[str, None]] = {}
    for each in waiting:
        pair = (home[each.source], home[each.target])
        if pair[0] == pair[1]:
            continue
        found = names.setdefault(pair, {})
        last = not earlier[each.target, each.name] >> each.source & 1
        if each.kind == "data" and last and each.name.isidentifier():
            found[each.name] = None
    return _without_implied(
        [
            StageEdge(source, target, tuple(sorted(found)))
            for (source, target), found in names.items()
        ]
    )


def _without_implied(edges: Iterable[StageEdge]) -> tuple[StageEdge, ...]:
    """Drop edges of mere order that follow from others. Stages stand after those they wait for."""
    edges = sorted(edges, key=lambda edge: (edge.target, edge.source))
    sources: dict[int, list[int]] = {}
    for edge in edges:
        sources.setdefault(edge.target, []).append(edge.source)
    above: dict[int, int] = {}
    beyond: dict[int, int] = {}
    for target, nearest in sources.items():
        beyond[target] = _either(above.get(source, 0) for source in nearest)
        above[target] = beyond[target] | _either(1 << source for source in nearest)
    return tuple(edge for edge in edges if edge.names or not beyond[edge.target] >> edge.source & 1)


def _either(bits: Iterable[int]) -> int:
    return functools.reduce(operator.or_, bits, 0)


def _longest(cells: Sequence[int], waits: dict[int, frozenset[int]]) -> int:
    depth: dict[int, int] = {}
    for cell in cells:
        depth[cell] = 1 + max((depth[source] for source in waits[cell]), default=0)
    return max(depth.values(), default=0)
