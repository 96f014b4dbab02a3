"""Taking over: what a driver records before anything of a run begins under it.

In this order: that it holds the run; what became of the attempts that its predecessor had in
flight; the definition, if it has changed; and which nodes begin anew. All of it is in the first
transaction, so that a driver which dies in the middle has changed nothing.
"""

from collections.abc import Sequence

from nbflow.core import events as ev
from nbflow.core.ids import AttemptId
from nbflow.core.resuming import plan
from nbflow.core.run import Run
from nbflow.core.states import RUN_ENDED, RunStatus
from nbflow.driver.ledger import Ledger
from nbflow.driver.outcomes import doubts_settled
from nbflow.driver.recognizing import Recognizer
from nbflow.driver.surroundings import Resumption
from nbflow.driver.unfinished import Unfinished
from nbflow.ports import ArtifactStore


def take_over(
    ledger: Ledger,
    name: str,
    resumption: Resumption,
    store: ArtifactStore,
    recognizer: Recognizer,
) -> list[Unfinished]:
    """Record all of the above; return the notebooks that nobody has finished. Blocks.

    Parameters
    ----------
    ledger
        The run as its last driver left it.
    name
        Who takes over.
    resumption
        How it is to go on.
    store
        Where workers have left receipts of what they finished.
    recognizer
        Knows the files that nodes read.

    Raises
    ------
    nbflow.core.errors.ArtifactError
        If the store cannot be read.
    """
    ended = ledger.run.status in RUN_ENDED | {RunStatus.CANCELLING}
    ledger.record(ev.RunReopened(name) if ended else ev.RunClaimed(name))
    unfinished = []
    for event in doubts_settled(ledger.run, store):
        ledger.record(event)
        if isinstance(event, (ev.AttemptLost, ev.AttemptInDoubt)):
            unfinished.append(Unfinished(event))
    if resumption.change is not None:
        ledger.record(resumption.change)
    for step in plan(ledger.run, resumption.wish, recognizer.files_of(ledger.run)):
        ledger.record(step)
    return unfinished


def abandoned(run: Run, unfinished: Sequence[Unfinished]) -> list[AttemptId]:
    """Return those of the `unfinished` attempts that are to stop, should they still run somewhere.

    Their nodes run again, and nobody hears of how they end. What is in doubt goes on: its receipt
    still counts. `run` is as its last driver left it, who had begun all of them.
    """
    return [
        AttemptId(run.id, each.lost.node, each.lost.attempt, run.epoch)
        for each in unfinished
        if isinstance(each.lost, ev.AttemptLost)
    ]
