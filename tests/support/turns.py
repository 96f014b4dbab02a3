"""Turns: of the processes that share a run's tests, one at a time may have the machine for itself.

A test takes a turn, which is a shared lock on a file of the run; one that needs to be alone takes
it exclusively. In front of the lock is a gate, where who waits for the others keeps those that come
later: of tests that follow one another in several processes, some would always hold the lock.

The locks are the system's, which takes them back from a process that ends, however.
"""

import fcntl
import os
from pathlib import Path


class Turns:
    """The turns of one process; `folder` is common to all that share the run."""

    def __init__(self, folder: Path) -> None:
        self._gate, self._lock = (
            os.open(folder / name, os.O_RDWR | os.O_CREAT) for name in ("gate", "turns")
        )
        self._taken = False

    def take(self, *, alone: bool) -> None:
        """Wait for a turn, which ends with `give`; one that goes on is kept as it is."""
        if self._taken:
            return
        fcntl.flock(self._gate, fcntl.LOCK_EX)
        fcntl.flock(self._lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(self._gate, fcntl.LOCK_UN)
        self._taken = True

    def give(self) -> None:
        """End the turn."""
        fcntl.flock(self._lock, fcntl.LOCK_UN)
        self._taken = False

    def close(self) -> None:
        """Take no more turns."""
        os.close(self._gate)
        os.close(self._lock)
