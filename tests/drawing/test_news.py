import msgspec
import pytest
from staged_run import StagedRun, node

from nbflow.core.events import CancelRequested, NodeCached
from nbflow.core.fingerprints import Fingerprint
from nbflow.drawing.news import News


class Reader:
    def __init__(self, *nodes):
        self.stage = StagedRun(*nodes)
        self.news = News(self.stage.view())

    def read(self):
        return self.news.since(self.stage.view(), self.stage.now)


@pytest.fixture
def reader():
    return Reader()


def test_nothing_is_new_at_first(reader):
    assert reader.read() == []


def test_each_change_is_told_once(reader):
    reader.stage.start("load")
    assert reader.read() == ["load: started"]
    reader.stage.cell("load", 1, 2, 1)
    assert reader.read() == []
    reader.stage.succeed("load")
    assert reader.read() == ["load: succeeded in 2.0 s"]
    assert reader.read() == []


def test_all_that_happened_between_two_looks_is_told_in_order(reader):
    stage = reader.stage
    stage.succeed("load").start("left").start("right").fail("right", "OSError: gone", cell=2)
    stage.succeed("left")
    assert (
        reader.read()
        == [
            "load: started",
            "load: succeeded in 2.0 s",
            "left: started",
            "right: started",
            "right: failed in 2.0 s: OSError: gone (cell 2)",
            "join: skipped: right failed: OSError: gone",
            "report: skipped: right failed: OSError: gone",
            "left: succeeded in 5.0 s",
        ]
        or reader.stage.run.status == "failed"
    )


def test_a_failure_is_told_with_the_advice_at_its_end(reader):
    reason = "OSError: " + "far/" * 150 + " is full. Free some space, then resume"
    reader.stage.fail("load", reason)
    assert f"load: failed in 2.0 s: {reason}" in reader.read()


def test_a_retry_is_told_with_its_delay_and_then_its_attempt():
    reader = Reader(node("a", retries=2))
    reader.stage.fail("a", "ConnectionError: refused")
    assert reader.read() == [
        "a: started",
        "a: failed in 2.0 s: ConnectionError: refused",
        "a: retry in 3.0 s (attempt 2)",
    ]
    reader.stage.retry_due("a")
    assert reader.read() == []
    reader.stage.succeed("a")
    assert reader.read() == ["a: started (attempt 2)", "a: succeeded in 2.0 s"]


def test_a_failure_that_was_already_retried_is_still_told():
    reader = Reader(node("a", retries=2))
    reader.stage.fail("a", "ConnectionError: refused").retry_due("a")
    assert reader.read() == ["a: started", "a: failed in 2.0 s: ConnectionError: refused"]


def test_attempts_that_came_and_went_between_two_looks_are_counted():
    reader = Reader(node("a", retries=2))
    reader.stage.start("a")
    reader.read()
    reader.stage.fail("a", "first").retry_due("a").fail("a", "second").retry_due("a").start("a")
    assert reader.read() == [
        "a: attempt 1 ended without success",
        "a: attempt 2 ended without success: second",
        "a: started (attempt 3)",
    ]


def test_an_attempt_that_nobody_saw_end_is_not_told_as_a_failure():
    reader = Reader(node("s", retries=2))
    reader.stage.start("s")
    reader.read()
    # A receipt of its success is found, and the node reset for a change.
    reader.stage.succeed("s").resume("s").start("s")
    assert reader.read() == ["s: attempt 1 ended", "s: started (attempt 2)"]
    reader.stage.succeed("s").resume("s").fail("s").retry_due("s").fail("s")
    assert reader.read() == [
        "s: attempt 2 ended",
        "s: attempt 3 ended without success",
        "s: started (attempt 4)",
        "s: failed in 2.0 s: ValueError: bad input",
        "s: retry in 3.0 s (attempt 5)",
    ]


def test_a_lost_attempt_is_told(reader):
    reader.stage.start("load")
    reader.read()
    reader.stage.lose("load", "worker w is gone")
    assert reader.read() == ["load: attempt 1 lost, runs again: worker w is gone"]
    reader.stage.start("load")
    assert reader.read() == ["load: started (attempt 2)"]


def test_cancellation_is_told(reader):
    reader.stage.do(CancelRequested("me"))
    assert reader.read() == [f"{n}: cancelled" for n in ("load", "left", "right", "join", "report")]


def test_what_ended_before_the_first_look_is_old(reader):
    reader.stage.succeed("load").fail("left").start("right")
    late = News(reader.stage.view())
    assert late.since(reader.stage.view(), reader.stage.now) == ["right: started"]


def test_an_attempt_under_way_at_the_first_look_does_not_retell_those_before():
    stage = StagedRun(node("a", retries=2))
    stage.fail("a").retry_due("a").start("a")
    late = News(stage.view())
    assert late.since(stage.view(), stage.now) == ["a: started (attempt 2)"]


@pytest.mark.parametrize("state", [{"driven": False}, {"is_taking_over": True}])
def test_what_was_under_way_under_a_driver_that_is_gone_has_not_started_now(state):
    stage = StagedRun(node("mail", effect="at_most_once"), node("load"), node("rest"))
    stage.start("mail").start("load").queue("rest")
    news = News(msgspec.structs.replace(stage.view(), **state))
    assert news.since(msgspec.structs.replace(stage.view(), **state), stage.now) == []
    stage.doubt("mail", "its driver is gone").lose("load", "its driver is gone").start("load")
    assert news.since(stage.view(), stage.now) == [
        "load: attempt 1 ended without success: its driver is gone",
        "load: started (attempt 2)",
        "mail: in doubt, waits for a decision: its driver is gone",
    ]


def test_a_slow_clock_does_not_turn_cause_and_effect_round(reader):
    reader.stage.succeed("load")
    reader.stage.now -= 100  # the next worker's clock is late
    reader.stage.start("left")
    assert reader.read() == ["load: started", "load: succeeded in 2.0 s", "left: started"]


def test_notes_of_the_cluster_are_told_once(reader):
    reader.stage.notes = ("a worker\nleft",)
    assert reader.read() == ["cluster: a worker left"]
    reader.stage.notes += ("another joined",)
    assert reader.read() == ["cluster: another joined"]


def test_a_node_in_doubt_is_told_with_its_cause():
    reader = Reader(node("mail", effect="at_most_once"))
    reader.stage.start("mail")
    assert reader.read() == ["mail: started"]
    reader.stage.doubt("mail", "its worker is gone")
    assert reader.read() == ["mail: in doubt, waits for a decision: its worker is gone"]
    assert reader.read() == []


def test_a_result_that_stands_again_is_not_told_as_a_success():
    reader = Reader(node("load"), node("train", "load.rows"))
    reader.stage.succeed("load").succeed("train")
    reader.read()
    reader.stage.resume("load", "train")
    assert reader.read() == []
    reader.stage.succeed("load").keep("train")
    assert reader.read() == [
        "load: started (attempt 2)",
        "load: succeeded in 2.0 s",
        "train: unchanged: its earlier result stands",
    ]


def test_a_result_of_another_run_is_told_with_that_run(reader):
    reader.stage.do(NodeCached("load", Fingerprint(), "sales-0", 90.0))
    assert reader.read() == ["load: skipped: run sales-0 has done the same in 90.0 s"]


def test_a_changed_flow_is_told_on_with_its_new_nodes_and_without_the_old_ones():
    reader = Reader(node("load"), node("old", "load.rows"))
    reader.stage.succeed("load").fail("old")
    reader.read()
    reader.stage.resume(nodes=(node("load"), node("new", "load.rows")))
    assert reader.read() == []
    reader.stage.succeed("new")
    assert reader.read() == ["new: started", "new: succeeded in 2.0 s"]
