"""Every event survives the journal, and what cannot be read says why."""

from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core import events as ev
from nbflow.core.errors import JournalError, NewerSchema
from nbflow.core.fingerprints import Fingerprint
from nbflow.core.policies import Limits, Policy, Retry, Timeout
from nbflow.core.spec import FlowSpec, FunctionCode, NodeSpec, NotebookCode
from nbflow.core.states import Reason, RunStatus
from nbflow.core.values import Artifact, Fields, FromOutput, FromParam, Inline, Items, Text
from nbflow.journal import codec
from nbflow.journal.versions import HISTORY

ARTIFACT = Artifact("parquet", "sha256:" + "a" * 64, 1 << 40, "pandas.DataFrame", "3 x 4 …")
NESTED = Items((Inline([1, None, {"ä": "\x00\u2028"}]), Fields({"deep": Items((ARTIFACT,))})))
OUTPUTS = {"rows": Inline(3), "table": ARTIFACT, "both": NESTED}
REASON = Reason("error", "ValueError: no\nsuch thing")
FINGERPRINT = Fingerprint(code="ab" * 16, upstream="cd" * 16)
ERROR = ev.ErrorInfo("ValueError", "no", 4, "Traceback …")

FLOW = FlowSpec(
    name="sales",
    params={"date": Inline("2026-01-01"), "frame": ARTIFACT, "nested": NESTED},
    limits=Limits(flow=4, groups={"models": 2}),
    place="flow.yaml",
    nodes=(
        NodeSpec(
            name="models/forest",
            code=NotebookCode("/flows/forest.ipynb", ARTIFACT.digest, "python3", "/flows"),
            params={
                "inline": Inline(None),
                "artifact": ARTIFACT,
                "param": FromParam("date"),
                "output": FromOutput("load", "rows"),
                "text": Text(("data/", FromParam("date"), "-", FromOutput("load", "rows"), ".csv")),
                "items": Items((FromOutput("load", "rows"), Inline([1, 2.5]), Items(()))),
                "fields": Fields({"a": FromParam("date"), "b": Fields({"c": Text(("x",))})}),
            },
            after=("load", "clean"),
            outputs=("model",),
            policy=Policy(
                retries=Retry(3, 2.0, 3.0, 60.0, 0.5),
                timeout=Timeout(soft=300, hard=600),
                memory_bytes=2 << 30,
                priority=-10,
                resources={"GPU": 1},
                continue_on_failure=True,
            ),
            place="flow.yaml:6",
        ),
        NodeSpec(name="load", code=FunctionCode("flows.load", ARTIFACT.digest)),
    ),
)

EVENTS = [
    ev.RunCreated(FLOW, {"date": Inline("2026-02-01"), "nested": NESTED}, "/out", "0.1.0"),
    ev.RunCreated(FlowSpec(name="empty", nodes=()), {}, "/out"),
    ev.RunClaimed("host:1"),
    ev.RunReopened("host:2"),
    ev.CancelRequested("ada"),
    *[ev.RunEnded(status) for status in RunStatus],
    ev.AttemptScheduled("load", 1),
    ev.AttemptStarted("load", 1, "tcp://10.0.0.1:1234", 1.7e9 + 0.123456),
    ev.AttemptSucceeded("load", 1, 1.5, 2.5),
    ev.AttemptSucceeded("load", 1, 1.5, 2.5, OUTPUTS, ARTIFACT, ARTIFACT),
    ev.AttemptFailed("load", 1, REASON),
    ev.AttemptFailed("load", 1, REASON, 1.5, 2.5, ERROR, OUTPUTS, ARTIFACT, ARTIFACT),
    ev.AttemptLost("load", 1, Reason("worker_lost", "gone")),
    ev.AttemptLost("load", 1, Reason("interrupted", "stopped"), ARTIFACT),
    ev.RetryScheduled("load", 1, 1.7e9),
    ev.RetryDue("load", 1),
    ev.NodeSkipped("load", Reason("upstream_failed", "load failed")),
    ev.NodeCancelled("load"),
    ev.NodeCancelled("load", 3, ARTIFACT),
    ev.NodeReset("load", "resumed"),
    ev.NodeReset("load", "its code has changed", "code"),
    ev.RunCreated(FLOW, {}, "/out", "0.2.0", ("date",), "sales-1"),
    ev.FlowChanged(FLOW, {"date": Inline("2026-02-01")}, ("node load is new",)),
    ev.AttemptScheduled("load", 1, FINGERPRINT),
    ev.CheckpointStored("load", 1, ev.Checkpoint(3, "ab" * 16, ARTIFACT, ARTIFACT, 1.5)),
    ev.AttemptSucceeded("load", 1, 1.5, 2.5, resolved_by="ada"),
    ev.AttemptFailed("load", 1, REASON, resolved_by="ada"),
    ev.AttemptInDoubt("load", 1, Reason("driver_lost", "gone")),
    ev.NodeKept("load"),
    ev.NodeCached("load", FINGERPRINT, "sales-1", 12.5),
    ev.NodeCached("load", FINGERPRINT, "sales-1", 12.5, OUTPUTS, ARTIFACT, ARTIFACT),
]

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def round_trip(event):
    kind = type(event).__name__
    return codec.decode(kind, HISTORY.of(kind), codec.encode(event), "here")


def test_every_event_type_has_an_example():
    assert {type(event) for event in EVENTS} == set(get_args(ev.Event))
    assert {kind.__name__ for kind in get_args(ev.Event)} == codec.KNOWN_TYPES


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_comes_back_as_it_was(event):
    assert round_trip(event) == event


@given(json_values)
def test_an_inline_value_comes_back_type_for_type(value):
    event = ev.AttemptSucceeded("load", 1, 1.5, 2.5, {"value": Inline(value)})
    assert repr(round_trip(event)) == repr(event)


def test_an_unknown_type_asks_for_an_upgrade():
    with pytest.raises(NewerSchema, match=r"journal x, seq 7: NodeTeleported .*Upgrade nbflow"):
        codec.decode("NodeTeleported", 1, b"{}", "journal x, seq 7")


def test_a_newer_version_asks_for_an_upgrade():
    body = codec.encode(ev.RunClaimed("host:1"))
    newer = HISTORY.of("RunClaimed") + 1
    with pytest.raises(NewerSchema, match=rf"version {newer}\).*up to version {newer - 1}\."):
        codec.decode("RunClaimed", newer, body, "here")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b'{"type":"RunClaimed"}',
        b'{"type":"RunClaimed","driver":5}',
        b'{"type":"RunClaimed","driver":"\xff"}',
        msgspec.json.encode(ev.RunReopened("host:1")),
    ],
)
def test_a_damaged_body_names_the_place(body):
    with pytest.raises(JournalError, match=r"journal x, seq 7: the body of RunClaimed is damaged"):
        codec.decode("RunClaimed", 1, body, "journal x, seq 7")


@pytest.mark.parametrize("value", [object(), "\ud800"], ids=["object", "text"])
def test_what_is_not_json_is_refused_by_name(value):
    event = ev.AttemptSucceeded("load", 1, 1.5, 2.5, {"value": Inline(value)})
    with pytest.raises(JournalError, match=r"AttemptSucceeded of node 'load' cannot be written"):
        codec.encode(event)
