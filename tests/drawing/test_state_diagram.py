import re

from nbflow.core.states import NODE_TRANSITIONS, RUN_TRANSITIONS
from nbflow.drawing import state_diagram


def arrows(prefix):
    found = re.findall(rf"{prefix}_(\w+) --> {prefix}_(\w+): (.+)", state_diagram())
    return {(a, trigger, b) for a, b, triggers in found for trigger in triggers.split(", ")}


def test_every_transition_of_a_node_is_drawn_and_no_other():
    table = {(a, t, b) for a, row in NODE_TRANSITIONS.items() for t, b in row.items()}
    assert arrows("node") == table


def test_every_transition_of_a_run_is_drawn_and_no_other():
    table = {
        (a, t, b)
        for a, row in RUN_TRANSITIONS.items()
        for t, targets in row.items()
        for b in targets
    }
    assert arrows("run") == table


def test_ended_states_lead_to_the_end():
    ends = re.findall(r"(\w+) --> \[\*\]", state_diagram())
    assert "node_succeeded" in ends
    assert "node_running" not in ends
    assert "run_failed" in ends
