"""What a cell truly needs, as a run shows it."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from corpus.oracle import bound_of, trace
from corpus.oracle.bound import dependences, parallelism
from corpus.oracle.tracing import NoTraceError, Traced

#: Cells, and which earlier ones each needs.
CASES = {
    "import numpy as np; import random": set(),
    "x = [1]; y = x": set(),
    "def f():\n    return len(x)": set(),
    "f()": {2, 3},
    "y.append(2)": {2},
    "f() + 1": {3, 5},
    "z = np.random.rand(3)": set(),
    "np.random.rand()": {7},
    "np.random.seed(1); np.random.rand()": set(),
    "open('a.txt', 'w').write('1')": set(),
    "open('a.txt').read()": {10},
    "k = 5; print(k)": set(),
    "k": {12},
    "it = iter([1, 2])": set(),
    "next(it)": {14},
    "next(it) ": {15},
    "class A:\n    pass\na = A()": set(),
    "a.b = 1": {17},
    "a.b": {18},
    "v = np.zeros(3); w = v[:2]": set(),
    "w[0] = 1": {20},
    "v.sum()": {21},
    "eval('k')": {12},
    "open('a.txt', 'a').write('2')": {10, 11},
}


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    folder = tmp_path_factory.mktemp("traced")
    book = new_notebook(cells=[new_code_cell(source) for source in CASES])
    nbformat.write(book, folder / "a.ipynb")
    return trace(folder / "a.ipynb", 60)


def test_every_cell_is_seen(traced):
    assert [cell.cell for cell in traced] == list(range(1, len(CASES) + 1))


@pytest.mark.parametrize("number", range(1, len(CASES) + 1))
def test_what_a_cell_needs(traced, number):
    # The first cell is replayed; that it has imported is no dependence.
    found = dependences([cell for cell in traced if cell.cell != 1])
    assert found.get(number, set()) == list(CASES.values())[number - 1]


def test_programs_come_after_whatever_touches_the_outside():
    cells = [
        Traced(1, writes_files=("a",)),
        Traced(2),
        Traced(3, programs=True),
        Traced(4, reads_files=("b",)),
        Traced(5, programs=True),
    ]
    assert dependences(cells) == {1: set(), 2: set(), 3: {1}, 4: {3}, 5: {3, 4}}


def test_the_bound_is_all_cells_by_the_longest_chain():
    cells = [Traced(1, binds=("x",)), Traced(2, reads=("x",)), Traced(3), Traced(4)]
    bound = bound_of(cells, {4}, {1: 1.0, 2: 1.0, 3: 4.0})
    assert (bound.by_count, bound.by_time) == (1.5, 1.5)
    assert parallelism({}, {}) == 1.0


def test_a_notebook_that_fails_has_no_trace(tmp_path):
    nbformat.write(new_notebook(cells=[new_code_cell("1 / 0")]), tmp_path / "a.ipynb")
    with pytest.raises(NoTraceError, match="ZeroDivisionError"):
        trace(tmp_path / "a.ipynb", 60)
