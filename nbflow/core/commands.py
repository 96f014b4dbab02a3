"""Commands: the imperatives that a driver performs, each by recording one event or more.

A command says what the state owed when it was issued. It is given at least
once, and a later event can take it back (a cancel calls off a start), so that a
driver asks `machine.still_owed` before it performs one that has waited.
"""

from typing import TypeAlias

import msgspec

from nbflow.core.states import Reason, RunStatus


class StartAttempt(msgspec.Struct, frozen=True):
    """Schedule the attempt as soon as the limits allow, then hand it to the cluster."""

    node: str
    attempt: int


class CancelAttempt(msgspec.Struct, frozen=True):
    """Stop an attempt that is with the cluster."""

    node: str
    attempt: int


class CancelNode(msgspec.Struct, frozen=True):
    """Record that a node that is not with the cluster is cancelled."""

    node: str


class SkipNode(msgspec.Struct, frozen=True):
    """Record that a node cannot run."""

    node: str
    reason: Reason


class ScheduleRetry(msgspec.Struct, frozen=True):
    """Record when the next attempt of a failed node is due."""

    node: str
    attempt: int
    failures: int


class WaitForRetry(msgspec.Struct, frozen=True):
    """Set a timer, and record `RetryDue` when it fires."""

    node: str
    attempt: int
    due_at: float


class EndRun(msgspec.Struct, frozen=True):
    """Record that the run has ended."""

    status: RunStatus


NodeCommand: TypeAlias = (
    StartAttempt | CancelAttempt | CancelNode | SkipNode | ScheduleRetry | WaitForRetry
)
Command: TypeAlias = NodeCommand | EndRun
