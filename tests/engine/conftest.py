"""Notebooks, and the end of the process's background after each test."""

import json
import sys

import nbformat
import papermill
import pytest

from nbflow.engine.background import close


@pytest.fixture(autouse=True)
def background_ends():
    yield
    close()


@pytest.fixture
def notebook(tmp_path):
    """Write a notebook; a cell is its source, or its source and its tags."""

    def write(*cells, name="in.ipynb", kernel="python3"):
        metadata = {"kernelspec": {"name": kernel, "language": "python", "display_name": kernel}}
        node = nbformat.v4.new_notebook(metadata=metadata)
        for cell in cells:
            source, tags = (cell, []) if isinstance(cell, str) else cell
            node.cells.append(nbformat.v4.new_code_cell(source, metadata={"tags": tags}))
        path = tmp_path / name
        nbformat.write(node, path)
        return path

    return write


@pytest.fixture
def execute(tmp_path):
    """Run a notebook with the engine, into ``out.ipynb``, in the test's folder."""

    def run(path, **options):
        settings = {"engine_name": "nbflow", "progress_bar": False, "cwd": tmp_path, **options}
        return papermill.execute_notebook(path, tmp_path / "out.ipynb", **settings)

    return run


@pytest.fixture
def saved(tmp_path):
    """Read, and validate, what was saved."""

    def read(name="out.ipynb"):
        node = nbformat.read(tmp_path / name, as_version=4)
        nbformat.validate(node)
        return node

    return read


@pytest.fixture
def kernelspec(tmp_path, monkeypatch):
    """Install a kernel that only this test sees, which is a line of Python."""

    def install(name, line):
        folder = tmp_path / "jupyter" / "kernels" / name
        folder.mkdir(parents=True)
        argv = [sys.executable, "-c", f"import sys, time; {line}"]
        spec = {"argv": argv, "display_name": name, "language": "python"}
        (folder / "kernel.json").write_text(json.dumps(spec))

    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    return install
