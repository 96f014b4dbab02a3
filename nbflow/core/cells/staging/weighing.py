"""Whether it pays to run cells beside others.

A stage costs: a kernel is started, imports are repeated, variables are moved. So cells are kept
apart only if the notebook is expected to end earlier for that, by what cells took in earlier runs.
"""

import heapq
from collections.abc import Collection, Mapping, Sequence

import msgspec

#: How long a cell takes of which nothing is known, in seconds.
DEFAULT_S = 0.001


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """What stages cost, in seconds.

    Parameters
    ----------
    kernel_s
        To start a kernel, to watch it, and to record what it has done.
    value_s
        To hand on one variable.
    assembly_s
        To put the notebook together from several stages.
    """

    kernel_s: float = 0.4
    value_s: float = 0.02
    assembly_s: float = 0.4


class Worth(msgspec.Struct, frozen=True, kw_only=True):
    """How to decide which cells are worth a kernel.

    Parameters
    ----------
    seconds
        How long cells take, by their numbers.
    costs
        What stages cost.
    default_s
        How long other cells take.
    workers
        How many kernels can run at a time.
    heads
        If given, nothing is weighed: the cells of these numbers begin stages of their own.
    always
        Whether nothing is weighed, and there are to be as many stages as possible.
    """

    seconds: Mapping[int, float] = {}
    costs: Costs = Costs()
    default_s: float = DEFAULT_S
    workers: int = 4
    heads: frozenset[int] | None = None
    always: bool = False

    @property
    def weighs(self) -> bool:
        """Whether stages are weighed at all."""
        return self.heads is None and not self.always

    def seconds_of(self, number: int) -> float:
        """Return how long a cell is expected to take."""
        return self.seconds.get(number, self.default_s)


#: As many stages as there can be.
ALWAYS = Worth(always=True)


def worth_of(
    seconds: Mapping[int, float],
    costs: Costs = Costs(),  # noqa: B008 - frozen
    default_s: float = DEFAULT_S,
    workers: int = 4,
) -> Worth:
    """Return what is worth a kernel, by how long cells took, by their numbers."""
    return Worth(seconds=seconds, costs=costs, default_s=default_s, workers=workers)


def finish_s(seconds: Sequence[float], sources: Sequence[Collection[int]], workers: int) -> float:
    """Return when all stages have ended, if so many kernels run at a time.

    Parameters
    ----------
    seconds
        How long each takes; each stands after those that it waits for.
    sources
        For which each waits.
    workers
        How many run at a time; the one with the longest way to the end first.
    """
    followers: list[list[int]] = [[] for _ in seconds]
    for stage, before in enumerate(sources):
        for source in before:
            followers[source].append(stage)
    left = list(seconds)
    for stage in reversed(range(len(seconds))):
        left[stage] += max((left[each] for each in followers[stage]), default=0.0)
    missing = [len(set(before)) for before in sources]
    ready = [(-left[stage], stage) for stage, count in enumerate(missing) if not count]
    heapq.heapify(ready)
    running: list[tuple[float, int]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < workers:
            _, stage = heapq.heappop(ready)
            heapq.heappush(running, (now + seconds[stage], stage))
        now, ended = heapq.heappop(running)
        for stage in followers[ended]:
            missing[stage] -= 1
            if not missing[stage]:
                heapq.heappush(ready, (-left[stage], stage))
    return now
