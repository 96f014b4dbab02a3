import json
from typing import get_args

import msgspec
import pytest

from nbflow.cli.stories import event_document, event_line
from nbflow.core import events as ev
from nbflow.core.fingerprints import Fingerprint
from nbflow.core.spec import FlowSpec
from nbflow.core.states import Reason, RunStatus
from nbflow.core.values import Artifact, Inline
from nbflow.drawing.happenings import WORDS

AT = 1_767_225_600.5  # 2026-01-01 00:00:00.5 UTC

ARTIFACT = Artifact("pickle", "sha256:0", 5, preview="3 x 2")
EVENTS = [
    ev.RunCreated(flow=FlowSpec(name="f", nodes=()), params={"a": Inline(1)}, output_dir="out"),
    ev.RunClaimed("host:1:2"),
    ev.RunReopened("host:1:2"),
    ev.CancelRequested("someone"),
    ev.RunEnded(RunStatus.FAILED),
    ev.AttemptScheduled("a", 1),
    ev.AttemptStarted("a", 1, "tcp://w", AT),
    ev.AttemptSucceeded("a", 1, AT, AT + 2, {"rows": ARTIFACT}),
    ev.AttemptFailed("a", 2, Reason("error", "it\nbroke"), error=ev.ErrorInfo("E", "m", 4)),
    ev.AttemptLost("a", 1, Reason("worker_lost", "gone")),
    ev.RetryScheduled("a", 1, AT + 60),
    ev.RetryDue("a", 1),
    ev.NodeSkipped("b", Reason("upstream_failed", "a failed")),
    ev.NodeCancelled("b"),
    ev.NodeReset("b", "its code has changed", "code"),
    ev.FlowChanged(
        flow=FlowSpec(name="f", nodes=()),
        params={"a": Inline(2)},
        changes=("node 'c' was added", "the parameter a has another value"),
    ),
    ev.CheckpointStored("a", 1, ev.Checkpoint(3, "0", ARTIFACT, ARTIFACT, AT)),
    ev.AttemptInDoubt("a", 1, Reason("driver_lost", "its driver ended")),
    ev.NodeKept("b"),
    ev.NodeCached("b", Fingerprint(code="0"), "r-0", 90.0, {"rows": ARTIFACT}),
]


def record(event):
    return ev.Record("r", 7, 1, AT, event)


def test_every_type_of_event_has_its_words_and_its_example():
    types = set(get_args(ev.Event))
    assert set(WORDS) == types
    assert {type(event) for event in EVENTS} == types


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_a_document_has_the_envelope_and_all_of_the_events_own_fields(event):
    document = event_document(record(event))
    assert json.loads(json.dumps(document)) == document
    assert list(document)[:5] == ["seq", "at", "type", "node", "attempt"]
    assert document["at"] == "2026-01-01T00:00:00.500000+00:00"
    assert document["type"] == type(event).__name__
    assert set(msgspec.structs.asdict(event)) <= set(document)


def test_times_and_values_have_the_form_of_the_runs_document():
    document = event_document(record(EVENTS[7]))
    assert document["started_at"] == "2026-01-01T00:00:00.500000+00:00"
    assert document["outputs"] == {
        "rows": {"kind": "pickle", "bytes": 5, "artifact": "sha256:0", "preview": "3 x 2"}
    }
    failed = event_document(record(EVENTS[8]))
    assert failed["reason"] == {"kind": "error", "message": "it\nbroke"}
    assert failed["started_at"] is None


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_is_one_line(event):
    line = event_line(record(event))
    assert "\n" not in line
    assert line.startswith("   7  20")
    assert type(event).__name__ in line
    assert line == line.rstrip()


def test_a_line_names_the_attempt_and_the_reason():
    assert event_line(record(EVENTS[8])).endswith("a#2  error: it broke")
    assert event_line(record(EVENTS[7])).endswith("a#1  in 2.0 s, outputs: rows")


@pytest.mark.parametrize(
    ("kind", "end"),
    [
        (ev.NodeReset, "b  code: its code has changed"),
        (ev.FlowChanged, "node 'c' was added; the parameter a has another value"),
        (ev.CheckpointStored, "a#1  before cell 3"),
        (ev.AttemptInDoubt, "a#1  driver_lost: its driver ended"),
        (ev.NodeKept, "b  unchanged: its earlier result stands"),
        (ev.NodeCached, "b  as in run r-0, 1 min 30 s saved"),
    ],
)
def test_a_line_says_why_a_resumed_run_does_what_it_does(kind, end):
    (event,) = (it for it in EVENTS if type(it) is kind)
    assert event_line(record(event)).endswith(end)


def test_a_reason_that_begins_with_its_kind_says_it_once():
    reset = ev.NodeReset("b", "resumed: it was failed", "resumed")
    assert event_line(record(reset)).endswith("b  resumed: it was failed")


def test_a_decision_of_a_person_names_the_person():
    decided = ev.AttemptSucceeded("a", 1, AT, AT, resolved_by="ann")
    assert event_document(record(decided))["resolved_by"] == "ann"
    assert event_line(record(decided)).endswith("as ann decided")
