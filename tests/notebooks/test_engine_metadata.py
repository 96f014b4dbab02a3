"""papermill's manager for an engine: its file, its progress bar, its log."""

import asyncio
import io
import json
import os
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import patch

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from papermill import engines, iorw
from papermill.log import logger
from tqdm import tqdm

from nbflow.notebooks.engine_metadata import EngineMetadata, destination
from nbflow.notebooks.reading import read_notebook
from nbflow.notebooks.splicing import SplicedFile
from nbflow.notebooks.writing import to_bytes


@pytest.fixture
def book():
    cells = [new_code_cell("papermill_description=first"), new_code_cell("2")]
    return read_notebook(to_bytes(new_notebook(cells=cells)), "a.ipynb")


@pytest.fixture
def shown(monkeypatch):
    """What a progress bar shows. Without tqdm's thread, which lives as long as the process."""
    monkeypatch.setattr(tqdm, "monitor_interval", 0)
    return io.StringIO()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "out.ipynb"


def manager(book, path=None, **options):
    options = {"progress_bar": False, **options}
    return EngineMetadata(book, output_path=None if path is None else str(path), **options)


def statuses(path):
    cells = json.loads(path.read_text())["cells"]
    return [cell["metadata"]["papermill"]["status"] for cell in cells]


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.002)


def elsewhere(coroutine):
    """Run a coroutine in a loop of another thread, as the engine does."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


def test_the_file_follows_the_notebook_from_the_first_to_the_last(book, path):
    async def execution():
        async with metadata.live():
            metadata.cell_start(book.cells[0], 0)
            await until(lambda: statuses(path) == ["running", "pending"])
            metadata.cell_failed(0)
            await until(lambda: statuses(path) == ["failed", "pending"])

    metadata = manager(book, path)
    metadata.notebook_start()
    assert statuses(path) == ["pending", "pending"]
    elsewhere(execution())
    metadata.notebook_complete()
    saved = json.loads(path.read_text())
    assert saved["metadata"]["papermill"]["exception"] is True
    assert path.read_bytes() == to_bytes(book)


@pytest.mark.parametrize(("every_s", "saved"), [(0, False), (30, False), (0.2, True)])
def test_outputs_are_saved_while_a_cell_runs_if_that_is_wanted(book, path, every_s, saved):
    async def execution():
        async with metadata.live():
            metadata.cell_start(book.cells[0], 0)
            await until(lambda: statuses(path)[0] == "running")
            book.cells[0].outputs.append(new_output("stream", text="news"))
            metadata.changed(0)
            if saved:
                await until(lambda: "news" in path.read_text())
            else:
                await metadata._file.pause()
                assert "news" not in path.read_text()
            metadata.cell_complete(book.cells[0], 0)

    metadata = manager(book, path, autosave_cell_every=every_s)
    metadata.notebook_start()
    elsewhere(execution())
    metadata.notebook_complete()
    assert "news" in path.read_text()


def test_a_folder_that_is_not_there_is_told_before_anything_runs(book, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"output folder .*nowhere doesn't exist"):
        manager(book, tmp_path / "nowhere" / "out.ipynb")


def test_nothing_is_saved_without_a_path(book, tmp_path):
    async def execution():
        async with metadata.live():
            metadata.cell_start(book.cells[0], 0)
            metadata.changed(0)
            metadata.cell_complete(book.cells[0], 0)

    metadata = manager(book)
    metadata.notebook_start()
    elsewhere(execution())
    metadata.notebook_complete()
    assert list(tmp_path.iterdir()) == []
    assert book.cells[0].metadata.papermill.status == "completed"


def test_paths_are_relative_to_where_papermill_was_called(book, tmp_path, monkeypatch):
    (tmp_path / "called").mkdir()
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path / "runs")
    with iorw.local_file_io_cwd(str(tmp_path / "called")):
        manager(book, "out.ipynb").notebook_start()
    assert statuses(tmp_path / "called" / "out.ipynb") == ["pending", "pending"]


def test_whoever_replaces_papermills_writer_gets_every_save(book, path):
    async def execution():
        async with metadata.live():
            metadata.cell_start(book.cells[0], 0)
            await until(lambda: len(seen) == 2)
            metadata.cell_complete(book.cells[0], 0)

    def write(notebook, where):
        assert where == str(path)
        seen.append(notebook.cells[0].metadata.papermill.status)

    seen = []
    with patch.object(engines, "write_ipynb", write):
        metadata = manager(book, path)
        metadata.notebook_start()
        elsewhere(execution())
        metadata.notebook_complete()
    assert seen == ["pending", "running", "completed", "completed"]
    assert not path.exists()


def test_papermills_handlers_get_what_papermill_would_give_them(book, monkeypatch):
    class Handler:
        def write(self, text, path):
            written[path] = text

    written = {}
    monkeypatch.setattr(iorw.papermill_io, "_handlers", list(iorw.papermill_io._handlers))
    iorw.papermill_io.register("mem://", Handler())
    manager(book, "mem://a.ipynb").notebook_start()
    assert written == {"mem://a.ipynb": to_bytes(book).decode().removesuffix("\n")}


def test_links_are_followed_and_devices_never_replaced(book, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "out.ipynb").symlink_to(tmp_path / "real" / "b.ipynb")
    manager(book, tmp_path / "out.ipynb").notebook_start()
    assert (tmp_path / "out.ipynb").is_symlink()
    assert statuses(tmp_path / "real" / "b.ipynb") == ["pending", "pending"]
    os.mkfifo(tmp_path / "pipe.ipynb")
    (tmp_path / "null.ipynb").symlink_to("/dev/null")
    for name in ("pipe.ipynb", "null.ipynb"):
        assert not isinstance(destination(str(tmp_path / name)), SplicedFile)


def test_the_progress_bar_is_told_what_runs_and_ends_full(book, shown):
    metadata = manager(book, progress_bar={"file": shown, "desc": "Mine", "mininterval": 0})
    assert "Mine:   0%" in shown.getvalue()
    metadata.notebook_start()
    metadata.cell_start(book.cells[0], 0)
    metadata.cell_complete(book.cells[0], 0)
    assert "Executing first" in shown.getvalue()
    metadata.notebook_complete()
    assert "2/2" in shown.getvalue()
    assert metadata.pbar is None


def test_the_progress_bar_of_a_failed_notebook_stays_where_it_was(book, shown):
    metadata = manager(book, progress_bar={"file": shown, "mininterval": 0})
    metadata.notebook_start()
    metadata.cell_start(book.cells[0], 0)
    metadata.cell_failed(0)
    metadata.notebook_complete()
    assert "1/2" in shown.getvalue()
    assert "2/2" not in shown.getvalue()


def test_the_beginning_and_the_end_of_cells_are_logged_if_wanted(book, caplog):
    for wanted in (False, True):
        metadata = manager(book, log_output=wanted)
        metadata.notebook_start()
        with caplog.at_level("INFO", logger=logger.name):
            metadata.cell_start(book.cells[0], 0)
            metadata.cell_complete(book.cells[0], 0)
        if not wanted:
            assert caplog.messages == []
    assert [message.rstrip("-") for message in caplog.messages] == [
        "Executing Cell 1",
        "Ending Cell 1",
    ]
