"""Deciding about a node in doubt of a run that nobody drives.

There is nothing to start, only something to record; `resume` does the rest.
"""

from collections.abc import Callable

from nbflow.core import events as ev
from nbflow.core import machine as m
from nbflow.core.decisions import Decision, event_of, undecidable
from nbflow.driver.ledger import Ledger
from nbflow.driver.outcomes import doubts_settled
from nbflow.driver.unfinished import Unfinished, finish_notebook
from nbflow.ports import ArtifactStore, Journal


def decide_without_driver(
    run: m.Run,
    epoch: int,
    journal: Journal,
    store: ArtifactStore,
    decision: Decision,
    *,
    clock: Callable[[], float],
) -> str:
    """Record `decision`, and give back the run's lease; arguments as of `cancel_without_driver`.

    Returns
    -------
    str
        Why the decision cannot be taken, after all: its worker had left a receipt, say.
        Empty if it was.
    """
    ledger = Ledger(run, epoch, journal, clock)
    ledger.record(ev.RunClaimed(decision.by))
    for event in doubts_settled(run, store):
        ledger.record(event)
        if isinstance(event, (ev.AttemptLost, ev.AttemptInDoubt)):
            finish_notebook(run, Unfinished(event), clock())
    why = undecidable(ledger.run, decision)
    if not why:
        ledger.record(event_of(ledger.run, decision, clock()))
    while (command := ledger.next_command()) is not None:
        match command:
            case m.SkipNode(node, reason):
                ledger.record(ev.NodeSkipped(node, reason))
            case m.EndRun(status):
                ledger.record(ev.RunEnded(status))
    ledger.commit()
    journal.release(run.id, epoch)
    return why
