"""Sinks see every event once and in order, however rarely anybody looks."""

from recorded_run import RecordedRun


class Heard:
    def __init__(self):
        self.events = []
        self.looks = []
        self.closed = False

    def happened(self, record, before, after):
        assert (before.seq, after.seq) == (record.seq - 1, record.seq)
        self.events.append(record.type)

    def look(self, view):
        self.looks.append(view.run.seq)

    def close(self):
        self.closed = True


def test_what_comes_between_two_views_is_seen():
    run, heard = RecordedRun(), Heard()
    observer = run.observed_by(heard)
    observer(run.view())
    run.start("load").lose("load").succeed("load")
    observer(run.view())
    attempts = ["AttemptScheduled", "AttemptStarted"]
    assert heard.events == ["RunClaimed", *attempts, "AttemptLost", *attempts, "AttemptSucceeded"]


def test_a_view_that_brings_nothing_new_is_looked_at_only():
    run, heard = RecordedRun(), Heard()
    observer = run.observed_by(heard)
    for _ in range(3):
        observer(run.view())
    assert heard.events == ["RunClaimed"]
    assert heard.looks == [2, 2, 2]


def test_nothing_is_seen_before_the_view_has_it():
    run, heard = RecordedRun(), Heard()
    observer = run.observed_by(heard)
    view = run.view()
    run.start("load")
    observer(view)
    assert heard.events == ["RunClaimed"]


def test_what_another_driver_does_is_for_others_to_tell():
    run, heard = RecordedRun(), Heard()
    observer = run.observed_by(heard, epoch=0)
    observer(run.view())
    observer.close()
    assert heard.events == []
    assert heard.closed
