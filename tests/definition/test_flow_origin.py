import pytest

from nbflow.definition import FlowBuilder, load_target
from nbflow.session.loading import load, reloaded

FLOW = """
import nbflow
flow = nbflow.Flow("f")
flow.notebook("a.ipynb")
"""


def names(flow):
    return [(node.name, getattr(node.code, "path", "")) for node in flow.spec().nodes]


@pytest.fixture
def project(write_notebook, folder):
    write_notebook("project/a.ipynb", "1")
    place = folder / "project"
    (place / "flow.py").write_text(FLOW)
    (place / "package").mkdir()
    (place / "package" / "__init__.py").touch()
    (place / "package" / "flows.py").write_text(FLOW.replace("a.ipynb", "../a.ipynb"))
    (place / "flow.yaml").write_text("flow: f\nnodes:\n  a: {notebook: a.ipynb}\n")
    return place


@pytest.mark.parametrize(
    ("written", "target"),
    [
        ("flow.yaml", "flow.yaml"),
        ("a.ipynb", "a.ipynb"),
        ("flow.py:flow", "flow.py:flow"),
        ("flow.py", "flow.py"),
        ("package.flows:flow", "package.flows:flow"),
    ],
)
def test_a_flow_that_was_loaded_can_be_loaded_again_from_anywhere(
    project, folder, monkeypatch, written, target
):
    monkeypatch.chdir(project)
    flow = load(written)
    assert flow.spec().target == str(project / target)
    # Another folder, which happens to have a notebook of that name.
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.ipynb").write_text("{}")
    monkeypatch.chdir(elsewhere)
    again = reloaded(flow.spec().target)
    assert names(again) == names(flow)
    assert again.spec().target == flow.spec().target


def test_a_target_may_name_the_folder_of_a_module(project):
    flow = load("project/package.flows:flow")
    assert flow.spec().target == str(project / "package.flows:flow")


def test_a_file_that_was_edited_gives_the_flow_as_it_is_now(project):
    flow = load("project/flow.py:flow")
    (project / "flow.py").write_text(FLOW + "flow.notebook('a.ipynb', name='b')\n")
    assert [name for name, _ in names(reloaded(flow.spec().target))] == ["a", "b"]


def test_a_flow_that_was_made_or_added_to_by_calls_has_no_target(project):
    assert FlowBuilder("f").spec().target == ""
    flow = load("project/flow.yaml")
    flow.notebook("project/a.ipynb", name="b")
    assert flow.spec().target == ""


def test_a_flow_whose_paths_mean_another_folder_has_no_target(project, folder):
    (project / "flow.py").write_text(FLOW.replace("a.ipynb", "project/a.ipynb"))
    flow = load_target("project/flow.py:flow", flow_class=load("project/flow.yaml").__class__)
    assert names(flow) == [("a", str(project / "a.ipynb"))]
    assert flow.spec().target == ""
