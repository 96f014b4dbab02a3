import msgspec
import pytest

from nbflow.core.attempts import AttemptTask, Ended, Lost, Outcome, Progress, Started, StoreRef
from nbflow.core.events import ErrorInfo
from nbflow.core.ids import AttemptId
from nbflow.core.policies import Timeout
from nbflow.core.spec import FunctionCode, NotebookCode
from nbflow.core.states import Reason
from nbflow.core.values import Artifact, Fields, Inline

ID = AttemptId("r", "models/a", 2, 3)
TABLE = Artifact("parquet", "sha256:1", 10)


@pytest.mark.parametrize(
    "sent",
    [
        AttemptTask(
            id=ID, code=FunctionCode("f", "sha256:2"), params={}, store=StoreRef("file:///s", "m")
        ),
        AttemptTask(
            id=ID,
            code=NotebookCode("/x.ipynb", "sha256:2"),
            params={"p": Fields({"k": TABLE, "l": Inline([1])})},
            outputs=("x",),
            timeout=Timeout(1, 2),
            memory_bytes=5,
            priority=3,
            resources={"GPU": 0.5},
            store=StoreRef("file:///s", "m"),
            carried={"sha256:1": b"\x00\xff"},
            notebook_path="/out/a.ipynb",
        ),
        Outcome(id=ID, status="stopped", started_at=1.0, ended_at=2.0),
        Outcome(
            id=ID,
            status="failed",
            started_at=1.0,
            ended_at=2.0,
            outputs={"x": TABLE},
            notebook=TABLE,
            log=TABLE,
            reason=Reason("error", "no"),
            error=ErrorInfo("E", "m"),
            carried={"sha256:1": b"\x00"},
        ),
    ],
    ids=["least task", "full task", "least outcome", "full outcome"],
)
def test_what_crosses_the_wire_arrives_as_it_was(sent):
    for codec in (msgspec.json, msgspec.msgpack):
        assert codec.decode(codec.encode(sent), type=type(sent)) == sent


def test_reports_are_told_apart():
    outcome = Outcome(id=ID, status="succeeded", started_at=1.0, ended_at=2.0)
    reports = [Started(ID, "w", 1.0), Ended(outcome), Lost(ID, "gone"), Progress(ID, 1, 3, 2, "x")]
    kind = Started | Ended | Lost | Progress
    for report in reports:
        assert msgspec.json.decode(msgspec.json.encode(report), type=kind) == report
