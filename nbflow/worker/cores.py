"""Cores: how many a node's libraries use, and which a node has for itself.

A library that finds eight cores starts eight threads, in each of eight notebooks. So the workers of
an embedded cluster are told how many threads are their share, by the variables that numerical
libraries read (Dask's own nanny does the same), and a node that asks for `cpus` gets so many
threads, and cores that no other node with `cpus` has.

Which cores are taken is known to all workers of a machine without a file or a server: who has a
core holds a socket with its name, which the system takes back when its holder ends, however.
"""

import os
import socket
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Self

#: What the common numerical libraries read, once, when they are loaded.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
)


def thread_environment(threads: int) -> dict[str, str]:
    """Return the variables that bound libraries to so many threads."""
    return dict.fromkeys(THREAD_VARIABLES, str(threads))


def share_of_threads(slots: int, env: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that give each of `slots` its share of this machine's cores.

    Nothing where `env` sets one of them already: then somebody has thought about it.
    """
    if any(name in env for name in THREAD_VARIABLES):
        return {}
    return thread_environment(max(1, len(available_cores()) // slots))


def available_cores() -> tuple[int, ...]:
    """Return the numbers of the cores that this process may use."""
    if sys.platform != "linux":
        return tuple(range(os.cpu_count() or 1))
    return tuple(sorted(os.sched_getaffinity(0)))


class OwnCores:
    """So many cores for one node, while its context is entered.

    `numbers` are theirs; empty if there are not so many left, or none asked for: the node then runs
    where there is room.
    """

    def __init__(self, wanted: int | None) -> None:
        self.numbers: tuple[int, ...] = ()
        self._wanted = wanted or 0
        self._held: list[socket.socket] = []

    def __enter__(self) -> Self:
        if self._wanted and sys.platform == "linux":
            self._take()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for held in self._held:
            held.close()
        self._held.clear()

    def _take(self) -> None:
        taken: list[int] = []
        for core in available_cores():
            held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                held.bind(f"\0nbflow-core-{os.getuid()}-{core}")
            except OSError:
                held.close()
                continue
            self._held.append(held)
            taken.append(core)
            if len(taken) == self._wanted:
                self.numbers = tuple(taken)
                return
        # Some but not enough: others may have use for them.
        self.__exit__(None, None, None)
