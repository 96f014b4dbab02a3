"""A bench to perform attempts on: a store, a scratch folder, and what was reported."""

import asyncio
import json
import sys

import cloudpickle
import nbformat
import pytest

from nbflow.core.attempts import AttemptTask
from nbflow.core.ids import AttemptId
from nbflow.core.spec import FunctionCode, NotebookCode
from nbflow.core.values import Artifact, Inline
from nbflow.testing.artifacts import MemoryStore
from nbflow.worker import perform

ID = AttemptId("run", "group/node", 1, 1)


class Bench:
    def __init__(self, folder):
        (folder / "store").mkdir()
        (folder / "book").mkdir()
        self.folder = folder
        self.store = MemoryStore(folder / "store")
        self.scratch = folder / "scratch"
        self.reports = []
        self.when = when

    @property
    def saved(self):
        return self.folder / "out" / "node.ipynb"

    def notebook(self, *cells, kernel="python3", language="python", cwd=None, **fields):
        cells = [
            nbformat.v4.new_code_cell(cell) if isinstance(cell, str) else cell for cell in cells
        ]
        spec = {"name": kernel, "language": language, "display_name": kernel}
        book = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": spec})
        path = self.folder / "book" / "node.ipynb"
        nbformat.write(book, path)
        digest = self.store.put(path.read_bytes(), "notebook").digest
        fields.setdefault("notebook_path", str(self.saved))
        return self.task(NotebookCode(str(path), digest, cwd=cwd), **fields)

    def function(self, function, **fields):
        data = cloudpickle.dumps(function)
        digest = self.store.put(data, "pickle").digest
        return self.task(FunctionCode(f"m.{function.__name__}", digest), **fields)

    def task(self, code, *, params=None, **fields):
        params = {
            name: value if isinstance(value, Artifact) else Inline(value)
            for name, value in (params or {}).items()
        }
        return AttemptTask(id=ID, code=code, params=params, store=self.store.ref, **fields)

    async def perform(self, task, **changes):
        arguments = {
            "worker_name": "w1",
            "store": self.store,
            "scratch": self.scratch,
            "report": self.reports.append,
        }
        return await perform(task, **{**arguments, **changes})

    def run(self, task, **changes):
        return asyncio.run(self.perform(task, **changes))

    def executed(self, outcome):
        data = self.store.get(outcome.notebook.digest).decode()
        book = nbformat.reads(data, as_version=4)
        nbformat.validate(book)
        return book


async def when(path):
    """Wait until `path` exists: another process or thread makes it."""
    while not path.exists():
        await asyncio.sleep(0.01)


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    assert not bench.scratch.exists() or list(bench.scratch.iterdir()) == []


@pytest.fixture
def bash(tmp_path, monkeypatch):
    """Install the Bash kernel where only this test sees it."""
    folder = tmp_path / "jupyter" / "kernels" / "bash"
    folder.mkdir(parents=True)
    argv = [sys.executable, "-m", "bash_kernel", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Bash", "language": "bash", "env": {"PS1": "$"}}
    (folder / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
