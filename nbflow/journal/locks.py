"""Who holds SQLite's write lock, for the message to somebody who waits for it.

A program that was stopped in the middle of a write (Ctrl-Z, a debugger, a frozen container)
keeps its lock for as long as it stays so. The kernel knows its number.
"""

import os
import re
from pathlib import Path
from typing import NamedTuple

#: The first bytes of the ranges that SQLite locks to write: of ``-shm`` in WAL mode, and of the
#: file itself without.
_WAL_WRITE_LOCK = 120
_RESERVED_LOCK = 0x40000001

_LOCK = re.compile(
    r"\d+: (?:POSIX|OFDLCK) +\w+ +WRITE (-?\d+) (\w+):(\w+):(\d+) (\d+) (\d+|EOF)", re.ASCII
)


_INODE = re.compile(r" \w+:\w+:(\d+) ", re.ASCII)


class Holder(NamedTuple):
    """The process that holds the lock. `stopped` if it cannot go on by itself."""

    pid: int
    command: str
    stopped: bool

    def __str__(self) -> str:
        if not self.pid:
            return "a process of another container"
        state = ", which is stopped" if self.stopped else ""
        return f"process {self.pid} ({self.command}){state}"

    @property
    def way_out(self) -> str:
        """What can be done about it."""
        if not self.pid:
            return "End it, then try again; nothing that was recorded is lost"
        if self.stopped:
            return (
                f"Let it go on (`kill -CONT {self.pid}`), or end it (`kill -KILL {self.pid}`), "
                "then try again; nothing that was recorded is lost"
            )
        return "Wait for it, or end it, then try again; nothing that was recorded is lost"


def holder_of(path: Path) -> Holder | None:
    """Return who holds the write lock of the database `path`, as far as this process may know."""
    index = path.with_name(path.name + "-shm")
    for file, start in ((index, _WAL_WRITE_LOCK), (path, _RESERVED_LOCK)):
        try:
            status = file.stat()
            table = Path("/proc/locks").read_text()
        except OSError:
            continue
        pid = _locker(table, status, start)
        if pid is not None and pid != os.getpid():
            return _described(pid)
    return None


def is_open(path: Path) -> bool:
    """Whether some process has the database `path` open, as far as this process may know.

    In WAL mode, each that has holds a lock on a byte of ``-shm``.
    """
    try:
        inode = path.with_name(path.name + "-shm").stat().st_ino
        table = Path("/proc/locks").read_text()
    except OSError:
        return False
    return any(int(found) == inode for found in _INODE.findall(table))


def _locker(table: str, status: os.stat_result, start: int) -> int | None:
    """Return the process that has locked the byte `start` of a file, in ``/proc/locks``."""
    device = (os.major(status.st_dev), os.minor(status.st_dev))
    for pid, major, minor, inode, first, last in _LOCK.findall(table):
        if (
            int(inode) == status.st_ino
            and (int(major, 16), int(minor, 16)) == device
            and int(first) <= start
            and (last == "EOF" or start <= int(last))
        ):
            return max(0, int(pid))
    return None


def _described(pid: int) -> Holder:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return Holder(pid, "ended by now", stopped=False)
    # ``PID (COMMAND) STATE …``, where the command may hold anything.
    command, _, rest = text.partition("(")[2].rpartition(")")
    return Holder(pid, command, stopped=rest.split()[0] in {"T", "t"})
