"""Events: the past-tense facts that a run's journal holds.

Only what recovery needs is an event; logs, samples and cell progress are
telemetry. Events are few (three in the life of an undisturbed node), small
(values beyond `INLINE_LIMIT_BYTES` are artifacts) and never change: a new
meaning gets a new type, and `VERSION` rises when a field does.

`Record` is the envelope: which run, where in its sequence, when, and by which
driver's epoch. `at` is given by the driver's clock and only informs people;
order is `seq`.
"""

from typing import TypeAlias

import msgspec

from nbflow.core.spec import FlowSpec
from nbflow.core.states import Reason, RunStatus
from nbflow.core.values import Artifact, Value

#: Version of the event bodies, stored with each.
VERSION = 1


class ErrorInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """The exception that ended an attempt. `cell` is the cell's index in the executed notebook."""

    type: str
    message: str
    cell: int | None = None
    traceback: str = ""


class RunCreated(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A run exists. `params` are all parameters of the flow, defaults included."""

    flow: FlowSpec
    params: dict[str, Value]
    #: Absolute folder of the executed notebooks.
    output_dir: str
    #: Version of nbflow that created the run.
    program: str = ""


class RunClaimed(msgspec.Struct, frozen=True, tag=True):
    """A driver holds the run from here on, under the record's epoch."""

    driver: str


class RunReopened(msgspec.Struct, frozen=True, tag=True):
    """Someone resumed a run that had ended, or was being cancelled."""

    driver: str


class CancelRequested(msgspec.Struct, frozen=True, tag=True):
    """Someone asked for the run to stop; `by` says who or what."""

    by: str


class RunEnded(msgspec.Struct, frozen=True, tag=True):
    """No node needs anything more."""

    status: RunStatus


class AttemptScheduled(msgspec.Struct, frozen=True, tag=True):
    """The attempt is about to be handed to the cluster (durable before it is)."""

    node: str
    attempt: int


class AttemptStarted(msgspec.Struct, frozen=True, tag=True):
    """A worker announced that it begins the attempt."""

    node: str
    attempt: int
    worker: str
    started_at: float


class AttemptSucceeded(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """The attempt ended well; its outputs and executed notebook are durable."""

    node: str
    attempt: int
    started_at: float
    ended_at: float
    outputs: dict[str, Value] = {}
    notebook: Artifact | None = None
    log: Artifact | None = None


class AttemptFailed(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """The attempt ended badly. What it had produced by then is kept."""

    node: str
    attempt: int
    reason: Reason
    started_at: float | None = None
    ended_at: float | None = None
    error: ErrorInfo | None = None
    outputs: dict[str, Value] = {}
    notebook: Artifact | None = None
    log: Artifact | None = None


class AttemptLost(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """The attempt's outcome will never be known, or it was stopped half-way: it runs again."""

    node: str
    attempt: int
    reason: Reason
    notebook: Artifact | None = None


class RetryScheduled(msgspec.Struct, frozen=True, tag=True):
    """After a failure, the next attempt may start at `due_at` (seconds since the epoch)."""

    node: str
    attempt: int
    due_at: float


class RetryDue(msgspec.Struct, frozen=True, tag=True):
    """The delay of a retry has passed."""

    node: str
    attempt: int


class NodeSkipped(msgspec.Struct, frozen=True, tag=True):
    """The node will not run in this run."""

    node: str
    reason: Reason


class NodeCancelled(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """The node was stopped, or never started, because the run was cancelled."""

    node: str
    attempt: int = 0
    notebook: Artifact | None = None


class NodeReset(msgspec.Struct, frozen=True, tag=True):
    """The node is to run (again) in a resumed run; `why` says for what cause."""

    node: str
    why: str


NodeEvent: TypeAlias = (
    AttemptScheduled
    | AttemptStarted
    | AttemptSucceeded
    | AttemptFailed
    | AttemptLost
    | RetryScheduled
    | RetryDue
    | NodeSkipped
    | NodeCancelled
    | NodeReset
)
RunEvent: TypeAlias = RunCreated | RunClaimed | RunReopened | CancelRequested | RunEnded
Event: TypeAlias = RunEvent | NodeEvent


class Record(msgspec.Struct, frozen=True):
    """One event in its envelope. `seq` counts from 1 without gaps within a run."""

    run: str
    seq: int
    epoch: int
    at: float
    event: Event

    @property
    def type(self) -> str:
        """The event's name."""
        return type(self.event).__name__

    @property
    def node(self) -> str | None:
        """The node that the event is about, if any."""
        return getattr(self.event, "node", None)

    @property
    def attempt(self) -> int | None:
        """The attempt that the event is about, if any."""
        return getattr(self.event, "attempt", None) or None
