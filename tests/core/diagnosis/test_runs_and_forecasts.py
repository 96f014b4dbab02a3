import pytest
from facts_of import Scene, node, running, worker

from nbflow.core import events as ev
from nbflow.core.expecting import Expectation
from nbflow.core.policies import Limits
from nbflow.core.states import RunStatus
from nbflow.core.values import Artifact


def takes(seconds, spread=1.0):
    return Expectation(
        basis="history",
        expected_s=seconds,
        likely_s=seconds,
        low_s=seconds / spread,
        high_s=seconds * spread,
        limit_s=2 * seconds,
    )


# --- runs as a whole ------------------------------------------------------------------------------


def test_a_lost_driver():
    scene = Scene(node("a"), node("b")).start("a").after(5)
    scene.driven = False
    diagnosis = scene.diagnosis(home_option=" --home h")
    (found,) = diagnosis.findings
    assert (found.node, found.kind, found.severity) == ("", "driver_lost", "stuck")
    assert found.evidence["in_flight"] == ["a"]
    assert found.suggestions[0] == "go on: nbflow resume r --home h"
    assert (diagnosis.status, diagnosis.activities) == ("interrupted", ())


def test_a_run_that_has_ended_needs_no_driver():
    scene = Scene().succeed().end(RunStatus.SUCCEEDED)
    scene.driven = False
    assert (scene.findings(), scene.diagnosis().status) == ([], "succeeded")


def ended(scene, times):
    """Let nodes have run at these times (scheduled, started, ended), and the run have ended."""
    begin = scene.now
    for name, (scheduled, started, _) in sorted(times.items(), key=lambda item: item[1]):
        scene.now = begin + scheduled
        scene.queue(name)
        scene.tell(ev.AttemptStarted(name, 1, "w", begin + started))
    for name, (_, started, ended) in sorted(times.items(), key=lambda item: item[1][2]):
        scene.now = begin + ended
        scene.tell(ev.AttemptSucceeded(name, 1, begin + started, begin + ended))
    scene.end(RunStatus.SUCCEEDED)
    scene.driven, scene.workers = False, None
    return scene


ONE_AFTER_THE_OTHER = {"a": (0, 0, 10), "b": (0, 10, 20), "c": (0, 20, 30), "d": (0, 30, 40)}


def test_a_run_that_was_short_of_slots():
    scene = ended(Scene(*(node(name) for name in "abcd")), ONE_AFTER_THE_OTHER)
    (found,) = scene.findings()
    assert (found.node, found.kind, found.severity) == ("", "slow_run", "slow")
    assert found.evidence["short"] == "slots"
    assert found.evidence["gains"] == {
        "one worker more (2 slots)": 20.0,
        "twice the workers (2 slots)": 20.0,
    }
    assert "--workers" in found.suggestions[0]
    assert "20 s less of 40 s" in found.suggestions[0]


def test_a_run_that_was_short_of_places():
    scene = Scene(*(node(name) for name in "abcd"), limits=Limits(flow=1))
    times = {name: (index * 10, index * 10, index * 10 + 10) for index, name in enumerate("abcd")}
    scene.workers = (worker(threads=4),)
    begin = scene.now
    for name, (_, started, end) in times.items():
        scene.now = begin + started
        scene.queue(name).tell(ev.AttemptStarted(name, 1, "w", begin + started))
        scene.now = begin + end
        scene.tell(ev.AttemptSucceeded(name, 1, begin + started, begin + end))
    scene.end(RunStatus.SUCCEEDED)
    (found,) = scene.findings()
    assert found.evidence["short"] == "pool"
    assert "max_concurrent" in found.suggestions[0]


def test_a_chain_gains_nothing_from_workers():
    nodes = (node("a"), node("b", after=("a",)), node("c", after=("b",)))
    begin, scene = 0, Scene(*nodes)
    for name in "abc":
        scene.queue(name).tell(ev.AttemptStarted(name, 1, "w", scene.now))
        began = scene.now
        scene.after(20).tell(ev.AttemptSucceeded(name, 1, began, scene.now))
    scene.end(RunStatus.SUCCEEDED)
    scene.driven = False
    assert begin == 0
    assert scene.findings() == []
    assert scene.diagnosis().critical_path == ("a", "b", "c")


def test_a_short_run_is_fast_enough():
    times = {name: (0, index, index + 1) for index, name in enumerate("abcd")}
    assert ended(Scene(*(node(name) for name in "abcd")), times).findings() == []


def test_a_run_that_moves_much():
    scene = Scene(node("a"), node("b", "a"))
    big = Artifact("parquet", "sha256:1", 4_000_000_000)
    scene.start("a").after(10).tell(
        ev.AttemptSucceeded("a", 1, scene.now - 10, scene.now, {"x": big})
    )
    scene.start("b").after(10).tell(ev.AttemptSucceeded("b", 1, scene.now - 10, scene.now))
    scene.end(RunStatus.SUCCEEDED)
    scene.driven = False
    (found,) = scene.findings()
    assert (found.evidence["short"], found.evidence["received_bytes"]) == ("transfer", 4 * 10**9)


# --- activities and resources ---------------------------------------------------------------------


def test_what_nodes_do_is_told_though_nothing_is_wrong():
    scene = running(10.0).does(state="sleeping", call="recvfrom", target="socket 10.0.0.5:5432")
    scene.gets_on(1, 4)
    (does,) = scene.diagnosis().activities
    assert does.text == "waits for socket 10.0.0.5:5432 in cell 3"
    assert (does.elapsed_s, does.cell, does.basis) == (10.0, 3, "cells")
    assert does.expected_low_s < does.expected_s == 40.0 < does.expected_high_s


def test_a_node_of_which_nothing_is_known_runs():
    (does,) = running(10.0).diagnosis().activities
    assert (does.text, does.expected_s) == ("runs", None)


def test_resources_of_all_nodes():
    scene = Scene(node("a"), node("b")).start("a").start("b")
    for name in "ab":
        scene.does(name, cpu=50.0, memory=1000, samples=1)
    scene.uses("a", network_bytes_per_s=10.0, io_wait_percent=7.0)
    used = scene.diagnosis().resources
    assert (used.cpu_percent, used.memory_bytes, used.io_wait_percent) == (100.0, 2000, 7.0)
    assert (used.network_bytes_per_s, used.gpu_percent) == (10.0, None)


# --- the time to the end --------------------------------------------------------------------------


def test_time_to_the_end_of_a_chain():
    scene = Scene(node("a"), node("b", after=("a",))).start("a").after(4)
    left = scene.diagnosis(expected={"a": takes(10, 2), "b": takes(20, 2)}).remaining
    assert left.likely_s == 26.0
    assert left.low_s < 26.0 < left.high_s


def test_time_to_the_end_counts_slots():
    scene = Scene(*(node(name) for name in "abcd"))
    expected = {name: takes(10) for name in "abcd"}
    assert scene.diagnosis(expected=expected).remaining.likely_s == 20.0
    scene.workers = (worker(threads=4),)
    assert scene.diagnosis(expected=expected).remaining.likely_s == 10.0


def test_time_to_the_end_counts_limits():
    scene = Scene(*(node(name) for name in "abcd"), limits=Limits(flow=1))
    assert scene.diagnosis(expected={"a": takes(10)}).remaining.likely_s == 40.0


def test_what_nothing_is_known_of_takes_as_long_as_others():
    scene = Scene(node("a"), node("b", after=("a",))).succeed(took_s=30.0)
    assert scene.diagnosis().remaining.likely_s == 30.0


def test_a_node_that_is_late_is_not_about_to_end():
    scene = Scene().start().after(16)
    left = scene.diagnosis(expected={"a": takes(10, 1.5)}).remaining
    assert left.likely_s == 4.0
    assert left.high_s == 16.0


def test_what_is_stuck_has_no_end_that_could_be_told():
    scene = Scene().start().after(21)
    diagnosis = scene.diagnosis(expected={"a": takes(10)})
    assert [it.kind for it in diagnosis.findings] == ["slower_than_expected"]
    assert diagnosis.remaining is None


def test_a_delay_counts():
    scene = Scene(node("a", retries=1)).fail()
    scene.tell(ev.RetryScheduled("a", 1, scene.now + 60))
    assert scene.diagnosis(expected={"a": takes(10)}).remaining.likely_s == 70.0


@pytest.mark.parametrize(
    "scene",
    [
        pytest.param(lambda: Scene().start(), id="nothing is known"),
        pytest.param(lambda: Scene().succeed().end(RunStatus.SUCCEEDED), id="it has ended"),
    ],
)
def test_when_no_end_can_be_told(scene):
    assert scene().diagnosis().remaining is None
