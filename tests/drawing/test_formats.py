import json
import re
import xml.etree.ElementTree as ET

import pytest
from staged_run import DIAMOND, flow, node

from nbflow.core.graph import Graph
from nbflow.core.states import NodeState
from nbflow.drawing import FORMATS, render

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "\"<b>&amp;|`x`[y](z){w}$\\N;#35;'"
STATES = {
    "load": NodeState.SUCCEEDED,
    "left": NodeState.RUNNING,
    "right": NodeState.FAILED,
    "join": NodeState.WAITING,
}


@pytest.fixture
def diamond():
    return Graph(flow(*DIAMOND))


@pytest.fixture
def hostile():
    return Graph(flow(node("end"), node("o", f"end.{HOSTILE}"), name=HOSTILE))


def texts(svg):
    return [element.text for element in ET.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("fmt", FORMATS)
def test_every_format_draws_every_node(diamond, fmt):
    picture = render(diamond, fmt)
    for name in diamond.nodes:
        assert name in picture


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_flow_without_nodes_is_drawn_too(fmt):
    assert "empty" in render(Graph(flow(name="empty")), fmt) or fmt == "mermaid"


def test_an_unknown_format_is_an_error_that_names_the_known(diamond):
    with pytest.raises(ValueError, match="no graph format 'png'; there are text, mermaid, dot"):
        render(diamond, "png")


# --- text


def test_text_lists_levels_with_what_each_node_receives(diamond):
    lines = [line.split() for line in render(diamond, "text").splitlines()]
    assert lines == [
        ["sales:", "5", "nodes,", "4", "data", "edges,", "1", "order", "edge"],
        [],
        ["1", "load", "notebook"],
        ["2", "left", "notebook", "←", "load.rows"],
        ["right", "notebook", "←", "load.rows"],
        ["3", "join", "notebook", "←", "left.a,", "right.b"],
        ["4", "report", "notebook", "←", "after", "join"],
    ]


def test_text_says_states_in_words(diamond):
    picture = render(diamond, "text", STATES)
    assert re.search(r"✓ succeeded +load ", picture)
    assert re.search(r"✕ failed +right ", picture)


def test_text_sums_up_what_is_too_large_to_read():
    fits = [node(f"fits/fit{i}", "load.rows") for i in range(150)]
    singles = [node(f"s{i}", "load.rows") for i in range(9)]
    graph = Graph(flow(node("load"), *singles, *fits, node("last", after=["fits/fit0"])))
    states = {f"fits/fit{i}": NodeState.RUNNING for i in range(7)}
    lines = render(graph, "text", states).splitlines()
    assert len(lines) == 5
    assert lines[3].split()[:3] == ["2", "159", "s0,"]
    assert lines[3].endswith("s5, … and 4 more  [▶ 7 running]")


def test_text_of_a_long_chain_is_cut_with_a_count():
    chain = [node(f"n{i}", *([f"n{i - 1}.x"] if i else [])) for i in range(500)]
    lines = render(Graph(flow(*chain)), "text").splitlines()
    assert len(lines) < 70
    assert lines[-1].strip() == "… and 440 more levels with 440 nodes"


# --- svg


def test_svg_is_well_formed_and_stands_alone(diamond):
    picture = render(diamond, "svg", STATES)
    ET.fromstring(picture)
    assert "href" not in picture
    assert "<style" not in picture
    assert "<script" not in picture


def test_svg_shows_names_kinds_states_and_outputs(diamond):
    found = texts(render(diamond, "svg", STATES))
    assert {"load", "left", "right", "join", "report", "rows", "a", "b"} <= set(found)
    assert "✓ succeeded · notebook" in found
    assert "✕ failed · notebook" in found
    assert "notebook" in found, "a node without a state still says its kind"


def test_svg_dashes_order_edges_only(diamond):
    paths = ET.fromstring(render(diamond, "svg")).findall(f"{SVG}path")
    dashed = [p.find(f"{SVG}title").text for p in paths if p.get("stroke-dasharray")]
    assert len(paths) == 5
    assert dashed == ["join → report: order only"]


def test_svg_escapes_foreign_text(hostile):
    assert HOSTILE[:10] in "".join(texts(render(hostile, "svg")))


def test_svg_keeps_everything_inside_its_frame(hostile):
    root = ET.fromstring(render(hostile, "svg"))
    left, top, width, height = map(float, root.get("viewBox").split())
    for box in root.iter(f"{SVG}rect"):
        x, y, w, h = (float(box.get(key)) for key in ("x", "y", "width", "height"))
        assert left <= x
        assert x + w <= left + width
        assert top <= y
        assert y + h <= top + height


CROSSING = (
    node("a"),
    node("b"),
    node("c", "a.first", "b.second"),
    node("d", "a.third", "b.fourth"),
)
#: Four edges end at one node, three of them from far away.
CROWD = (
    node("load"),
    node("clean", "load.rows"),
    node("left", "clean.train"),
    node("right", "clean.train"),
    node("compare", "left.scores", "right.scores"),
    node("report", "clean.test", "left.model", "right.model", "compare.best"),
)


def corners(element):
    return [float(element.get(key)) for key in ("x", "y", "width", "height")]


@pytest.mark.parametrize(("nodes", "labels"), [(CROSSING, 4), (CROWD, 9)])
def test_svg_labels_cover_neither_each_other_nor_a_node(nodes, labels):
    root = ET.fromstring(render(Graph(flow(*nodes)), "svg"))
    boxes = [corners(box) for box in root.findall(f"{SVG}rect")]
    assert len(boxes) == labels
    boxes += [corners(group.find(f"{SVG}rect")) for group in root.findall(f"{SVG}g")]
    for index, (x, y, w, h) in enumerate(boxes):
        for other_x, other_y, other_w, other_h in boxes[index + 1 :]:
            apart = abs(x + w / 2 - other_x - other_w / 2) * 2 >= w + other_w - 0.3
            assert apart or abs(y + h / 2 - other_y - other_h / 2) * 2 >= h + other_h - 0.3


@pytest.mark.parametrize("siblings", [0, 40])
def test_svg_leads_long_edges_around_the_boxes_between(siblings):
    chain = [node("a"), node("b", "a.x"), node("c", "b.x"), node("d", "c.x", "a.far")]
    more = [node(f"a_rather_long_name_{i}", "a.x") for i in range(siblings)]
    root = ET.fromstring(render(Graph(flow(*chain, *more)), "svg"))
    (path,) = [
        path for path in root.findall(f"{SVG}path") if path.find(f"{SVG}title").text == "a → d: far"
    ]
    numbers = [float(text) for text in re.findall(r"[\d.]+", path.get("d"))]
    points = list(zip(numbers[::2], numbers[1::2], strict=True))
    assert len(points) == 16, "from a, past b and c, to d: five curves"
    for group in root.findall(f"{SVG}g"):
        if group.find(f"{SVG}title").text[:2] in ("b:", "c:"):
            box = group.find(f"{SVG}rect")
            x, y, w, h = (float(box.get(key)) for key in ("x", "y", "width", "height"))
            assert not [p for p in points if x < p[0] < x + w and y < p[1] < y + h]


def test_svg_runs_to_the_right_where_a_page_is_too_narrow():
    fits = [node(f"a_rather_long_name_{i}", "load.rows") for i in range(30)]
    root = ET.fromstring(render(Graph(flow(node("load"), *fits)), "svg"))
    assert float(root.get("width")) < float(root.get("height"))


# --- mermaid


def test_mermaid_draws_boxes_links_and_states(diamond):
    lines = [line.strip() for line in render(diamond, "mermaid", STATES).splitlines()]
    assert lines[0] == "flowchart TD"
    assert 'n0("load<br/><small>✓ succeeded, notebook</small>")' in lines
    assert 'n0 -->|"rows"| n1' in lines
    assert "n3 -.-> n4" in lines
    assert "class n2 failed" in lines


def test_mermaid_tells_functions_from_notebooks():
    picture = render(Graph(flow(node("score", function=True))), "mermaid")
    assert 'n0(["score<br/><small>function</small>"])' in picture


def test_mermaid_leaves_no_syntax_in_foreign_text(hostile):
    (line,) = [line for line in render(hostile, "mermaid").splitlines() if "-->" in line]
    label = line.split('|"')[1].split('"|')[0]
    assert not set('"<>|`[](){}$\\&') & set(label)
    assert label.startswith("#34;#60;b#62;#38;amp#59;")


# --- dot


def test_dot_draws_boxes_links_and_states(diamond):
    picture = render(diamond, "dot", STATES)
    assert '"load" -> "left" [label="rows"];' in picture
    assert '"join" -> "report" [style=dashed];' in picture
    assert '"right" [label="right\\n✕ failed, notebook", color="#c1272d", penwidth=2];' in picture


def test_dot_escapes_foreign_text(hostile):
    (line,) = [line for line in render(hostile, "dot").splitlines() if "->" in line]
    assert 'label="\\"<b>&amp;' in line
    assert "$\\\\N" in line


# --- json


def test_json_has_the_published_shape():
    graph = Graph(flow(node("load"), node("score", "load.rows", after=["load"], function=True)))
    assert json.loads(render(graph, "json")) == {
        "flow": "sales",
        "nodes": [
            {"name": "load", "kind": "notebook", "notebook": "/nb/load.ipynb", "cells": []},
            {"name": "score", "kind": "function", "notebook": None, "cells": []},
        ],
        "edges": [
            {"from": "load", "to": "score", "kind": "data", "output": "rows", "param": "p0"},
            {"from": "load", "to": "score", "kind": "order", "output": None, "param": None},
        ],
    }


def test_json_adds_states_that_are_known(diamond):
    nodes = json.loads(render(diamond, "json", STATES))["nodes"]
    assert nodes[0]["status"] == "succeeded"
    assert "status" not in nodes[4]
