"""Bundles: many tiny attempts in one Dask task.

A Dask task costs a scheduler about a millisecond, whatever it does. That is
nothing for a notebook, and everything for ten thousand functions that take a
tenth of that. So function attempts whose code has proved to be quick are handed
over together and run one after the other on one worker; each still has its own
announcement, outcome and record.

Only measured quickness counts. Of a function that nobody has seen run, a few
attempts go ahead as scouts, enough to keep every worker busy; the others follow as soon as
the first scout is back, or after a moment if none is, each by itself then. One
slow attempt ends the bundling of its function at once.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import TypeAlias

from nbflow.core.attempts import AttemptTask
from nbflow.core.spec import FunctionCode

#: Work that one bundle is meant to hold, in seconds: far above the cost of a Dask
#: task, far below what a person or another worker would wait for.
BUNDLE_WORK_S = 0.05

#: What a Dask task costs the whole cluster besides its work, in seconds, messages and all: less
#: work than that is not worth a task of its own.
TASK_COST_S = 0.005

#: What an attempt costs on a worker besides its own code, in seconds.
ATTEMPT_OVERHEAD_S = 0.0003

#: Bundles per worker thread that one submission is cut into at least, so that all have work.
BUNDLES_PER_THREAD = 4

#: Attempts per worker thread that go ahead of a function's first bundles.
SCOUTS_PER_THREAD = 2

#: How long other attempts of a function wait for the first scout, in seconds.
SCOUT_WAIT_S = 0.1

Bundle: TypeAlias = tuple[AttemptTask, ...]


class Bundler:
    """Cuts submissions into bundles by what it has seen."""

    def __init__(self) -> None:
        #: Expected seconds of an attempt, by the digest of its function.
        self._expected_s: dict[str, float] = {}

    def observe(self, digest: str, duration_s: float) -> None:
        """Learn from one attempt: a slow one counts at once, quick ones count gradually."""
        known = self._expected_s.get(digest)
        smoothed = duration_s if known is None else 0.8 * known + 0.2 * duration_s
        self._expected_s[digest] = max(duration_s, smoothed)

    def cut(
        self, tasks: Sequence[AttemptTask], threads: int
    ) -> tuple[list[Bundle], list[AttemptTask]]:
        """Cut a submission for a cluster of `threads` worker threads.

        Returns
        -------
        tuple
            The bundles to hand over now, and the attempts that wait for their scouts.
        """
        bundles: list[Bundle] = []
        waiting: list[AttemptTask] = []
        for group in _alike(tasks).values():
            code = group[0].code
            if not isinstance(code, FunctionCode):
                bundles.extend((task,) for task in group)
            elif code.digest in self._expected_s:
                size = self._size(code.digest, len(group), threads)
                bundles.extend(
                    tuple(group[start : start + size]) for start in range(0, len(group), size)
                )
            else:
                scouts = max(1, threads) * SCOUTS_PER_THREAD
                bundles.extend((task,) for task in group[:scouts])
                waiting.extend(group[scouts:])
        return bundles, waiting

    def is_quick(self, bundle: Bundle) -> bool:
        """Whether all of a bundle has been seen to end in a moment."""
        return all(
            isinstance(task.code, FunctionCode)
            and self._expected_s.get(task.code.digest, math.inf) < BUNDLE_WORK_S
            for task in bundle
        )

    def _size(self, digest: str, count: int, threads: int) -> int:
        expected_s = self._expected_s[digest] + ATTEMPT_OVERHEAD_S
        by_share = -(-count // (max(1, threads) * BUNDLES_PER_THREAD))
        worthwhile = int(TASK_COST_S / expected_s)
        return max(1, min(int(BUNDLE_WORK_S / expected_s), max(by_share, worthwhile)))


def _alike(
    tasks: Sequence[AttemptTask],
) -> dict[tuple[object, ...], list[AttemptTask]]:
    """Group attempts that may share a bundle: same code, priority and resources."""
    groups: defaultdict[tuple[object, ...], list[AttemptTask]] = defaultdict(list)
    for task in tasks:
        resources = tuple(sorted(task.resources.items()))
        groups[task.code.digest, task.priority, resources].append(task)
    return groups
