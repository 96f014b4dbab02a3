"""A notebook whose worker has died reads as what is known of it."""

from datetime import UTC, datetime

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from nbflow.notebooks.finishing import finish_file

BEGAN, NOW = "2026-01-01T00:00:00+00:00", datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC)


def told(status, **more):
    return {"papermill": {"status": status, "exception": None, "start_time": BEGAN, **more}}


@pytest.fixture
def path(tmp_path):
    cells = [
        new_code_cell("1", metadata=told("completed", exception=False)),
        new_code_cell("2", metadata=told("running")),
        new_code_cell("3", metadata={**told("pending"), "tags": ["skip-execution"]}),
        new_markdown_cell("four", metadata=told("pending")),
        new_code_cell("5", metadata=told("pending")),
        new_code_cell("6", metadata=told("pending")),
    ]
    mine = {"start_time": BEGAN, "end_time": None, "exception": None}
    path = tmp_path / "it.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata={"papermill": mine}), path)
    return path


def read(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook, [cell.metadata.papermill.status for cell in notebook.cells]


def test_the_cell_that_ran_has_failed(path) -> None:
    path.chmod(0o640)
    assert finish_file(path, "WorkerLost", "it is gone", NOW)
    notebook, statuses = read(path)
    assert statuses == ["completed", "failed", *["pending"] * 4]
    (error,) = notebook.cells[1].outputs
    assert (error.ename, error.evalue) == ("WorkerLost", "it is gone")
    assert notebook.cells[1].metadata.papermill.exception is True
    assert notebook.metadata.papermill.exception is True
    assert notebook.metadata.papermill.duration == 5.0
    assert path.stat().st_mode & 0o777 == 0o640
    assert [it.name for it in path.parent.iterdir()] == ["it.ipynb"]


def test_cells_that_began_since_the_last_save_are_known(path) -> None:
    assert finish_file(path, "WorkerLost", "it is gone", NOW, last_seen=4)
    notebook, statuses = read(path)
    assert statuses == ["completed", "completed", "pending", "completed", "failed", "pending"]
    assert notebook.cells[1].metadata.papermill.exception is False
    assert [len(cell.get("outputs", ())) for cell in notebook.cells] == [0, 0, 0, 0, 1, 0]


def test_a_notebook_that_has_ended_is_left_as_it_is(path) -> None:
    assert finish_file(path, "WorkerLost", "it is gone", NOW)
    ended = path.read_bytes()
    assert not finish_file(path, "WorkerLost", "once more", NOW)
    assert path.read_bytes() == ended


@pytest.mark.parametrize("content", [None, b"", b"[]", b'{"metadata": {}}', b"\xff"])
def test_what_is_no_executed_notebook_is_left_as_it_is(tmp_path, content) -> None:
    path = tmp_path / "other.ipynb"
    if content is not None:
        path.write_bytes(content)
    assert not finish_file(path, "WorkerLost", "it is gone", NOW)
    assert path.exists() == (content is not None)
