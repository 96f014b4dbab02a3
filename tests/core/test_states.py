from typing import get_args

import msgspec
import pytest

from nbflow.core import events as ev
from nbflow.core.changes import changed
from nbflow.core.fingerprints import Fingerprint
from nbflow.core.run import Earlier, NodeRun
from nbflow.core.states import (
    BLOCKED,
    ENDED,
    IN_FLIGHT,
    NODE_TRANSITIONS,
    NOT_RETRIED,
    RUN_ENDED,
    RUN_TRANSITIONS,
    UNBLOCKED,
    FailureKind,
    LossKind,
    NodeState,
    Reason,
    RunStatus,
    SkipKind,
)
from nbflow.core.values import Artifact

NOTEBOOK = Artifact("notebook", "sha256:1", 10)
NODE_EVENTS = {event.__name__ for event in get_args(ev.NodeEvent)}
RUN_EVENTS = {event.__name__ for event in get_args(ev.RunEvent)}


def test_every_state_of_a_node_has_a_row():
    assert set(NODE_TRANSITIONS) == set(NodeState)


def test_every_journaled_status_of_a_run_has_a_row():
    assert set(RUN_TRANSITIONS) == set(RunStatus) - {RunStatus.INTERRUPTED}


def test_every_trigger_is_an_event_or_a_consequence_and_every_event_triggers_something():
    node_triggers = {trigger for row in NODE_TRANSITIONS.values() for trigger in row}
    assert node_triggers == NODE_EVENTS | {UNBLOCKED, BLOCKED}
    run_triggers = {trigger for row in RUN_TRANSITIONS.values() for trigger in row}
    assert run_triggers == RUN_EVENTS - {"RunCreated"}


def test_every_state_can_be_reached():
    reached = {target for row in NODE_TRANSITIONS.values() for target in row.values()}
    assert reached == set(NodeState)
    statuses = {s for row in RUN_TRANSITIONS.values() for targets in row.values() for s in targets}
    assert statuses | {RunStatus.SUBMITTED} == set(RUN_TRANSITIONS)


def test_only_a_reset_leads_out_of_what_has_ended_for_good():
    for state in ENDED - {NodeState.FAILED}:
        assert set(NODE_TRANSITIONS[state]) == {"NodeReset"}
    for status in RUN_ENDED:
        assert set(RUN_TRANSITIONS[status]) == {"RunReopened"}


def test_only_one_status_follows_but_at_the_end():
    for row in RUN_TRANSITIONS.values():
        for trigger, targets in row.items():
            assert len(targets) == 1 or trigger == "RunEnded"


def test_what_is_in_flight_can_end_in_every_way():
    for state in IN_FLIGHT:
        assert {"AttemptSucceeded", "AttemptFailed", "AttemptLost", "NodeCancelled"} <= set(
            NODE_TRANSITIONS[state]
        )


@pytest.mark.parametrize("event", get_args(ev.NodeEvent))
def test_every_event_of_a_node_says_what_it_changes(event):
    fields = {
        "node": "n",
        "attempt": 1,
        "worker": "w",
        "started_at": 1.0,
        "ended_at": 2.0,
        "due_at": 3.0,
        "why": "resumed",
        "reason": Reason("error", "no"),
        "checkpoint": ev.Checkpoint(1, "", NOTEBOOK, NOTEBOOK, 2.0),
        "fingerprint": Fingerprint("code"),
        "source": "other",
        "saved_s": 1.0,
    }
    made = event(**{name: fields[name] for name in event.__struct_fields__ if name in fields})
    earlier = Earlier(Fingerprint("old"), {}, None, None, 1.0, 2.0)
    before = NodeRun(
        NodeState.RUNNING,
        0,
        attempt=1,
        failures=1,
        due_at=1.0,
        losses=1,
        worker="v",
        earlier=earlier,
    )
    after = changed(before, NodeState.READY, made, ev.Record("r", 5, 2, 9.0, made))
    assert after.state is NodeState.READY
    assert after.missing == 0
    # Besides its state, every event has something to say.
    assert after != msgspec.structs.replace(before, state=NodeState.READY)


def test_kinds_of_reasons_do_not_overlap_but_for_a_lost_worker():
    failures, skips, losses = (set(get_args(kind)) for kind in (FailureKind, SkipKind, LossKind))
    assert failures & losses == {"worker_lost"}, "it is a loss until it has happened too often"
    assert not skips & (failures | losses)
    assert failures >= NOT_RETRIED


def test_the_kinds_of_reasons_are_those_that_users_read():
    assert get_args(SkipKind) == ("cached", "route_not_taken", "upstream_failed")
    assert get_args(FailureKind) == (
        "error",
        "kernel_died",
        "timed_out",
        "out_of_memory",
        "worker_lost",
        "invalid_input",
        "lost_lease",
        "conflict",
    )
