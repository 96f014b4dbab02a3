"""Bundles: many tiny attempts in one Dask task.

A Dask task costs a scheduler about a millisecond, whatever it does. That is
nothing for a notebook, and everything for ten thousand functions that take a
tenth of that. So function attempts whose code has proved to be quick are handed
over together and run one after the other on one worker; each still has its own
announcement, outcome and record.

Only measured quickness counts: the first attempts of any function travel alone,
and one slow attempt ends the bundling of its function at once.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import TypeAlias

from nbflow.core.attempts import AttemptTask
from nbflow.core.spec import FunctionCode

#: Work that one bundle is meant to hold, in seconds: far above the cost of a Dask
#: task, far below what a person or another worker would wait for.
BUNDLE_WORK_S = 0.05

#: What an attempt costs on a worker besides its own code, in seconds.
ATTEMPT_OVERHEAD_S = 0.0003

#: Bundles per worker thread that one submission is cut into at least, so that all have work.
BUNDLES_PER_THREAD = 4

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

    def cut(self, tasks: Sequence[AttemptTask], threads: int) -> list[Bundle]:
        """Return `tasks` as bundles, for a cluster of `threads` worker threads."""
        alike: defaultdict[tuple[object, ...], list[AttemptTask]] = defaultdict(list)
        bundles: list[Bundle] = []
        for task in tasks:
            if isinstance(task.code, FunctionCode) and task.code.digest in self._expected_s:
                resources = tuple(sorted(task.resources.items()))
                alike[task.code.digest, task.priority, resources].append(task)
            else:
                bundles.append((task,))
        for group in alike.values():
            size = self._size(group[0].code.digest, len(group), threads)
            bundles.extend(
                tuple(group[start : start + size]) for start in range(0, len(group), size)
            )
        return bundles

    def _size(self, digest: str, count: int, threads: int) -> int:
        by_work = int(BUNDLE_WORK_S / (self._expected_s[digest] + ATTEMPT_OVERHEAD_S))
        by_share = -(-count // (max(1, threads) * BUNDLES_PER_THREAD))
        return max(1, min(by_work, by_share))
