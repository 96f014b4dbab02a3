"""A staged run whose records are kept, as a journal has them."""

from staged_run import StagedRun

from nbflow.core import events as ev
from nbflow.observing.recording import Recording


class RecordedRun(StagedRun):
    """A run that does what it is told, and that sinks can observe."""

    def __init__(self, *nodes, **options):
        self.records = []
        #: As it was before its driver claimed it.
        self.begun = None
        super().__init__(*nodes, **options)

    def _apply(self, event):
        if self.begun is None:
            self.begun = self.run
        commands = super()._apply(event)
        self.records.append(ev.Record(self.run.id, self.run.seq, 1, self.now, event))
        return commands

    def read(self, run, after_seq):
        assert run == self.run.id
        return [record for record in self.records if record.seq > after_seq]

    def observed_by(self, sink, epoch=1):
        return Recording(self.read, self.begun, epoch, sink)
