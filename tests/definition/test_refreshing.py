import msgspec
import pytest

from nbflow.core.spec import NotebookCode
from nbflow.definition import FlowBuilder
from nbflow.definition.flow_changes import flow_changes
from nbflow.definition.refreshing import refreshed


def helper():
    return 1


@pytest.fixture
def recorded(write_notebook, folder):
    """The recorded flow of three nodes, and a module that one of its notebooks imports."""
    (folder / "tool.py").write_text("x = 1\n")
    write_notebook("a.ipynb", "import tool")
    write_notebook("b.ipynb", "1")
    flow = FlowBuilder("f", defaults={"packages": ["msgspec"], "inputs": "data"})
    flow.notebook("a.ipynb")
    flow.notebook("b.ipynb", name="b1")
    flow.notebook("b.ipynb", name="b2")
    flow.task(helper)
    return flow.prepare().spec


def test_a_flow_that_has_not_changed_is_the_same(recorded):
    assert refreshed(recorded) == (recorded, {}, [])
    assert flow_changes(recorded, recorded) == ()


def test_a_mended_notebook_is_read_again(recorded, write_notebook):
    path = write_notebook("b.ipynb", "2")
    spec, blobs, problems = refreshed(recorded)
    assert problems == []
    assert list(blobs.values()) == [path.read_bytes()]
    changed = {
        node.name for node, before in zip(spec.nodes, recorded.nodes, strict=True) if node != before
    }
    assert changed == {"b1", "b2"}
    assert {node.code.digest for node in spec.nodes if node.name in changed} == set(blobs)
    assert flow_changes(recorded, spec) == (f"the code of {path} has changed (nodes b1, b2)",)


def test_new_outputs_are_new_bytes_and_no_change(recorded, folder):
    path = folder / "b.ipynb"
    path.write_bytes(path.read_bytes() + b"\n")
    spec, blobs, problems = refreshed(recorded)
    assert len(blobs) == 1
    assert problems == []
    assert flow_changes(recorded, spec) == ()


def test_an_edited_module_is_seen(recorded, folder):
    (folder / "tool.py").write_text("x = 2\n")
    spec, blobs, _ = refreshed(recorded)
    assert blobs == {}
    assert flow_changes(recorded, spec) == ("local modules that node 'a' imports have changed",)


def test_a_notebook_that_is_gone_stays_as_it_was_recorded(recorded, folder):
    (folder / "b.ipynb").unlink()
    spec, blobs, problems = refreshed(recorded)
    assert (spec, blobs) == (recorded, {})
    (problem,) = problems
    assert (problem.severity, problem.node) == ("warning", "b1")
    assert "b.ipynb is no longer there, and runs as it was recorded" in problem.what


def test_a_notebook_that_is_none_any_more_is_an_error(recorded, folder):
    (folder / "b.ipynb").write_text("<<<<<<< mine")
    spec, _, problems = refreshed(recorded)
    assert spec == recorded
    assert [problem.severity for problem in problems] == ["error"]
    assert "is not a notebook" in problems[0].what


def test_what_was_no_file_is_not_looked_for(recorded):
    code = NotebookCode(path="https://example.org/a.ipynb", digest="sha256:1")
    node = msgspec.structs.replace(recorded.nodes[0], code=code)
    spec = msgspec.structs.replace(recorded, nodes=(node,))
    assert refreshed(spec) == (spec, {}, [])


def changed(write_notebook, **options):
    """What is told when the second of two nodes is written with these options."""
    write_notebook("a.ipynb", params="x = None")

    def written(**options):
        flow = FlowBuilder("f", params={"p": 1})
        first = flow.notebook("a.ipynb", name="first")
        reference = {"x": first["x"]} if options.pop("edge", False) else {}
        options["params"] = {**reference, **options.pop("params", {})}
        flow.notebook("a.ipynb", name="second", **options)
        return flow.prepare().spec

    return flow_changes(written(), written(**options))


NO_RUN = "which by itself runs nothing again"


@pytest.mark.parametrize(
    ("options", "sentences"),
    [
        ({"params": {"x": 2}}, ["the parameters of node 'second' have changed"]),
        (
            {"edge": True},
            [
                "the parameters of node 'second' have changed",
                "node 'second' now waits for other nodes or outputs",
            ],
        ),
        ({"after": "first"}, ["node 'second' now waits for other nodes or outputs"]),
        ({"outputs": ["x"]}, ["the outputs to keep of node 'second' have changed"]),
        ({"retries": 2}, [f"the policies of node 'second' have changed, {NO_RUN}"]),
        ({"inputs": "data"}, ["the declared inputs of node 'second' have changed"]),
        (
            {"env": {"A": "1"}},
            ["the interpreter, kernel, variables or packages of node 'second' have changed"],
        ),
    ],
)
def test_changes_of_a_node_in_words(write_notebook, options, sentences):
    assert list(changed(write_notebook, **options)) == sentences


def test_changes_of_a_flow_in_words(recorded, folder):
    def written(*names, **options):
        flow = FlowBuilder("f", **options)
        for name in names:
            flow.notebook("b.ipynb", name=name)
        return flow.spec()

    before = written("a", "b")
    assert flow_changes(before, written("b")) == ("node 'a' was removed",)
    assert flow_changes(before, written("a", "b", "c", "d")) == ("nodes c, d were added",)
    assert flow_changes(before, written("a", "b", params={"p": 1})) == (
        "the flow's own values of its parameters have changed: p",
    )
    assert flow_changes(before, written("a", "b", max_concurrent=2)) == (
        f"the limits on concurrent nodes have changed, {NO_RUN}",
    )
    other = FlowBuilder("f")
    other.notebook("a.ipynb", name="a")
    other.notebook("b.ipynb", name="b")
    assert flow_changes(before, other.spec()) == (
        f"node 'a' now runs {folder}/a.ipynb instead of {folder}/b.ipynb",
    )
