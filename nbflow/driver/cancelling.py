"""Cancelling a run that nobody drives.

There is nothing to stop, only something to record: what became of the attempts that
the last driver left behind, and that all that has not ended is cancelled.
"""

from collections.abc import Callable

from nbflow.core import events as ev
from nbflow.core import machine as m
from nbflow.driver.ledger import Ledger
from nbflow.driver.outcomes import doubts_settled
from nbflow.driver.unfinished import Unfinished, finish_notebook
from nbflow.ports import ArtifactStore, Journal


def cancel_without_driver(
    run: m.Run,
    epoch: int,
    journal: Journal,
    store: ArtifactStore,
    *,
    by: str,
    clock: Callable[[], float],
) -> m.Run:
    """Record the run's cancellation, and give back its lease.

    Parameters
    ----------
    run, epoch
        The run as the journal has it, and the fence under which it was claimed.
    journal
        Where to record.
    store
        Where workers left receipts of attempts that they had finished.
    by
        Who wants it.
    clock
        Seconds since the epoch.

    Raises
    ------
    nbflow.core.errors.JournalError
        If the journal cannot be written; nothing has changed then.
    """
    ledger = Ledger(run, epoch, journal, clock)
    ledger.record(ev.RunClaimed(by))
    for event in doubts_settled(run, store):
        ledger.record(event)
        if isinstance(event, (ev.AttemptLost, ev.AttemptInDoubt)):
            finish_notebook(run, Unfinished(event), clock())
    ledger.record(ev.CancelRequested(by))
    while (command := ledger.next_command()) is not None:
        match command:
            case m.CancelNode(node):
                ledger.record(ev.NodeCancelled(node))
            case m.ScheduleRetry(node, attempt):
                # A retry that was owed is due at once, so that it can be cancelled.
                ledger.record(ev.RetryScheduled(node, attempt, clock()))
            case m.EndRun(status):
                ledger.record(ev.RunEnded(status))
    ledger.commit()
    journal.release(run.id, epoch)
    return ledger.durable
