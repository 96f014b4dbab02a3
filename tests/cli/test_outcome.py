from types import SimpleNamespace

from staged_run import StagedRun, node

from nbflow.cli.outcome import reason_text, result_lines
from nbflow.core.events import CancelRequested
from nbflow.core.run import NodeRun
from nbflow.core.states import NodeState, Reason


def test_a_reason_is_told_to_its_end_in_one_line():
    message = "the cause\nis this: " + "long " * 100 + "Do that"
    told = reason_text(NodeRun(NodeState.FAILED, missing=0, reason=Reason("error", message)))
    assert told.startswith("the cause is this: long")
    assert told.endswith("Do that")


def test_a_run_that_was_resumed_in_part_says_what_is_left(tmp_path):
    staged = StagedRun(node("a", function=True), node("b", function=True, after=["a"]))
    staged.do(CancelRequested("ann")).resume("a").succeed("a")
    run = SimpleNamespace(id="sales-1", view=staged.view, home=tmp_path)
    headline, undone, how = result_lines(run, staged.now)
    assert headline.startswith("sales-1: failed after ")
    assert undone == "no node failed, but there is still to run: b"
    assert how.startswith("Continue it with: nbflow resume sales-1")


def test_without_a_message_the_kind_is_told():
    assert reason_text(NodeRun(NodeState.FAILED, missing=0, reason=Reason("error", ""))) == "error"
    assert reason_text(NodeRun(NodeState.SUCCEEDED, missing=0)) == ""
