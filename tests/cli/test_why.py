import json

import pytest


@pytest.fixture
def sales(notebook):
    return notebook(
        "sales.ipynb",
        "path = 'sales.csv'",
        "import pandas as pd",
        "sales = pd.read_csv(path)",
        "shops = sales.groupby('shop').sum()",
        "sales.drop(columns='note', inplace=True)",
        "print(sales)",
    )


def test_why_two_cells_depend(nbflow, sales):
    called = nbflow("why", "sales.ipynb", "5", "6")
    assert called.code == 0
    assert "cell 6 reads `sales` in line 1, which cell 5 may have changed by" in called.out
    assert "`sales.drop(columns='note', inplace=True)` in line 1\n" in called.out
    assert nbflow("why", "sales.ipynb", "6", "5") == called


def test_why_by_way_of_others(nbflow, sales):
    called = nbflow("why", "sales.ipynb", "1", "6")
    head, first, *_ = called.out.splitlines()
    assert head == "cell 6 depends on cell 1 by way of cell 3:"
    assert first == "  cell 3 reads `path` in line 1, which cell 1 binds in line 1"


def test_cells_that_may_run_side_by_side(nbflow, sales):
    said = "cell 5 does not depend on cell 4: they may run side by side\n"
    assert nbflow("why", "sales.ipynb", "4", "5").out == said


def test_what_is_replayed(nbflow, sales):
    lines = nbflow("why", "sales.ipynb", "2", "3").out.splitlines()
    assert "imports" in lines[0]
    assert lines[-1] == "each kernel repeats that for itself, so neither cell waits for the other"


def test_why_tells_programs(nbflow, sales):
    document = json.loads(nbflow("why", "sales.ipynb", "3", "4", "--json").out)
    assert document["cells"] == [3, 4]
    assert document["waits"] is True
    assert {
        "from": 3,
        "to": 4,
        "kind": "data",
        "name": "sales",
        "why": "cell 4 reads `sales` in line 1, which cell 3 binds in line 1",
        "from_line": 1,
        "to_line": 1,
    } in document["dependences"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("sales.ipynb", "1", "7"), "sales.ipynb has 6 cells that run"),
        (("sales.ipynb", "2", "2"), "name two different cells"),
        (("flow.yaml", "1", "2"), "flow.yaml: this is not a notebook"),
        (("sale.ipynb", "1", "2"), "there is no notebook sale.ipynb"),
    ],
)
def test_bad_usage(nbflow, sales, words, said):
    called = nbflow("why", *words)
    assert called.code == 2
    assert said in called.err


def test_stages_are_drawn_in_every_format(nbflow, sales):
    texts = {
        fmt: nbflow("graph", "sales.ipynb", "--cells", "--format", fmt).out
        for fmt in ("text", "mermaid", "dot", "svg")
    }
    assert "cells 1-3" in texts["text"]
    assert "← cells 1-3.sales" in texts["text"]
    assert texts["mermaid"].startswith("flowchart")
    assert texts["dot"].startswith("digraph")
    assert "<svg" in texts["svg"]


def test_stages_and_cells_as_json(nbflow, sales):
    document = json.loads(nbflow("graph", "sales.ipynb", "--cells", "--json").out)
    assert document["kind"] == "cells"
    assert [node["cells"] for node in document["nodes"]] == [[0, 1, 2], [3], [4, 5]]
    assert {
        "from": "cells 1-3",
        "to": "cell 4",
        "kind": "data",
        "output": "sales",
        "param": "sales",
    } in document["edges"]
    cell = document["cells"][4]
    assert (cell["cell"], cell["stage"], cell["changes"]) == (5, "cells 5-6", ["sales"])
    assert all(each["from"] < each["to"] for each in document["dependences"])


def test_what_hinders_cells(nbflow, notebook):
    notebook("a.ipynb", "x = 1", "!ls", "import random\nrandom.random()")
    called = nbflow("check", "a.ipynb", "--cells")
    shell, draws, verdict = called.out.splitlines()
    assert called.code == 0
    assert shell.startswith("cell 2, line 1: nothing is moved across it: it runs a shell command. ")
    assert draws.startswith("cell 3, line 2: it draws from Python's random generator")
    assert verdict.startswith("a.ipynb: 3 cells in 1 stage; the longest path has 3 cells")
    document = json.loads(nbflow("check", "a.ipynb", "--cells", "--json").out)
    assert [each["cell"] for each in document["hindrances"]] == [2, 3]
    assert (document["cells"], document["stages"], document["longest_path"]) == (3, 1, 3)


def test_another_language_is_said(nbflow, folder):
    kernel = {"name": "ir", "display_name": "R", "language": "R"}
    cell = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    cells = [{**cell, "source": "x <- 1"}, {**cell, "source": "x"}]
    book = {"nbformat": 4, "nbformat_minor": 4, "metadata": {"kernelspec": kernel}, "cells": cells}
    (folder / "r.ipynb").write_text(json.dumps(book))
    assert "in r, which is not analysed: one stage" in nbflow("check", "r.ipynb", "--cells").out
    assert "its cells run in order" in nbflow("why", "r.ipynb", "1", "2").out
    assert "all cells, in r" in nbflow("graph", "r.ipynb", "--cells").out
