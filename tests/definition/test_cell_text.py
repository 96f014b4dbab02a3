import json
from pathlib import Path

import papermill
import pytest

from nbflow.core.cells import analyze
from nbflow.core.cells.staging import ALWAYS, stage_cells
from nbflow.definition.cell_text import analyze_notebook, cell_texts, plain_python
from nbflow.definition.code_cells import CodeCell
from nbflow.definition.faults import Fault
from nbflow.definition.notebook_file import parse_notebook


def _analysis(*sources):
    return analyze(cell_texts([CodeCell(i, source) for i, source in enumerate(sources)]))


def _why(analysis, source, target):
    return [each.why for each in analysis.between(source, target)]


def test_plain_python_stays_as_it_is():
    assert plain_python("x = 1 % 2\n").text == "x = 1 % 2\n"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("%matplotlib inline\nx", "get_ipython().run_line_magic('matplotlib', 'inline')\nx\n"),
        ("x = !ls", "x = get_ipython().getoutput('ls')\n"),
        ("\n\n!ls", "\n\nget_ipython().system('ls')\n"),
        ("%%time\nx = 1", "\nx = 1"),
        ("%%time\n%cd a", "\nget_ipython().run_line_magic('cd', 'a')\n"),
        ("\n%%time\nx = 1", "\n\nx = 1"),
        ("%%timeit -n 10 y = 2\nx = y", "y = 2\nx = y"),
        ("x = (", "x = (\n"),
    ],
)
def test_magics_become_calls_on_their_lines(source, text):
    assert plain_python(source).text == text


def test_bodies_below_magics_are_followed():
    analysis = _analysis("x = 1", "%%time\ny = x", "%%capture out\nz = y", "print(out, z)")
    assert _why(analysis, 1, 2) == ["cell 2 reads `x` in line 2, which cell 1 binds in line 1"]
    assert {each.name for each in analysis.between(3, 4)} == {"out", "z"}
    assert [reason.words for reason in analysis.cells[1].unsure] == ["how long it takes"]


def test_what_timeit_assigns_does_not_stay():
    analysis = _analysis("x = 1", "%%timeit\nx = 2", "%timeit x = 3", "x", "%time x = 4", "x")
    assert analysis.between(2, 4) == analysis.between(3, 4) == ()
    assert analysis.between(1, 4)
    assert analysis.between(5, 6)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("!ls {x}", "it runs a shell command"),
        ("%%bash\nls", "it runs a shell command"),
        ("%pip install a", "it runs a shell command"),
        ("%run other.py", "a magic that nbflow does not know"),
        ("%%cython\nx", "a magic that nbflow does not know"),
        ("%load_ext zoo", "a magic that nbflow does not know"),
        ("get_ipython()", "it talks to IPython"),
    ],
)
def test_what_nobody_can_see_is_a_barrier(source, words):
    analysis = _analysis("x = 1", source, "y = 2")
    assert any(words in why for why in _why(analysis, 1, 2))
    assert any(words in why for why in _why(analysis, 2, 3))


def test_shell_lines_read_and_write_variables():
    analysis = _analysis("x = 1", "y = !ls {x}", "y", "%%bash --out z\nls", "z")
    assert "x" in {each.name for each in analysis.between(1, 2)}
    assert "y" in {each.name for each in analysis.between(2, 3)}
    assert "z" in {each.name for each in analysis.between(4, 5)}


def test_reasons_show_magics_as_they_were_written():
    analysis = _analysis("%%writefile a.txt\nx", "open('a.txt').read()")
    (why,) = _why(analysis, 1, 2)
    assert "by `%%writefile a.txt` in line 1" in why


@pytest.mark.parametrize(
    "source", ["%matplotlib inline", "%load_ext autoreload\n%autoreload 2", "%env A=b", "%cd a"]
)
def test_settings_by_magics_are_replayed(source):
    analysis = _analysis("import math\n" + source, "x = 1")
    assert analysis.cells[0].replayed
    assert {each.kind for each in analysis.between(1, 2)} == {"replay"}


def test_figures_outlive_cells_under_other_backends():
    cells = ("import matplotlib.pyplot as plt", "plt.plot([1])", "plt.title('a')")
    assert not _analysis("%matplotlib inline", *cells).between(3, 4)
    assert _analysis("%matplotlib widget", *cells).between(3, 4)


def test_cells_that_do_not_run_have_no_number():
    cells = [
        CodeCell(0, "x = 1"),
        CodeCell(2, "  \n"),
        CodeCell(3, "y = 1", ("skip-execution",)),
        CodeCell(5, "x"),
    ]
    assert [(each.number, each.index) for each in cell_texts(cells)] == [(1, 0), (2, 5)]


def test_another_language_is_one_stage():
    notebook = parse_notebook(_notebook("r", "x <- 1", "", "x"), "a.ipynb")
    analysis = analyze_notebook(notebook)
    assert analysis.language == "r"
    assert [cell.first_line for cell in analysis.cells] == ["x <- 1", "x"]
    assert len(stage_cells(analysis, worth=ALWAYS).stages) == 1


def test_an_empty_notebook():
    analysis = analyze_notebook(parse_notebook(_notebook("python"), "a.ipynb"))
    assert analysis.cells == ()
    assert stage_cells(analysis, worth=ALWAYS).stages == ()


def test_installed_notebooks():
    seen = 0
    for path in sorted(Path(papermill.__file__).parent.rglob("*.ipynb")):
        try:
            notebook = parse_notebook(path.read_bytes(), str(path))
        except Fault:
            continue
        analysis = analyze_notebook(notebook)
        numbers = [cell.number for cell in analysis.cells]
        stages = stage_cells(analysis, worth=ALWAYS).stages
        assert sorted(cell for stage in stages for cell in stage.spec.numbers) == numbers
        assert all(each.source < each.target for each in analysis.dependences)
        seen += bool(numbers)
    assert seen > 5


def _notebook(language, *sources):
    cells = [
        {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": [], "source": it}
        for it in sources
    ]
    kernel = {"name": language, "display_name": language, "language": language}
    book = {"nbformat": 4, "nbformat_minor": 4, "metadata": {"kernelspec": kernel}, "cells": cells}
    return json.dumps(book).encode()
