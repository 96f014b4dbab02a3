"""Fixtures of the command line: a folder to work in, notebooks in it, and calls in this process."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from nbflow.cli import main


class Called(NamedTuple):
    """What became of one command."""

    code: int
    out: str
    err: str


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the current one, without a home from elsewhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NBFLOW_HOME", raising=False)
    return tmp_path


@pytest.fixture
def nbflow(folder: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Called]]:
    """Runs a command in this process, through the same door as the program."""

    def call(*words: str) -> Called:
        capsys.readouterr()
        code = main(words)
        return Called(code, *capsys.readouterr())

    before = signal.getsignal(signal.SIGTERM)
    yield call
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def notebook(folder: Path) -> Callable[..., Path]:
    """Writes a notebook: a cell of parameters, then the other cells."""

    def write(name: str, parameters: str, *sources: str) -> Path:
        tagged = new_code_cell(parameters, metadata={"tags": ["parameters"]})
        cells = [tagged, *(new_code_cell(source) for source in sources)]
        book = new_notebook(
            cells=cells,
            metadata={"kernelspec": {"name": "python3", "display_name": "", "language": "python"}},
        )
        nbformat.write(book, folder / name)
        return folder / name

    return write
