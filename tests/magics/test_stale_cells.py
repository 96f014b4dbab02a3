"""Which cells have to run again, by what was executed."""

import pytest

from nbflow.definition.code_cells import CodeCell
from nbflow.magics.stale import stale_cells, work_of

BOOK = ["import math", "a = [1]", "b = a + [2]", "c = [3]", "d = b + c"]


def stale(book, *executed, failed=()):
    cells = [CodeCell(index, source) for index, source in enumerate(book)]
    runs = [CodeCell(number, source) for number, source in enumerate(executed, start=1)]
    _, found = stale_cells(work_of(cells), work_of(runs), failed)
    return sorted(found)


@pytest.mark.parametrize(
    ("executed", "expected"),
    [
        (BOOK, []),
        ([], [1, 2, 3, 4, 5]),
        (BOOK[:3], [4, 5]),
        (["%load_ext nbflow", *BOOK, "%nbflow status"], []),
        # It reads otherwise now, and so what depends on it is stale.
        ([*BOOK[:3], "c = [4]", BOOK[4]], [4, 5]),
        # In another order, as far as nothing depends on that.
        ([BOOK[0], BOOK[3], BOOK[1], BOOK[2], BOOK[4]], []),
        # Executed before what it depends on.
        ([*BOOK, BOOK[2]], [5]),
        ([*BOOK, BOOK[1]], [3, 5]),
        # A cell that is in no notebook has bound a variable of one that is.
        ([*BOOK, "a = [7]"], [2, 3, 5]),
        ([*BOOK, "print(a)"], []),
        ([*BOOK[:3], "%%nbflow_node\n" + BOOK[3], BOOK[4]], []),
    ],
)
def test_cells_are_stale_by_what_was_executed(executed, expected):
    assert stale(BOOK, *executed) == expected


def test_a_cell_that_has_failed_is_stale():
    assert stale(BOOK, *BOOK, failed={4}) == [4, 5]


def test_who_needs_a_variable_as_it_was_takes_along_the_cell_that_made_it():
    book = ["a = [1]", "b = len(a)", "a.append(2)", "c = len(a)"]

    # The second cell has never run, and the session's `a` has two items by now.
    assert stale(book, book[0], book[2], book[3]) == [1, 2, 3, 4]


def test_equal_cells_are_told_apart_by_their_order():
    book = ["a = [1]", "a.append(0)", "a.append(0)", "len(a)"]

    assert stale(book, *book) == []
    assert stale(book, book[0], book[1], book[3]) != []
