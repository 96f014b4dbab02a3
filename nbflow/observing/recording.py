"""From views of a run to its records: an observer that sees every event, once, and in order.

Views come when they come, and what happens between two of them is in neither: an attempt that
failed and was tried again at once, say. The journal has it. So each view only says how far the
journal is durable, and the records up to there are read from it and folded again.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

from nbflow.core import machine
from nbflow.core.events import Record
from nbflow.core.run import Run
from nbflow.core.view import RunView


class Sink(Protocol):
    """Learns what happens in one run while this process drives it."""

    def happened(self, record: Record, before: Run, after: Run) -> None:
        """Take in one event, with the run as it was before and as it is now."""

    def look(self, view: RunView) -> None:
        """Take in how the run stands, telemetry included; all its records came before."""

    def close(self) -> None:
        """Let go: this process does not drive the run any more."""


class Recording:
    """An observer of one run that tells a sink what is recorded of it from now on.

    Parameters
    ----------
    read
        Gives the records of a run after a sequence number, as `Journal.read`.
    run, epoch
        The run as it stood when this driver claimed it, and the driver's fence.
    sink
        Is told.
    """

    def __init__(
        self, read: Callable[[str, int], Iterable[Record]], run: Run, epoch: int, sink: Sink
    ) -> None:
        self._read = read
        self._run = run
        self._epoch = epoch
        self._sink = sink

    def __call__(self, view: RunView) -> None:
        """Read what has been recorded up to this view, and tell the sink."""
        if view.run.seq > self._run.seq:
            for record in self._read(self._run.id, self._run.seq):
                # The rest comes with a later view; or it is another driver's to tell.
                if record.seq > view.run.seq or record.epoch > self._epoch:
                    break
                before = self._run
                self._run, _ = machine.apply(before, record)
                self._sink.happened(record, before, self._run)
        self._sink.look(view)

    def close(self) -> None:
        """Let go of the run."""
        self._sink.close()
