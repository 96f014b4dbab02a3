"""What can go wrong with a kernel, and how a process's end reads in words."""

import signal
from collections.abc import Iterable

from nbflow.core.errors import NbflowError


class NoSuchKernel(NbflowError):
    """No kernel of this name is installed here."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        installed = ", ".join(sorted(known)) or "none"
        super().__init__(
            f"there is no kernel {name!r} in the worker's environment (installed: {installed}). "
            f"Install it there, or name another one with `kernel=`"
        )


class NoSuchPython(NoSuchKernel):
    """There is no interpreter at a node's `python` here."""

    def __init__(self, python: str) -> None:
        NbflowError.__init__(
            self,
            f"there is no Python interpreter at {python} on the worker. Let `python=` name one, or "
            f"the folder of an environment, that has ipykernel",
        )


class UnusableKernel(NbflowError):
    """A kernel is installed here, but its specification cannot be used."""

    def __init__(self, name: str, folder: str, what: str) -> None:
        super().__init__(
            f"the specification of the kernel {name!r} in the worker's environment cannot be used: "
            f"{folder}/kernel.json {what}. Install the kernel again, or name another one with "
            f"`kernel=`"
        )


class KernelStartFailed(NbflowError):
    """A kernel's process did not come up. `timed_out` tells slowness from failure.

    `log` is what the process wrote; None if there was none.
    """

    def __init__(self, name: str, what: str, log: str | None, *, timed_out: bool = False) -> None:
        self.timed_out = timed_out
        if log is None:
            said = ""
        else:
            said = f". The last lines that it wrote:\n{log}" if log else ", and wrote nothing"
        super().__init__(f"kernel {name!r} could not start: {what}{said}")


class KernelDied(NbflowError):
    """A kernel's process ended while it was needed; `status` is its exit code or minus a signal.

    `note` is the truth behind the exit code, where there is more to it.
    """

    def __init__(self, exit_code: int | None, log: str = "", *, note: str = "") -> None:
        self.status = exit_code
        how = f"ended because {note}" if note else describe_exit(exit_code)
        said = f". The last lines that it wrote:\n{log}" if log else ""
        super().__init__(f"the kernel {how}{said}")


class EvaluationFailed(NbflowError):
    """An expression that nbflow itself evaluated in a kernel raised an error."""


#: What usually stands behind a signal, for people.
_CAUSES = {
    signal.SIGKILL: "often the system, when memory ran out",
    signal.SIGSEGV: "a crash in compiled code",
    signal.SIGABRT: "compiled code gave up",
    signal.SIGBUS: "a crash in compiled code, or a full shared-memory file system",
    signal.SIGTERM: "someone asked it to end",
}


def describe_exit(exit_code: int | None) -> str:
    """Return how a process ended, in words that follow "the kernel"."""
    if exit_code is None:
        return "does not answer any more"
    if exit_code >= 0:
        return f"exited with code {exit_code}"
    try:
        number = signal.Signals(-exit_code)
    except ValueError:
        return f"was killed by signal {-exit_code}"
    cause = _CAUSES.get(number)
    return f"was killed by signal {-exit_code} ({number.name}{f': {cause}' if cause else ''})"
