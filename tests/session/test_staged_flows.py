"""Flows whose notebooks run as stages of cells: run, resumed and forked."""

import warnings

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

import nbflow
from nbflow.core.states import NodeState

FIRST = "import time\n\ntable = [3, 1, 2]"
#: What takes its time is the work here.
LEFT = "time.sleep(2); low = len(table) + start"
RIGHT = "time.sleep(2); high = len(table) * 2"
LAST = "print(low, high)"


@pytest.fixture
def write(tmp_path):
    """Write the notebook; its file tells that its branches take long."""

    def write(*sources):
        cells = [
            new_code_cell(
                source,
                metadata={
                    "papermill": {
                        "status": "completed",
                        "duration": 20.0 if "len" in source else 0.01,
                    }
                },
            )
            for source in sources
        ]
        kernel = {"name": "python3", "display_name": "", "language": "python"}
        book = new_notebook(cells=cells, metadata={"kernelspec": kernel})
        nbformat.write(book, tmp_path / "x.ipynb")
        return tmp_path / "x.ipynb"

    return write


def shown(run):
    return [output.text for cell in run["x"].notebook.cells for output in cell.get("outputs", [])]


def stage_of(run, number):
    """The node that has the result of a cell, by its number."""
    spec = run.view().run.graph.spec
    return next(
        node.name for node in spec.nodes if node.is_stage and number in node.code.stage.numbers
    )


def test_a_notebook_runs_as_stages_and_goes_on_after_an_edit(write, tmp_path):
    path = write(FIRST, LEFT, RIGHT, LAST)
    flow = nbflow.Flow.from_notebook(path, params={"start": 10}, outputs=["high"])
    assert "stage" in str(flow.graph(cells=True, home=tmp_path / "home"))
    run = flow.run(home=tmp_path / "home", workers=2, progress=False)
    assert shown(run) == ["13 6\n"]
    assert run["x"].outputs["high"] == 6
    assert stage_of(run, 2) != stage_of(run, 3)

    right = stage_of(run, 3)
    write(FIRST, LEFT, RIGHT + " + 1", LAST)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        run.resume(workers=2, progress=False)
    assert shown(run) == ["13 7\n"]
    assert run["x"].outputs["high"] == 7
    again = {str(each.message) for each in told if "runs again" in str(each.message)}
    assert again == {
        f"node {right} runs again: its code has changed",
        "node x runs again: its code has changed",
    }


def test_a_fork_with_another_parameter_repeats_what_depends_on_it(write, tmp_path):
    path = write(FIRST, LEFT, RIGHT, LAST)
    flow = nbflow.Flow.from_notebook(path, params={"start": 10})
    run = flow.run(home=tmp_path / "home", workers=2, progress=False)
    fork = run.fork(start=20, workers=2, progress=False)
    assert shown(fork) == ["23 6\n"]
    assert fork[stage_of(fork, 3)].status == NodeState.SKIPPED  # its result was taken
    assert fork[stage_of(fork, 2)].status == NodeState.SUCCEEDED
