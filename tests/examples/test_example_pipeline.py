"""The pipeline, run in all the ways that a user has, gives the same answers in each.

The runs go on side by side, each on a cluster of its own, and once for all tests of this module.
"""

from pathlib import Path

import pytest
from distributed import LocalCluster
from example_runs import Examples, Executed

import nbflow

pytestmark = pytest.mark.timeout(600)

#: How many figures each notebook draws.
FIGURES = {"load": 1, "clean": 1, "models/forest": 1, "models/linear": 1, "compare": 1, "report": 3}
#: Those that the command line does not run alone.
WITH_PREDECESSORS = [node for node in FIGURES if node != "load"]


@pytest.fixture(scope="module")
def documents(examples):
    """What each way of running the pipeline says of its run."""
    yaml = examples.start("pipeline/flow.yaml", out="yaml")
    python = examples.start("pipeline/flow.py:flow", out="python")
    flow = nbflow.load(examples.folder / "pipeline" / "flow.yaml")
    run = flow.run(output_dir=examples.out / "loaded", progress=False)
    return {"yaml": yaml.document(), "python": python.document(), "loaded": run.document()}


@pytest.fixture(scope="module")
def alone(examples):
    """A run of each notebook as a flow of its own; they share a cluster that is somebody else's."""
    with LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as cluster:
        runs = {
            node: nbflow.load(examples.folder / "pipeline" / f"{node.split('/')[-1]}.ipynb").start(
                cluster=cluster, output_dir=examples.out / "alone"
            )
            for node in WITH_PREDECESSORS
        }
        for run in runs.values():
            run.wait()
        return runs


def outputs(document):
    return {name: node["outputs"] for name, node in document["nodes"].items()}


def test_each_way_runs_every_node_once(documents):
    for way, document in documents.items():
        assert document["flow"] == "diagnosis"
        assert document["status"] == "succeeded"
        assert set(document["nodes"]) - {"verdict"} == set(FIGURES), way
        assert {node["attempts"] for node in document["nodes"].values()} == {1}


def test_each_way_gives_the_same_answers(documents):
    """Tables and fitted models by their content's hash, everything else by value."""
    expected = outputs(documents["yaml"])
    assert outputs(documents["loaded"]) == expected
    python = outputs(documents["python"])
    del python["verdict"]
    assert python == expected


def test_the_answers_are_those_of_the_data(documents):
    found = outputs(documents["yaml"])
    assert found["load"]["patients"]["preview"] == "569 x 31"
    summary = found["report"]["summary"]["value"]
    assert summary["patients"] == 171
    assert summary["model"] == found["compare"]["best"]["value"]
    assert summary["auc"] > 0.98


def test_the_python_flow_ends_with_a_function_that_decides(documents):
    summary = outputs(documents["yaml"])["report"]["summary"]["value"]
    decision = "goes on" if summary["recall"] >= 0.9 else "does not go on"
    verdict = documents["python"]["nodes"]["verdict"]
    assert verdict["notebook"] is None
    said = f"{summary['model']} {decision}: recall {summary['recall']:.1%}"
    assert verdict["outputs"]["result"]["value"] == said


@pytest.mark.parametrize("way", ["yaml", "python", "loaded"])
def test_executed_notebooks_are_whole(documents, examples, way):
    for node, figures in FIGURES.items():
        assert documents[way]["nodes"][node]["notebook"] == str(
            examples.out / way / f"{node}.ipynb"
        )
        executed = Executed(examples.out / way / f"{node}.ipynb")
        assert set(executed.statuses) == {"completed"}
        assert executed.papermill.exception is None
        assert executed.papermill.duration > 0
        assert executed.papermill.end_time > executed.papermill.start_time
        assert len(executed.outputs("image/png")) == figures, node
    assert executed.papermill.parameters.seed == 7
    assert executed.papermill.parameters.required_recall == 0.9


@pytest.mark.parametrize("node", WITH_PREDECESSORS)
def test_each_notebook_runs_by_itself(alone, examples, node):
    """With no table given, it runs the notebooks before it: their figures come first."""
    run = alone[node]
    assert run.status == "succeeded", run.failures()
    name = node.split("/")[-1]
    assert list(run) == [name]
    executed = Executed(examples.out / "alone" / f"{name}.ipynb")
    assert set(executed.statuses) == {"completed"}
    assert len(executed.outputs("image/png")) >= FIGURES[node]


def test_a_flow_says_what_its_notebooks_say_when_run_from_top_to_bottom(documents, alone, examples):
    """By itself, the report runs everything in one kernel, and its own cells last."""
    in_flow = Executed(documents["yaml"]["nodes"]["report"]["notebook"])
    by_itself = Executed(examples.out / "alone" / "report.ipynb")
    [text] = in_flow.outputs("text/markdown")
    assert text.startswith("On **171** new patients")
    assert by_itself.outputs("text/markdown") == [text]
    assert by_itself.printed.endswith(in_flow.printed)
    assert by_itself.outputs("image/png")[-3:] == in_flow.outputs("image/png")


def test_a_notebook_is_a_target_of_the_command_line(examples):
    document = examples.start("pipeline/load.ipynb", "-p", "share", "0.15", out="load").document()
    assert document["flow"] == "load"
    executed = Executed(document["nodes"]["load"]["notebook"])
    assert executed.papermill.parameters == {"share": 0.15}
    assert executed.printed.startswith("85 patients: ")


def test_every_notebook_here_is_run_by_a_test(tmp_path):
    folder = Examples(tmp_path).folder
    flows = [nbflow.load(folder / name / "flow.yaml") for name in ("pipeline", "faults")]
    run = {Path(node.code.path) for flow in flows for node in flow.spec().nodes}
    assert run | {folder / "tutorial.ipynb"} == set(folder.rglob("*.ipynb"))
