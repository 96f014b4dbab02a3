"""Parameters: papermill's rules, and values that are not JSON."""

import json
import pickle
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbflow import guest
from nbflow.core.values import Artifact, Fields, Inline, Items
from nbflow.notebooks.errors import InvalidInput
from nbflow.notebooks.parameters import inject
from nbflow.notebooks.reading import KernelChoice, choose_kernel, read_notebook

PYTHON = KernelChoice("python3", "python")
BASH = KernelChoice("bash", "bash")


def notebook(*sources, tags=()):
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    if tags:
        cells[0].metadata["tags"] = list(tags)
    data = nbformat.writes(nbformat.v4.new_notebook(cells=cells)).encode()
    return read_notebook(data, "a.ipynb")


class Shelf:
    """Artifacts as files."""

    def __init__(self, folder):
        self.folder = folder

    def put(self, value, name="value"):
        kind, data = guest.dumps(value)
        (self.folder / name).write_bytes(data)
        return Artifact(kind, name, len(data), guest.type_name(value), guest.preview(value))

    def path(self, digest) -> Path:
        return self.folder / digest


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path)


def run_injected(injected):
    cell = next(c for c in injected.cells if "injected-parameters" in c.metadata.tags)
    namespace = {}
    exec(cell.source, namespace)
    return namespace


def no_path(digest):
    raise AssertionError("no artifact was given")


def test_json_values_come_after_the_parameters_cell():
    injected = inject(
        notebook("x = 1", "x", tags=["parameters"]), {"x": Inline(2)}, PYTHON, no_path
    )
    assert [cell.source for cell in injected.cells] == ["x = 1", "# Parameters\nx = 2\n", "x"]
    assert injected.metadata.papermill.parameters == {"x": 2}


def test_an_earlier_injection_is_replaced():
    first = inject(notebook("x"), {"x": Inline(1)}, PYTHON, no_path)
    second = inject(first, {"x": Inline(2)}, PYTHON, no_path)
    assert [cell.source for cell in second.cells] == ["# Parameters\nx = 2\n", "x"]


def test_without_parameters_nothing_is_injected():
    assert len(inject(notebook("x"), {}, PYTHON, no_path).cells) == 1


@settings(max_examples=40, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_survives_injection(value):
    injected = inject(notebook("x"), {"x": Inline(value)}, PYTHON, no_path)
    assert run_injected(injected)["x"] == value


class Point:
    def __init__(self, x):
        self.x = x

    def __eq__(self, other):
        return isinstance(other, Point) and self.x == other.x

    __hash__ = None


@pytest.mark.parametrize(
    "value",
    [pd.DataFrame({"a": [1, 2]}), np.arange(6).reshape(2, 3), {1, 2}, ["x" * 10_000], (1, [2])],
    ids=["parquet", "npy", "pickle", "json", "tuple"],
)
def test_any_value_arrives_through_an_expression_that_needs_no_nbflow(shelf, value):
    injected = inject(notebook("x"), {"x": shelf.put(value)}, PYTHON, shelf.path)
    source = injected.cells[0].source
    assert "nbflow" not in source.replace(str(shelf.folder), "")
    result = run_injected(injected)["x"]
    assert type(result) is type(value)
    assert pickle.dumps(result) == pickle.dumps(value)


def test_artifacts_inside_lists_and_mappings(shelf):
    table = shelf.put(pd.DataFrame({"a": [1]}), "table")
    array = shelf.put(np.zeros(3), "array")
    value = Fields({"tables": Items((table, table)), "array": array, "n": Inline(1)})
    injected = inject(notebook("x"), {"x": value}, PYTHON, shelf.path)
    result = run_injected(injected)["x"]
    assert [len(each) for each in result["tables"]] == [1, 1]
    assert result["array"].shape == (3,)
    assert result["n"] == 1
    shown = injected.metadata.papermill.parameters["x"]
    assert shown["array"] == "<numpy.ndarray 3, array>"
    json.dumps(shown)


def test_a_text_that_looks_like_a_placeholder_stays_a_text(shelf):
    texts = ["nbflow-value:0:", "nbflow-value-:0:"]
    params = {"a": shelf.put(np.zeros(1)), "b": Inline(texts)}
    assert run_injected(inject(notebook("x"), params, PYTHON, shelf.path))["b"] == texts


def test_a_path_with_quotes_and_backslashes(tmp_path):
    folder = tmp_path / 'it\'s a "path" \\n'
    folder.mkdir()
    shelf = Shelf(folder)
    injected = inject(notebook("x"), {"x": shelf.put({1})}, PYTHON, shelf.path)
    assert run_injected(injected)["x"] == {1}


def test_a_file_is_passed_as_its_path_in_every_language(shelf):
    for kernel, expected in ((PYTHON, '"{}"'), (BASH, "{}")):
        injected = inject(notebook("x"), {"x": Artifact("file", "f", 1)}, kernel, shelf.path)
        assert f"x={expected.format(shelf.path('f'))}" in injected.cells[0].source.replace(" ", "")


def test_other_languages_take_json_in_their_own_writing(shelf):
    params = {"s": Inline("a b"), "n": Inline([1, 2]), "big": shelf.put(["x", "y"])}
    injected = inject(notebook("x"), params, BASH, shelf.path)
    assert injected.cells[0].source == "# Parameters\ns='a b'\nn=(1 2)\nbig=(x y)\n"


def test_other_languages_refuse_what_is_not_json(shelf):
    table = shelf.put(pd.DataFrame({"a": [1]}))
    with pytest.raises(InvalidInput, match=r"'t' .*DataFrame.*bash notebooks take JSON-able"):
        inject(notebook("x"), {"t": table}, BASH, shelf.path)
    with pytest.raises(InvalidInput, match="cannot write these parameters for a bash notebook"):
        inject(notebook("x"), {"d": Inline({"a": 1})}, BASH, no_path)
    with pytest.raises(InvalidInput, match="klingon"):
        inject(notebook("x"), {"d": Inline(1)}, KernelChoice("k", "klingon"), no_path)


def test_kernels_are_chosen_as_jupyter_does():
    plain = notebook("x")
    assert choose_kernel(plain, None) == PYTHON
    plain.metadata["kernelspec"] = {"name": "ir", "language": "R"}
    assert choose_kernel(plain, None) == KernelChoice("ir", "R")
    assert choose_kernel(plain, "python3") == PYTHON


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b'{"nbformat": 4}', b"not json"])
def test_what_is_no_notebook_is_said_so(data):
    with pytest.raises(InvalidInput, match=r"^sales.ipynb is not a notebook"):
        read_notebook(data, "sales.ipynb")


def test_old_notebooks_are_upgraded():
    old = {
        "nbformat": 3,
        "nbformat_minor": 0,
        "metadata": {},
        "worksheets": [
            {"cells": [{"cell_type": "code", "input": "1", "language": "python", "outputs": []}]}
        ],
    }
    upgraded = read_notebook(json.dumps(old).encode(), "old.ipynb")
    assert upgraded.nbformat == 4
    assert upgraded.cells[0].source == "1"
    assert upgraded.cells[0].metadata.tags == []
