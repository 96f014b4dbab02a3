import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

WriteNotebook = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def write_notebook(folder: Path) -> WriteNotebook:
    """Write a notebook of the given cells into the current folder."""

    def write(name, *cells, params=None, kernel="python3", language="python"):
        notebook = new_notebook(cells=[new_code_cell(source) for source in cells])
        if params is not None:
            tagged = new_code_cell(params, metadata={"tags": ["parameters"]})
            notebook.cells.insert(0, tagged)
        if kernel is not None:
            notebook.metadata["kernelspec"] = {
                "name": kernel,
                "display_name": kernel,
                "language": language,
            }
        elif language is not None:
            notebook.metadata["language_info"] = {"name": language}
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, path)
        return path

    return write


@pytest.fixture
def sales_notebooks(write_notebook: WriteNotebook) -> Path:
    """The notebooks of the interface's example."""
    write_notebook("extract.ipynb", "rows = [date]", params="date = None")
    write_notebook("clean.ipynb", "table = rows", params="rows = None")
    write_notebook("train.ipynb", "model = table", params="table = None")
    return write_notebook("report.ipynb", "print('done')").parent
