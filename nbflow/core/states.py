"""The states of a node run and of a run, and the one table that changes them.

Everything that reads or draws state transitions (the machine, the diagram in
ARCHITECTURE.md, the tests) uses these two tables. A trigger is the name of a
journaled event, or one of the two that are not facts of their own but follow
from others: `UNBLOCKED` (the last node that a node waits for has let it pass)
and `BLOCKED` (one of those is to run again).
"""

from enum import StrEnum
from typing import Literal, TypeAlias

import msgspec


class NodeState(StrEnum):
    """Where a node run stands."""

    #: Waits for other nodes.
    WAITING = "waiting"
    #: May start; waits for a place under the flow's limits.
    READY = "ready"
    #: Handed to the cluster; no worker has announced it yet.
    QUEUED = "queued"
    #: A worker has announced it.
    RUNNING = "running"
    #: Failed, and waits for its next attempt.
    BACKING_OFF = "backing_off"
    #: Must not begin again before a person has decided what became of its last attempt.
    IN_DOUBT = "in_doubt"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


class RunStatus(StrEnum):
    """Where a run stands."""

    SUBMITTED = "submitted"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    #: Never journaled: it is running, but no live driver holds its lease.
    INTERRUPTED = "interrupted"


#: States in which a node run needs nothing more.
ENDED = frozenset({NodeState.SUCCEEDED, NodeState.FAILED, NodeState.CANCELLED, NodeState.SKIPPED})
#: States in which an attempt is with the cluster.
IN_FLIGHT = frozenset({NodeState.QUEUED, NodeState.RUNNING})

#: Statuses in which a run needs nothing more.
RUN_ENDED = frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED})

#: The triggers that are consequences, not events.
UNBLOCKED = "Unblocked"
BLOCKED = "Blocked"

#: state -> trigger -> next state. What is not here is illegal.
NODE_TRANSITIONS: dict[NodeState, dict[str, NodeState]] = {
    NodeState.WAITING: {
        UNBLOCKED: NodeState.READY,
        # Somebody wants it to run when its turn comes, whatever it had brought before.
        "NodeReset": NodeState.WAITING,
        "NodeSkipped": NodeState.SKIPPED,
        "NodeCancelled": NodeState.CANCELLED,
    },
    NodeState.READY: {
        # A node that it waited for is to run again, in a resumed run.
        BLOCKED: NodeState.WAITING,
        "NodeReset": NodeState.WAITING,
        "AttemptScheduled": NodeState.QUEUED,
        # What it would do was done already: earlier in this run, or in another one.
        "NodeKept": NodeState.SUCCEEDED,
        "NodeCached": NodeState.SKIPPED,
        "AttemptInDoubt": NodeState.IN_DOUBT,
        "NodeCancelled": NodeState.CANCELLED,
    },
    NodeState.QUEUED: {
        "AttemptStarted": NodeState.RUNNING,
        # An announcement can be lost with its worker, or overtaken by a result found on resume.
        "AttemptSucceeded": NodeState.SUCCEEDED,
        "AttemptFailed": NodeState.FAILED,
        "AttemptLost": NodeState.READY,
        "AttemptInDoubt": NodeState.IN_DOUBT,
        "NodeCancelled": NodeState.CANCELLED,
    },
    NodeState.RUNNING: {
        "CheckpointStored": NodeState.RUNNING,
        "AttemptSucceeded": NodeState.SUCCEEDED,
        "AttemptFailed": NodeState.FAILED,
        "AttemptLost": NodeState.READY,
        "AttemptInDoubt": NodeState.IN_DOUBT,
        "NodeCancelled": NodeState.CANCELLED,
    },
    NodeState.IN_DOUBT: {
        # The missing outcome, as a person supplies it; `AttemptLost` lets it begin again.
        "AttemptSucceeded": NodeState.SUCCEEDED,
        "AttemptFailed": NodeState.FAILED,
        "AttemptLost": NodeState.READY,
        "NodeCancelled": NodeState.CANCELLED,
    },
    NodeState.BACKING_OFF: {
        "RetryDue": NodeState.READY,
        "NodeReset": NodeState.WAITING,
        "NodeCancelled": NodeState.CANCELLED,
    },
    NodeState.SUCCEEDED: {"NodeReset": NodeState.WAITING},
    NodeState.FAILED: {
        # These two only while it has tries left; after that only a reset helps.
        "RetryScheduled": NodeState.BACKING_OFF,
        "NodeCancelled": NodeState.CANCELLED,
        "NodeReset": NodeState.WAITING,
    },
    NodeState.CANCELLED: {"NodeReset": NodeState.WAITING},
    NodeState.SKIPPED: {"NodeReset": NodeState.WAITING},
}

#: status -> event -> next status. `RunEnded` names its own target, so the table gives a set.
RUN_TRANSITIONS: dict[RunStatus, dict[str, frozenset[RunStatus]]] = {
    RunStatus.SUBMITTED: {"RunClaimed": frozenset({RunStatus.RUNNING})},
    RunStatus.RUNNING: {
        "RunClaimed": frozenset({RunStatus.RUNNING}),
        "FlowChanged": frozenset({RunStatus.RUNNING}),
        "CancelRequested": frozenset({RunStatus.CANCELLING}),
        "RunEnded": frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED}),
    },
    RunStatus.CANCELLING: {
        "RunClaimed": frozenset({RunStatus.CANCELLING}),
        "RunEnded": frozenset({RunStatus.CANCELLED}),
        "RunReopened": frozenset({RunStatus.RUNNING}),
    },
    RunStatus.SUCCEEDED: {"RunReopened": frozenset({RunStatus.RUNNING})},
    RunStatus.FAILED: {"RunReopened": frozenset({RunStatus.RUNNING})},
    RunStatus.CANCELLED: {"RunReopened": frozenset({RunStatus.RUNNING})},
}

SkipKind: TypeAlias = Literal["cached", "route_not_taken", "upstream_failed"]
FailureKind: TypeAlias = Literal[
    "error",
    "kernel_died",
    "timed_out",
    "out_of_memory",
    "worker_lost",
    "invalid_input",
    "lost_lease",
    "conflict",
]
LossKind: TypeAlias = Literal[
    "worker_lost",
    "scheduler_lost",
    "driver_lost",
    "interrupted",
    "not_begun",
    "needs_decision",
    "resolved",
]
#: Why a node is to run again: a part of it that has changed, or a wish.
ResetKind: TypeAlias = Literal[
    "resumed", "code", "environment", "file", "parameter", "upstream", "forced"
]


class Reason(msgspec.Struct, frozen=True):
    """Why a node is where it is: a kind for programs, a message for people."""

    kind: SkipKind | FailureKind | LossKind
    message: str


#: Failures that another attempt cannot mend: they depend on the definition alone.
NOT_RETRIED: frozenset[str] = frozenset({"invalid_input", "conflict"})
