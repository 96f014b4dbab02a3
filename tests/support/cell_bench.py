"""A bench to run notebooks' cells on: a real kernel, and what an execution told meanwhile."""

import asyncio
import time
from dataclasses import dataclass, field

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from nbflow.kernels import start_kernel
from nbflow.notebooks.cells import CellOptions
from nbflow.notebooks.execution import CellProgress, Execution, Failure
from nbflow.notebooks.guard import Bounds, Guard, StopRequest
from nbflow.notebooks.metadata import Metadata
from nbflow.notebooks.reading import read_notebook


@dataclass
class Ran:
    """What became of a notebook."""

    notebook: nbformat.NotebookNode
    failure: Failure | None = None
    changed: list[int] = field(default_factory=list)
    progress: list[CellProgress] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def statuses(self):
        return [cell.metadata.papermill.status for cell in self.notebook.cells]

    @property
    def exceptions(self):
        return [cell.metadata.papermill.exception for cell in self.notebook.cells]

    def outputs(self, index):
        return self.notebook.cells[index].outputs

    def texts(self, index):
        return [output.get("text") for output in self.outputs(index)]


def tagged(source, *tags):
    return new_code_cell(source, metadata={"tags": list(tags)})


class CellBench:
    """Runs cells in `folder`."""

    def __init__(self, folder):
        self.folder = folder
        #: What runs now, as it stands.
        self.ran = None

    def run(self, *cells, **changes):
        return asyncio.run(self.perform(*cells, **changes))

    async def perform(self, *cells, options=None, stop=None, meanwhile=None, **bounds):
        """Run `cells`; `meanwhile` is given the kernel and runs beside them."""
        code = [new_code_cell(cell) if isinstance(cell, str) else cell for cell in cells]
        spec = {"name": "python3", "language": "python", "display_name": "Python 3"}
        book = new_notebook(cells=code, metadata={"kernelspec": spec})
        ran = self.ran = Ran(read_notebook(nbformat.writes(book).encode(), "the bench"))
        metadata = Metadata(ran.notebook, clock=time.time, changed=ran.changed.append)
        metadata.notebook_start()
        kernel = await start_kernel("python3", cwd=self.folder, env={})
        try:
            execution = Execution(
                ran.notebook,
                kernel,
                metadata,
                ran.progress.append,
                ran.changed.append,
                options or CellOptions(),
            )
            began_at = asyncio.get_running_loop().time()
            limits = Bounds(began_at, **bounds)
            place = lambda: execution.place  # noqa: E731 - as the worker gives it
            async with Guard(kernel, limits, stop or StopRequest(), place) as guard:
                beside = asyncio.create_task(meanwhile(kernel)) if meanwhile else None
                ran.failure = await execution.run(guard)
                ran.seconds = asyncio.get_running_loop().time() - began_at
                if beside is not None:
                    await beside
        finally:
            await kernel.shutdown()
        metadata.notebook_complete()
        nbformat.validate(ran.notebook)
        return ran


async def when(path):
    """Wait until `path` exists: the kernel makes it."""
    while not path.exists():
        await asyncio.sleep(0.01)
