"""Events: the past-tense facts that a run's journal holds.

Only what recovery needs is an event; logs, samples and cell progress are
telemetry. Events are few (three in the life of an undisturbed node), small
(values beyond `INLINE_LIMIT_BYTES` are artifacts) and never change: a new
meaning gets a new type, and a type whose fields change gets a new version (`journal.versions`).

`Record` is the envelope: which run, where in its sequence, when, and by which
driver's epoch. `at` is given by the driver's clock and only informs people;
order is `seq`.
"""

from typing import TypeAlias

import msgspec

from nbflow.core.fingerprints import Fingerprint
from nbflow.core.spec import FlowSpec
from nbflow.core.states import Reason, ResetKind, RunStatus
from nbflow.core.usage import UsageSum
from nbflow.core.values import Artifact, Value


class ErrorInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """The exception that ended an attempt. `cell` is the cell's index in the executed notebook."""

    type: str
    message: str
    cell: int | None = None
    traceback: str = ""


class Checkpoint(msgspec.Struct, frozen=True, omit_defaults=True):
    """From where a notebook can go on in a fresh kernel.

    Parameters
    ----------
    cell
        How many cells of the notebook, as it is run, lie before: the index of the next one.
    prefix
        Digest of the sources of those cells, and of all else that made the namespace what it is.
    namespace
        The stored variables.
    notebook
        The notebook as it was, with the outputs of those cells.
    at
        When, in seconds since the epoch.
    """

    cell: int
    prefix: str
    namespace: Artifact
    notebook: Artifact
    at: float


class RunCreated(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A run exists. `params` are all parameters of the flow, defaults included."""

    flow: FlowSpec
    params: dict[str, Value]
    #: Absolute folder of the executed notebooks.
    output_dir: str
    #: Version of nbflow that created the run.
    program: str = ""
    #: Names in `params` that were given for this run; the others are the flow's defaults.
    given: tuple[str, ...] = ()
    #: The run whose results stand for those of nodes that are the same here.
    forked_from: str = ""


class RunClaimed(msgspec.Struct, frozen=True, tag=True):
    """A driver holds the run from here on, under the record's epoch."""

    driver: str


class RunReopened(msgspec.Struct, frozen=True, tag=True):
    """Someone resumed a run that had ended, or was being cancelled."""

    driver: str


class FlowChanged(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """The run was resumed with another definition; nodes that it has lost are forgotten."""

    flow: FlowSpec
    params: dict[str, Value]
    #: What has changed, a sentence each, for people.
    changes: tuple[str, ...] = ()


class CancelRequested(msgspec.Struct, frozen=True, tag=True):
    """Someone asked for the run to stop; `by` says who or what."""

    by: str


class RunEnded(msgspec.Struct, frozen=True, tag=True):
    """No node needs anything more."""

    status: RunStatus


class AttemptScheduled(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """The attempt is about to be handed to the cluster (durable before it is)."""

    node: str
    attempt: int
    #: What the attempt is made of.
    fingerprint: Fingerprint | None = None


class CheckpointStored(msgspec.Struct, frozen=True, tag=True):
    """The namespace of a notebook is durable as it was after a cell; see `Checkpoint`."""

    node: str
    attempt: int
    checkpoint: Checkpoint


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
    #: Who said so, of an attempt in doubt; empty if its worker did.
    resolved_by: str = ""
    #: What it has used in all; None where nobody could look.
    usage: UsageSum | None = None


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
    #: As of `AttemptSucceeded`.
    resolved_by: str = ""
    usage: UsageSum | None = None


class AttemptLost(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """The attempt's outcome will never be known, or it was stopped half-way: it runs again."""

    node: str
    attempt: int
    reason: Reason
    notebook: Artifact | None = None


class AttemptInDoubt(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """What became of the attempt is not known, or it must not be repeated: a person decides."""

    node: str
    attempt: int
    reason: Reason
    #: What a repetition would be made of. Who decides that none is needed says that the attempt
    #: counts as made of that.
    fingerprint: Fingerprint | None = None


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


class NodeKept(msgspec.Struct, frozen=True, tag=True):
    """A node that was reset would be made of the very same: what it had brought stands."""

    node: str


class NodeCached(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Another run has done the very same: the node is skipped, and that result stands for it."""

    node: str
    fingerprint: Fingerprint
    #: The run that has done it, and how long its node had taken, in seconds.
    source: str
    saved_s: float
    outputs: dict[str, Value] = {}
    notebook: Artifact | None = None
    log: Artifact | None = None


class NodeReset(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """The node is to run (again) in a resumed run; `why` says for what cause.

    What it had brought is kept aside; it stands again if the node turns out to be unchanged
    when its turn comes (`NodeKept`), unless it was `forced`.
    """

    node: str
    why: str
    kind: ResetKind = "resumed"


NodeEvent: TypeAlias = (
    AttemptScheduled
    | AttemptStarted
    | CheckpointStored
    | AttemptSucceeded
    | AttemptFailed
    | AttemptLost
    | AttemptInDoubt
    | RetryScheduled
    | RetryDue
    | NodeSkipped
    | NodeCancelled
    | NodeKept
    | NodeCached
    | NodeReset
)
RunEvent: TypeAlias = (
    RunCreated | RunClaimed | RunReopened | FlowChanged | CancelRequested | RunEnded
)
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
