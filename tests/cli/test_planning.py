import json

import pytest

FLOW = """\
flow: sales
params: {date: 2026-01-01}
nodes:
  extract: {notebook: extract.ipynb, params: {date: "${params.date}"}}
  clean: {notebook: clean.ipynb, params: {rows: "${extract.rows}"}}
  report: {notebook: clean.ipynb, after: [clean]}
"""


@pytest.fixture
def flow(folder, notebook):
    notebook("extract.ipynb", "date = ''", "rows = [date]")
    notebook("clean.ipynb", "rows = []", "count = len(rows)")
    path = folder / "flow.yaml"
    path.write_text(FLOW)
    return path


def test_a_fit_flow_is_said_to_be_one(nbflow, flow):
    called = nbflow("check", "flow.yaml")
    assert called == (0, "flow.yaml: 3 nodes, 2 edges: nothing wrong\n", "")


def test_every_fault_is_a_line_with_its_place(nbflow, flow):
    flow.write_text(
        FLOW.replace("${params.date}", "${params.dat}").replace("after: [clean]", "after: [cleen]")
    )
    called = nbflow("check", "flow.yaml")
    first, second, verdict = called.out.splitlines()
    assert called.code == 2
    assert first.startswith("flow.yaml:4: node 'extract': ")
    assert second.startswith("flow.yaml:6: node 'report': ")
    assert verdict == "flow.yaml: 2 faults"


def test_a_flow_that_cannot_be_read_is_a_fault_of_the_check(nbflow, flow):
    flow.write_text("flow: [")
    called = nbflow("check", "flow.yaml")
    assert called.code == 2
    assert called.out.startswith("flow.yaml:2: ")
    assert called.out.endswith("flow.yaml: 1 fault\n")


def test_a_warning_is_no_fault(nbflow, flow):
    called = nbflow("check", "extract.ipynb", "-p", "typo", "1")
    warning, verdict = called.out.splitlines()
    assert called.code == 0
    assert warning.startswith("warning: ")
    assert "typo" in warning
    assert verdict == "extract.ipynb: 1 node, 0 edges: 1 warning"


def test_parameters_are_checked_too(nbflow, flow):
    called = nbflow("check", "flow.yaml", "-p", "dote", "1")
    assert called.code == 2
    assert "dote" in called.out


def test_check_tells_programs(nbflow, flow):
    called = nbflow("check", "flow.yaml", "--json")
    assert called.code == 0
    assert json.loads(called.out) == {
        "target": "flow.yaml",
        "ok": True,
        "flow": "sales",
        "nodes": 3,
        "edges": 2,
        "problems": [],
    }
    flow.write_text(FLOW.replace("clean: {notebook: clean", "clean: {notebook: cleen"))
    called = nbflow("check", "flow.yaml", "--json")
    document = json.loads(called.out)
    assert called.code == 2
    assert document["ok"] is False
    assert [problem["node"] for problem in document["problems"]] == ["clean"]
    assert all(
        set(problem) == {"severity", "place", "node", "what", "fix"}
        for problem in document["problems"]
    )


def test_a_graph_is_drawn_in_every_format(nbflow, flow):
    texts = {
        fmt: nbflow("graph", "flow.yaml", "--format", fmt)
        for fmt in ("text", "mermaid", "dot", "svg", "json")
    }
    assert {called.code for called in texts.values()} == {0}
    assert texts["text"] == nbflow("graph", "flow.yaml")
    assert "extract" in texts["text"].out
    assert texts["mermaid"].out.startswith(("flowchart", "graph"))
    assert texts["dot"].out.startswith("digraph")
    assert "<svg" in texts["svg"].out
    assert texts["json"] == nbflow("graph", "flow.yaml", "--json")
    document = json.loads(texts["json"].out)
    assert document["flow"] == "sales"
    assert [node["name"] for node in document["nodes"]] == ["extract", "clean", "report"]
    assert {
        "from": "extract",
        "to": "clean",
        "kind": "data",
        "output": "rows",
        "param": "rows",
    } in document["edges"]


def test_the_formats_are_those_that_can_be_drawn():
    from nbflow.cli.planning import _FORMATS
    from nbflow.drawing import FORMATS

    assert _FORMATS == FORMATS


def test_a_graph_goes_into_a_file(nbflow, flow, folder):
    called = nbflow("graph", "flow.yaml", "--format", "svg", "-o", "flow.svg")
    assert called == (0, "", "")
    assert "<svg" in (folder / "flow.svg").read_text()


def test_a_file_that_cannot_be_written_is_bad_usage(nbflow, flow):
    called = nbflow("graph", "flow.yaml", "-o", "nowhere/flow.txt")
    assert called.code == 2
    assert "nowhere/flow.txt" in called.err


def test_a_flow_with_a_cycle_has_no_picture(nbflow, flow):
    flow.write_text(FLOW.replace('{date: "${params.date}"}', '{date: "${clean.count}"}'))
    called = nbflow("graph", "flow.yaml")
    assert called.code == 2
    assert called.out == ""
    assert "extract" in called.err
    assert called.err.endswith("error: 1 fault found; nothing was run\n")


def test_the_schema_is_one_of_flow_files(nbflow):
    called = nbflow("schema")
    schema = json.loads(called.out)
    assert called.code == 0
    assert {"flow", "nodes"} <= set(schema["properties"])
