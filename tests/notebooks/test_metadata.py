"""papermill's metadata, and the truth of every status in it."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from nbflow.notebooks.metadata import MARKERS, Metadata, mark_error, prepare
from nbflow.notebooks.reading import read_notebook
from nbflow.notebooks.writing import to_bytes


class Clock:
    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        self.now += 1
        return self.now


@pytest.fixture
def book():
    cells = [new_markdown_cell("# Title"), *(new_code_cell(str(number)) for number in range(3))]
    return read_notebook(to_bytes(new_notebook(cells=cells)), "a.ipynb")


@pytest.fixture
def told():
    return []


@pytest.fixture
def metadata(book, told):
    metadata = Metadata(
        book,
        clock=Clock(),
        changed=told.append,
        important=lambda first: told.append(("important", first)),
    )
    metadata.notebook_start()
    return metadata


def statuses(book):
    return [cell.metadata.papermill.status for cell in book.cells]


def run(metadata, *indices):
    for index in indices:
        metadata.cell_start(metadata.nb.cells[index], index)
        metadata.cell_complete(metadata.nb.cells[index], index)


def test_a_notebook_that_runs_well(metadata, book, told):
    assert statuses(book) == ["pending"] * 4
    run(metadata, 0, 1, 2, 3)
    metadata.notebook_complete()
    assert statuses(book) == ["completed"] * 4
    assert told == [0, 0, 0, 1, 1, 2, 2, 3, 3, 4]
    pm = book.metadata.papermill
    assert pm.exception is None
    assert pm.duration > 0
    assert pm.start_time < book.cells[0].metadata.papermill.start_time < pm.end_time
    assert all(cell.metadata.papermill.duration == 1 for cell in book.cells)
    assert not any(cell.metadata.papermill.exception for cell in book.cells)
    nbformat.validate(book)


def test_cells_after_a_failed_one_stay_pending(metadata, book, told):
    run(metadata, 0)
    metadata.cell_start(book.cells[1], 1)
    metadata.cell_failed(1)
    metadata.notebook_complete()
    assert statuses(book) == ["completed", "failed", "pending", "pending"]
    assert [cell.metadata.papermill.exception for cell in book.cells] == [False, True, None, None]
    assert book.metadata.papermill.exception is True
    assert book.cells[1].metadata.papermill.duration == 1
    assert told[-2:] == [("important", 1), 4]


def test_a_cell_that_was_broken_off_has_failed(metadata, book):
    run(metadata, 0)
    metadata.cell_start(book.cells[1], 1)
    metadata.notebook_complete()
    assert statuses(book) == ["completed", "failed", "pending", "pending"]
    assert book.metadata.papermill.exception is True


def test_nothing_of_an_earlier_execution_is_left(metadata, book):
    book.cells[1].metadata["execution"] = {"iopub.status.busy": "2020"}
    metadata.cell_start(book.cells[1], 1)
    metadata.cell_failed(1)
    metadata.notebook_complete()
    metadata.notebook_start()
    assert statuses(book) == ["pending"] * 4
    assert "execution" not in book.cells[1].metadata
    assert book.metadata.papermill.exception is None
    assert book.metadata.papermill.end_time is None


def test_what_others_change_is_told(metadata, told):
    metadata.changed(2)
    assert told[-1] == 2


def test_the_marks_of_an_error_come_and_go(metadata, book):
    book.cells[2].execution_count = 7
    mark_error(book, 2)
    assert len(book.cells) == 4 + MARKERS
    assert "In [7]" in book.cells[0].source
    assert book.cells[2 + MARKERS].source == "1"
    assert len(prepare(book, "in.ipynb", "out.ipynb").cells) == 4
    assert book.metadata.papermill.output_path == "out.ipynb"
