"""Where a handle's picture of its run comes from: this process, or the journal.

Both give a `RunView` at any moment, from any thread, and let a thread wait for a change.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from nbflow.core import machine
from nbflow.core.view import RunView
from nbflow.ports import RunRow
from nbflow.session.home import is_driven
from nbflow.session.samples import FILE as SAMPLES
from nbflow.session.samples import read_samples
from nbflow.session.telemetry import Subscriber

if TYPE_CHECKING:
    from nbflow.journal import SqlJournal

#: How often a run that another process drives is looked at, in seconds. A look takes one or two
#: milliseconds: one row of the journal's index, and the age of one file.
POLL_S = 0.2


class Source(Protocol):
    """A run that can be watched."""

    def view(self) -> RunView:
        """Return the run as it stands."""

    def wait_changed(self, timeout_s: float) -> bool:
        """Wait until the run may look different; False if the time passed without that."""


class Followed:
    """A run as its journal tells it, whoever drives it.

    Parameters
    ----------
    journal, run
        What to read.
    clock
        Seconds since the epoch, to judge leases by.
    telemetry
        The file in which its driver leaves what it does not record; see `nbflow.session.telemetry`.
    """

    def __init__(
        self, journal: "SqlJournal", run: str, clock: Callable[[], float], telemetry: Path
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._telemetry = Subscriber(telemetry)
        #: What nodes have used under drivers that have let go of the run.
        self._samples = read_samples(telemetry.with_name(SAMPLES))
        self._lock = threading.Lock()
        self._run = machine.replay(journal.read(run))
        #: How the run looked when this thread looked last.
        self._seen = threading.local()

    def view(self) -> RunView:
        """Return the run with everything that the journal has by now."""
        with self._lock:
            # The row comes before the records. Were it the other way round, a run that ends in
            # between would be one that has not ended and that nobody drives.
            row = self._journal.row(self._run.id)
            driven = is_driven(row, self._clock())
            self._seen.look = self._look(row, driven=driven)
            if row.last_seq > self._run.seq:
                news = self._journal.read(self._run.id, self._run.seq)
                self._run = machine.continued(self._run, news)
            told = self._telemetry.latest(self._run.epoch)
            return RunView(
                self._run,
                progress=told.progress,
                usage={**self._samples, **told.usage},
                stacks=told.stacks,
                workers=told.workers,
                dashboard=told.dashboard,
                notes=told.notes,
                driven=driven,
                is_taking_over=row.epoch > self._run.epoch,
            )

    def wait_changed(self, timeout_s: float) -> bool:
        """Wait until the run may look different, or is no longer driven."""
        deadline = time.monotonic() + timeout_s
        while True:
            row = self._journal.row(self._run.id)
            driven = is_driven(row, self._clock())
            look = self._look(row, driven=driven)
            is_new = look != getattr(self._seen, "look", None)
            if is_new or not driven:
                self._seen.look = look
                return True
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return False
            # Another process writes the journal; there is nothing here to wait on but time.
            time.sleep(min(POLL_S, left_s))

    def _look(self, row: RunRow, *, driven: bool) -> tuple[object, ...]:
        """Return what is different whenever the run may look different."""
        return row.last_seq, row.epoch, driven, self._telemetry.stamp()
