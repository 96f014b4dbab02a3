# ruff: noqa: E501 - messages stand here as people read them

import pytest
from growth import growth

from nbflow.core.errors import DefinitionError
from nbflow.core.policies import Limits, OutputLimit, Policy, Retry, Timeout
from nbflow.core.spec import FunctionCode, NotebookCode
from nbflow.core.values import FromOutput, FromParam, Inline, Text
from nbflow.definition import FlowBuilder, load_target
from nbflow.definition.yaml_source import YamlSource

FULL = """\
flow: full
params:
  date: 2026-01-01
  number: 3
  on_time: yes
  path: $${HOME}/x
defaults: {retries: 2, timeout: 60}
limits: {flow: 8, groups: {models: 2}}
preload: [json, sklearn]
nodes:
  extract:
    notebook: extract.ipynb
    python: venv
    params:
      date: ${params.date}
      text: "from ${params.date} # ${ params.number }"
      nested: {a: [${params.number}, 1], b: {c: x}}
    outputs: rows
  models/forest:
    notebook: extract.ipynb
    params: {date: ${extract.rows}}
    after: extract
    outputs: [model, scores]
    retries: {times: 3, backoff: 2.5, jitter: 0}
    timeout: {soft: 5, hard: 10, cell_soft: 1, cell_hard: 2}
    memory: 512MiB
    output_limit: {cell: 10MB, notebook: no, then: fail}
    cpus: 2
    nice: 5
    start_timeout: 30
    env: {OMP_NUM_THREADS: 2, MODE: "yes"}
    priority: 10
    resources: {GPU: 1, slots: 0.5}
    continue_on_failure: true
    kernel: python3
    cwd: .
  score:
    function: steps.py:score
    params: {model: "${models/forest.model}"}
  upper: {function: "steps.py:Text.upper", params: {text: a}, retries: null}
  root: {function: math:isfinite, params: {}}
"""


@pytest.fixture
def load(folder):
    def load(text, name="flow.yaml"):
        data = text if isinstance(text, bytes) else text.encode()
        (folder / name).write_bytes(data)
        return load_target(name, flow_class=FlowBuilder)

    return load


def problems_of(load, text):
    """Every error of a flow file, whether it shows when it is loaded or when it is checked."""
    try:
        return load(text).check(kernels=frozenset({"python3"}))
    except DefinitionError as error:
        return list(error.problems)


def test_everything_that_a_file_may_say(load, write_notebook):
    folder = write_notebook("extract.ipynb", params="date = 1; text = 2; nested = 3").parent
    (folder / "steps.py").write_text(
        "def score(model): return model\n"
        "class Text:\n    @staticmethod\n    def upper(text): return text.upper()\n"
    )
    interpreter = folder / "venv" / "bin" / "python"
    interpreter.parent.mkdir(parents=True)
    interpreter.touch(mode=0o755)
    flow = load(FULL.replace("  root: {function: math:isfinite, params: {}}\n", ""))
    assert flow.check(kernels=frozenset({"python3"})) == []
    spec = flow.spec()
    assert (spec.name, spec.place) == ("full", "flow.yaml:1")
    assert spec.params == {
        "date": Inline("2026-01-01"),
        "number": Inline(3),
        "on_time": Inline(True),
        "path": Inline("${HOME}/x"),
    }
    assert spec.limits == Limits(flow=8, groups={"models": 2})
    assert spec.preload == ("json", "sklearn")
    extract, forest, score, upper = spec.nodes
    date = FromParam("date")
    assert extract.params["date"] == date
    assert extract.params["text"] == Text(("from ", date, " # ", FromParam("number")))
    assert extract.params["nested"].fields["a"].items == (FromParam("number"), Inline(1))
    assert extract.params["nested"].fields["b"] == Inline({"c": "x"})
    assert extract.policy == Policy(retries=Retry(2), timeout=Timeout(hard=60))
    assert (extract.outputs, extract.place) == (("rows",), "flow.yaml:11")
    assert extract.code == NotebookCode(
        path=str(folder / "extract.ipynb"), python=str(folder / "venv")
    )
    assert forest.code == NotebookCode(
        path=str(folder / "extract.ipynb"),
        kernel="python3",
        cwd=str(folder),
        env={"OMP_NUM_THREADS": "2", "MODE": "yes"},
    )
    assert forest.params == {"date": FromOutput("extract", "rows")}
    assert (forest.after, forest.outputs) == (("extract",), ("model", "scores"))
    assert forest.policy == Policy(
        retries=Retry(3, backoff=2.5, jitter=0),
        timeout=Timeout(soft=5, hard=10, cell_soft=1, cell_hard=2),
        memory_bytes=512 * 1024**2,
        output_limit=OutputLimit(cell=10_000_000, notebook=None, then="fail"),
        cpus=2,
        nice=5,
        start_timeout_s=30,
        priority=10,
        resources={"GPU": 1.0, "slots": 0.5},
        continue_on_failure=True,
    )
    assert isinstance(score.code, FunctionCode)
    assert score.params == {"model": FromOutput("models/forest", "model")}
    assert upper.code.label.endswith("Text.upper")
    assert upper.policy.retries == Retry(2)


NODE = "flow: f\nnodes:\n  a:\n    notebook: a.ipynb\n"
#: What is in the file, and the whole text of the only problem.
FAULTS = {
    "empty": ("", "flow.yaml: the file is empty. Write at least 'flow: NAME' and 'nodes:'"),
    "only a comment": (
        "# to do\n",
        (
            "flow.yaml:1: a flow file must be a mapping with flow and nodes, not nothing. "
            "Write 'flow: NAME' and 'nodes:'"
        ),
    ),
    "not UTF-8": (
        b"flow: f\nnodes: \xff",
        "flow.yaml:2: the file is not text in UTF-8. Save it in UTF-8",
    ),
    "a control character": (
        "flow: f\nnodes: \x07",
        "flow.yaml:2: the character '\\x07' is not allowed in YAML. Remove it",
    ),
    "a list": (
        "- a",
        (
            "flow.yaml:1: a flow file must be a mapping with flow and nodes, not a list. "
            "Write 'flow: NAME' and 'nodes:'"
        ),
    ),
    "a tab": (
        "flow: f\nnodes:\n\ta: {notebook: a.ipynb}\n",
        "flow.yaml:3: a tab cannot indent in YAML. Use spaces",
    ),
    "an open brace": (
        "flow: f\nnodes:\n  a: {notebook: a.ipynb\n  b: 1\n",
        (
            "flow.yaml:4: this is not valid YAML: while parsing a flow mapping that begins at line 3: "
            "did not find expected ',' or '}'. "
            "Close the mapping with }, and quote texts that have , { } [ ] inside"
        ),
    ),
    "an open quote": (
        'flow: "f\n',
        (
            "flow.yaml:2: this is not valid YAML: while scanning a quoted scalar that begins at "
            "line 1: found unexpected end of stream. Close the quotation marks"
        ),
    ),
    "a colon in a text": (
        "flow: a: b\n",
        (
            "flow.yaml:1: this is not valid YAML: mapping values are not allowed in this context. "
            "Quote a text that has ': ' inside, and check indentation"
        ),
    ),
    "an unknown tag": (
        "flow: !mine f\nnodes: {}\n",
        (
            "flow.yaml:1: this is not valid YAML: could not determine a constructor for the tag "
            "'!mine'. Remove the tag (the word that starts with !)"
        ),
    ),
    "two documents": (
        "flow: f\n---\nflow: g\n",
        (
            "flow.yaml:2: this is not valid YAML: expected a single document in the stream that "
            "begins at line 1: but found another document. "
            "Keep one flow in a file, and remove the line ---"
        ),
    ),
    "a key that is a list": (
        "flow: f\n? [a, b]\n: 1\n",
        (
            "flow.yaml:2: this is not valid YAML: while constructing a mapping that begins at line 1: "
            "found unhashable key. Use text as keys"
        ),
    ),
    "a node twice": (
        "flow: f\nnodes:\n  a: {notebook: a.ipynb}\n\n  a: {notebook: b.ipynb}\n",
        "flow.yaml:5: the key 'a' stands here and at line 3 already. Rename or remove one of them",
    ),
    "a key twice in a line": (
        "flow: f\nnodes: {a: {notebook: a.ipynb, notebook: b.ipynb}}\n",
        (
            "flow.yaml:2: the key 'notebook' stands here and at line 2 already. "
            "Rename or remove one of them"
        ),
    ),
    "no flow": (
        "nodes:\n  a: {notebook: a.ipynb}\n",
        "flow.yaml:1: the key 'flow' is missing. It is the flow's name",
    ),
    "no nodes": (
        "flow: f\n",
        (
            "flow.yaml:1: the key 'nodes' is missing. "
            "It is a mapping of node names to nodes, with at least one"
        ),
    ),
    "empty nodes": (
        "flow: f\nnodes:\n",
        (
            "flow.yaml:2: nodes must be a mapping of node names to nodes, with at least one, "
            "not nothing"
        ),
    ),
    "an unknown key": (
        "flow: f\nnode: {}\nnodes:\n  a: {notebook: a.ipynb}\n",
        (
            "flow.yaml:2: 'node' is not a key of a flow file. Did you mean 'nodes'? "
            "Known: flow, params, defaults, limits, preload, nodes"
        ),
    ),
    "an unknown key of a node": (
        NODE + "    retrys: 2\n",
        (
            "flow.yaml:5: node 'a': 'retrys' is not a key of a node. Did you mean 'retries'? Known: "
            "retries, timeout, memory, output_limit, cpus, nice, start_timeout, priority, resources, "
            "continue_on_failure, effect, cache, checkpoint, cells, expected, inputs, packages, notebook, "
            "function, params, after, outputs, kernel, python, env, cwd"
        ),
    ),
    "an unknown key of retries": (
        NODE + "    retries:\n      times: 2\n      backof: 3\n",
        (
            "flow.yaml:7: node 'a': 'backof' is not a key of retries. Did you mean 'backoff'? "
            "Known: times, backoff, factor, max_backoff, jitter"
        ),
    ),
    "an unknown default": (
        "flow: f\ndefaults: {priorty: 2}\nnodes:\n  a: {notebook: a.ipynb}\n",
        (
            "flow.yaml:2: 'priorty' is not a key of defaults. Did you mean 'priority'? "
            "Known: retries, timeout, memory, output_limit, cpus, nice, start_timeout, priority, "
            "resources, continue_on_failure, effect, cache, checkpoint, cells, expected, inputs, packages"
        ),
    ),
    "an empty node": (
        "flow: f\nnodes:\n  a:\n",
        "flow.yaml:3: node 'a': a node must be a mapping with notebook or function, not nothing",
    ),
    "a node that is a number": (
        "flow: f\nnodes:\n  on: {notebook: a.ipynb}\n",
        "flow.yaml:3: the name true in nodes must be text. Write it in quotes",
    ),
    "retries": (
        NODE + "    retries: many\n",
        (
            "flow.yaml:5: node 'a': retries must be a whole number, 0 or more, or a mapping with "
            "times, backoff, factor, max_backoff, jitter, not 'many'"
        ),
    ),
    "a retry's jitter": (
        NODE + "    retries: {jitter: 2}\n",
        (
            "flow.yaml:5: node 'a': retries: jitter must be the share of a delay that is random, "
            "from 0 to 1, not 2"
        ),
    ),
    "timeout": (
        NODE + "    timeout: 0\n",
        (
            "flow.yaml:5: node 'a': timeout must be a number of seconds above 0 or a mapping with "
            "soft, hard, cell_soft, cell_hard, not 0"
        ),
    ),
    "soft over hard": (
        NODE + "    timeout: {soft: 9, hard: 3}\n",
        "flow.yaml:5: node 'a': timeout: soft (9 s) must not be over hard (3 s)",
    ),
    "memory": (
        NODE + "    memory: 2XB\n",
        (
            'flow.yaml:5: node \'a\': memory must be a size such as "2GB" or "512MiB", or a whole '
            "number of bytes, above 0, not '2XB'"
        ),
    ),
    "resources": (
        NODE + "    resources: {GPU: one}\n",
        (
            "flow.yaml:5: node 'a': resources must be a mapping of Dask resource names to numbers "
            "above 0, but GPU is 'one'"
        ),
    ),
    "no resources": (
        NODE + "    resources: {GPU: 0}\n",
        "flow.yaml:5: node 'a': resources: GPU must be a number above 0, not 0",
    ),
    "after": (
        NODE + "    after: [b, 3]\n",
        "flow.yaml:5: node 'a': after must be a list of nodes that must end first, but item 2 is 3",
    ),
    "a limit": (
        "flow: f\nlimits:\n  groups: {g: 0}\nnodes:\n  a: {notebook: a.ipynb}\n",
        (
            "flow.yaml:3: limits: groups must be a mapping of groups to whole numbers, 1 or more, "
            "but g is 0"
        ),
    ),
    "params that are a list": (
        NODE + "    params: [1]\n",
        (
            "flow.yaml:5: node 'a': params must be a mapping of the node's parameters to values, in "
            "which ${node.output} and ${params.name} are references, not a list"
        ),
    ),
    "an unknown node": (
        NODE + "    params:\n      x: 1\n      date: ${b.rows}\n",
        (
            "flow.yaml:7: node 'a': parameter 'date': ${b.rows} refers to 'b', which is not a node of "
            "this flow. Nodes: a"
        ),
    ),
    "an unknown node in after": (
        NODE + "    after: [aa]\n",
        (
            "flow.yaml:5: node 'a': it comes after 'aa', which is not a node of this flow. "
            "Did you mean 'a'? Nodes: a"
        ),
    ),
    "an unknown flow parameter": (
        NODE + "    params: {date: x-${params.date}}\n",
        (
            "flow.yaml:5: node 'a': parameter 'date': ${params.date} is not a parameter of the flow. "
            "The flow has no parameters. Declare it in the flow's params"
        ),
    ),
    "a broken reference": (
        NODE + "    params:\n      date: ${HOME}\n",
        (
            "flow.yaml:6: node 'a': parameter 'date': the reference ${HOME} names no output. "
            "Write ${NODE.OUTPUT} or ${params.NAME}. Write $${ for a literal ${"
        ),
    ),
    "a key that is no text": (
        NODE + "    params:\n      date: {1: '${a.x}'}\n",
        (
            "flow.yaml:6: node 'a': parameter 'date': a mapping with references inside has the key 1, "
            "which is not text. Use text as keys"
        ),
    ),
    "a kernel": (
        NODE + "    kernel: pyton3\n",
        (
            "flow.yaml:5: node 'a': the kernel 'pyton3' is not installed. Did you mean 'python3'? "
            "Installed: python3. Install it, or give the node one of these (kernel)"
        ),
    ),
    "neither notebook nor function": (
        "flow: f\nnodes:\n  a: {priority: 1}\n",
        (
            "flow.yaml:3: node 'a': a node is either a notebook or a function, and this is neither. "
            "Write notebook: PATH or function: MODULE:NAME"
        ),
    ),
    "both notebook and function": (
        NODE + "    function: math:sqrt\n",
        (
            "flow.yaml:5: node 'a': a node is either a notebook or a function, and this names both. "
            "Write notebook: PATH or function: MODULE:NAME"
        ),
    ),
    "a function without a name": (
        "flow: f\nnodes:\n  a: {function: steps}\n",
        (
            "flow.yaml:3: node 'a': function must be the place of a function: \"module:function\" or "
            "\"path.py:function\", not 'steps'"
        ),
    ),
    "a function that is not there": (
        "flow: f\nnodes:\n  a:\n    function: math:sqr\n",
        "flow.yaml:4: node 'a': math has no 'sqr'. Did you mean 'sqrt'?",
    ),
    "a function that is none": (
        "flow: f\nnodes:\n  a: {function: 'math:pi'}\n",
        "flow.yaml:3: node 'a': math:pi is not a function; its type is float. Check the name",
    ),
    "a kernel for a function": (
        "flow: f\nnodes:\n  a: {function: 'math:gcd', kernel: python3}\n",
        (
            "flow.yaml:3: node 'a': a function has no kernel: it shares its worker's process with "
            "others. Leave kernel out, or make the node a notebook, whose kernel is a process of its own"
        ),
    ),
    "cores for a function": (
        "flow: f\nnodes:\n  a:\n    function: math:gcd\n    cpus: 2\n",
        (
            "flow.yaml:5: node 'a': a function has no cores of its own: it shares its worker's process "
            "with others. Leave cpus out, or make the node a notebook, whose kernel is a process of "
            "its own"
        ),
    ),
    "a cell's timeout for a function": (
        "flow: f\nnodes:\n  a:\n    function: math:gcd\n    timeout: {cell_hard: 2}\n",
        "flow.yaml:5: node 'a': a function has no cells to time out. Give it soft or hard",
    ),
    "a cell's timeout": (
        NODE + "    timeout: {cell_hard: 0}\n",
        (
            "flow.yaml:5: node 'a': timeout: cell_hard must be the seconds of a single cell until the "
            "kernel is killed, above 0, not 0"
        ),
    ),
    "an output limit": (
        NODE + "    output_limit: true\n",
        (
            "flow.yaml:5: node 'a': output_limit must be a size such as \"10MB\" for each cell, or false "
            "for no limit, or a mapping with cell, notebook, then, not true"
        ),
    ),
    "an output limit that is no size": (
        NODE + "    output_limit: {cell: 10XB}\n",
        (
            'flow.yaml:5: node \'a\': output_limit: cell must be a size such as "2GB" or "512MiB", or a '
            "whole number of bytes, above 0, or false for no limit, not '10XB'"
        ),
    ),
    "what is to happen then": (
        NODE + "    output_limit:\n      then: stop\n",
        (
            "flow.yaml:6: node 'a': output_limit: then must be truncate (drop what is beyond the limit) "
            "or fail, not 'stop'"
        ),
    ),
    "cores": (
        NODE + "    cpus: 0\n",
        "flow.yaml:5: node 'a': cpus must be a whole number of cores, 1 or more, not 0",
    ),
    "niceness": (
        NODE + "    nice: 20\n",
        (
            "flow.yaml:5: node 'a': nice must be a whole number from 0 to 19 (higher yields more), "
            "not 20"
        ),
    ),
    "a start that never may end": (
        NODE + "    start_timeout: .inf\n",
        "flow.yaml:5: node 'a': start_timeout must be a number of seconds above 0, not inf",
    ),
    "a variable": (
        NODE + "    env: {DEBUG: yes}\n",
        (
            "flow.yaml:5: node 'a': env must be a mapping of environment variables to texts or numbers "
            "(true, no and the like in quotes), but DEBUG is true"
        ),
    ),
    "a variable of nbflow's own": (
        NODE + "    env:\n      NBFLOW_HOME: x\n",
        (
            "flow.yaml:6: node 'a': env: NBFLOW_HOME cannot be set: nbflow itself sets the variables "
            "that begin with NBFLOW_. Choose another name"
        ),
    ),
    "a secret in the environment": (
        NODE + "    env: {TOKEN: '${env:TOKEN}'}\n",
        (
            "flow.yaml:5: node 'a': env: TOKEN is plain text, and must not refer to anything. "
            "Pass it as a parameter: an environment reaches every program that the kernel starts, and "
            "a secret would with it. Write $${ for a literal ${"
        ),
    ),
    "two kernels": (
        NODE + "    kernel: python3\n    python: /bin/sh\n",
        (
            "flow.yaml:6: node 'a': kernel and python are both given, and either alone says what runs "
            "the notebook. Remove one of them"
        ),
    ),
    "a module that is none": (
        "flow: f\npreload: [scikit-learn]\nnodes:\n  a: {notebook: a.ipynb}\n",
        (
            "flow.yaml:2: preload must be a list of modules, but has 'scikit-learn'. "
            "Write each as it stands behind import: sklearn.linear_model"
        ),
    ),
    "an unbound parameter": (
        "flow: f\nnodes:\n  a:\n    function: json:load\n",
        (
            "flow.yaml:3: node 'a': its parameter 'fp' is not bound. "
            "Give it in params, or give it a default"
        ),
    ),
    "an unknown parameter of a function": (
        "flow: f\nnodes:\n  a:\n    function: textwrap:dedent\n    params: {text: a, txt: b}\n",
        (
            "flow.yaml:5: node 'a': the function has no parameter 'txt'. Did you mean 'text'? "
            "Parameters: text"
        ),
    ),
    "a parameter that is a reference": (
        "flow: f\nparams:\n  a: 1\n  b: ${params.a}\nnodes:\n  a: {notebook: a.ipynb}\n",
        (
            "flow.yaml:4: the flow's parameter 'b' refers to something else. A flow's parameters are "
            "plain values; write the reference beside a node's parameter"
        ),
    ),
    "a mapping where one of two other kinds belongs": (
        "flow: f\nnodes:\n  a: {notebook: a.ipynb, after: {b: 1}}\n",
        ("flow.yaml:3: node 'a': after must be a list of nodes that must end first, not a mapping"),
    ),
    "a circle": (
        "flow: f\nnodes:\n  a: {notebook: a.ipynb, after: [a]}\n",
        (
            "flow.yaml:3: node 'a': nodes wait for each other in a circle: a -> a. "
            "Remove one of these edges"
        ),
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_in_a_file_says_file_line_what_and_fix(name, load, write_notebook):
    write_notebook("a.ipynb", params="date = x = 1")
    text, message = FAULTS[name]
    assert [str(problem) for problem in problems_of(load, text)] == [message]


def test_all_faults_of_the_shape_are_named_at_once(load):
    text = "flow: f\nparam: 1\nnodes:\n  a: {retries: x, timout: 3}\n  b: 3\n"
    places = [problem.place for problem in problems_of(load, text)]
    assert sorted(places) == ["flow.yaml:2", "flow.yaml:4", "flow.yaml:4", "flow.yaml:5"]


def test_faults_of_functions_do_not_hide_each_other(load):
    text = "flow: f\nnodes:\n  a: {function: 'no_such:f'}\n  b: {function: 'no.py:f'}\n"
    found = [str(problem) for problem in problems_of(load, text)]
    assert found == [
        (
            "flow.yaml:3: node 'a': there is no module 'no_such'. "
            "Install it, or write a file as path.py:name"
        ),
        "flow.yaml:4: node 'b': there is no file no.py. Check the path",
    ]


def test_anchors_merges_and_a_byte_order_mark(load, write_notebook):
    write_notebook("a.ipynb")
    text = (
        "\ufeffflow: f\nnodes:\n  a: &base\n    notebook: a.ipynb\n    priority: 3\n"
        "  b:\n    <<: *base\n    priority: 4\n    after: [c]\n"
    )
    flow = load(text, "flow.yml")
    assert [node.policy.priority for node in flow.spec().nodes] == [3, 4]
    (problem,) = flow.check()
    assert problem.place == "flow.yml:9"


def test_a_file_is_located_relative_to_its_own_folder(write_notebook, folder):
    write_notebook("sub/a.ipynb")
    (folder / "sub" / "flow.yaml").write_text("flow: f\nnodes: {a: {notebook: a.ipynb}}\n")
    flow = load_target("sub/flow.yaml", flow_class=FlowBuilder)
    assert flow.check() == []
    assert flow.spec().nodes[0].place == "sub/flow.yaml:2"


def test_private_use_characters_of_the_author_survive():
    source = YamlSource("a: {x: ${n.o}, y: '\ue000{\ue001}'}", "f.yaml")
    assert source.value == {"a": {"x": "${n.o}", "y": "\ue000{\ue001}"}}


def test_where_finds_the_nearest_known_part():
    source = YamlSource("a:\n  - x\n  - y: 1\nb: 2\n", "f.yaml")
    assert source.where("a", 1, "y") == "f.yaml:3"
    assert source.where("a", 0) == "f.yaml:2"
    assert source.where("b", "c") == "f.yaml:4"
    assert source.where() == "f.yaml:1"
    assert source.where("zzz") == "f.yaml:1"


def test_reading_costs_the_same_for_each_of_many_nodes(load, folder):
    (folder / "steps.py").write_text("def step(x=None): return x\n")

    def read(size):
        links = (
            f"  n{i}: {{function: 'steps.py:step', after: n{i - 1}}}\n" for i in range(1, size)
        )
        return load("flow: f\nnodes:\n  n0: {function: 'steps.py:step'}\n" + "".join(links))

    flow = read(4_000)
    assert flow.check() == []
    assert flow.spec().nodes[3_999].place == "flow.yaml:4002"
    assert growth(read, 500) < 2
