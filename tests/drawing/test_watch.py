import threading

import pytest
from staged_run import StagedRun, node

from nbflow.drawing.watch import Watcher

WAIT_S = 20.0


class Painter:
    """Remembers what was painted, and lets a test wait for it."""

    def __init__(self):
        self.seqs = []
        self.threads = set()
        self._painted = threading.Condition()

    def __call__(self, view):
        with self._painted:
            self.seqs.append(view.run.seq)
            self.threads.add(threading.current_thread())
            self._painted.notify_all()

    def until(self, seq):
        with self._painted:
            return self._painted.wait_for(lambda: self.seqs and self.seqs[-1] >= seq, WAIT_S)


@pytest.fixture
def stage():
    return StagedRun(node("a"))


@pytest.fixture
def painter():
    return Painter()


@pytest.fixture
def watcher(stage, painter):
    watcher = Watcher(
        stage.view, stage.wait_changed, painter, interval_s=0.01, idle_s=0.05, name="watcher"
    )
    yield watcher
    watcher.stop()


def test_changes_are_painted_in_another_thread(stage, painter, watcher):
    watcher.start()
    assert painter.until(stage.run.seq)
    stage.start("a")
    assert painter.until(stage.run.seq)
    assert painter.threads == {watcher._thread}
    assert watcher._thread.daemon


def test_the_thread_ends_after_painting_the_end(stage, painter, watcher):
    watcher.start()
    stage.succeed("a")
    assert painter.until(stage.run.seq)
    watcher._thread.join(WAIT_S)
    assert not watcher.alive
    assert painter.seqs[-1] == stage.run.seq


def test_a_run_that_is_resumed_is_watched_to_its_new_end(stage, painter, watcher):
    stage.fail("a")
    stage.driven = True  # by the driver that is about to reopen it
    watcher.start()
    assert painter.until(stage.run.seq)
    stage.resume("a").succeed("a")
    assert painter.until(stage.run.seq)
    watcher._thread.join(WAIT_S)
    assert not watcher.alive


def test_stop_ends_the_thread_of_a_run_that_goes_on(stage, painter, watcher):
    watcher.start()
    assert painter.until(stage.run.seq)
    watcher.stop()
    assert not watcher.alive
    painted = len(painter.seqs)
    stage.start("a")
    assert len(painter.seqs) == painted


def test_stop_before_start_and_twice_is_harmless(watcher):
    watcher.stop()
    watcher.stop()
    assert not watcher.alive


def test_an_error_ends_the_thread_and_is_kept(stage):
    told = []
    broken = Watcher(
        [].pop, stage.wait_changed, print, interval_s=0, idle_s=0.01, name="x", failed=told.append
    )
    broken.start()
    broken._thread.join(WAIT_S)
    assert isinstance(broken.error, IndexError)
    assert told == [broken.error]


def test_a_run_without_a_driver_is_watched_at_leisure(stage, painter):
    stage.driven = False
    waited = []
    slow = Watcher(
        stage.view,
        lambda s: waited.append(s) or True,
        painter,
        interval_s=0,
        idle_s=60,
        name="slow",
    )
    slow.start()
    assert painter.until(stage.run.seq)
    slow.stop()
    assert waited == []


def test_changes_while_painting_are_coalesced(stage):
    busy, go_on = threading.Event(), threading.Event()
    seqs = []

    def paint(view):
        seqs.append(view.run.seq)
        busy.set()
        assert go_on.wait(WAIT_S)

    slow = Watcher(stage.view, stage.wait_changed, paint, interval_s=0, idle_s=0.01, name="slow")
    slow.start()
    assert busy.wait(WAIT_S)
    first = stage.run.seq
    stage.succeed("a")
    go_on.set()
    slow._thread.join(WAIT_S)
    assert seqs == [first, stage.run.seq]
