"""Saving a notebook while it runs."""

import asyncio
import json
import logging

import nbformat

from nbflow.notebooks.saving import NotebookFile, choose_place


def test_changes_are_saved_soon_and_together(tmp_path):
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")])
    path = tmp_path / "a.ipynb"

    async def scenario():
        file = NotebookFile(book, path)
        file.changed()
        assert not path.exists()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        first = path.stat().st_mtime_ns
        book.cells[0].source = "2"
        file.changed()
        file.changed()
        await asyncio.sleep(0)
        assert path.stat().st_mtime_ns == first
        file.save()
        assert json.loads(path.read_text())["cells"][0]["source"] == ["2"]
        file.changed()
        file.close()

    asyncio.run(scenario())
    assert [each.name for each in tmp_path.iterdir()] == ["a.ipynb"]
    nbformat.validate(nbformat.read(path, as_version=4))


def test_a_save_that_fails_is_told_once_and_harms_nothing(tmp_path, caplog):
    async def scenario():
        file = NotebookFile(nbformat.v4.new_notebook(), tmp_path / "gone" / "a.ipynb")
        with caplog.at_level(logging.WARNING):
            file.save()
            file.save()

    asyncio.run(scenario())
    assert len(caplog.records) == 1
    assert "cannot save the running notebook" in caplog.text


def test_the_wanted_place_is_used_if_it_can_be_made(tmp_path):
    fallback = tmp_path / "fallback.ipynb"
    wanted = tmp_path / "out" / "deep" / "a.ipynb"
    assert choose_place(str(wanted), fallback) == wanted
    assert wanted.parent.is_dir()
    (tmp_path / "file").touch()
    assert choose_place(str(tmp_path / "file" / "a.ipynb"), fallback) == fallback
    assert choose_place(None, fallback) == fallback
