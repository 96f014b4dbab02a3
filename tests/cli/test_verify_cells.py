"""``nbflow run NOTEBOOK --verify`` and ``nbflow bench``."""

import json
from types import SimpleNamespace

import nbformat
import pytest

from nbflow.cli.verifying_cells import verified_document, verified_lines
from nbflow.notebooks.comparing import Difference


def way(name="by cells (all)", outcome="succeeded", **fields):
    given = {"elapsed_s": 1.5, "stages": ("a", "b"), "at_once": 2, "conflicts": (), "reason": ""}
    return SimpleNamespace(name=name, outcome=outcome, **{**given, **fields})


def verified(*differences, found=None, **fields):
    found = found or way()
    given = {
        "notebook": "a.ipynb",
        "expected": way("in order"),
        "found": (found,),
        "differences": {found.name: tuple(it for it in differences if not it.unsure)},
        "excused": {found.name: tuple(it for it in differences if it.unsure)},
        "is_equal": all(it.unsure for it in differences),
        "cells": 3,
        "language": "",
        "uncopied": "",
    }
    return SimpleNamespace(**{**given, **fields})


def difference(number=2, **fields):
    given = {"what": "stdout", "expected": "1", "found": "2", "line": 4, "first_line": "print(x)"}
    return Difference(index=number - 1, number=number, **{**given, **fields})


def test_the_first_difference_is_told_with_cell_line_and_both_texts():
    lines = list(verified_lines(verified(difference(), difference(3))))
    assert lines == [
        "a.ipynb: by cells (all) is not the same as in order",
        "cell 2 (print(x)), stdout, line 4:",
        "  in order: 1",
        "  by cells: 2",
        "  and 1 more difference; --json has all of them",
    ]


def test_what_is_not_the_same_each_time_is_told_once_and_is_no_fault():
    unsure = difference(unsure="it depends on the clock")
    lines = list(verified_lines(verified(unsure, unsure)))
    assert lines == [
        "cell 2 (print(x)) differs, and is not the same each time anyway: it depends on the clock",
        "a.ipynb: the same by cells as in order; 3 cells; all: 2 stages, 2 at once",
    ]


def test_another_end_is_told_with_its_reason():
    outcome = Difference(what="outcome", expected="succeeded", found="failed", line=1)
    found = way(outcome="failed", reason="the worker is lost")
    lines = list(verified_lines(verified(outcome, found=found)))
    assert lines[1] == "the notebook, outcome, line 1:"
    assert lines[-1] == "  by cells it failed, for: the worker is lost"


def test_conflicts_and_a_folder_that_was_not_copied_are_told():
    found = way(conflicts=("it reads x",))
    lines = list(verified_lines(verified(found=found, uncopied="its folder is large")))
    assert "its folder is large" in lines[0]
    assert lines[1].endswith("all: 2 stages, 2 at once, 1 conflict")


def test_the_document_has_everything():
    document = verified_document(verified(difference(), difference(unsure="the clock")))
    assert document["equal"] is False
    assert document["in_order"] == {"outcome": "succeeded", "duration_s": 1.5}
    (found,) = document["by_cells"]
    assert (found["schedule"], found["stages"], found["at_once"]) == ("all", 2, 2)
    assert found["differences"][0]["in_order"] == "1"
    assert found["excused"][0]["unsure"] == "the clock"
    json.dumps(document)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("a.ipynb", "--stages", "all"), "Add --verify"),
        (("a.ipynb", "--verify", "--stages", "many"), "none of worth, all, random:SEED"),
        (("a.ipynb", "--verify", "--detach"), "Leave out --detach"),
        (("a.ipynb", "--verify", "--run-id", "x"), "Leave out --detach, --run-id"),
        (("flow.yaml", "--verify"), "--verify is for a notebook"),
        (("b.ipynb", "--verify"), "b.ipynb: there is no notebook"),
    ],
)
def test_bad_usage(nbflow, notebook, folder, words, said):
    notebook("a.ipynb", "x = 1")
    (folder / "flow.yaml").write_text("flow: a\nnodes: {a: {notebook: a.ipynb}}\n")
    called = nbflow("run", *words)
    assert called.code == 2
    assert said in " ".join(called.err.split())


def test_a_notebook_is_verified(nbflow, notebook, folder):
    notebook("a.ipynb", "x = 1", "a = x + 1", "b = x + 2", "print(a, b)")
    words = ("-p", "x", "5", "--stages", "all", "--json")
    called = nbflow("run", "a.ipynb", "out.ipynb", "--verify", *words)
    document = json.loads(called.out)
    assert document["by_cells"][0]["differences"] == []
    assert called.code == 0
    assert document["equal"] is True
    assert document["by_cells"][0]["conflicts"] == []
    assert "running in order\nrunning by cells (all)\n" in called.err
    executed = nbformat.read(folder / "out.ipynb", as_version=4)
    assert executed.cells[-1].outputs[0].text == "6 7\n"
    assert not (folder / ".nbflow").exists()


def test_a_notebook_is_timed(nbflow, notebook):
    notebook("a.ipynb", "x = 1", "y = x", "print(y)")
    called = nbflow("bench", "a.ipynb", "--rounds", "1", "-q")
    lines = called.out.splitlines()
    assert called.code == 0
    assert lines[0].split() == ["cell", "takes", "critical"]
    assert [line.split("  ")[0] for line in lines[-3:]] == ["in order", "by cells", "critical path"]
    assert called.err == ""
