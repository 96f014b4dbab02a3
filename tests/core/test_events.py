from typing import get_args

import msgspec
import pytest

from nbflow.core import events as ev
from nbflow.core.fingerprints import Fingerprint
from nbflow.core.policies import Limits, Policy, Retry
from nbflow.core.spec import FlowSpec, FunctionCode, NodeSpec, NotebookCode
from nbflow.core.states import Reason, RunStatus
from nbflow.core.values import Artifact, Fields, FromOutput, FromParam, Inline, Items, Text

NOTEBOOK = Artifact("notebook", "sha256:1", 10, "nbformat", "3 cells")
FLOW = FlowSpec(
    name="f",
    nodes=(
        NodeSpec(name="a", code=NotebookCode("/x/a.ipynb", "sha256:2", "python3", "/x")),
        NodeSpec(
            name="g/b",
            code=FunctionCode("m.b", "sha256:3"),
            params={
                "one": FromOutput("a", "x"),
                "two": Text(("t", FromParam("p"))),
                "three": Items((Inline(1), Fields({"k": NOTEBOOK}))),
            },
            after=("a",),
            outputs=("y",),
            policy=Policy(retries=Retry(2), resources={"GPU": 1.0}),
            place="flow.yaml:3",
        ),
    ),
    params={"p": Inline("x")},
    limits=Limits(3, {"g": 1}),
    place="flow.yaml",
)
MADE_OF = Fingerprint("code", "modules", "environment", "files", "params", "upstream")
REASON = Reason("timed_out", "took more than 5 s")
EVENTS = [
    ev.RunCreated(FLOW, {"p": Inline([1, 2.5, None, {"k": True}])}, "/out", "0.1"),
    ev.RunClaimed("host:1"),
    ev.RunReopened("host:2"),
    ev.FlowChanged(FLOW, {"p": Inline("y")}, ("a: its code has changed",)),
    ev.CancelRequested("me"),
    ev.RunEnded(RunStatus.FAILED),
    ev.AttemptScheduled("a", 1, MADE_OF),
    ev.CheckpointStored("a", 1, ev.Checkpoint(3, "prefix", NOTEBOOK, NOTEBOOK, 2.0)),
    ev.AttemptStarted("a", 1, "tcp://w", 1.5),
    ev.AttemptSucceeded("a", 1, 1.5, 2.5, {"x": Inline(None), "t": NOTEBOOK}, NOTEBOOK, NOTEBOOK),
    ev.AttemptFailed("a", 1, REASON, 1.5, 2.5, ev.ErrorInfo("E", "m", 3, "tb"), {}, NOTEBOOK),
    ev.AttemptLost("a", 1, Reason("driver_lost", "gone"), NOTEBOOK),
    ev.AttemptInDoubt("a", 1, Reason("driver_lost", "gone")),
    ev.RetryScheduled("a", 1, 9.0),
    ev.RetryDue("a", 1),
    ev.NodeSkipped("a", Reason("upstream_failed", "b failed")),
    ev.NodeCancelled("a", 1, NOTEBOOK),
    ev.NodeKept("a"),
    ev.NodeCached("a", MADE_OF, "other", 1.5, {"x": Inline(1)}, NOTEBOOK),
    ev.NodeReset("a", "its code has changed", "code"),
]


def test_there_is_an_example_of_every_event():
    kinds = set(get_args(ev.RunEvent)) | set(get_args(ev.NodeEvent))
    assert {type(event) for event in EVENTS} == kinds


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_event_survives_json_and_is_told_from_all_others(event):
    record = ev.Record("r", 1, 2, 3.5, event)
    assert msgspec.json.decode(msgspec.json.encode(record), type=ev.Record) == record


def test_a_record_says_what_it_is_about():
    record = ev.Record("r", 1, 0, 0.0, ev.AttemptStarted("a", 2, "w", 1.0))
    assert (record.type, record.node, record.attempt) == ("AttemptStarted", "a", 2)
    record = ev.Record("r", 1, 0, 0.0, ev.NodeCancelled("a"))
    assert (record.type, record.node, record.attempt) == ("NodeCancelled", "a", None)
    record = ev.Record("r", 1, 0, 0.0, ev.RunClaimed("d"))
    assert (record.type, record.node, record.attempt) == ("RunClaimed", None, None)


def test_a_node_says_of_which_kind_it_is():
    assert [node.kind for node in FLOW.nodes] == ["notebook", "function"]


def test_events_never_change():
    with pytest.raises(AttributeError, match="immutable"):
        EVENTS[5].attempt = 2
