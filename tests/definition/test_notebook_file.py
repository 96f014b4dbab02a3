import json
import os

import nbformat
import pytest
from nbformat import v3

from nbflow.definition.faults import Fault
from nbflow.definition.notebook_file import NotebookFiles, parse_notebook

EMPTY = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}


def with_cells(*cells, **metadata):
    return json.dumps({**EMPTY, "metadata": metadata, "cells": list(cells)}).encode()


def code(source, *, tags=(), **more):
    cell = {"cell_type": "code", "metadata": {"tags": list(tags)}, "source": source}
    return {**cell, "outputs": [], "execution_count": None, **more}


def test_kernel_language_and_parameters(write_notebook):
    path = write_notebook("a.ipynb", "x", params="a = 1\nb: int = 2", kernel="julia-1.9")
    notebook = NotebookFiles().parsed(str(path))
    assert notebook.kernel == "julia-1.9"
    assert notebook.language == "python"
    assert notebook.parameter_names() == {"a", "b"}


def test_a_notebook_without_metadata_is_python_without_parameters():
    notebook = parse_notebook(with_cells(code("x = 1")), "a.ipynb")
    assert (notebook.kernel, notebook.language, notebook.is_python) == (None, None, True)
    assert notebook.parameters_source is None
    assert notebook.parameter_names() == frozenset()


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("a, (b, *c) = 1, (2, 3)\nimport os.path as p, sys\n", {"a", "b", "c", "p", "sys"}),
        ("if True:\n    a = 1\ndef f(): ...\nclass C: ...", {"a", "f", "C"}),
        ('a = {"x": 1, "y": "b=c"}', {"a"}),
        (["a = 1\n", "b = 2"], {"a", "b"}),
        ("%matplotlib inline\na = 1", {"a"}),
        ("", set()),
    ],
)
def test_parameters_are_the_names_that_the_cell_assigns(source, names):
    notebook = parse_notebook(with_cells(code(source, tags=["parameters"])), "a.ipynb")
    assert notebook.parameter_names() == names


def test_parameters_of_another_language_cannot_be_known():
    data = with_cells(code("a <- 1", tags=["parameters"]), language_info={"name": "R"})
    notebook = parse_notebook(data, "a.ipynb")
    assert notebook.language == "r"
    assert notebook.parameter_names() is None


def test_what_nbformat_mends_is_no_fault():
    same_ids = [code("1", id="x"), code("2", id="x"), code("3"), code("4", strange=True)]
    assert parse_notebook(with_cells(*same_ids), "a.ipynb").is_python


def test_an_old_notebook_is_upgraded():
    cell = v3.new_code_cell("a = 1", metadata={"tags": ["parameters"]})
    old = v3.new_notebook(worksheets=[v3.new_worksheet(cells=[cell])])
    notebook = parse_notebook(json.dumps(old).encode(), "old.ipynb")
    assert notebook.parameter_names() == {"a"}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "a.ipynb is empty"),
        (b"  \n", "a.ipynb is empty"),
        (b"\xff\xfe\x00\x01", "not text in UTF-8"),
        (b'{\n"a": \n}', "not valid JSON (line 3: "),
        (b"[1]", "is JSON, but not a notebook"),
        (b"{}", "it has no nbformat"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"nbformat": 5, "cells": []}', "notebook format 5, which is not known"),
        (b'{"nbformat": 4, "nbformat_minor": 5}', "not a valid notebook"),
        (b'{"nbformat": 3, "metadata": {}}', "not a valid notebook"),
        (with_cells({"cell_type": "code"}), "not a valid notebook at cells[0]"),
        (with_cells(code(7)), "not a valid notebook at cells[0]"),
        (
            with_cells(kernelspec={"name": 5, "display_name": "x"}),
            "not a valid notebook at metadata",
        ),
    ],
)
def test_a_file_that_is_no_notebook_says_what_it_is(data, words):
    with pytest.raises(Fault) as raised:
        parse_notebook(data, "a.ipynb")
    assert words in raised.value.what
    assert raised.value.fix


def test_half_a_character_in_a_cell_is_a_fault():
    data = with_cells(code("x = 1"), code("x = '\ud800'"))
    with pytest.raises(Fault, match=r"half a character \(\\ud800\) in cells\[1\]"):
        parse_notebook(data, "a.ipynb")
    assert parse_notebook(with_cells(code("x = '\U0001f600'")), "a.ipynb").kernel is None


def test_merge_marks_are_recognised():
    with pytest.raises(Fault, match="unresolved merge"):
        parse_notebook(b'{\n<<<<<<< HEAD\n"a": 1\n=======\n', "a.ipynb")


def test_an_old_notebook_that_cannot_be_upgraded():
    with pytest.raises(Fault, match="cannot be upgraded"):
        parse_notebook(b'{"nbformat": 2, "worksheets": [{"cells": [5]}]}', "a.ipynb")


def test_files_that_cannot_be_read(write_notebook):
    folder = write_notebook("report.ipynb").parent
    (folder / "old.ipynb").symlink_to("gone.ipynb")
    os.mkfifo(folder / "pipe.ipynb")
    files = NotebookFiles()
    for path, what, fix in [
        (folder / "old.ipynb", "there is no notebook", "a link to gone.ipynb, which does not"),
        (folder / "pipe.ipynb", "is a named pipe", "Name an .ipynb file"),
        (folder / "reprot.ipynb", "there is no notebook", "Did you mean 'report.ipynb'?"),
        (folder / "zzz.ipynb", "there is no notebook", "Check the path"),
        (folder / "no" / "x.ipynb", "there is no notebook", "does not exist either"),
        (folder, "is a folder", "Name the .ipynb file"),
        (folder / "report.ipynb" / "x", "cannot be read", "permissions"),
    ]:
        with pytest.raises(Fault) as raised:
            files.parsed(str(path))
        assert what in raised.value.what
        assert str(path) in raised.value.what
        assert fix in raised.value.fix


def test_each_file_is_read_once(write_notebook):
    path = write_notebook("a.ipynb", "x = 1")
    files = NotebookFiles()
    first = files.parsed(str(path))
    before = files.bytes_of(str(path))
    path.unlink()
    assert files.parsed(str(path)) is first
    assert files.bytes_of(str(path)) is before
    assert nbformat.reads(before.decode(), as_version=4).cells[0].source == "x = 1"
