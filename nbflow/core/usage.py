"""What an attempt uses of its machine: samples while it runs, and their sum when it has ended.

A sample covers the process tree of one kernel, or the worker's share where a function runs in the
worker itself. Samples are telemetry. Their sum goes into the attempt's outcome, and with it
into the journal: few numbers that never change a state.
"""

from typing import Literal, TypeAlias

import msgspec

#: How the thread that runs the cell stands, as the operating system tells.
ThreadState: TypeAlias = Literal["running", "sleeping", "disk", "stopped", "zombie", "unknown"]


class Doing(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the thread that runs the cell does, as the operating system tells.

    Parameters
    ----------
    state
        Its scheduling state; ``disk`` is a wait that nothing can interrupt.
    call
        The system call that it waits in (``"futex"``, ``"recvfrom"``, ``"clock_nanosleep"``,
        ``"wait4"``); empty if it waits in none, or nobody may know.
    target
        What the call concerns, for people: ``"socket 10.0.0.5:5432"``, ``"fifo /tmp/x"``, a
        path, ``"process 4711 (sort)"``; empty if unknown.
    timed
        Whether the call ends by itself after some time.
    since_s
        Seconds for which this has been so, without a processor being used for more than a moment.
    """

    state: ThreadState = "unknown"
    call: str = ""
    target: str = ""
    timed: bool = False
    since_s: float = 0.0


class Usage(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One sample of an attempt's process tree. Rates are means since the sample before."""

    #: Seconds since the epoch.
    at: float
    #: Of one core: two busy cores are 200.
    cpu_percent: float = 0.0
    #: Resident memory of all processes.
    memory_bytes: int = 0
    swap_bytes: int = 0
    processes: int = 0
    threads: int = 0
    read_bytes_per_s: float = 0.0
    written_bytes_per_s: float = 0.0
    #: Share of the time in which the tree waited for disks.
    io_wait_percent: float = 0.0
    #: Pages of memory that had to be read from a disk first.
    page_ins_per_s: float = 0.0
    #: Sent and received by the tree's own sockets; None where that cannot be told.
    network_bytes_per_s: float | None = None
    #: Of all devices that the tree uses; None without any.
    gpu_percent: float | None = None
    gpu_memory_bytes: int | None = None
    doing: Doing = Doing()


class UsageSum(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What one attempt has used in all."""

    #: Samples that this rests on.
    samples: int = 0
    cpu_s: float = 0.0
    cpu_percent_mean: float = 0.0
    cpu_percent_peak: float = 0.0
    memory_bytes_mean: int = 0
    memory_bytes_peak: int = 0
    threads_peak: int = 0
    processes_peak: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    io_wait_s: float = 0.0
    network_bytes: int | None = None
    gpu_percent_mean: float | None = None
    gpu_memory_bytes_peak: int | None = None


#: Samples that are kept of an attempt, and how many of the latest are kept one by one.
KEPT, KEPT_WHOLE = 240, 60


def with_sample(samples: tuple[Usage, ...], sample: Usage) -> tuple[Usage, ...]:
    """Return `samples` with one more at their end, thinned out when there are too many.

    Then every second one of the older half goes: so what is kept always spans the whole attempt.
    """
    if len(samples) < KEPT:
        return (*samples, sample)
    older, latest = samples[:-KEPT_WHOLE], samples[-KEPT_WHOLE:]
    return (*older[::2], *latest, sample)
