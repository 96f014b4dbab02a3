from nbflow.cli.outcome import reason_text
from nbflow.core.run import NodeRun
from nbflow.core.states import NodeState, Reason


def test_a_reason_is_told_to_its_end_in_one_line():
    message = "the cause\nis this: " + "long " * 100 + "Do that"
    told = reason_text(NodeRun(NodeState.FAILED, missing=0, reason=Reason("error", message)))
    assert told.startswith("the cause is this: long")
    assert told.endswith("Do that")


def test_without_a_message_the_kind_is_told():
    assert reason_text(NodeRun(NodeState.FAILED, missing=0, reason=Reason("error", ""))) == "error"
    assert reason_text(NodeRun(NodeState.SUCCEEDED, missing=0)) == ""
