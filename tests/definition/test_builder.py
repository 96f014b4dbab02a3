import hashlib
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from growth import growth

import nbflow.definition
from nbflow import guest
from nbflow.core.errors import DefinitionError
from nbflow.core.graph import Edge, Graph
from nbflow.core.policies import Limits, OutputLimit, Policy, Retry, Timeout
from nbflow.core.spec import FunctionCode, NotebookCode
from nbflow.core.values import Artifact, FromOutput, FromParam, Inline, Items, Text
from nbflow.definition import FlowBuilder, load_target

INTERFACE_FILE = """\
flow: sales
params: {date: 2026-01-01}
defaults: {retries: 2, timeout: {hard: 600}}
nodes:
  extract: {notebook: extract.ipynb, params: {date: ${params.date}}}
  clean:   {notebook: clean.ipynb, params: {rows: ${extract.rows}}}
  train:   {notebook: train.ipynb, params: {table: ${clean.table}}, priority: 10}
  report:  {notebook: report.ipynb, after: [train]}
"""


def sales_flow():
    flow = FlowBuilder("sales", params={"date": "2026-01-01"})
    extract = flow.notebook("extract.ipynb", params={"date": flow.param("date")})
    clean = flow.notebook("clean.ipynb", params={"rows": extract["rows"]})
    train = flow.notebook(
        "train.ipynb",
        params={"table": clean["table"]},
        name="train",
        retries=Retry(3, backoff=2.0),
        timeout=Timeout(soft=300, hard=600),
        memory="2GB",
        priority=10,
        resources={"GPU": 1},
    )
    flow.notebook("report.ipynb", after=[train])
    return flow, train


def faulty_line(build):
    """The line of a lambda, and the last line of a function."""
    lines, first = inspect.getsourcelines(build)
    is_lambda = build.__name__ == "<lambda>"
    return build.__code__.co_firstlineno if is_lambda else first + len(lines) - 1


def test_the_interface_example_in_python(sales_notebooks):
    flow, train = sales_flow()

    @flow.task
    def score(model=train["model"]) -> float:
        return float(len(model))

    assert flow.check(kernels=frozenset({"python3"})) == []
    spec = flow.spec()
    assert [node.name for node in spec.nodes] == ["extract", "clean", "train", "report", "score"]
    assert [node.name for node in flow.nodes] == [node.name for node in spec.nodes]
    assert spec.params == {"date": Inline("2026-01-01")}
    assert spec.nodes[2].policy == Policy(
        retries=Retry(3, backoff=2.0),
        timeout=Timeout(soft=300, hard=600),
        memory_bytes=2_000_000_000,
        priority=10,
        resources={"GPU": 1.0},
    )
    assert spec.nodes[0].code == NotebookCode(path=str(sales_notebooks / "extract.ipynb"))
    assert Graph(spec).edges == (
        Edge("extract", "clean", "data", "rows", "rows"),
        Edge("clean", "train", "data", "table", "table"),
        Edge("train", "report", "order"),
        Edge("train", "score", "data", "model", "model"),
    )
    assert score.name == "score"
    assert score.function("abc") == 3.0


def test_the_interface_examples_in_python_and_yaml_are_the_same_graph(sales_notebooks):
    (sales_notebooks / "flow.yaml").write_text(INTERFACE_FILE)
    from_file = load_target("flow.yaml", flow_class=FlowBuilder)
    from_python, _ = sales_flow()
    assert from_file.check(kernels=frozenset({"python3"})) == []
    file_spec, python_spec = from_file.spec(), from_python.spec()
    assert Graph(file_spec).edges == Graph(python_spec).edges
    assert file_spec.params == python_spec.params
    assert [n.params for n in file_spec.nodes] == [n.params for n in python_spec.nodes]
    assert [n.code for n in file_spec.nodes] == [n.code for n in python_spec.nodes]
    assert file_spec.nodes[2].policy == Policy(
        retries=Retry(2), timeout=Timeout(hard=600.0), priority=10
    )


def test_prepare_reads_notebooks_and_functions(sales_notebooks):
    flow, train = sales_flow()

    @flow.task
    def score(model=train["model"]):
        return model

    prepared = flow.prepare({"date": "2026-02-02"}, kernels=frozenset({"python3"}))
    assert prepared.params == {"date": Inline("2026-02-02")}
    assert prepared.spec.params == {"date": Inline("2026-01-01")}
    for node in prepared.spec.nodes:
        data = prepared.blobs[node.code.digest]
        assert node.code.digest == "sha256:" + hashlib.sha256(data).hexdigest()
    assert prepared.blobs[prepared.spec.nodes[0].code.digest] == Path("extract.ipynb").read_bytes()
    function = guest.load("pickle", prepared.blobs[prepared.spec.nodes[-1].code.digest])
    assert function(model=7) == 7
    assert flow.spec(with_code=True).nodes == prepared.spec.nodes


def test_an_edited_notebook_is_seen_by_the_next_run(write_notebook):
    write_notebook("a.ipynb", "x = 1")
    flow = FlowBuilder("f")
    flow.notebook("a.ipynb")
    before = flow.prepare().spec.nodes[0].code.digest
    write_notebook("a.ipynb", "x = 2")
    assert flow.prepare().spec.nodes[0].code.digest != before


def test_run_parameters_are_data_and_must_be_known():
    flow = FlowBuilder("f", params={"a": 1})
    flow.task(lambda a=flow.param("a"): a, name="t")  # noqa: B008 - a reference
    assert flow.prepare({"a": "${x.y}"}).params == {"a": Inline("${x.y}")}
    table = flow.prepare({"a": {1, 2}})
    assert isinstance(table.params["a"], Artifact)
    assert guest.load("pickle", table.blobs[table.params["a"].digest]) == {1, 2}
    with pytest.raises(DefinitionError, match="has no parameter 'b'"):
        flow.prepare({"b": 1})
    with pytest.raises(DefinitionError, match=r"parameter 'a' cannot be passed: .*generator"):
        flow.prepare({"a": (x for x in ())})


def test_a_task_binds_its_defaults_and_params_win():
    flow = FlowBuilder("f", params={"date": "x"})
    first = flow.task(lambda: 1, name="first")
    date = flow.param("date")

    @flow.task(params={"c": 5, "d": [first, {"k": first["result"]}]}, retries=2, after=first)
    def second(a=first, b=date, c=4, d=None, e="${params.date}!", *, f=(first,)):
        return a, b, c, d, e, f

    spec = flow.spec().nodes[1]
    assert spec.name == second.name == "second"
    assert isinstance(spec.code, FunctionCode)
    assert spec.code.label.endswith(".second")
    assert spec.params["a"] == FromOutput("first", "result")
    assert spec.params["b"] == FromParam("date")
    assert spec.params["c"] == Inline(5)
    assert spec.params["d"].items[0] == FromOutput("first", "result")
    assert spec.params["d"].items[1].fields == {"k": FromOutput("first", "result")}
    assert spec.params["e"] == Text((FromParam("date"), "!"))
    assert spec.params["f"] == Items((FromOutput("first", "result"),))
    assert (spec.policy.retries, spec.after, spec.outputs) == (Retry(2), ("first",), ("result",))
    assert flow.check() == []


def test_a_task_with_several_outputs():
    flow = FlowBuilder("f")

    @flow.task(outputs=("left", "right"))
    def split():
        return {"left": 1, "right": 2}

    flow.task(lambda x=split["left"]: x, name="use")
    assert flow.spec().nodes[0].outputs == ("left", "right")
    assert flow.check() == []


def test_a_reference_in_a_formatted_text_is_a_data_edge():
    flow = FlowBuilder("f", params={"date": "x"})
    first = flow.task(lambda: 1, name="first")
    flow.task(lambda path: path, name="t", params={"path": f"{flow.param('date')}/{first}.csv"})
    assert flow.spec().nodes[1].params["path"] == Text(
        (FromParam("date"), "/", FromOutput("first", "result"), ".csv")
    )
    assert flow.check() == []


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("load.ipynb", "load"),
        ("sub/01 load data.ipynb", "01-load-data"),
        ("Übung (1).ipynb", "bung-1"),
        ("v1.2.ipynb", "v1.2"),
        ("-.ipynb", "node"),
    ],
)
def test_a_notebook_names_its_node(path, name):
    assert FlowBuilder("f").notebook(path).name == name


def test_limits_and_defaults():
    flow = FlowBuilder(
        "f", defaults={"retries": 2, "memory": "1kB"}, max_concurrent=4, limits={"g": 1}
    )
    flow.task(lambda: 1, name="g/a")
    flow.task(lambda: 1, name="g/b", retries=0, after=None)
    spec = flow.spec()
    assert spec.limits == Limits(flow=4, groups={"g": 1})
    assert spec.nodes[0].policy == Policy(retries=Retry(2), memory_bytes=1000)
    assert spec.nodes[1].policy == Policy(retries=Retry(0), memory_bytes=1000)
    other = FlowBuilder("f", defaults=Policy(priority=3))
    other.task(lambda: 1, name="a")
    assert other.spec().nodes[0].policy.priority == 3


def test_a_notebooks_bounds_and_surroundings(folder):
    flow = FlowBuilder("f", defaults={"nice": 5, "output_limit": "1MB"})
    flow.notebook(
        "a.ipynb",
        python=Path("venv"),
        env={"OMP_NUM_THREADS": 2},
        timeout=Timeout(cell_soft=5, cell_hard=9),
        output_limit=OutputLimit(cell=10, then="fail"),
        cpus=2,
        start_timeout=5,
    )
    (node,) = flow.spec().nodes
    assert node.code == NotebookCode(
        path=str(folder / "a.ipynb"), python=str(folder / "venv"), env={"OMP_NUM_THREADS": "2"}
    )
    assert node.policy == Policy(
        timeout=Timeout(cell_soft=5, cell_hard=9),
        output_limit=OutputLimit(cell=10, then="fail"),
        cpus=2,
        nice=5,
        start_timeout_s=5.0,
    )


def test_modules_for_warm_kernels_are_named_or_found_in_the_notebooks(write_notebook):
    write_notebook("a.ipynb", "import pandas as pd\nimport my_module", "%time\nimport numpy")
    write_notebook(
        "b.ipynb", "from sklearn.linear_model import Ridge\nimport numpy", params="x = 1"
    )
    write_notebook("other.ipynb", "import scipy")
    write_notebook("r.ipynb", "import xarray", kernel="ir", language="R")
    flow = FlowBuilder("f", preload=["my_library", "numpy"])
    for name in ("b.ipynb", "a.ipynb", "r.ipynb", "missing.ipynb"):
        flow.notebook(name)
    flow.notebook("other.ipynb", python="venv")
    assert flow.spec().preload == ("my_library", "numpy")
    found = flow.spec(with_code=True).preload
    assert found == ("my_library", "numpy", "pandas", "sklearn.linear_model")
    without = FlowBuilder("f")
    without.notebook("other.ipynb")
    assert without.prepare().spec.preload == ("scipy",)


def test_a_notebook_of_many_nodes_is_looked_through_once(write_notebook, monkeypatch):
    write_notebook("a.ipynb", "import numpy")
    seen = []
    monkeypatch.setattr(
        "nbflow.definition.notebook_file.imported_modules",
        lambda source: seen.append(source) or (),
    )
    flow = FlowBuilder("f")
    for number in range(50):
        flow.notebook("a.ipynb", name=f"n{number}")
    flow.prepare()
    assert seen == ["import numpy"]


def test_relative_paths(folder, monkeypatch, write_notebook):
    write_notebook("sub/a.ipynb")
    explicit = FlowBuilder("f", base_dir="sub")
    explicit.notebook("a.ipynb", cwd="data", kernel="python3")
    assert explicit.spec().nodes[0].code == NotebookCode(
        path=str(folder / "sub" / "a.ipynb"), cwd=str(folder / "sub" / "data"), kernel="python3"
    )
    (folder / "sub" / "flow.py").write_text(
        "import nbflow.definition as d\nflow = d.FlowBuilder('f')\nflow.notebook('a.ipynb')\n"
    )
    beside = load_target("sub/flow.py:flow", flow_class=FlowBuilder)
    assert beside.spec().nodes[0].code.path == str(folder / "sub" / "a.ipynb")
    assert beside.spec().nodes[0].place == "sub/flow.py:3"
    write_notebook("a.ipynb")
    here_first = load_target("sub/flow.py:flow", flow_class=FlowBuilder)
    assert here_first.spec().nodes[0].code.path == str(folder / "a.ipynb")


def a_task(a, b=1): ...


def a_generator():
    yield 1


def build_duplicate(flow):
    flow.task(lambda: 1, name="twin")
    flow.task(lambda: 2, name="twin")


def build_unbound(flow):
    flow.task(a_task, params={"bb": 1})


def build_whole(flow):
    node = flow.notebook("x.ipynb", name="whole")
    flow.task(a_task, params={"a": node})


def build_foreign(flow):
    other = FlowBuilder("other").task(lambda: 1, name="o")
    flow.task(a_task, params={"a": other["result"]})


def build_foreign_after(flow):
    other = FlowBuilder("other").task(lambda: 1, name="o")
    flow.task(a_task, params={"a": 1}, after=other)


FAULTY = {
    "duplicate": (build_duplicate, "the name is used twice", "name=…"),
    "unbound": (build_unbound, "its parameter 'a' is not bound", "params"),
    "whole": (build_whole, "parameter 'a': the whole node 'whole'", 'node["name"]'),
    "foreign": (build_foreign, "belongs to another flow", "Add that node"),
    "foreign after": (build_foreign_after, "belongs to another flow", ""),
    "unknown parameter": (
        lambda flow: flow.task(a_task, params={"a": 1, "aa": 2}),
        "the function has no parameter 'aa'",
        "Did you mean 'a'? Parameters: a, b",
    ),
    "unstorable": (
        lambda flow: flow.task(a_task, params={"a": (x for x in ())}),
        "parameter 'a': a value of type generator cannot be stored",
        "pass a path",
    ),
    "params": (
        lambda flow: flow.task(a_task, params=[1]),
        "params must be a mapping of names to values, not a list",
        "",
    ),
    "param name": (
        lambda flow: flow.task(a_task, params={"a": 1, 5: 1}),
        "params has the name 5, which is not text",
        "Quote it",
    ),
    "policy": (
        lambda flow: flow.task(a_task, params={"a": 1}, memory="2XB"),
        "memory must be a size",
        "",
    ),
    "after": (
        lambda flow: flow.task(a_task, params={"a": 1}, after=[3]),
        "after must be a list of nodes or their names, but has 3",
        "",
    ),
    "after mapping": (
        lambda flow: flow.task(a_task, params={"a": 1}, after={}),
        "after must be a list of nodes or their names, not an empty mapping",
        "",
    ),
    "name": (
        lambda flow: flow.task(a_task, params={"a": 1}, name=5),
        "a node's name must be text, not 5",
        "",
    ),
    "path": (
        lambda flow: flow.notebook(5),
        "a notebook is named by a path, not by 5",
        "",
    ),
    "bytes": (
        lambda flow: flow.notebook(b"a"),
        "a notebook is named by a path, not by b'a'",
        "",
    ),
    "kernel": (
        lambda flow: flow.notebook("sound.ipynb", kernel=5),
        "kernel must be the name of a kernel, not 5",
        "",
    ),
    "python": (
        lambda flow: flow.notebook("sound.ipynb", python=5),
        "python is named by a path, not by 5",
        "",
    ),
    "env": (
        lambda flow: flow.notebook("sound.ipynb", env=["A"]),
        "env must be a mapping of names to values, not a list",
        "",
    ),
    "variable": (
        lambda flow: flow.notebook("sound.ipynb", env={"A": "1", "B": None}),
        "env: B must be a text or a number, not nothing",
        "Quote it",
    ),
    "two kernels": (
        lambda flow: flow.notebook("sound.ipynb", kernel="python3", python="."),
        "kernel and python are both given",
        "Remove one",
    ),
    "cores of a task": (
        lambda flow: flow.task(a_task, params={"a": 1}, cpus=2),
        "a function has no cores of its own",
        "Leave cpus out, or make the node a notebook",
    ),
    "output limit": (
        lambda flow: flow.notebook("sound.ipynb", output_limit="lots"),
        "output_limit must be a size",
        "",
    ),
    "preload": (
        lambda _flow: FlowBuilder("f", preload=["a-b"]),
        "preload must be a list of modules, but has 'a-b'",
        "import",
    ),
    "flow param": (
        lambda _flow: FlowBuilder("f", params={"a": "${params.b}"}),
        "the flow's parameter 'a' refers to something else",
        "plain values",
    ),
    "flow param text": (
        lambda _flow: FlowBuilder("f", params={"a": "${b}"}),
        "the flow's parameter 'a': the reference ${b} names no output",
        "$${",
    ),
    "flow param name": (
        lambda _flow: FlowBuilder("f", params={"a b": 1}),
        "the flow's parameter 'a b' has an illegal name",
        "no digit first",
    ),
    "flow name": (
        lambda _flow: FlowBuilder(5),
        "a flow's name must be text, not 5",
        "Name it",
    ),
    "defaults": (
        lambda _flow: FlowBuilder("f", defaults={"retry": 1}),
        "'retry' is not a policy",
        "Did you mean 'retries'?",
    ),
    "generator": (
        lambda flow: flow.task(a_generator),
        "the function is a generator",
        "Return a list",
    ),
    "limit": (
        lambda _flow: FlowBuilder("f", max_concurrent=0),
        "a limit of concurrent nodes must be a whole number, 1 or more, not 0",
        "",
    ),
}


@pytest.mark.parametrize("name", FAULTY)
def test_a_fault_in_python_is_named_with_its_line(name, write_notebook):
    write_notebook("x.ipynb")
    write_notebook("sound.ipynb")
    build, words, fix = FAULTY[name]
    flow = FlowBuilder("faulty")
    built = build(flow)
    flow = built if isinstance(built, FlowBuilder) else flow
    problems = [p for p in flow.check() if words in p.what]
    assert len(problems) == 1, [str(problem) for problem in flow.check()]
    assert problems[0].place.endswith(f"test_builder.py:{faulty_line(build)}")
    assert fix in problems[0].fix
    assert problems[0].severity == "error"


def test_a_duplicate_names_both_places():
    flow = FlowBuilder("f")
    build_duplicate(flow)
    (problem,) = flow.check()
    first, second = problem.what, problem.place
    line = int(re.search(r"test_builder.py:(\d+)$", first).group(1))
    assert second.endswith(f"test_builder.py:{line + 1}")


def test_only_functions_become_tasks():
    flow = FlowBuilder("f")
    with pytest.raises(TypeError, match="takes a function, not 5"):
        flow.task(5)
    node = flow.task(lambda: 1, name="a")
    with pytest.raises(TypeError, match="takes a function"):
        flow.task(node)


def test_places_skip_the_code_of_nbflow_itself():
    class SessionFlow(FlowBuilder):
        pass

    flow = SessionFlow("f")
    assert flow.spec().place.split(":")[0].endswith("test_builder.py")
    assert nbflow.definition.__name__ not in flow.spec().place


def test_in_a_notebook_a_place_is_a_cell(folder):
    program = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance(history_length=0)\n"
        "shell.run_cell('import nbflow.definition as d', store_history=True)\n"
        "shell.run_cell('x = 1\\nflow = d.FlowBuilder(5)', store_history=True)\n"
        "shell.run_cell('print(flow.check()[0])', store_history=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "IPYTHONDIR": str(folder)},
    )
    assert done.stdout.strip() == "In[2]:2: a flow's name must be text, not 5. Name it"


def noop(x=None):
    return x


def test_writing_and_checking_cost_the_same_for_each_of_many_nodes():
    def prepared(size):
        flow = FlowBuilder("big")
        previous = None
        for number in range(size):
            params = {} if previous is None else {"x": previous.output}
            previous = flow.task(noop, name=f"n{number}", params=params)
        return flow.prepare()

    assert len(prepared(2_500).blobs) == 1, "one function is pickled once"
    assert growth(prepared, 2_500) < 2


def test_a_task_refuses_what_is_no_option_as_python_does():
    with pytest.raises(TypeError, match=r"argument 'retrys'. Did you mean 'retries'\?"):
        FlowBuilder("f").task(lambda: 1, retrys=1)


def test_a_memory_limit_on_a_function_is_refused_because_nobody_could_keep_it():
    flow = FlowBuilder("f", defaults={"memory": "1GB", "cpus": 2, "timeout": {"cell_hard": 1}})
    flow.task(lambda: 1, name="with_default")
    flow.task(lambda: 1, name="own", memory="1GB")

    (problem,) = flow.check()

    assert problem.node == "own"
    assert "no memory limit" in problem.what
    assert "notebook" in problem.fix
