"""What a diagnosis says: typed findings, each with its evidence and the next step.

The rules that make them are in `nbflow.core.diagnosis`; these are their words, which panels,
commands and programs share. The JSON forms of `Finding` and `Diagnosis` are a contract.
"""

from enum import StrEnum
from typing import Any, Literal, TypeAlias

import msgspec


class FindingKind(StrEnum):
    """Why a node, or a run, does not get on."""

    NO_WORKER = "no_worker"
    RESOURCES_UNSATISFIABLE = "resources_unsatisfiable"
    QUEUED = "queued"
    WAITING_FOR_POOL = "waiting_for_pool"
    BACKING_OFF = "backing_off"
    CIRCUIT_OPEN = "circuit_open"
    AWAITING_APPROVAL = "awaiting_approval"
    WAITING_FOR_INPUT = "waiting_for_input"
    CPU_BOUND_LOOP = "cpu_bound_loop"
    BLOCKED_ON_LOCK = "blocked_on_lock"
    BLOCKED_ON_NETWORK = "blocked_on_network"
    BLOCKED_ON_IO = "blocked_on_io"
    BLOCKED_ON_PROCESS = "blocked_on_process"
    SLEEPING = "sleeping"
    STOPPED = "stopped"
    MEMORY_PRESSURE = "memory_pressure"
    WORKER_LOST = "worker_lost"
    KERNEL_DEAD = "kernel_dead"
    SLOWER_THAN_EXPECTED = "slower_than_expected"
    IN_DOUBT = "in_doubt"
    DRIVER_LOST = "driver_lost"
    FAILED = "failed"
    SLOW_RUN = "slow_run"


#: ``failed``: it has ended so. ``stuck``: it will not get on by itself, or takes far longer than
#: expected. ``waiting``: it is held up by something that is known, and may pass. ``slow``: it gets
#: on, and could do so faster.
Severity: TypeAlias = Literal["failed", "stuck", "waiting", "slow"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong, with its evidence and what to do about it."""

    #: The node; empty where it concerns the whole run.
    node: str
    kind: FindingKind
    severity: Severity
    #: One sentence for people, which names the cell and line where they are known.
    summary: str
    #: Seconds for which it has been so.
    since_s: float | None = None
    #: Seconds that the node was expected to take; None if nothing is known.
    expected_s: float | None = None
    #: Plain JSON: figures, places, system calls, stacks.
    evidence: dict[str, Any] = {}
    #: The node's last lines.
    logs: tuple[str, ...] = ()
    #: What to do, the best first. Each names the option or the command.
    suggestions: tuple[str, ...] = ()


class Activity(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a node that runs does now, whether or not anything is wrong with it."""

    node: str
    #: In words: ``"computes in cell 3, line 7 (fit)"``, ``"waits for socket 10.0.0.5:5432"``.
    text: str
    elapsed_s: float
    cell: int | None = None
    line: int | None = None
    #: Expected seconds in all, with a range that holds four times of five; None if unknown.
    expected_s: float | None = None
    expected_low_s: float | None = None
    expected_high_s: float | None = None
    #: What the expectation rests on: ``declared``, ``history``, ``cells``.
    basis: str = ""


class Resources(msgspec.Struct, frozen=True, kw_only=True):
    """What a run uses at present, all its nodes together."""

    cpu_percent: float = 0.0
    memory_bytes: int = 0
    io_wait_percent: float = 0.0
    network_bytes_per_s: float | None = None
    read_bytes_per_s: float = 0.0
    written_bytes_per_s: float = 0.0
    gpu_percent: float | None = None


class Remaining(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds to the end of the run: the likely figure, and a range for four times of five."""

    likely_s: float
    low_s: float
    high_s: float


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """All that a look at a run has found; findings are the most urgent first."""

    run_id: str
    status: str
    findings: tuple[Finding, ...] = ()
    activities: tuple[Activity, ...] = ()
    resources: Resources = Resources()
    #: Time to the end; None for a run that has ended, or of which too little is known.
    remaining: Remaining | None = None
    #: Nodes of the critical path, from first to last.
    critical_path: tuple[str, ...] = ()
