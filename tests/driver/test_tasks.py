"""Tasks for workers that do not share the store: what they need travels along, if it is there."""

import pytest
from driven_run import DrivenRun, node
from msgspec.structs import replace

from nbflow.core import events as ev
from nbflow.core.making import fingerprint_of
from nbflow.core.spec import NotebookCode
from nbflow.core.states import RunStatus
from nbflow.core.values import Artifact

GONE = Artifact("pickle", "sha256:" + "7" * 64, 3)


@pytest.fixture
def made(tmp_path):
    """A run whose workers do not reach the store, and in whose store is the nodes' code."""
    beside = DrivenRun(tmp_path)
    code = beside.store.put(b"code", "pickle").digest

    def far(*nodes):
        stored = [replace(each, code=replace(each.code, digest=code)) for each in nodes]
        it = DrivenRun(tmp_path, *stored, run="far", beside=beside)
        it.shares_store = False
        return it

    return far


def test_what_a_node_receives_travels_along(made) -> None:
    it = made(node("load"), node("use", "load"))
    rows = it.store.put(b"rows", "pickle")
    carried = {}

    async def perform(task):
        carried[task.id.node] = task.carried
        return dict.fromkeys(task.outputs, rows)

    assert it.drive(perform).status is RunStatus.SUCCEEDED
    assert carried["use"].keys() == {it.run.graph.nodes["use"].code.digest, rows.digest}


def test_a_lost_input_fails_the_attempt_that_receives_it_and_no_other(made) -> None:
    it = made(
        node("load"), node("use", "load"), node("after", "use"), node("beside", after=["load"])
    )

    async def perform(task):
        it.ran.append(task.id.node)
        return dict.fromkeys(task.outputs, GONE)

    run = it.drive(perform)
    assert run.status is RunStatus.FAILED
    assert it.ran == ["load", "beside"]
    assert it.states == {
        "load": "succeeded",
        "use": "failed",
        "after": "skipped",
        "beside": "succeeded",
    }
    assert run["use"].reason.kind == "invalid_input"
    assert f"artifact {GONE.digest} is missing" in run["use"].reason.message
    assert "`nbflow verify` says which node makes it again" in run["use"].reason.message


def test_a_lost_checkpoint_does_not_hold_up_the_node_that_went_so_far(made) -> None:
    it = made(replace(node("note"), code=NotebookCode("/nb/note.ipynb")))
    kept = it.store.put(b"variables", "file")
    checkpoint = ev.Checkpoint(2, "prefix", kept, GONE, 1.0)
    it.left_by_a_dead_driver(
        ev.AttemptScheduled("note", 1, fingerprint_of(it.run, "note")),
        ev.AttemptStarted("note", 1, "w", 1.0),
        ev.CheckpointStored("note", 1, checkpoint),
    )
    tasks = []

    async def perform(task):
        tasks.append(task)
        return {}

    assert it.drive(perform).status is RunStatus.SUCCEEDED
    (task,) = tasks
    assert task.checkpoint == checkpoint, "its worker says that it starts over, and why"
    assert GONE.digest not in task.carried
