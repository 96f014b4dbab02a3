"""A disk under an artifact store, which fails when it is told to.

For instance::

    disk = FaultyDisk(Fault("rename", nth=2, error=errno.ENOSPC))
    store = FileStore.open(folder, disk=disk)

As a program steps through its writes in the same order each time, the fault can be moved through
all of them: first have it done undisturbed, then once for each number up to `FaultyDisk.count`.
"""

import os
import signal
import threading
from collections import Counter
from pathlib import Path

import msgspec

from nbflow.artifacts.files import Disk, Step


class Fault(msgspec.Struct, frozen=True):
    """What goes wrong instead of a step.

    Parameters
    ----------
    step
        Which kind of step; None counts all kinds together.
    nth
        Which of them, from 1.
    error
        The number of the `OSError`, such as `errno.ENOSPC`. None kills the process.
    lasting
        Whether all later ones fail, too.
    """

    step: Step | None
    nth: int = 1
    error: int | None = None
    lasting: bool = False


class FaultyDisk(Disk):
    """A disk with faults. Thread-safe.

    Parameters
    ----------
    faults
        When it fails, and how.
    """

    def __init__(self, *faults: Fault) -> None:
        self._faults = faults
        self._lock = threading.Lock()
        self._counts: Counter[Step | None] = Counter()

    def count(self, step: Step | None = None) -> int:
        """Return how many steps of a kind, or of all, have been begun."""
        return self._counts[step]

    def before(self, step: Step, path: Path) -> None:
        """Let the step pass, or let it fail."""
        with self._lock:
            self._counts[step] += 1
            self._counts[None] += 1
            due = next(filter(self._is_due, self._of(step)), None)
        if due is None:
            return
        if due.error is None:
            os.kill(os.getpid(), signal.SIGKILL)
        assert due.error is not None
        raise OSError(due.error, os.strerror(due.error), str(path))

    def _of(self, step: Step) -> list[Fault]:
        return [fault for fault in self._faults if fault.step in (None, step)]

    def _is_due(self, fault: Fault) -> bool:
        count = self._counts[fault.step]
        return count == fault.nth or (fault.lasting and count > fault.nth)
