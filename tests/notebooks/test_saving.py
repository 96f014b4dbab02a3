"""When a running notebook is saved."""

import asyncio
import json
import logging
import math
import threading

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from nbflow.notebooks.saving import NotebookFile, choose_place


class Recorder:
    """A destination that notes when it was saved to, and what."""

    def __init__(self):
        self.loop = asyncio.get_running_loop()
        self.saves = []
        self.threads = set()
        self.may_end = threading.Event()
        self.may_end.set()
        self.error = None
        self.closed = False

    def plan(self, notebook, first):
        save = (self.loop.time(), first, notebook.metadata.get("state"))

        def job():
            self.threads.add(threading.get_ident())
            self.may_end.wait()
            if self.error:
                raise self.error
            self.saves.append(save)

        return job

    def close(self):
        self.closed = True

    @property
    def firsts(self):
        return [first for _, first, _ in self.saves]


def recorded(scenario, **options):
    """Run a scenario with a notebook of five cells, its file, and what records the saves."""

    async def main():
        book = new_notebook(cells=[new_code_cell(str(number)) for number in range(5)])
        recorder = Recorder()
        file = NotebookFile(book, recorder, **options)
        await scenario(file, recorder, book)
        await file.close()
        assert recorder.closed

    asyncio.run(main())


async def until(condition):
    """Let the loop turn until the condition holds."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.002)


def test_changes_are_saved_soon_and_together_about_once_a_second():
    async def scenario(file, recorder, book):
        file.changed(3)
        file.changed(2)
        file.changed(4)
        assert recorder.saves == []
        await until(lambda: recorder.saves)
        book.metadata["state"] = "later"
        file.changed(4)
        file.changed(3)
        await until(lambda: len(recorder.saves) == 2)
        (began, first, _), (then, second, state) = recorder.saves
        assert first == 0  # Nothing had been saved before.
        assert (second, state) == (3, "later")
        assert 0.99 < then - began < 5

    recorded(scenario)


def test_a_burst_goes_through_at_once():
    async def scenario(file, recorder, book):
        for number in range(1, 5):
            file.changed(number)
            await until(lambda: len(recorder.saves) == number)  # noqa: B023 - awaited here
        assert recorder.saves[2][0] - recorder.saves[0][0] < 0.9
        assert recorder.saves[3][0] - recorder.saves[0][0] > 0.9
        assert recorder.firsts == [0, 2, 3, 4]

    recorded(scenario, burst=3)


def test_what_is_important_does_not_wait():
    async def scenario(file, recorder, book):
        await file.save()
        file.changed(2)
        file.important(4)
        await until(lambda: len(recorder.saves) == 2)
        assert recorder.saves[1][0] - recorder.saves[0][0] < 0.9
        assert recorder.firsts == [0, 2]

    recorded(scenario)


def test_a_rest_after_the_last_save_is_kept():
    async def scenario(file, recorder, book):
        await file.save()
        file.changed(3, rest_s=1.5)
        file.changed(4, rest_s=math.inf)
        await until(lambda: len(recorder.saves) == 2)
        assert recorder.saves[1][0] - recorder.saves[0][0] > 1.4
        file.changed(1, rest_s=math.inf)
        file.important(2)
        await until(lambda: len(recorder.saves) == 3)
        assert recorder.firsts == [0, 3, 1]

    recorded(scenario, burst=5)


def test_the_loop_goes_on_while_a_save_takes_long_and_nothing_is_lost():
    async def scenario(file, recorder, book):
        recorder.may_end.clear()
        file.changed(0)
        await until(lambda: recorder.threads)
        assert threading.get_ident() not in recorder.threads
        book.metadata["state"] = "meanwhile"
        file.important(4)
        file.changed(2)
        await asyncio.sleep(0)
        assert recorder.saves == []
        recorder.may_end.set()
        await until(lambda: len(recorder.saves) == 2)
        assert recorder.saves[1][1:] == (2, "meanwhile")

    recorded(scenario)


def test_a_save_that_takes_long_makes_the_next_one_wait():
    async def scenario(file, recorder, book):
        recorder.may_end.clear()
        asyncio.get_running_loop().call_later(0.2, recorder.may_end.set)
        await file.save()
        file.changed(0)
        await until(lambda: len(recorder.saves) == 2)
        assert recorder.saves[1][0] - recorder.saves[0][0] > 1.9

    recorded(scenario)


def test_saving_now_comes_after_a_save_that_is_being_made():
    async def scenario(file, recorder, book):
        recorder.may_end.clear()
        file.changed(0)
        await until(lambda: recorder.threads)
        book.metadata["state"] = "last"
        file.changed(1)
        last = asyncio.create_task(file.save())
        await asyncio.sleep(0)
        recorder.may_end.set()
        assert await last is None
        assert [state for _, _, state in recorder.saves] == [None, "last"]

    recorded(scenario)


def test_a_pause_makes_what_is_due_and_forgets_what_is_not():
    async def scenario(file, recorder, book):
        file.changed(1)
        await file.pause()
        assert len(recorder.saves) == 1
        file.changed(1)
        await file.pause()
        assert len(recorder.saves) == 1

    recorded(scenario)


@pytest.mark.parametrize("error", [OSError("the disk is full"), RuntimeError("not even a file")])
def test_a_save_that_fails_is_told_once_and_harms_nothing(caplog, error):
    async def scenario(file, recorder, book):
        recorder.error = error
        with caplog.at_level(logging.WARNING):
            assert await file.save() is error
            assert await file.save() is error
        recorder.error = None
        file.important(4)
        await until(lambda: recorder.saves)
        assert recorder.firsts == [0]
        assert await file.save() is None

    recorded(scenario)
    assert len(caplog.records) == 1
    assert "cannot save the running notebook as " in caplog.text
    assert str(error) in caplog.text


def test_the_file_follows_the_notebook(tmp_path):
    path = tmp_path / "a.ipynb"

    async def main():
        book = new_notebook(cells=[new_code_cell(str(number)) for number in range(3)])
        file = NotebookFile(book, path)
        file.changed(0)
        await until(path.exists)
        book.cells[1].outputs.append(new_output("stream", text="x" * 100_000))
        file.important(1)
        await until(lambda: path.stat().st_size > 100_000)
        book.metadata["state"] = "done"
        file.changed(3)
        assert await file.save() is None
        await file.close()
        return book

    book = asyncio.run(main())
    assert json.loads(path.read_text())["metadata"] == {"state": "done"}
    assert [each.name for each in tmp_path.iterdir()] == ["a.ipynb"]
    saved = nbformat.read(path, as_version=4)
    nbformat.validate(saved)
    assert saved == book


def test_a_folder_that_is_gone_is_told(tmp_path, caplog):
    async def main():
        file = NotebookFile(new_notebook(), tmp_path / "gone" / "a.ipynb")
        with caplog.at_level(logging.WARNING):
            assert isinstance(await file.save(), FileNotFoundError)
        await file.close()

    asyncio.run(main())
    assert len(caplog.records) == 1


def test_the_wanted_place_is_used_if_it_can_be_made(tmp_path):
    fallback = tmp_path / "fallback.ipynb"
    wanted = tmp_path / "out" / "deep" / "a.ipynb"
    assert choose_place(str(wanted), fallback) == wanted
    assert wanted.parent.is_dir()
    (tmp_path / "file").touch()
    assert choose_place(str(tmp_path / "file" / "a.ipynb"), fallback) == fallback
    assert choose_place(None, fallback) == fallback
