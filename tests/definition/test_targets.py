import sys

import pytest

from nbflow.core.errors import DefinitionError
from nbflow.core.values import FromParam, Inline
from nbflow.definition import FlowBuilder, load_target


def load(target, **how):
    return load_target(target, flow_class=FlowBuilder, **how)


def refusal(target):
    with pytest.raises(DefinitionError) as raised:
        load(target)
    (problem,) = raised.value.problems
    return str(problem)


FLOWS = """\
import nbflow.definition as d
print("not a result")
flow = d.FlowBuilder("one")
other = d.FlowBuilder("two")
number = 3

@flow.task
def a():
    return helper()

def helper():
    return __name__
"""


def test_a_flow_in_a_python_file(folder, capsys):
    (folder / "flows.py").write_text(FLOWS)
    flow = load("flows.py:flow")
    assert flow.name == "one"
    assert flow.spec().nodes[0].place == "flows.py:7"
    assert flow.nodes[0].function() != "__main__"
    assert load(folder / "flows.py:other").name == "two"
    assert load("flows.py:other", base_dir=folder).name == "two"
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "not a result" in captured.err


def test_the_only_flow_of_a_file_needs_no_name(folder):
    (folder / "one.py").write_text(FLOWS.replace("other = ", "same = flow #"))
    assert load("one.py").name == "one"


def test_a_file_finds_its_neighbours(folder):
    (folder / "sub").mkdir()
    (folder / "sub" / "neighbour.py").write_text("NAME = 'found'\n")
    (folder / "sub" / "flows.py").write_text(
        "import nbflow.definition as d\nfrom neighbour import NAME\nflow = d.FlowBuilder(NAME)\n"
    )
    assert load("sub/flows.py:flow").name == "found"


def test_a_file_may_be_loaded_again_after_it_was_changed(folder):
    (folder / "flows.py").write_text(FLOWS)
    assert load("flows.py:flow").name == "one"
    (folder / "flows.py").write_text(FLOWS.replace('"one"', '"another one"'))
    assert load("flows.py:flow").name == "another one"


def test_a_flow_in_a_module(folder):
    (folder / "package").mkdir()
    (folder / "package" / "__init__.py").write_text("")
    (folder / "package" / "flows.py").write_text(FLOWS)
    assert load("package.flows:other").name == "two"
    assert sys.modules["package.flows"].flow.name == "one"


def test_a_flow_class_of_ones_own(folder):
    class Flow(FlowBuilder):
        pass

    (folder / "flow.yaml").write_text("flow: f\nnodes: {a: {notebook: a.ipynb}}\n")
    flow = load_target("flow.yaml", flow_class=Flow)
    assert isinstance(flow, Flow)
    assert flow.name == "f"


def test_a_notebook_is_a_flow_of_one_node(write_notebook):
    path = write_notebook("my analysis.ipynb", params="alpha = 0.5")
    flow = load("my analysis.ipynb")
    assert flow.name == "my-analysis"
    assert flow.check() == []
    (node,) = flow.spec().nodes
    assert (node.name, node.params, node.code.path) == ("my-analysis", {}, str(path))
    assert flow.spec().params == {}


def test_parameters_of_a_bare_notebook_are_passed_on_known_or_not(write_notebook):
    write_notebook("a.ipynb", params="alpha = 0.5")
    flow = load("a.ipynb")
    prepared = flow.prepare({"alpha": 1, "beta": "${x}"})
    assert prepared.params == {"alpha": Inline(1), "beta": Inline("${x}")}
    assert prepared.spec.params == prepared.params
    assert prepared.spec.nodes[0].params == {"alpha": FromParam("alpha"), "beta": FromParam("beta")}
    assert flow.spec({"alpha": 1}).nodes[0].params == {"alpha": FromParam("alpha")}
    (warning,) = prepared.warnings
    assert warning.severity == "warning"
    assert "parameter 'beta' is not in the parameters cell of" in warning.what
    assert warning.place == "a.ipynb"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("zzz.yaml", "zzz.yaml: there is no such file. Check the path"),
        ("flwos.yaml", "flwos.yaml: there is no such file. Did you mean 'flows.yaml'?"),
        ("no/flow.yaml", "no/flow.yaml: there is no such file. The folder "),
        ("folder.yaml", "folder.yaml: this is a folder, not a flow file. Name the file inside"),
        ("flows.yaml/x.yaml", "the file cannot be read (Not a directory). Check its permissions"),
        ("analysis.ipynb", "analysis.ipynb: there is no notebook "),
        ("flwos.py:flow", "flwos.py:flow: there is no file flwos.py. Did you mean 'flows.py'?"),
        ("flows.py:flw", "flows.py has no 'flw'. Did you mean 'flow'? Flows there: flow, other"),
        ("flows.py:number", "'number' is not a flow; its type is int. Flows there: flow, other"),
        ("flows.py:a", "'a' is not a flow; its type is Node. Flows there: flow, other"),
        ("flows.py", "flows.py has several flows: flow, other. Choose one: flows.py:NAME"),
        ("plain.py", "there is no flow in plain.py. Write flow = nbflow.Flow(…) at its top level"),
        ("plain.py:flow", "plain.py has no 'flow'. There is no flow in it"),
        ("fails.py:flow", "fails.py cannot be loaded: ValueError: no (fails.py, line 4). Mend"),
        ("broken.py:flow", "broken.py cannot be loaded: SyntaxError: '(' was never closed (broken"),
        ("exits.py:flow", "exits.py cannot be loaded: SystemExit: 3 (exits.py, line 2). Mend"),
        ("needs.py:flow", "ModuleNotFoundError: No module named 'no_such' (needs.py, line 1)"),
        ("mute.py:flow", "mute.py cannot be loaded: RuntimeError (mute.py, line 1)"),
        ("no_such:flow", "there is no module 'no_such'. Install it, or write a file as path.py"),
        ("plain.sub:flow", "there is no module 'plain.sub'. Install it"),
        ("needs:flow", "needs cannot be loaded: ModuleNotFoundError: No module named 'no_such'"),
        ("fails:flow", "fails cannot be loaded: ValueError: no (fails.py, line 4)"),
        ("json:flow", "json:flow: json has no 'flow'. There is no flow in it"),
        ("flow", "flow: this is not a target. A target is FLOW.yaml, NOTEBOOK.ipynb, PATH.py:NAME"),
        (":flow", ":flow: this is not a target. A target is"),
        ("json:", "json:: this is not a target. A target is"),
        ("folder.yaml/..", "this is a folder. Flow files in it: flows.yaml, folder.yaml"),
        ("bare", "bare: this is a folder. A target is"),
    ],
)
def test_a_target_that_names_no_flow_says_what_would(folder, target, message):
    (folder / "folder.yaml").mkdir()
    (folder / "bare").mkdir()
    for name, text in {
        "flows.yaml": "flow: f",
        "flows.py": FLOWS,
        "plain.py": "x = 1\n",
        "fails.py": "import json\n\ndef f():\n    raise ValueError('no')\n\nf()\n",
        "broken.py": "x = (\n",
        "exits.py": "import sys\nsys.exit(3)\n",
        "needs.py": "import no_such\n",
        "mute.py": "raise RuntimeError\n",
    }.items():
        (folder / name).write_text(text)
    assert message in refusal(target)


def test_an_error_deep_inside_a_library_names_the_line_of_the_file(folder):
    (folder / "calls.py").write_text("import json\n\nflow = json.loads('{')\n")
    message = refusal("calls.py:flow")
    assert "JSONDecodeError" in message
    assert "(calls.py, line 3)" in message
