"""Whole runs as a user starts them: real worker processes, real kernels."""

import asyncio
import gc
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from watchpoint import until

import nbflow
from nbflow.core.states import NodeState
from nbflow.journal import SqlJournal


def test_the_pipeline_of_the_readme(tmp_path, notebook) -> None:
    notebook("extract.ipynb", "rows = [1, 2, 3]\nseen = date", parameters="date = ''")
    notebook(
        "clean.ipynb",
        "import pandas as pd\ntable = pd.DataFrame({'x': rows, 'y': [r * 2.0 for r in rows]})",
        parameters="rows = []",
    )
    notebook(
        "train.ipynb", "model = {'slope': table.y.sum() / table.x.sum()}", parameters="table = None"
    )
    notebook("report.ipynb", "print('done')")
    flow = nbflow.Flow("sales", params={"date": "2026-01-01"}, base_dir=tmp_path)
    extract = flow.notebook("extract.ipynb", params={"date": flow.param("date")}, outputs=["seen"])
    clean = flow.notebook("clean.ipynb", params={"rows": extract["rows"]})
    train = flow.notebook(
        "train.ipynb",
        params={"table": clean["table"]},
        name="train",
        retries=nbflow.Retry(3, backoff=2.0),
        timeout=nbflow.Timeout(soft=300, hard=600),
        memory="2GB",
        priority=10,
        resources={"GPU": 1},
    )
    flow.notebook("report.ipynb", after=[train])

    @flow.task
    def score(model=train["model"]) -> float:
        print("scoring")
        return float(model["slope"])

    run = flow.run(
        date="2026-02-01",
        cluster=nbflow.Embedded(workers=2, resources={"GPU": 1}),
        output_dir=tmp_path / "out",
        progress=False,
    )

    assert run.status == "succeeded"
    assert run["extract"].outputs["seen"] == "2026-02-01"
    expected = pd.DataFrame({"x": [1, 2, 3], "y": [2.0, 4.0, 6.0]})
    pd.testing.assert_frame_equal(run["clean"].outputs["table"], expected)
    assert run["score"].outputs["result"] == 2.0
    assert run["score"].logs == "scoring\n"
    assert run["report"].notebook_path == tmp_path / "out" / "report.ipynb"
    assert run["report"].notebook.cells[0].outputs[0].text == "done\n"
    assert "done" in run["report"].logs
    assert [record.type for record in run["train"].story] == [
        "AttemptScheduled",
        "AttemptStarted",
        "AttemptSucceeded",
    ]
    assert (tmp_path / ".nbflow" / "journal.sqlite").is_file()


def test_values_of_any_kind_pass_through_functions_unchanged(tmp_path) -> None:
    flow = nbflow.Flow("kinds", base_dir=tmp_path)
    values = {
        "array": np.arange(6).reshape(2, 3),
        "table": pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}),
        "pair": (1, {"nested": float("inf")}),
        "text": "ünïcode",
        "nothing": None,
        "large": list(range(20_000)),
    }

    @flow.task(outputs=list(values), params={"given": values})
    def make(given):
        return given

    @flow.task
    def types(got={name: make[name] for name in values}):
        return {name: type(value).__name__ for name, value in got.items()}

    run = flow.run(progress=False)

    outputs = run["make"].outputs
    np.testing.assert_array_equal(outputs["array"], values["array"])
    pd.testing.assert_frame_equal(outputs["table"], values["table"])
    assert [outputs[name] for name in ("pair", "text", "nothing", "large")] == [
        values[name] for name in ("pair", "text", "nothing", "large")
    ]
    assert run["types"].outputs["result"] == {
        name: type(value).__name__ for name, value in values.items()
    }


def test_a_failure_is_raised_and_can_be_resumed_after_it_is_mended(tmp_path) -> None:
    flow = nbflow.Flow("mend", base_dir=tmp_path)
    marker, ran = tmp_path / "there", tmp_path / "ran"

    @flow.task
    def first():
        with ran.open("a") as file:
            file.write("first\n")
        return 1

    @flow.task
    def second(x=first["result"]):
        with marker.open() as file:
            return x + len(file.read())

    @flow.task
    def third(x=second["result"]):
        return x * 10

    with pytest.raises(nbflow.RunFailed, match="FileNotFoundError") as failure:
        flow.run(progress=False)
    run = failure.value.run
    assert run["second"].status == "failed"
    assert run["second"].error.type == "FileNotFoundError"
    assert run["third"].reason.kind == "upstream_failed"

    marker.write_text("four")
    run.resume(progress=False)

    assert run.status == "succeeded"
    assert run["third"].outputs["result"] == 50
    assert ran.read_text() == "first\n"
    assert nbflow.attach(run.id, home=run.home)["third"].outputs["result"] == 50
    (summary,) = nbflow.runs(home=run.home)
    assert (summary.id, summary.status, summary.counts) == (run.id, "succeeded", {"succeeded": 3})


def held_back(folder):
    """Return a flow of one task that gives 7 once the gate is there, and the gate."""
    flow = nbflow.Flow("held", base_dir=folder)
    go = folder / "go"

    @flow.task
    async def slow():
        import asyncio

        while not go.exists():
            await asyncio.sleep(0.01)
        return 7

    return flow, go


def test_a_run_is_awaited_in_a_running_loop_without_blocking_it(tmp_path) -> None:
    flow, go = held_back(tmp_path)

    async def main():
        run = flow.start()
        assert run.status in ("submitted", "running")
        go.touch()
        done = await run
        return done["slow"].outputs["result"]

    assert asyncio.run(main()) == 7


def test_who_gives_up_waiting_for_a_run_does_not_end_it(tmp_path) -> None:
    flow, go = held_back(tmp_path)

    async def main():
        run = flow.start()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(run, 0.1)
        go.touch()
        return (await run).status

    assert asyncio.run(main()) == "succeeded"


def test_cancel_stops_a_kernel_and_keeps_its_partial_notebook(tmp_path, notebook) -> None:
    path = tmp_path / "begun"
    notebook(
        "long.ipynb",
        "print('before')",
        f"open({str(path)!r}, 'w').close()\nimport time\ntime.sleep(600)",
    )
    notebook("after.ipynb", "1")
    flow = nbflow.Flow("cancelled", base_dir=tmp_path)
    long = flow.notebook("long.ipynb")
    flow.notebook("after.ipynb", after=[long])
    run = flow.start()
    until(path.exists)

    run.cancel()
    status = run.wait(60)

    assert status == "cancelled"
    assert {name: str(run[name].status) for name in run} == {
        "long": "cancelled",
        "after": "cancelled",
    }
    cells = run["long"].notebook.cells
    statuses = [cell.metadata.papermill.status for cell in cells if "papermill" in cell.metadata]
    assert "completed" in statuses
    assert statuses[-1] != "completed"
    assert "before" in run["long"].logs


@pytest.fixture
def gated(tmp_path):
    """A flow of one node that waits for a file, started; and what lets the node go on."""
    flow = nbflow.Flow("gated", base_dir=tmp_path)
    begun, go = tmp_path / "begun", tmp_path / "go"

    @flow.task
    async def node():
        import asyncio

        begun.touch()
        while not go.exists():
            await asyncio.sleep(0.01)
        return 1

    run = flow.start()
    until(begun.exists)
    return run, go.touch


def test_an_interrupted_run_is_resumed_by_another_handle(gated) -> None:
    run, let_go_on = gated
    run.interrupt("the test says so")
    assert run.wait(60) == "interrupted"
    assert run["node"].reason.message == "the test says so"

    let_go_on()
    again = nbflow.attach(run.id, home=run.home).resume(progress=False)
    assert again.status == "succeeded"
    assert again["node"].attempts == 2


def test_a_handle_that_has_let_go_of_its_run_follows_whoever_goes_on_with_it(gated) -> None:
    run, let_go_on = gated
    run.interrupt()
    assert run.wait(60) == "interrupted"
    run.cancel()
    assert run.status == "cancelled"
    assert run["node"].status is NodeState.CANCELLED

    other = nbflow.attach(run.id, home=run.home).resume(wait=False)
    assert run.view().driven
    let_go_on()
    assert run.wait(60) == "succeeded"
    assert run["node"].outputs["result"] == 1
    assert other.wait(60) == "succeeded"
    run.cancel()
    assert run.status == "succeeded"


def test_a_handle_whose_driver_was_replaced_says_so_once_and_follows(gated) -> None:
    run, let_go_on = gated
    journal = SqlJournal.open(run.home / "journal.sqlite")
    journal.release(run.id, journal.row(run.id).epoch)
    journal.close()
    other = nbflow.attach(run.id, home=run.home).resume(wait=False)
    with pytest.raises(nbflow.LostLease):
        run.wait(60)
    let_go_on()
    assert run.wait(60) == "succeeded"
    assert other.wait(60) == "succeeded"


#: A script that ends while its run, to which it holds no handle, goes on.
FORGETFUL = """
import nbflow, sys, time
flow = nbflow.Flow("forgotten", base_dir=sys.argv[1])
def node():
    time.sleep(600)
flow.task(node, name="node")
run = flow.start(run_id="forgotten", workers=1)
while run["node"].status != "running":
    run.wait_changed(1)
del run
"""


def test_a_script_that_ends_before_its_run_lets_go_of_it_in_good_order(tmp_path) -> None:
    subprocess.run([sys.executable, "-c", FORGETFUL, tmp_path], timeout=60, check=True)
    run = nbflow.attach("forgotten", home=tmp_path / ".nbflow")
    assert run.status == "interrupted"
    assert run["node"].reason.message == "the process that drove it has ended"


def test_a_run_that_has_ended_takes_no_room_in_the_process_that_drove_it(tmp_path) -> None:
    flow = nbflow.Flow("small", base_dir=tmp_path)
    flow.task(lambda: 1, name="node")
    run = flow.run(progress=False)
    driver = weakref.ref(run._launch)
    del run
    gc.collect()
    assert driver() is None


def test_two_drivers_of_one_run(tmp_path) -> None:
    flow = nbflow.Flow("held", base_dir=tmp_path)
    go = tmp_path / "go"

    @flow.task
    async def node():
        import asyncio

        while not go.exists():
            await asyncio.sleep(0.01)

    run = flow.start()
    with pytest.raises(nbflow.RunHeld, match=run.id):
        nbflow.attach(run.id, home=run.home).resume()
    go.touch()
    assert run.wait(60) == "succeeded"


def test_an_attached_handle_follows_and_cancels(tmp_path) -> None:
    flow = nbflow.Flow("followed", base_dir=tmp_path)
    begun = tmp_path / "begun"

    @flow.task
    async def node():
        import asyncio

        begun.touch()
        await asyncio.Event().wait()

    run = flow.start()
    until(begun.exists)
    other = nbflow.attach(run.id[:-2], home=run.home)
    until(lambda: other["node"].status == "running")
    other.cancel()
    assert other.wait(60) == "cancelled"
    assert run.wait(60) == "cancelled"


def test_a_fit_flow_is_told_from_an_unfit_one_before_anything_runs(tmp_path) -> None:
    flow = nbflow.Flow("unfit", base_dir=tmp_path)

    @flow.task(resources={"GPU": 1})
    def node():
        return 1

    with pytest.raises(nbflow.DefinitionError, match="it needs GPU: 1"):
        flow.run(progress=False)
    assert nbflow.runs(home=tmp_path / ".nbflow") == []


def test_a_taken_run_id_is_refused(tmp_path) -> None:
    flow = nbflow.Flow("twice", base_dir=tmp_path)

    @flow.task
    def node():
        return 1

    flow.run(run_id="mine", progress=False)
    with pytest.raises(nbflow.NbflowError, match="mine"):
        flow.run(run_id="mine", progress=False)


def test_a_graph_and_a_panel_display_themselves(tmp_path: Path) -> None:
    flow = nbflow.Flow("shown", base_dir=tmp_path)

    @flow.task
    def node():
        return 1

    run = flow.run(progress=False)
    assert "<svg" in run.graph()._repr_mimebundle_()["image/svg+xml"]
    bundle = run._repr_mimebundle_()
    assert "node" in bundle["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_a_journal_that_fails_in_mid_run_interrupts_it_and_loses_nothing(
    tmp_path, monkeypatch
) -> None:
    flow = nbflow.Flow("full", base_dir=tmp_path)
    ran = tmp_path / "ran"

    @flow.task
    def first():
        with ran.open("a") as file:
            file.write("first\n")
        return 1

    @flow.task
    def second(x=first["result"]):
        return x + 1

    append = SqlJournal.append

    def full(self, run, epoch, records):
        if any(r.type == "AttemptSucceeded" and r.node == "second" for r in records):
            raise nbflow.JournalError("the disk is full")
        append(self, run, epoch, records)

    monkeypatch.setattr(SqlJournal, "append", full)
    with pytest.raises(nbflow.RunInterrupted, match=r"the disk is full\nContinue it with") as stop:
        flow.run(progress=False)
    monkeypatch.undo()
    run = stop.value.run
    assert isinstance(stop.value.__cause__, nbflow.JournalError)
    assert run.status == "interrupted"

    run = nbflow.attach(run.id, home=run.home).resume(progress=False)
    assert run["second"].outputs["result"] == 2
    assert ran.read_text() == "first\n"


def test_an_output_folder_that_cannot_be_written_is_told_before_anything_runs(tmp_path) -> None:
    flow = nbflow.Flow("nowhere", base_dir=tmp_path)
    (tmp_path / "file").touch()

    @flow.task
    def node():
        return 1

    with pytest.raises(nbflow.NbflowError, match=r"file/out .* cannot be written.*-o"):
        flow.run(output_dir=tmp_path / "file" / "out", progress=False)
    assert nbflow.runs(home=tmp_path / ".nbflow") == []
