import pytest
from staged_run import StagedRun, node

from nbflow.core.events import CancelRequested, NodeCached, NodeSkipped
from nbflow.core.fingerprints import Fingerprint
from nbflow.core.states import NodeState, Reason, RunStatus
from nbflow.drawing.lines import (
    REASON_LENGTH,
    URGENCY,
    by_urgency,
    done_earlier,
    finished,
    node_line,
    shown_status,
)
from nbflow.drawing.look import NODE_LOOKS, RUN_LOOKS


@pytest.fixture
def stage():
    return StagedRun()


def line(stage, name, wait_s=0.0):
    return node_line(stage.view(), name, stage.now + wait_s)


def test_every_state_has_a_look_of_its_own():
    assert set(NODE_LOOKS) == set(NodeState)
    assert set(RUN_LOOKS) == set(RunStatus)
    assert len({look.word for look in NODE_LOOKS.values()}) == len(NodeState)


def test_a_waiting_node_says_for_whom(stage):
    assert line(stage, "join").note == "waits for left, right"
    stage.succeed("load").succeed("left")
    assert line(stage, "join").note == "waits for right"


def test_a_node_that_waits_for_many_names_some():
    nodes = [node(f"n{i}") for i in range(9)]
    stage = StagedRun(*nodes, node("last", *(f"n{i}.x" for i in range(9))))
    assert line(stage, "last").note == "waits for n0, n1, n2 and 6 more"


def test_ready_and_queued_say_what_they_wait_for(stage):
    assert line(stage, "load").note == "waits for its turn"
    stage.queue("load")
    assert line(stage, "load").note == "waits for a worker"


def test_a_running_node_shows_cell_progress_time_and_worker(stage):
    stage.start("load", worker="tcp://w:1").cell("load", 3, 8, 5, "df = read(path)\nrest")
    shown = line(stage, "load", wait_s=4.0)
    assert (shown.done, shown.total) == (3, 8)
    assert shown.note == "cell 5: df = read(path) rest"
    assert shown.worker == "tcp://w:1"
    assert shown.elapsed_s == pytest.approx(5.0)


def test_progress_of_an_earlier_attempt_is_not_shown():
    stage = StagedRun(node("a", retries=1))
    stage.start("a").cell("a", 3, 8, 4).fail("a")
    stage.retry_due("a").start("a")
    assert line(stage, "a").done is None


def test_a_success_counts_all_its_cells_though_telemetry_was_lost(stage):
    stage.start("load").cell("load", 6, 8, 7).succeed("load")
    assert (line(stage, "load").done, line(stage, "load").total) == (8, 8)


def test_a_failure_counts_only_the_cells_that_ran(stage):
    stage.start("load").cell("load", 6, 8, 7).fail("load", "ValueError: no", cell=7)
    shown = line(stage, "load")
    assert (shown.done, shown.total) == (6, 8)
    assert shown.note == "ValueError: no (cell 7)"


def test_a_message_that_names_its_cell_is_left_alone(stage):
    stage.fail("load", "timed out after 5 s in cell 3", cell=3, kind="timed_out")
    assert line(stage, "load").note == "timed out after 5 s in cell 3"


def test_a_node_behind_a_failure_says_so(stage):
    stage.fail("load")
    assert line(stage, "report").state is NodeState.SKIPPED
    assert "load failed: ValueError: bad input" in line(stage, "report").note


def test_backing_off_says_when_and_why():
    stage = StagedRun(node("a", retries=1))
    stage.fail("a", "ConnectionError: refused")
    assert line(stage, "a").note == "next try in 3.0 s, after: ConnectionError: refused"
    late = line(stage, "a", wait_s=60.0)
    assert late.note == "next try is due, after: ConnectionError: refused"


def test_a_lost_attempt_says_why_it_waits_again(stage):
    stage.start("load").lose("load", "worker w is gone")
    assert line(stage, "load").note == "waits for its turn, after: worker w is gone"
    assert line(stage, "load").elapsed_s is None


def test_foreign_texts_become_one_harmless_line(stage):
    stage.start("load", worker="\x1b[31mw").cell("load", 1, 2, 1, "a\n\x1b[2Jb")
    assert line(stage, "load").note == "cell 1: a b"
    assert line(stage, "load").worker == "w"


def test_a_small_flow_is_shown_whole_in_its_own_order(stage):
    stage.succeed("load").fail("left")
    assert by_urgency(stage.view(), 5) == ["load", "left", "right", "join", "report"]


def test_of_a_large_flow_the_urgent_nodes_are_shown(stage):
    stage.succeed("load").start("left").fail("right")
    assert by_urgency(stage.view(), 2) == ["right", "left"]


def test_a_run_that_nobody_drives_is_interrupted_unless_it_has_ended(stage):
    assert shown_status(stage.view()) is RunStatus.RUNNING
    stage.driven = False
    assert shown_status(stage.view()) is RunStatus.INTERRUPTED
    stage.do(CancelRequested("me"))
    assert shown_status(stage.view()) is RunStatus.CANCELLED


def test_finished_counts_what_needs_nothing_more(stage):
    stage.fail("load")
    assert finished(stage.view()) == 5


def test_only_nodes_with_results_are_done_earlier(stage):
    stage.succeed("load").fail("left").succeed("right")
    assert finished(stage.view()) == 5
    assert done_earlier(stage.view()) == 2


def test_a_cached_node_was_done_earlier(stage):
    stage.do(NodeCached("load", Fingerprint(), "sales-0", 90.0))
    assert done_earlier(stage.view()) == 1
    assert line(stage, "load").note == "run sales-0 has done the same in 90.0 s"
    assert line(stage, "left").note == "waits for its turn"


def test_a_node_that_was_not_wanted_was_not_done(stage):
    stage.do(NodeSkipped("report", Reason("route_not_taken", "why")))
    assert done_earlier(stage.view()) == 0


def test_a_reason_is_told_at_the_length_that_is_asked_for(stage):
    message = "OSError: " + "x" * 500 + " advice"
    stage.fail("load", message, cell=4)
    whole = node_line(stage.view(), "load", stage.now, REASON_LENGTH)
    assert whole.note == f"{message} (cell 4)"
    assert line(stage, "load").note == f"{message[:199]}… (cell 4)"


def test_every_state_has_its_urgency():
    assert sorted(URGENCY) == sorted(NodeState)


def test_a_node_in_doubt_says_that_it_waits_for_a_person_and_why():
    stage = StagedRun(node("mail", effect="at_most_once"), node("other"))
    stage.start("mail").doubt("mail", "worker w is gone")
    assert line(stage, "mail").note == "waits for a decision (resolve), after: worker w is gone"
    assert by_urgency(stage.view(), 1) == ["mail"]
    assert finished(stage.view()) == 0
