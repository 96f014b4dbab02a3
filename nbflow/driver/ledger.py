"""The ledger: a run's state together with the records that the journal does not have yet.

Life and replay share `machine.apply`; the ledger adds what only life needs: it
stamps events with sequence, epoch and time, collects them for one transaction,
and queues the commands that follow. Nothing in `pending` has happened as far as
the outside may know, until `commit` has returned.
"""

from collections import OrderedDict
from collections.abc import Callable

from nbflow.core import events as ev
from nbflow.core.machine import Command, Run, apply, still_owed
from nbflow.ports import Journal


class Ledger:
    """Events of one run on their way into the journal.

    Parameters
    ----------
    run
        The state that the journal holds.
    epoch
        This driver's fence.
    journal
        Where events are kept.
    clock
        Seconds since the epoch.
    """

    def __init__(
        self,
        run: Run,
        epoch: int,
        journal: Journal,
        clock: Callable[[], float],
    ) -> None:
        #: The state with everything recorded so far, durable or not.
        self.run = run
        #: The state that the journal holds: what observers may see.
        self.durable = run
        self.epoch = epoch
        self._journal = journal
        self._clock = clock
        self._pending: list[ev.Record] = []
        #: What is to be done, oldest first. To be told of it again is not to do it twice.
        self._commands: OrderedDict[Command, None] = OrderedDict()

    @property
    def has_pending(self) -> bool:
        """Whether there is anything to commit."""
        return bool(self._pending)

    def record(self, event: ev.Event) -> None:
        """Apply `event`, and keep it for the next commit.

        Raises
        ------
        nbflow.core.machine.IllegalTransition
            If it does not fit the state, which is then unchanged.
        """
        record = ev.Record(self.run.id, self.run.seq + 1, self.epoch, self._clock(), event)
        self.run, commands = apply(self.run, record)
        self._pending.append(record)
        self._commands.update(dict.fromkeys(commands))

    def next_command(self) -> Command | None:
        """Take the oldest command that later events have not overtaken."""
        while self._commands:
            command, _ = self._commands.popitem(last=False)
            if still_owed(self.run, command):
                return command
        return None

    def commit(self) -> None:
        """Make everything recorded durable, in one transaction. Blocks while the disk works.

        Raises
        ------
        nbflow.core.errors.LostLease
            If another driver has taken over. Nothing was written.
        nbflow.core.errors.JournalError
            If the journal cannot be written. Nothing was written.
        """
        if self._pending:
            records, self._pending = self._pending, []
            self._journal.append(self.run.id, self.epoch, records)
            self.durable = self.run
