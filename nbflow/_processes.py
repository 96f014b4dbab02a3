"""Which process is meant by a number, and whether it lives.

Numbers are given anew once a process has ended. So a process is told as ``pid:identity``, in terms
that no clock can change: the ticks from the machine's start to the process's, the boot, and the
namespace in which the number counts. Only a process of this very boot and namespace can be looked
at; of any other, nothing is known.
"""

import os
from pathlib import Path
from typing import NamedTuple


class Process(NamedTuple):
    """A process of this boot and namespace; another may have its number by now."""

    pid: int
    ticks: str

    @property
    def has_ended(self) -> bool:
        """Whether nothing is left of it, but perhaps its exit code that nobody has asked for."""
        try:
            state, ticks = _status(self.pid)
        except FileNotFoundError:
            # Where /proc hides other users' processes, the question is who answers a signal.
            return not _exists(self.pid)
        return state in {"Z", "X"} or ticks != self.ticks


def told() -> str:
    """Return this process in words that `named` understands.

    Raises
    ------
    OSError
        If this system has no ``/proc``.
    """
    pid = os.getpid()
    return f"{pid}:{_status(pid)[1]}-{_world()}"


def named(text: str) -> Process | None:
    """Return the process that `text` tells of, if it is one that can be looked at from here."""
    pid, _, identity = text.partition(":")
    ticks, _, world = identity.partition("-")
    if not pid.isdecimal() or world != _world():
        return None
    return Process(int(pid), ticks)


def _world() -> str:
    """Return what tells this boot, and the space in which process numbers count, from others."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    return f"{boot[:8]}-{Path('/proc/self/ns/pid').stat().st_ino}"


def _status(pid: int) -> tuple[str, str]:
    """Return a process's state, and the ticks from the machine's start to its own."""
    text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    # ``PID (COMMAND) STATE …``, where the command may hold anything. Start is the 22nd field.
    fields = text.rpartition(")")[2].split()
    return fields[0], fields[19]


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return not isinstance(error, ProcessLookupError)
    return True
