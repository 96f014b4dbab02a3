import sys

import pytest
from growth import growth

from nbflow.core.errors import DefinitionError
from nbflow.core.policies import Limits
from nbflow.core.spec import FlowSpec, FunctionCode, NodeSpec
from nbflow.core.values import FromOutput, FromParam, Inline, Text
from nbflow.definition import FlowBuilder, check, check_params

PYTHON = frozenset({"python3"})


def function(name, *, params=None, after=(), outputs=("result",), line=1):
    return NodeSpec(
        name=name,
        code=FunctionCode("m.f"),
        params=params or {},
        after=after,
        outputs=outputs,
        place=f"flow.py:{line}",
    )


def flow_of(*nodes, **more):
    return FlowSpec(name="f", nodes=nodes, place="flow.py:1", **more)


def result(node):
    return FromOutput(node, "result")


CASES = {
    "an empty flow": (
        flow_of(),
        ["flow.py:1: the flow has no nodes. Add a notebook or a function"],
    ),
    "a cycle": (
        flow_of(
            function("a", params={"x": result("c")}, line=2),
            function("b", params={"x": result("a")}, line=3),
            function("c", after=("b",), line=4),
        ),
        ["nodes wait for each other in a circle: ", " -> b -> c", "Remove one of these edges"],
    ),
    "a node that waits for itself": (
        flow_of(function("a", after=("a",), line=7)),
        ["flow.py:7: node 'a': nodes wait for each other in a circle: a -> a"],
    ),
    "an unknown node in a reference": (
        flow_of(function("train"), function("b", params={"x": result("tarin")}, line=5)),
        [
            (
                "flow.py:5: node 'b': parameter 'x': ${tarin.result} refers to 'tarin', "
                "which is not a node of this flow. Did you mean 'train'? Nodes: b, train"
            )
        ],
    ),
    "an unknown node in a text": (
        flow_of(function("b", params={"x": Text(("a", FromOutput("no", "y")))}, line=5)),
        ["flow.py:5: node 'b': parameter 'x': ${no.y} refers to 'no'"],
    ),
    "an unknown node in after": (
        flow_of(function("train"), function("b", after=("Train",), line=5)),
        ["flow.py:5: node 'b': it comes after 'Train'", "Did you mean 'train'?"],
    ),
    "an unknown flow parameter": (
        flow_of(
            function("b", params={"x": FromParam("dat")}, line=5), params={"date": Inline("x")}
        ),
        [
            (
                "flow.py:5: node 'b': parameter 'x': ${params.dat} is not a parameter of the flow. "
                "Did you mean 'date'? Parameters: date. Declare it in the flow's params"
            )
        ],
    ),
    "an unknown output of a function": (
        flow_of(function("a"), function("b", params={"x": FromOutput("a", "reslt")}, line=5)),
        [
            (
                "flow.py:5: node 'b': parameter 'x': the function node 'a' has no output 'reslt'. "
                "Did you mean 'result'? Its outputs: result"
            )
        ],
    ),
    "an output that is no identifier": (
        flow_of(function("a"), function("b", params={"x": FromOutput("a", "my x")}, line=5)),
        ["flow.py:5: node 'b': parameter 'x': 'my x' of the node 'a' is not the name of an output"],
    ),
    "a declared output that is no identifier": (
        flow_of(function("a", outputs=("a-b",), line=3)),
        ["flow.py:3: node 'a': 'a-b' is not the name of an output", "letters, digits"],
    ),
    "an illegal name": (
        flow_of(function("my node", line=3)),
        ["flow.py:3: node 'my node': the name is not legal. Use letters, digits, '_'"],
    ),
    "a reserved name": (
        flow_of(function("params", line=3)),
        ["flow.py:3: node 'params': the name 'params' is taken", "Choose another name"],
    ),
    "a name used twice": (
        flow_of(function("a", line=3), function("a", line=8)),
        ["flow.py:8: node 'a': the name is used twice; it was first used at flow.py:3. Give"],
    ),
    "names that differ in capitals": (
        flow_of(function("a", line=3), function("A", line=8)),
        ["flow.py:8: node 'A': the name differs from 'a' (flow.py:3) in its capitals only"],
    ),
    "a folder and a file of one name": (
        flow_of(function("a", line=3), function("A.ipynb/b", line=8)),
        ["flow.py:8: node 'A.ipynb/b': the group 'a.ipynb' would be both a folder and", "'a'"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_fault_is_named_with_place_and_fix(name):
    spec, words = CASES[name]
    problems = check(spec)
    assert len(problems) == 1, [str(problem) for problem in problems]
    assert problems[0].severity == "error"
    for part in words:
        assert part in str(problems[0])


def test_all_faults_are_named_at_once():
    spec = flow_of(function("a b"), function("b", after=("c",), params={"x": FromParam("y")}))
    assert len(check(spec)) == 3


def test_every_circle_is_named():
    flow = flow_of(
        function("a", after=("b",)), function("b", after=("a",)), function("c", after=("c",))
    )
    assert ["c -> c" in problem.what for problem in check(flow)] == [False, True]


def test_a_node_may_be_named_like_a_group():
    spec = flow_of(function("a"), function("a/b", after=("a",)), limits=Limits(groups={"a": 1}))
    assert check(spec) == []


def test_a_limit_for_a_group_without_nodes_is_a_warning():
    spec = flow_of(function("models/a"), limits=Limits(groups={"model": 1}))
    (problem,) = check(spec)
    assert problem.severity == "warning"
    assert "'model', but no node is in it. Did you mean 'models'?" in str(problem)


def test_unknown_run_parameters():
    spec = flow_of(function("a"), params={"date": Inline(1)})
    assert check_params(spec, {"date": 2}) == []
    (problem,) = check_params(spec, {"dtae": 2})
    assert str(problem) == (
        "flow.py:1: the flow 'f' has no parameter 'dtae'. Did you mean 'date'? Parameters: date"
    )


@pytest.mark.parametrize(("prefix", "faults"), [("n", 0), ("m", 9_999)])
def test_a_check_costs_the_same_for_each_of_many_nodes_even_if_all_are_wrong(prefix, faults):
    def checked(size):
        links = (
            function(f"n{i}", params={"x": result(f"{prefix}{i - 1}")}) for i in range(1, size)
        )
        return check(flow_of(*links, function("n0")))

    assert len(checked(10_000)) == faults
    assert growth(checked, 2_500) < 2


def lines(flow, **how):
    return [f"{problem.severity} {problem}" for problem in flow.check(**how)]


def test_a_missing_notebook(write_notebook):
    write_notebook("report.ipynb")
    flow = FlowBuilder("f")
    flow.notebook("reprot.ipynb")
    (problem,) = flow.check()
    assert problem.node == "reprot"
    assert problem.place.split(":")[0].endswith("test_check.py")
    assert problem.fix == "Did you mean 'report.ipynb'?"


def test_a_faulty_file_is_named_once(folder):
    (folder / "a.ipynb").write_text("{")
    flow = FlowBuilder("f")
    for name in "abc":
        flow.notebook("a.ipynb", name=name)
    (problem,) = flow.check()
    assert problem.node == "a"
    assert "not valid JSON" in problem.what


def test_kernels(write_notebook):
    write_notebook("r.ipynb", kernel="ir", language="R")
    write_notebook("plain.ipynb", kernel=None, language=None)
    write_notebook("nameless.ipynb", kernel=None, language="R")
    flow = FlowBuilder("f")
    flow.notebook("r.ipynb")
    flow.notebook("r.ipynb", name="overridden", kernel="pyton3")
    flow.notebook("plain.ipynb")
    flow.notebook("nameless.ipynb")
    found = {problem.node: str(problem) for problem in flow.check(kernels=PYTHON)}
    assert found.keys() == {"r", "overridden", "nameless"}
    assert "r.ipynb asks for the kernel 'ir', which is not installed" in found["r"]
    assert "Installed: python3. Install it, or give the node one of these" in found["r"]
    assert "the kernel 'pyton3' is not installed. Did you mean 'python3'?" in found["overridden"]
    assert "names no kernel, and its language is r. Give the node a kernel" in found["nameless"]
    assert [problem.node for problem in flow.check(kernels=None)] == ["nameless"]
    (node,) = (p for p in flow.check(kernels=frozenset()) if p.node == "plain")
    assert "Installed: none" in node.fix


def test_parameters_that_the_notebook_does_not_know_are_warnings(write_notebook):
    write_notebook("a.ipynb", params="date = 1")
    write_notebook("b.ipynb", "x = 1")
    write_notebook("r.ipynb", params="date <- 1", kernel="ir", language="R")
    flow = FlowBuilder("f")
    flow.notebook("a.ipynb", params={"date": 1, "dtae": 2})
    flow.notebook("b.ipynb", params={"x": 1})
    flow.notebook("r.ipynb", params={"any.thing": 1})
    unknown, untagged = flow.check()
    assert unknown.severity == untagged.severity == "warning"
    assert "parameter 'dtae' is not in the parameters cell" in unknown.what
    assert unknown.fix == "Did you mean 'date'? It has: date"
    assert "has no cell tagged 'parameters'" in untagged.what
    assert flow.prepare().warnings == (unknown, untagged)


def test_a_parameter_that_is_no_python_variable(write_notebook):
    write_notebook("a.ipynb", params="class_ = 1")
    flow = FlowBuilder("f")
    flow.notebook("a.ipynb", params={"class": 1})
    error, _warning = flow.check()
    assert (error.severity, error.fix) == ("error", "Rename it")
    assert "'class' cannot be a Python variable" in error.what


def test_a_working_directory_that_is_not_here_is_a_warning(write_notebook):
    folder = write_notebook("a.ipynb").parent
    flow = FlowBuilder("f")
    flow.notebook("a.ipynb", cwd=folder)
    flow.notebook("a.ipynb", name="b", cwd="nowhere")
    (problem,) = flow.check()
    assert (problem.severity, problem.node) == ("warning", "b")
    assert str(folder / "nowhere") in problem.what


def test_an_interpreter_that_is_not_here_is_a_warning(write_notebook):
    folder = write_notebook("a.ipynb", kernel="gone").parent
    (folder / "venv" / "bin").mkdir(parents=True)
    (folder / "venv" / "bin" / "python").touch(mode=0o755)
    flow = FlowBuilder("f")
    for name, python in (
        ("environment", "venv"),
        ("interpreter", "venv/bin/python"),
        ("folder", "venv/bin"),
        ("file", "a.ipynb"),
        ("nowhere", "nowhere"),
    ):
        flow.notebook("a.ipynb", name=name, python=python)
    problems = flow.check(kernels=PYTHON)
    assert [(it.severity, it.node) for it in problems] == [
        ("warning", "folder"),
        ("warning", "file"),
        ("warning", "nowhere"),
    ]
    assert f"its python {folder / 'nowhere'} is neither an interpreter nor" in problems[2].what
    assert "unless the cluster's workers have it" in problems[2].fix


def test_an_interpreter_cannot_run_another_language(write_notebook):
    folder = write_notebook("r.ipynb", kernel="ir", language="R").parent
    flow = FlowBuilder("f")
    flow.notebook("r.ipynb", python=sys.executable)
    (problem,) = flow.check()
    assert problem.severity == "error"
    assert problem.what == f"python cannot run {folder / 'r.ipynb'}, whose language is r"
    assert problem.fix == "Give the node a kernel instead"


def test_a_module_that_no_fork_survives_is_a_warning():
    flow = FlowBuilder("f", preload=["numpy", "torch"])
    flow.task(lambda: 1, name="a")
    (problem,) = flow.check()
    assert problem.severity == "warning"
    assert problem.what.startswith("preload names torch, which kernels load for themselves")


def test_prepare_raises_errors_and_not_warnings(write_notebook):
    write_notebook("a.ipynb")
    flow = FlowBuilder("f")
    flow.notebook("a.ipynb", params={"x": 1}, after=["b"])
    with pytest.raises(DefinitionError) as raised:
        flow.prepare()
    (problem,) = raised.value.problems
    assert "it comes after 'b'" in problem.what
