import random

from shown_run import ShownRun
from staged_run import node

from nbflow.core.events import CancelRequested
from nbflow.panels.tally import Tally
from nbflow.panels.tracking import Tracker
from nbflow.panels.wire import STATES

ORDER = ("load", "left", "right", "join", "report")


def names(changes):
    return {name for name, _ in changes}


def test_at_first_everything_is_new():
    stage = ShownRun()
    changes = Tracker(1.0).changes(stage.view(), 0.0)
    assert names(changes) == set(ORDER)
    assert all(before is None for _, before in changes)


def test_what_has_changed_and_what_follows_from_it_is_found():
    stage, tracker = ShownRun(), Tracker(1e9)
    tracker.changes(stage.view(), 0.0)
    assert tracker.changes(stage.view(), 1.0) == []
    stage.start("load")
    assert names(tracker.changes(stage.view(), 2.0)) == {"load"}
    stage.fail("load")  # and everything behind it is skipped
    assert names(tracker.changes(stage.view(), 3.0)) == set(ORDER)


def test_telemetry_is_a_change_of_its_node_alone():
    stage, tracker = ShownRun(), Tracker(1e9)
    stage.start("load")
    tracker.changes(stage.view(), 0.0)
    stage.cell("load", 1, 2, 0)
    assert names(tracker.changes(stage.view(), 1.0)) == {"load"}
    stage.use("load", 90, 1_000)
    assert names(tracker.changes(stage.view(), 2.0)) == {"load"}
    assert tracker.changes(stage.view(), 3.0) == []


def test_a_cancellation_is_seen_at_once():
    stage, tracker = ShownRun(), Tracker(1e9)
    tracker.changes(stage.view(), 0.0)
    stage.do(CancelRequested("me"))
    assert names(tracker.changes(stage.view(), 0.1)) == set(ORDER)


def test_nothing_is_missed_whatever_happens():
    """The columns of a browser are right after each sweep, and its counts are the view's."""
    rng = random.Random(7)
    stage = ShownRun(
        *[node(f"n{i}", after=[f"n{rng.randrange(i)}"] if i else []) for i in range(60)]
    )
    tracker, tally, known, now = Tracker(1.0), Tally(), {}, 0.0
    for _ in range(300):
        ready = [n for n, each in stage.run.nodes.items() if each.state in ("ready", "running")]
        if not ready:
            break
        chosen = rng.choice(sorted(ready))
        if stage.run[chosen].state == "running":
            rng.choice([stage.succeed, stage.succeed, stage.succeed, stage.lose])(chosen)
        else:
            stage.start(chosen)
        now += rng.choice([0.1, 0.1, 2.0])
        view = stage.view()
        changes = tracker.changes(view, now)
        tally.update(view, changes)
        known.update((name, view.run[name]) for name, _ in changes)
        assert known == dict(view.run.nodes.items())
        counts = [view.counts.get(state, 0) for state in STATES]
        assert tally.counts == counts
    assert stage.run.status == "succeeded"


def test_each_attempt_is_paid_for_once():
    stage, tracker, tally = ShownRun(node("a", retries=1)), Tracker(1.0), Tally()

    def look():
        view = stage.view()
        tally.update(view, tracker.changes(view, stage.now))
        return tally.worker_s(stage.now)

    look()
    stage.fail("a")
    first = stage.run["a"].ended_at - stage.run["a"].started_at
    assert look() == first
    stage.retry_due("a").start("a")
    assert look() == first + stage.now - stage.run["a"].started_at
    stage.succeed("a")
    assert look() == first + stage.run["a"].ended_at - stage.run["a"].started_at


def test_processor_time_of_running_nodes_is_estimated():
    stage, tracker, tally = ShownRun(), Tracker(1.0), Tally()
    stage.start("load")
    stage.use("load", 100, 1).use("load", 200, 1)
    view = stage.view()
    tally.update(view, tracker.changes(view, 0.0))
    assert tally.cpu_s(view) == 1.5 * (stage.now - view.run["load"].started_at)
