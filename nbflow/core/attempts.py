"""What crosses the wire between a driver and a worker: one attempt, and how it ended.

An `AttemptTask` is complete in itself: with it and the artifact store, any
worker can perform the attempt. Where a worker does not share the store, the bytes travel
along in `carried`, in both directions, keyed by digest.
"""

from typing import Literal, TypeAlias

import msgspec

from nbflow.core.events import Checkpoint, ErrorInfo
from nbflow.core.ids import AttemptId, without_credentials
from nbflow.core.policies import OutputLimit, Timeout
from nbflow.core.spec import Code
from nbflow.core.stacks import Stack
from nbflow.core.stage_results import StageResult
from nbflow.core.states import LossKind, Reason
from nbflow.core.usage import Usage, UsageSum
from nbflow.core.values import Artifact, Value


class StoreRef(msgspec.Struct, frozen=True):
    """Where the artifact store is, and the mark by which a worker knows it is the same one."""

    url: str
    mark: str

    @property
    def shown(self) -> str:
        """The address for messages, without user and password."""
        return without_credentials(self.url)


class AttemptTask(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One attempt, ready to be performed."""

    id: AttemptId
    code: Code
    params: dict[str, Value]
    #: Outputs that someone asked for; emitted ones are kept besides.
    outputs: tuple[str, ...] = ()
    timeout: Timeout = Timeout()
    memory_bytes: int | None = None
    output_limit: OutputLimit = OutputLimit()
    cpus: int | None = None
    nice: int = 0
    start_timeout_s: float = 60.0
    #: Modules that a warm kernel should have loaded.
    preload: tuple[str, ...] = ()
    priority: int = 0
    resources: dict[str, float] = {}
    store: StoreRef
    #: Bytes of artifacts that the worker needs and cannot read from the store itself.
    carried: dict[str, bytes] = {}
    #: Where the worker saves the notebook while it runs, if it can reach that folder.
    notebook_path: str | None = None
    #: From where the notebook may go on, if that is assured to be right.
    checkpoint: Checkpoint | None = None
    #: Seconds after which the namespace is stored again; see `Policy.checkpoint_s`.
    checkpoint_s: float | None = None
    #: The flow's name, for dashboards.
    flow: str = ""
    #: The W3C trace context of the attempt's span; empty where nobody traces.
    traceparent: str = ""
    #: How the stages of the notebook have ended that come before, by node.
    stages: dict[str, StageResult] = {}
    #: Its node is declared at most once: the attempt has a fence on every cluster, never goes by
    #: lane, and leaves a receipt whatever it brings.
    careful: bool = False
    #: Whether somebody listens to what the cells print, so that `Printed` is worth reporting.
    heard: bool = False


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an attempt ended. All artifacts that it names are durable (or carried)."""

    id: AttemptId
    status: Literal["succeeded", "failed", "stopped"]
    started_at: float
    ended_at: float
    outputs: dict[str, Value] = {}
    notebook: Artifact | None = None
    log: Artifact | None = None
    reason: Reason | None = None
    error: ErrorInfo | None = None
    #: What it has used in all; None if nobody could look.
    usage: UsageSum | None = None
    carried: dict[str, bytes] = {}


def stopped_unbegun(attempt: AttemptId, now_s: float) -> Outcome:
    """Return the outcome of an attempt that was stopped before anything of its node had run.

    Only for who knows that, and that nothing ever will.
    """
    reason = Reason("not_begun", "stopped before it had begun")
    return Outcome(id=attempt, status="stopped", started_at=now_s, ended_at=now_s, reason=reason)


def failed_unbegun(attempt: AttemptId, now_s: float, reason: Reason) -> Outcome:
    """Return the outcome of an attempt that cannot begin, for `reason`."""
    return Outcome(id=attempt, status="failed", started_at=now_s, ended_at=now_s, reason=reason)


class Started(msgspec.Struct, frozen=True, tag=True):
    """A worker begins the attempt."""

    id: AttemptId
    worker: str
    started_at: float


class Ended(msgspec.Struct, frozen=True, tag=True):
    """A worker has ended the attempt."""

    outcome: Outcome


class Checkpointed(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A worker has stored the namespace of a notebook; `carried` are its bytes, if not shared."""

    id: AttemptId
    checkpoint: Checkpoint
    carried: dict[str, bytes] = {}


class Lost(msgspec.Struct, frozen=True, tag=True):
    """The cluster has lost the attempt: nobody will report its end."""

    id: AttemptId
    message: str
    #: Only a lost worker may be the node's own doing.
    kind: LossKind = "worker_lost"


class Progress(msgspec.Struct, frozen=True, tag=True):
    """Telemetry: `done` of `total` code cells have run, and `cell` (index among all) runs now."""

    id: AttemptId
    done: int
    total: int
    cell: int | None = None
    #: First line of the cell, or what the notebook says through `papermill_description`.
    description: str = ""


class Printed(msgspec.Struct, frozen=True, tag=True):
    """Telemetry: what the cell with index `cell` has printed, for who watches; may be cut.

    A function has no cells; its index is -1.
    """

    id: AttemptId
    cell: int
    #: A ``result`` is the plain text of a value or a display.
    stream: Literal["stdout", "stderr", "result"]
    text: str
    #: When, in seconds since the epoch; 0 where nobody has noted it.
    at: float = 0.0


class Sampled(msgspec.Struct, frozen=True, tag=True):
    """Telemetry: what the attempt uses now. About once a second."""

    id: AttemptId
    usage: Usage


class KernelPool(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a worker's pool of warm kernels holds, and what it has done so far."""

    #: Kernels that wait to be used.
    idle: int = 0
    #: Starts so far: with a kernel that was ready, forked when it was wanted, without the pool.
    ready: int = 0
    forked: int = 0
    ordinary: int = 0


class WorkerState(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A worker as the cluster sees it."""

    address: str
    name: str = ""
    host: str = ""
    threads: int = 0
    #: Tasks that it has begun or holds ready.
    tasks: int = 0
    cpu_percent: float = 0.0
    memory_bytes: int = 0
    #: What it may use; 0 is no limit.
    memory_limit_bytes: int = 0
    spilled_bytes: int = 0
    resources: dict[str, float] = {}
    #: Address of its own page of the dashboard; empty if there is none.
    dashboard: str = ""
    #: Seconds since it was heard of.
    silent_s: float = 0.0
    #: Whether it takes no new tasks (paused for memory, closing).
    paused: bool = False
    #: None where it has no kernels, or does not tell.
    kernels: KernelPool | None = None


class Workers(msgspec.Struct, frozen=True, tag=True):
    """Telemetry: all workers of the cluster. Every few seconds, and when one comes or goes."""

    #: Seconds since the epoch.
    at: float
    workers: tuple[WorkerState, ...]


class WorkerNote(msgspec.Struct, frozen=True, tag=True):
    """Something about the cluster that a person should know; no attempt depends on it."""

    message: str


class ClusterGone(msgspec.Struct, frozen=True, tag=True):
    """The cluster will not run anything any more."""

    message: str


Report: TypeAlias = (
    Started
    | Checkpointed
    | Ended
    | Lost
    | Progress
    | Printed
    | Sampled
    | Stack
    | Workers
    | WorkerNote
    | ClusterGone
)
