"""A program that ties a process to its parent: ``python leash.py SIGNAL PARENT COMMAND...``.

On Linux, it asks to be sent SIGNAL when the thread that started it ends, and then
becomes the command. The request survives `exec`, so that a kernel that is busy in compiled
code dies with its worker too, whatever killed that. It is a program and not a function
between fork and exec, because a worker has threads, and after a fork only a
process that replaces itself at once is safe. It imports as little as it can.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1
#: What shells use for a command that cannot be found or run.
_NOT_RUN = 127


def leashed(command: list[str], signal_number: int) -> list[str]:
    """Return `command` on a leash to this process; as it is where there is none.

    Run it from a thread that lives as long as it should, which is what the system watches.
    """
    if sys.platform != "linux":
        return command
    leash = [sys.executable, "-I", "-S", __file__, str(int(signal_number)), str(os.getpid())]
    return [*leash, *command]


def main(signal_number: int, parent_pid: int, command: list[str]) -> None:
    """Become `command`, unless the parent is gone already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != parent_pid:
        os._exit(_NOT_RUN)
    try:
        os.execvp(command[0], command)  # noqa: S606 - a kernel specification's own command
    except OSError as error:
        sys.stderr.write(f"cannot run {command[0]!r}: {error.strerror}\n")
        os._exit(_NOT_RUN)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
