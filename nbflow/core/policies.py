"""What a node may cost, and what happens when it fails.

Durations are seconds and sizes bytes; names such as `soft`, `backoff` and `cell` are part of the
public interface and carry no unit suffix for that reason.
"""

import math
import random
from typing import Literal

import msgspec


class Retry(msgspec.Struct, frozen=True, omit_defaults=True):
    """How often, and after which delay, a failed node is tried again.

    Parameters
    ----------
    times
        Tries beyond the first.
    backoff
        Seconds before the first retry.
    factor
        What each further delay is multiplied by.
    max_backoff
        Upper bound of one delay, in seconds.
    jitter
        Share of each delay that is random, from 0 (none) to 1: with 0.25, a delay
        of 8 s becomes one between 6 and 10 s, so that nodes that failed together do not return
        together.
    """

    times: int = 0
    backoff: float = 1.0
    factor: float = 2.0
    max_backoff: float = 300.0
    jitter: float = 0.25

    def __post_init__(self) -> None:
        if self.times < 0:
            raise ValueError(f"retries: times must be 0 or more, not {self.times}")
        # Comparisons are worded so that they refuse a NaN too: it would get into the journal.
        for name, seconds in (("backoff", self.backoff), ("max_backoff", self.max_backoff)):
            if not 0 <= seconds < math.inf:
                raise ValueError(f"retries: {name} must be 0 s or more, and finite, not {seconds}")
        if not 1 <= self.factor < math.inf:
            raise ValueError(f"retries: factor must be 1 or more, and finite, not {self.factor}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"retries: jitter must be between 0 and 1, not {self.jitter}")

    def delay_s(self, failures: int, rng: random.Random) -> float:
        """Return the seconds to wait after the `failures`-th failure (1 or more)."""
        # The bound leaves room for the jitter above it: delays that were all cut off at one
        # bound would return together.
        delay = min(self.max_backoff / (1 + self.jitter), self._undamped_s(failures))
        return delay * (1 + self.jitter * (2 * rng.random() - 1))

    def _undamped_s(self, failures: int) -> float:
        if self.backoff == 0:
            return 0.0
        try:
            return self.backoff * float(self.factor) ** (failures - 1)
        except OverflowError:
            return math.inf


class Timeout(msgspec.Struct, frozen=True, omit_defaults=True):
    """Seconds a node may run: `soft` interrupts its cell, `hard` kills its kernel.

    `cell_soft` and `cell_hard` are the same for each single cell.
    """

    soft: float | None = None
    hard: float | None = None
    cell_soft: float | None = None
    cell_hard: float | None = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            limit = getattr(self, name)
            if limit is not None and not 0 < limit < math.inf:
                raise ValueError(f"timeout: {name} must be more than 0 s, and finite, not {limit}")
        for low, high in (("soft", "hard"), ("cell_soft", "cell_hard")):
            soft, hard = getattr(self, low), getattr(self, high)
            if soft is not None and hard is not None and soft > hard:
                raise ValueError(f"timeout: {low} ({soft} s) must not be over {high} ({hard} s)")


class OutputLimit(msgspec.Struct, frozen=True, omit_defaults=True):
    """Bytes of output that a notebook keeps; None is no limit.

    Parameters
    ----------
    cell
        Of each cell.
    notebook
        Of all cells together, and so about the size of the executed notebook's file.
    then
        What happens beyond: ``"truncate"`` drops further output, with a note in its place;
        ``"fail"`` interrupts the cell, and the node fails.
    """

    cell: int | None = 50_000_000
    notebook: int | None = 250_000_000
    then: Literal["truncate", "fail"] = "truncate"

    def __post_init__(self) -> None:
        for name in ("cell", "notebook"):
            limit = getattr(self, name)
            if limit is not None and limit < 1:
                raise ValueError(f"output_limit: {name} must be more than 0 bytes, not {limit}")


class Cache(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether a node's result may come from an earlier run that did the very same.

    Parameters
    ----------
    ttl
        Seconds for which a result is good; None is for ever.
    jitter
        Share of `ttl` by which it may end earlier, so that results that were made together
        do not all have to be made again together.
    """

    ttl: float | None = None
    jitter: float = 0.1

    def __post_init__(self) -> None:
        if self.ttl is not None and not 0 < self.ttl < math.inf:
            raise ValueError(f"cache: ttl must be more than 0 s, and finite, not {self.ttl}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"cache: jitter must be between 0 and 1, not {self.jitter}")


class Expected(msgspec.Struct, frozen=True, omit_defaults=True):
    """How long a node is expected to run.

    Parameters
    ----------
    seconds
        Of one attempt.
    factor
        It counts as stuck beyond so many times that.
    """

    seconds: float
    factor: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.seconds < math.inf:
            raise ValueError(f"expected: must be more than 0 s, and finite, not {self.seconds}")
        if not 1 <= self.factor < math.inf:
            raise ValueError(f"expected: factor must be 1 or more, not {self.factor}")


class Policy(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The policies of one node, after the flow's defaults have been applied."""

    retries: Retry = Retry()
    timeout: Timeout = Timeout()
    #: Bytes that the node's process tree may use; None is no limit.
    memory_bytes: int | None = None
    output_limit: OutputLimit = OutputLimit()
    #: Cores that the node has for itself, and that its libraries' thread pools use; None is its
    #: share of the machine, without any core being its own.
    cpus: int | None = None
    #: Added to the kernel's scheduling priority: 0 is the worker's, 19 yields to everybody.
    nice: int = 0
    #: Seconds until a kernel must have answered.
    start_timeout_s: float = 60.0
    #: Higher starts earlier.
    priority: int = 0
    #: Dask worker resources that one attempt occupies.
    resources: dict[str, float] = {}
    #: Nodes that merely come `after` this one run even when it failed.
    continue_on_failure: bool = False
    #: Whether an attempt whose outcome nobody knows may simply be made again. A node that is
    #: ``at_most_once`` never begins a second time unless a person decides so.
    effect: Literal["idempotent", "at_most_once"] = "idempotent"
    #: Results of earlier runs may stand for this node's; None is never.
    cache: Cache | None = None
    #: Seconds after which the namespace of a notebook is kept, at the next end of a cell; None is
    #: only where the notebook itself asks for it.
    checkpoint_s: float | None = None
    #: How long the node is expected to run; None is as long as it did in earlier runs.
    expected: Expected | None = None


class Limits(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many nodes may be queued or running at once; None is no limit."""

    flow: int | None = None
    groups: dict[str, int] = {}
