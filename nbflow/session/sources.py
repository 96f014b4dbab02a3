"""Where a handle's picture of its run comes from: this process, or the journal.

Both give a `RunView` at any moment, from any thread, and let a thread wait for a change.
"""

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from nbflow.core import machine
from nbflow.core.states import RUN_ENDED
from nbflow.core.view import RunView
from nbflow.session.home import is_driven

if TYPE_CHECKING:
    from nbflow.journal import SqlJournal

#: How often a run that another process drives is looked at, in seconds.
POLL_S = 0.2


class Source(Protocol):
    """A run that can be watched."""

    def view(self) -> RunView:
        """Return the run as it stands."""

    def wait_changed(self, timeout_s: float) -> bool:
        """Wait until the run may look different; False if the time passed without that."""


class Change:
    """Wakes the threads that watch a run. One signal may stand for many changes."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._count = 0
        self._seen = threading.local()

    def notify(self) -> None:
        """Say that something has changed."""
        with self._condition:
            self._count += 1
            self._condition.notify_all()

    def wait(self, timeout_s: float) -> bool:
        """Wait for a change that this thread has not seen yet."""
        with self._condition:
            seen = getattr(self._seen, "count", -1)
            changed = self._condition.wait_for(lambda: self._count != seen, timeout_s)
            self._seen.count = self._count
            return changed


class Followed:
    """A run as its journal tells it, whoever drives it.

    Parameters
    ----------
    journal, run
        What to read.
    clock
        Seconds since the epoch, to judge leases by.
    """

    def __init__(self, journal: "SqlJournal", run: str, clock: Callable[[], float]) -> None:
        self._journal = journal
        self._clock = clock
        self._lock = threading.Lock()
        self._run = machine.replay(journal.read(run))

    def view(self) -> RunView:
        """Return the run with everything that the journal has by now."""
        with self._lock:
            for record in self._journal.read(self._run.id, self._run.seq):
                self._run, _ = machine.apply(self._run, record)
            row = self._journal.row(self._run.id)
            return RunView(self._run, driven=is_driven(row, self._clock()))

    def wait_changed(self, timeout_s: float) -> bool:
        """Wait until the journal has grown, or the run is no longer driven."""
        deadline = time.monotonic() + timeout_s
        before = self._run.seq
        while True:
            view = self.view()
            if view.run.seq != before or not view.driven or view.run.status in RUN_ENDED:
                return True
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return False
            # Another process writes the journal; there is nothing here to wait on but time.
            time.sleep(min(POLL_S, left_s))
