"""The errors that users meet. Each says what, where, and what to do next.

Every error that a front door shows without a traceback derives from
`NbflowError` and carries the exit code of the command line.
"""

from collections.abc import Iterable

import msgspec


class NbflowError(Exception):
    """Base of all errors that nbflow raises on purpose."""

    #: Exit code of the command line when this error ends it.
    exit_code = 2


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One fault of a definition.

    Parameters
    ----------
    place
        Where: ``flow.yaml:6``, a notebook's path, or the flow's name.
    what
        What is wrong, in one sentence without a full stop.
    fix
        What to do about it.
    node
        The node that it concerns, if any.
    severity
        An ``error`` stops the flow before it starts; a ``warning`` does not.
    """

    place: str
    what: str
    fix: str = ""
    node: str | None = None
    severity: str = "error"

    def __str__(self) -> str:
        node = f"node {self.node!r}: " if self.node else ""
        fix = f". {self.fix}" if self.fix else ""
        return f"{self.place}: {node}{self.what}{fix}"


class DefinitionError(NbflowError):
    """A flow is not fit to run. `problems` has every fault that was found, not only the first."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class RunFailed(NbflowError):
    """A run ended, and at least one node failed. `run` is its handle."""

    exit_code = 1

    def __init__(self, message: str, run: object = None) -> None:
        super().__init__(message)
        self.run = run


class RunCancelled(NbflowError):
    """A run was cancelled or interrupted; it can be resumed."""

    exit_code = 130

    def __init__(self, message: str, run: object = None) -> None:
        super().__init__(message)
        self.run = run


class RunInterrupted(NbflowError):
    """The driver could not go on; what is recorded is intact, and the run can be resumed.

    Its ``__cause__`` is the error that stopped the driver, its ``run`` the handle.
    """

    exit_code = 130

    def __init__(self, message: str, run: object = None) -> None:
        super().__init__(message)
        self.run = run


class OutputFolderError(NbflowError):
    """The folder of the executed notebooks cannot be written. Nothing was run."""


class NotDelivered(NbflowError):
    """A run has ended, but what it made could not be written to where it was to go."""

    exit_code = 74


class UnknownRun(NbflowError):
    """There is no such run in this home."""


class RunExists(NbflowError):
    """A run of this id exists already."""


class RunHeld(NbflowError):
    """Another driver holds the run."""

    exit_code = 3


class LostLease(NbflowError):
    """The driver's epoch is no longer the run's: another one has taken over."""

    exit_code = 3


class ClusterError(NbflowError):
    """The cluster cannot be reached, or its workers cannot run nbflow."""


class JournalError(NbflowError):
    """The journal cannot be read or written."""


class NewerSchema(JournalError):
    """The journal was written by a newer nbflow than this one."""


class ArtifactError(NbflowError):
    """An artifact is missing, damaged, or cannot be stored."""
