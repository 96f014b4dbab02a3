"""Who drives a run, whether that process lives, and whether it still drives the run.

A lease's holder is written ``host:pid:identity``; `nbflow._processes` tells what the identity is
made of. Of a process of another boot or namespace nothing is known, and its lease has to run out.

A process may live on long after it has let go of a run: it is somebody's Jupyter kernel. That its
lease ran out does not tell, since it could not give the lease back if the disk was full then, or
the server away. What tells is its `Sign`.
"""

import hashlib
import logging
import os
import select
import signal
import socket
from pathlib import Path

from nbflow._processes import Process, named, told
from nbflow.core.errors import RunHeld
from nbflow.ports import RunRow

_log = logging.getLogger(__name__)

#: How long a killed process may take to end, in seconds.
_END_S = 10.0


class Sign:
    """Shows, while it is up, that this process is at work on a run.

    It is an open file in memory with a name of its own, which others see in ``/proc``. So it needs
    no room on any disk, and it ends with the process; no program that is started from here has it.

    Parameters
    ----------
    row
        The run.
    """

    def __init__(self, row: RunRow) -> None:
        self._file = os.fdopen(os.memfd_create(_sign_of(row)), "wb")

    def take_down(self) -> None:
        """Show it no more; a second call does nothing."""
        self._file.close()


def driver_name() -> str:
    """Return who this process is, as a lease's holder."""
    return f"{socket.gethostname()}:{told()}"


def is_driven(row: RunRow, now: float) -> bool:
    """Whether a live driver holds the run, as far as can be known from here."""
    return row.is_held(now) and not is_dead(row.holder)


def is_dead(holder: str) -> bool:
    """Whether the driver `holder` surely lives no more: it was of this machine, and has ended."""
    process = _named(holder)
    return process is not None and process.has_ended


def has_let_go(row: RunRow) -> bool:
    """Whether who holds the run surely does nothing for it: it lives no more, or is this process.

    Of another process that shows no sign, it is not sure: an older nbflow knows none.
    """
    if row.holder == driver_name():
        return not _shows_sign(os.getpid(), row)
    return is_dead(row.holder)


def end_stale_driver(row: RunRow, now: float) -> bool:
    """End the process that drives a run beyond its lease, if it is one of this machine.

    Such a process is stopped, or hangs. The epoch keeps it from writing, should it wake up; but
    it may hold the database's lock, and its attempts go on beside those of the next driver. What
    it has started ends with it. A process that shows no sign of the run does something else.

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
        if process.has_ended or not _shows_sign(process.pid, row):
            return False
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        ended = select.poll()
        ended.register(handle, select.POLLIN)
        if not ended.poll(_END_S * 1000):
            raise _unended(row, process.pid, f"does not end within {_END_S:g} s of SIGKILL")
    except ProcessLookupError:
        return False
    except PermissionError as error:
        # What is left of a process that has just ended is the system's own.
        if process.has_ended:
            return False
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


def _named(holder: str) -> Process | None:
    """Return the process that `holder` names, if it is one that can be looked at from here."""
    return named(holder.partition(":")[2])


def _sign_of(row: RunRow) -> str:
    """Return the name of the file that is the run's sign.

    The id alone may be that of a run in another home, which the same process drives; and names of
    such files are short.
    """
    identity = f"{row.id} {row.created_at!r}"
    return f"nbflow-run-{hashlib.sha256(identity.encode()).hexdigest()[:32]}"


def _shows_sign(pid: int, row: RunRow) -> bool:
    """Whether process `pid` is at work on the run; `PermissionError` if it is another user's."""
    wanted = f"/memfd:{_sign_of(row)} (deleted)"
    try:
        links = list(Path(f"/proc/{pid}/fd").iterdir())
    except FileNotFoundError:  # it has just ended
        return False
    return any(_leads_to(link, wanted) for link in links)


def _leads_to(link: Path, wanted: str) -> bool:
    try:
        return str(link.readlink()) == wanted
    except FileNotFoundError:  # closed since it was listed
        return False
