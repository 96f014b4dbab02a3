"""Failures of notebooks that no cell is to blame for."""

from collections.abc import Sequence

from nbflow.core.errors import NbflowError
from nbflow.core.events import ErrorInfo
from nbflow.core.states import FailureKind, Reason
from nbflow.notebooks.errors import OutputProblem
from nbflow.notebooks.execution import Failure


def refused(kind: FailureKind, error: NbflowError) -> Failure:
    """Return the failure of what cannot begin."""
    return Failure(Reason(kind, str(error)), ErrorInfo(type(error).__name__, str(error)))


def unprinted(problem: str) -> Failure | None:
    """Return the failure to which a `problem` of printing leads; None if there is none."""
    return Failure(Reason("error", problem), ErrorInfo("OSError", problem)) if problem else None


def unkept(problems: Sequence[OutputProblem]) -> Failure | None:
    """Return the failure to which outputs lead that cannot be kept; None if all can."""
    if not problems:
        return None
    message = "; ".join(str(problem) for problem in problems)
    return Failure(Reason("error", message), ErrorInfo(problems[0].kind, message))
