"""What ``%nbflow run`` leaves is what a run from top to bottom leaves."""

import pytest
from live_session import executed, plain, write_notebook

LOAD = "%load_ext nbflow"

BOOK = [
    "import numpy as np\nnp.set_printoptions(precision=2)",
    "base = np.arange(4)\nrows = [1]\nsame = rows",
    "left = base / 3\nprint('left', left)",
    "right = [each + 1 for each in base.tolist()]\nprint('right', right)\nsum(right)",
    "rows.append(len(right))\nboth = (left.sum(), same, rows is same)\nboth",
    "del right",
]
LOOK = "(left, both, rows, rows is same, 'right' in globals(), sorted(base))"


@pytest.fixture
def book(tmp_path):
    path = tmp_path / "book.ipynb"
    write_notebook(path, *BOOK)
    return path


def test_all_stale_cells_run_side_by_side_and_leave_what_a_run_in_order_leaves(tmp_path, book):
    *outputs, home = executed(tmp_path, *BOOK, LOOK)
    *_, ran, looked, again = executed(
        tmp_path, LOAD, *BOOK[:2], "%nbflow run book.ipynb", LOOK, "%nbflow run book.ipynb"
    )

    assert plain(looked) == plain(home)
    shown = plain(ran)
    for number in (3, 4, 5):
        assert f"[{number}]:\n{plain(outputs[number - 1])}" in shown
    assert plain(again) == "nbflow: every cell of book.ipynb is fresh\n"


def test_stale_imports_and_settings_run_in_the_session(tmp_path, book):
    _, _, looked = executed(tmp_path, LOAD, "%nbflow run book.ipynb", LOOK)
    *_, home = executed(tmp_path, *BOOK, LOOK)

    assert plain(looked) == plain(home)


def test_an_error_leaves_no_trace_of_the_cells_behind_it(tmp_path):
    write_notebook(tmp_path / "book.ipynb", "a = 1", "1 / 0", "c = 3")
    _, ran, a, c = executed(tmp_path, LOAD, "%nbflow run book.ipynb", "a", "c")

    assert "ZeroDivisionError: division by zero" in plain(ran)
    assert plain(a) == "1"
    assert "'c' is not defined" in plain(c)


def test_it_is_said_what_is_missing(tmp_path, book):
    write_notebook(tmp_path / "shell.ipynb", "a = 1", "!echo hello")
    _, unnamed, absent, shell = executed(
        tmp_path, LOAD, "%nbflow run", "%nbflow run none.ipynb", "%nbflow run shell.ipynb"
    )

    assert "UsageError: nobody tells which notebook is open" in plain(unnamed)
    assert "UsageError: there is no notebook none.ipynb" in plain(absent)
    assert "UsageError: cell 2, line 1: it runs a shell command" in plain(shell)
