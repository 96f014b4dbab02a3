"""Cancelling a run that nobody drives, or deciding about one of its nodes.

There is nothing to start or to stop, only something to record: what became of the attempts that
the last driver left behind, what somebody wants, and what follows from it without any attempt.
Who calls this holds the run, and gives it back; `resume` does the rest.
"""

from collections.abc import Callable

from nbflow.core import events as ev
from nbflow.core import machine as m
from nbflow.core.decisions import Decision, event_of, undecidable
from nbflow.core.states import RUN_ENDED, RunStatus
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
    """Record the run's cancellation. One that has ended by itself stays as it is.

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
    if run.status in RUN_ENDED:
        return run
    ledger = Ledger(run, epoch, journal, clock)
    _settle(ledger, store, by, clock)
    # Its last driver may have died while it was cancelling.
    if ledger.run.status is not RunStatus.CANCELLING:
        ledger.record(ev.CancelRequested(by))
    _conclude(ledger)
    return ledger.durable


def decide_without_driver(
    run: m.Run,
    epoch: int,
    journal: Journal,
    store: ArtifactStore,
    decision: Decision,
    *,
    clock: Callable[[], float],
) -> str:
    """Record `decision`; arguments as of `cancel_without_driver`.

    Returns
    -------
    str
        Why the decision cannot be taken, after all: its worker had left a receipt, say.
        Empty if it was.
    """
    if run.status in RUN_ENDED:
        return undecidable(run, decision)
    ledger = Ledger(run, epoch, journal, clock)
    _settle(ledger, store, decision.by, clock)
    why = undecidable(ledger.run, decision)
    if not why:
        ledger.record(event_of(ledger.run, decision, clock()))
    _conclude(ledger)
    return why


def _settle(ledger: Ledger, store: ArtifactStore, by: str, clock: Callable[[], float]) -> None:
    """Record that `by` holds the run, and what became of the attempts that were in flight."""
    ledger.record(ev.RunClaimed(by))
    before = ledger.run
    for event in doubts_settled(before, store):
        ledger.record(event)
        if isinstance(event, (ev.AttemptLost, ev.AttemptInDoubt)):
            finish_notebook(before, Unfinished(event), clock())


def _conclude(ledger: Ledger) -> None:
    """Record what follows without any attempt, and make all of it durable."""
    while (command := ledger.next_command()) is not None:
        match command:
            case m.SkipNode(node, reason):
                ledger.record(ev.NodeSkipped(node, reason))
            case m.CancelNode(node):
                ledger.record(ev.NodeCancelled(node))
            case m.EndRun(status):
                ledger.record(ev.RunEnded(status))
    ledger.commit()
