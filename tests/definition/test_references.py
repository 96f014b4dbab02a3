import pickle

import pytest

from nbflow.core.values import FromOutput, FromParam, Text
from nbflow.definition import FlowBuilder
from nbflow.definition.faults import Fault
from nbflow.definition.references import Node, OutputRef, ParamRef, parse_text


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("plain", "plain"),
        ("", ""),
        ("cost: $5 {x}", "cost: $5 {x}"),
        ("${params.date}", FromParam("date")),
        ("${extract.rows}", FromOutput("extract", "rows")),
        ("${ extract.rows }", FromOutput("extract", "rows")),
        ("${models/forest.model}", FromOutput("models/forest", "model")),
        ("${v1.2.rows}", FromOutput("v1.2", "rows")),
        ("${params.a.b}", FromOutput("params.a", "b")),
        ("data/${params.date}.csv", Text(("data/", FromParam("date"), ".csv"))),
        ("${a.x}${b.y}", Text((FromOutput("a", "x"), FromOutput("b", "y")))),
        ("$${HOME}", "${HOME}"),
        ("$${HOME}/${params.d}", Text(("${HOME}/", FromParam("d")))),
        (" ${a.x}", Text((" ", FromOutput("a", "x")))),
    ],
)
def test_text_means(text, meaning):
    assert parse_text(text) == meaning


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("${extract}", "names no output"),
        ("${HOME}/x", "names no output"),
        ("${}", "names no output"),
        ("${a.}", "not a reference"),
        ("${a.my-x}", "not a reference"),
        ("${.x}", "not a reference"),
        ("${a b.x}", "not a reference"),
        ("${a.x", "not closed"),
    ],
)
def test_a_faulty_reference_says_so_and_how_to_escape_it(text, words):
    with pytest.raises(Fault) as raised:
        parse_text(text)
    assert words in raised.value.what
    assert "$${" in raised.value.fix


def test_references_in_text_read_as_in_a_flow_file():
    node = Node("models/forest", "notebook", (), None)
    assert f"{node['model']}" == "${models/forest.model}"
    assert str(node["model"]) == "${models/forest.model}"
    assert f"data/{ParamRef('date')}.csv" == "data/${params.date}.csv"


def test_a_reference_cannot_be_formatted_as_if_it_were_known():
    with pytest.raises(TypeError, match="not known yet"):
        format(OutputRef("a", "x"), ".2f")


def test_a_function_node_stands_for_its_result():
    score = Node("score", "function", ("result",), None)
    assert f"{score}" == "${score.result}"
    assert str(score.output) == str(score["result"]) == "${score.result}"


@pytest.mark.parametrize(
    ("node", "fix"),
    [
        (Node("train", "notebook", (), None), 'node["name"]'),
        (Node("split", "function", ("left", "right"), None), "(left, right)"),
    ],
)
def test_a_whole_node_that_is_no_value_asks_for_an_output(node, fix):
    with pytest.raises(Fault, match="whole node") as raised:
        node.whole()
    assert fix in raised.value.fix


def test_nodes_are_neither_iterable_nor_indexed_by_number():
    node = Node("train", "notebook", (), None)
    with pytest.raises(TypeError):
        iter(node)
    with pytest.raises(TypeError, match="by its name"):
        node[0]


def test_definitions_do_not_travel():
    flow = FlowBuilder("f")
    node = flow.notebook("train.ipynb")
    for part in (flow, node, node["model"], flow.param("x")):
        with pytest.raises(TypeError):
            pickle.dumps(part)
    assert repr(node) == "<notebook node 'train'>"
    assert repr(node["model"]) == "Node('train')['model']"
    assert repr(flow.param("x")) == "flow.param('x')"
    assert repr(flow) == "<flow 'f': 1 node>"
