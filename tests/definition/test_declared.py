import pytest

from nbflow.core.policies import Cache
from nbflow.core.spec import Identity
from nbflow.definition import FlowBuilder, load_target


def plain():
    return None


def declared(flow):
    return [(node.identity.inputs, node.identity.packages) for node in flow.spec().nodes]


def test_inputs_and_packages_stand_on_nodes_or_among_the_defaults(folder):
    flow = FlowBuilder("f", defaults={"inputs": "data", "packages": ["pandas"], "cache": "1h"})
    flow.notebook("a.ipynb")
    flow.notebook("b.ipynb", inputs=["data/*.csv", folder / "x"], packages="numpy", cache=False)
    flow.task(plain, name="c", inputs=[], packages=[])
    assert declared(flow) == [
        ((f"{folder}/data",), ("pandas",)),
        ((f"{folder}/data/*.csv", f"{folder}/x"), ("numpy",)),
        ((), ()),
    ]
    hour = Cache(ttl=3600)
    assert [node.policy.cache for node in flow.spec().nodes] == [hour, None, hour]
    assert flow.draft.problems == []


def test_a_flow_file_declares_the_same(folder):
    (folder / "sub").mkdir()
    (folder / "sub" / "flow.yaml").write_text(
        "flow: f\n"
        "defaults: {packages: [pandas], effect: at_most_once}\n"
        "nodes:\n"
        "  a: {notebook: a.ipynb, inputs: [data/*.csv, x.parquet], checkpoint: 30}\n"
        "  b: {notebook: a.ipynb, inputs: data, packages: [], effect: idempotent, cache: 7d}\n"
    )
    flow = load_target("sub/flow.yaml", flow_class=FlowBuilder)
    place = folder / "sub"
    assert declared(flow) == [
        ((f"{place}/data/*.csv", f"{place}/x.parquet"), ("pandas",)),
        ((f"{place}/data",), ()),
    ]
    first, second = (node.policy for node in flow.spec().nodes)
    assert (first.effect, first.checkpoint_s, first.cache) == ("at_most_once", 30.0, None)
    assert (second.effect, second.cache) == ("idempotent", Cache(ttl=604_800))


def test_a_pattern_lies_in_the_folder_in_which_something_fits(folder):
    beside = folder / "flows"
    (beside / "data").mkdir(parents=True)
    (beside / "data" / "a.csv").touch()
    (beside / "flow.py").write_text(
        "import nbflow.definition as d\n"
        "flow = d.FlowBuilder('f')\n"
        "flow.notebook('a.ipynb', inputs=['data/*.csv', 'data/*.txt'])\n"
    )
    flow = load_target("flows/flow.py:flow", flow_class=FlowBuilder)
    assert declared(flow) == [((f"{beside}/data/*.csv", f"{folder}/data/*.txt"), ())]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"inputs": 3}, "inputs must be a list of paths, not 3"),
        ({"inputs": {"a": 1}}, "inputs must be a list of paths, not a mapping"),
        ({"inputs": [None]}, "a file in inputs is named by a path, not by nothing"),
        ({"inputs": ["x/${params.d}"]}, "inputs: x/${params.d} must not refer to anything"),
        ({"inputs": ["s3://b/x"]}, "inputs: s3://b/x is an address, and only files"),
        ({"packages": 3}, "packages must be a list of names, not 3"),
        ({"packages": ["pandas>=2"]}, "packages must be a list of names, but has 'pandas>=2'"),
        ({"effect": "at_most_once", "retries": 1}, "it is to run at most once, and to be tried"),
    ],
)
def test_what_cannot_be_declared_is_told_at_its_node(folder, options, words):
    flow = FlowBuilder("f")
    flow.notebook("a.ipynb", **options)
    (problem,) = flow.draft.problems
    assert words in problem.what
    assert problem.fix or "must be" in problem.what or "by a path" in problem.what
    assert problem.node == "a"
    # Among the defaults, all but the contradiction is told of the flow.
    flow = FlowBuilder("f", defaults=options)
    flow.notebook("a.ipynb")
    assert [words in problem.what for problem in flow.draft.problems] == [True]


def test_the_identity_of_a_node_that_declares_nothing_is_empty_until_it_is_prepared(
    write_notebook,
):
    write_notebook("a.ipynb", "1")
    flow = FlowBuilder("f")
    flow.notebook("a.ipynb")
    assert flow.spec().nodes[0].identity == Identity()
    prepared = flow.prepare().spec.nodes[0].identity
    assert prepared.code
    assert prepared.environment
    assert prepared.unknown == ()


def test_a_package_that_is_not_installed_is_a_warning_and_keeps_results_out_of_caches(
    write_notebook,
):
    write_notebook("a.ipynb", "1")
    flow = FlowBuilder("f", defaults={"packages": ["no-such-package", "msgspec"]})
    flow.notebook("a.ipynb")
    flow.task(plain)
    prepared = flow.prepare()
    assert [warning.node for warning in prepared.warnings] == ["a", "plain"]
    assert all("no-such-package is not installed" in it.what for it in prepared.warnings)
    for node in prepared.spec.nodes:
        assert any("no-such-package" in sentence for sentence in node.identity.unknown)


def test_what_was_given_for_a_run_is_known_afterwards(write_notebook):
    write_notebook("a.ipynb", params="date = x = None")
    flow = FlowBuilder("f", params={"date": 1, "x": 2})
    flow.notebook("a.ipynb", params={"date": flow.param("date")})
    assert flow.prepare().given == ()
    prepared = flow.prepare({"date": 3})
    assert prepared.given == ("date",)
    # What a run has recorded can be given again as it is.
    again = flow.prepare({name: prepared.params[name] for name in prepared.given})
    assert again.params == prepared.params
