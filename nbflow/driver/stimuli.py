"""What a driver reacts to, besides the cluster's reports."""

from typing import TypeAlias

import msgspec

from nbflow.core.attempts import Report
from nbflow.core.decisions import Decision
from nbflow.core.ids import AttemptId


class RetryTimer(msgspec.Struct, frozen=True):
    """The delay of a node's retry has passed."""

    node: str
    attempt: int


class CancelAsked(msgspec.Struct, frozen=True):
    """Someone wants the run cancelled. `signal` is the journal's request, if it came that way."""

    by: str
    signal: int | None = None


class Decided(msgspec.Struct, frozen=True):
    """Someone has decided about a node in doubt. `signal` as of `CancelAsked`."""

    decision: Decision
    signal: int | None = None


class StopAsked(msgspec.Struct, frozen=True):
    """The driver is to let go of the run, which stays resumable."""

    why: str


class StopOverdue(msgspec.Struct, frozen=True):
    """Attempts were asked to stop a while ago; those that still run are given up."""

    attempts: tuple[AttemptId, ...]


class LeaseLost(msgspec.Struct, frozen=True):
    """The lease is kept no more: another driver has it, or the journal cannot be reached, say."""

    error: Exception


Stimulus: TypeAlias = (
    Report | RetryTimer | CancelAsked | Decided | StopAsked | StopOverdue | LeaseLost
)
