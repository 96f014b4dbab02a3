"""Who drives a run, and whether that process lives.

A lease's holder is written ``host:pid:identity``. The identity says which process of that number
is meant, in terms that no clock can change: the ticks from the machine's start to the process's,
the boot, and the namespace in which the number counts. Only a process of this very boot and
namespace can be looked at; of any other, nothing is known, and its lease has to run out.
"""

import logging
import os
import select
import signal
import socket
from pathlib import Path
from typing import NamedTuple

from nbflow.core.errors import RunHeld
from nbflow.ports import RunRow

_log = logging.getLogger(__name__)

#: How long a killed process may take to end, in seconds.
_END_S = 10.0


class _Process(NamedTuple):
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


def driver_name() -> str:
    """Return who this process is, as a lease's holder."""
    pid = os.getpid()
    return f"{socket.gethostname()}:{pid}:{_status(pid)[1]}-{_world()}"


def is_driven(row: RunRow, now: float) -> bool:
    """Whether a live driver holds the run, as far as can be known from here."""
    return row.is_held(now) and not is_dead(row.holder)


def is_dead(holder: str) -> bool:
    """Whether the driver `holder` surely lives no more: it was of this machine, and has ended."""
    process = _named(holder)
    return process is not None and process.has_ended


def end_stale_driver(row: RunRow, now: float) -> bool:
    """End the process that held a run until its lease ran out, if it is one of this machine.

    Such a process is stopped, or hangs. The epoch keeps it from writing, should it wake up; but
    it may hold the database's lock, and its attempts go on beside those of the next driver. What
    it has started ends with it.

    Parameters
    ----------
    row
        The run, as it was read before a claim.
    now
        Seconds since the epoch.

    Returns
    -------
    bool
        Whether a process was ended. It is never this one.

    Raises
    ------
    RunHeld
        If it cannot be ended: it is another user's, or does not leave the kernel.
    """
    process = _named(row.holder)
    # A lease that seems to last too long is a wrong clock's: its driver may be in good health.
    if process is None or row.lease_until > now or process.pid == os.getpid():
        return False
    try:
        # From here on, the number cannot become another process's.
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        if process.has_ended:
            return False
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        ended = select.poll()
        ended.register(handle, select.POLLIN)
        if not ended.poll(_END_S * 1000):
            raise _unended(row, process.pid, f"does not end within {_END_S:g} s of SIGKILL")
    except PermissionError as error:
        raise _unended(row, process.pid, "belongs to another user") from error
    finally:
        os.close(handle)
    _log.warning(
        "run %s: process %d held it %.0f s beyond its lease and did nothing; it has been ended",
        row.id,
        process.pid,
        now - row.lease_until,
    )
    return True


def _unended(row: RunRow, pid: int, why: str) -> RunHeld:
    return RunHeld(
        f"run {row.id} was held by process {pid} of this machine, whose lease has run out, but "
        f"which still lives and {why}. End it, then try again"
    )


def _named(holder: str) -> _Process | None:
    """Return the process that `holder` names, if it is one that can be looked at from here."""
    _, _, rest = holder.partition(":")
    pid, _, identity = rest.partition(":")
    ticks, _, world = identity.partition("-")
    if not pid.isdecimal() or world != _world():
        return None
    return _Process(int(pid), ticks)


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
