"""Replacing a file while writing only what has changed."""

import errno
import os
import stat
from pathlib import Path

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from nbflow.notebooks import encoding, splicing
from nbflow.notebooks.splicing import SplicedFile
from nbflow.notebooks.writing import to_bytes

LONG = "a long line\n" * 5_000


def long_cell(mark):
    outputs = [
        new_output("stream", text=mark + LONG),
        new_output("display_data", {"image/png": mark + LONG, "text/plain": "x"}),
    ]
    return new_code_cell(f"print({mark!r})", outputs=outputs)


@pytest.fixture
def file(tmp_path):
    file = SplicedFile(tmp_path / "a.ipynb")
    yield file
    file.close()


@pytest.fixture
def encoded_texts(monkeypatch):
    """The long texts that were encoded, by their beginnings."""
    seen = []
    chunks = encoding.LongText.chunks

    def noted(text):
        seen.append(text.text[0])
        return chunks(text)

    monkeypatch.setattr(encoding.LongText, "chunks", noted)
    return seen


def check(file, book, first):
    file.plan(book, first)()
    assert file._path.read_bytes() == to_bytes(book)


def test_only_what_is_new_is_encoded(file, encoded_texts):
    book = new_notebook(cells=[long_cell("0"), long_cell("1"), new_markdown_cell("end")])
    file.plan(book, 0)()
    assert encoded_texts == ["0", "0", "1", "1"]
    encoded_texts.clear()
    book.cells[1].outputs.append(new_output("stream", text="2" + LONG))
    book.cells[1].metadata["note"] = "longer, so what follows moves"
    file.plan(book, 1)()
    book.metadata["note"] = "only this"
    file.plan(book, 3)()
    assert encoded_texts == ["2"]
    assert file._path.read_bytes() == to_bytes(book)


def test_texts_that_have_moved_to_other_cells_are_not_encoded_again(file, encoded_texts):
    book = new_notebook(cells=[long_cell("0"), long_cell("1")])
    file.plan(book, 0)()
    encoded_texts.clear()
    book.cells.insert(1, new_markdown_cell("mark"))
    book.cells.insert(0, new_markdown_cell("mark"))
    file.plan(book, 0)()
    assert encoded_texts == []
    assert file._path.read_bytes() == to_bytes(book)


def test_a_plan_is_of_the_notebook_as_it_was(file):
    book = new_notebook(cells=[long_cell("0"), long_cell("1")])
    write = file.plan(book, 0)
    then = to_bytes(book)
    book.cells[0].outputs[0].text += "more"
    book.cells[1].source = "other"
    del book.cells[1].outputs[:]
    write()
    assert file._path.read_bytes() == then


def written_into(path):
    with path.open("r+b") as other:
        other.write(b"[[[[")
    os.utime(path, ns=(1, 1))


def shortened(path):
    os.truncate(path, 10)


def replaced(path):
    path.unlink()
    path.write_text("{}")


@pytest.mark.parametrize("disturb", [written_into, shortened, replaced, os.unlink])
def test_what_others_do_to_the_file_does_no_harm(file, disturb):
    book = new_notebook(cells=[long_cell("0"), long_cell("1")])
    check(file, book, 0)
    disturb(file._path)
    book.cells[1].source = "new"
    check(file, book, 1)


def test_a_reader_keeps_the_notebook_that_it_has_opened(file):
    book = new_notebook(cells=[long_cell("0")])
    check(file, book, 0)
    with file._path.open("rb") as reader:
        before = reader.read(10_000)
        book.cells[0].outputs[0].text = "other"
        check(file, book, 0)
        rest = reader.read()
    nbformat.reads((before + rest).decode(), as_version=4)


def test_the_permissions_of_the_file_stay(file):
    file._path.write_text("{}")
    file._path.chmod(0o640)
    check(file, new_notebook(), 0)
    assert stat.S_IMODE(file._path.stat().st_mode) == 0o640


@pytest.mark.parametrize("error", [errno.ENOSYS, errno.EXDEV, errno.EOPNOTSUPP])
def test_a_system_that_cannot_copy(file, monkeypatch, error):
    def refuse(*_):
        raise OSError(error, "no")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    book = new_notebook(cells=[long_cell("0"), long_cell("1")])
    check(file, book, 0)
    book.cells[1].source = "new"
    check(file, book, 1)


def test_a_system_without_such_a_call(file, monkeypatch):
    monkeypatch.delattr(os, "copy_file_range")
    book = new_notebook(cells=[long_cell("0"), long_cell("1")])
    check(file, book, 0)
    check(file, book, 1)


def test_after_a_failure_the_whole_notebook_is_written(file, monkeypatch, encoded_texts):
    book = new_notebook(cells=[long_cell("0"), long_cell("1")])
    check(file, book, 0)
    folder = file._path.parent

    def refuse(*_):
        raise OSError(errno.ENOSPC, "no space left")

    with monkeypatch.context() as full:
        full.setattr(os, "copy_file_range", refuse)
        book.cells[0].source = "changed"
        with pytest.raises(OSError, match="no space"):
            file.plan(book, 0)()
    assert [each.name for each in folder.iterdir()] == ["a.ipynb"]
    encoded_texts.clear()
    file.plan(book, 2)()
    assert encoded_texts == ["0", "0", "1", "1"]
    assert file._path.read_bytes() == to_bytes(book)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_nothing_is_held_after_closing(tmp_path):
    count = open_files()
    file = SplicedFile(tmp_path / "a.ipynb")
    book = new_notebook(cells=[long_cell("0")])
    for first in (0, 1, 0):
        check(file, book, first)
    assert open_files() == count + 1
    file.close()
    assert open_files() == count


texts = st.sampled_from(["", "s", "x\n" * 40, "y" * 90, "ü\u2028\ud83d\r\n" * 20])
changes = st.one_of(
    st.tuples(st.just("output"), st.integers(0, 5), texts),
    st.tuples(st.just("grow"), st.integers(0, 5), texts),
    st.tuples(st.just("clear"), st.integers(0, 5), texts),
    st.tuples(st.just("source"), st.integers(0, 5), texts),
    st.tuples(st.just("insert"), st.integers(0, 5), texts),
    st.tuples(st.just("remove"), st.integers(0, 5), texts),
    st.tuples(st.just("metadata"), st.just(0), texts),
    st.tuples(st.just("save"), st.just(0), texts),
)


def apply(book, change, at, text) -> int:
    """Change the notebook, and return from which cell on it differs."""
    cells = book.cells
    if change == "metadata" or not (cells or change == "insert"):
        book.metadata["note"] = text
        return len(cells)
    at = min(at, len(cells) - (change != "insert"))
    if change == "insert":
        cells.insert(at, new_code_cell(text))
    elif change == "remove":
        del cells[at]
    elif change == "source":
        cells[at].source = text
    elif change == "output":
        cells[at].outputs.append(new_output("stream", text=text))
    elif change == "clear":
        del cells[at].outputs[:]
    elif cells[at].outputs:
        cells[at].outputs[-1].text += text
    return at


@settings(deadline=None, max_examples=60)
@given(st.lists(changes, max_size=25))
def test_whatever_changes_the_file_is_the_notebook(tmp_path_factory, steps):
    long_text, encoding.LONG_TEXT = encoding.LONG_TEXT, 30
    buffer, splicing._BUFFER_BYTES = splicing._BUFFER_BYTES, 64
    file = SplicedFile(tmp_path_factory.mktemp("splice") / "a.ipynb")
    book = new_notebook(cells=[new_code_cell(str(number)) for number in range(3)])
    try:
        first = 0
        for change, at, text in steps:
            if change == "save":
                check(file, book, first)
                first = len(book.cells)
            else:
                first = min(first, apply(book, change, at, text))
        check(file, book, first)
    finally:
        file.close()
        encoding.LONG_TEXT, splicing._BUFFER_BYTES = long_text, buffer
