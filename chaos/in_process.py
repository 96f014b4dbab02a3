"""A cluster inside the driver's process: what kills the one, kills the other at the same instant.

Functions are performed by nbflow's own worker code. Of a notebook, only the durable steps are
real: its cells run in this process instead of a kernel, and the executed notebook, the outputs
and the receipt are stored as a worker stores them. So all steps of driver and worker are steps of
one process, and take milliseconds.
"""

import asyncio
import contextlib
import io
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nbformat

from nbflow.artifacts import FileStore
from nbflow.artifacts.files import DISK, READ_WRITE
from nbflow.core.attempts import AttemptTask, Ended, Outcome, Report, Started, StoreRef
from nbflow.core.ids import AttemptId
from nbflow.core.spec import NotebookCode
from nbflow.notebooks.keeping import keep_value
from nbflow.ports import ArtifactStore, ClusterInfo
from nbflow.worker import Facilities, perform
from nbflow.worker.loading import load_params
from nbflow.worker.receipts import with_receipt

_HERE = "in-process"


class InProcess:
    """The `Cluster` port; takes the place of `nbflow.cluster.DaskCluster` in a session."""

    def __init__(self, target: object, *, clock: Callable[[], float]) -> None:
        del target, clock
        self._facilities = Facilities()
        self._running: dict[AttemptId, asyncio.Task[None]] = {}
        self._report: Callable[[Report], None] = lambda _: None
        self._store: ArtifactStore | None = None

    async def start(self, report: Callable[[Report], None]) -> None:
        """Begin to take attempts."""
        self._report = report

    async def survey(self, store: StoreRef) -> ClusterInfo:
        """Open the store, as workers do."""
        self._store = FileStore.open_ref(store)
        return ClusterInfo(_HERE, "", 1, 2, True, frozenset({"python3"}), {})

    async def submit(self, tasks: Sequence[AttemptTask]) -> None:
        """Perform attempts beside each other."""
        for task in tasks:
            self._running[task.id] = asyncio.create_task(self._perform(task))

    async def cancel(self, attempts: Sequence[AttemptId]) -> None:
        """Stop attempts."""
        for attempt in attempts:
            if attempt in self._running:
                self._running[attempt].cancel()

    async def close(self) -> None:
        """End what still runs."""
        for running in self._running.values():
            running.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)
        self._facilities.close()

    async def _perform(self, task: AttemptTask) -> None:
        assert self._store is not None
        self._report(Started(task.id, _HERE, time.time()))
        if isinstance(task.code, NotebookCode):
            outcome = await asyncio.to_thread(_notebook, task, self._store)
        else:
            outcome = await perform(
                task,
                worker_name=_HERE,
                store=self._store,
                scratch=Path(tempfile.gettempdir()),
                report=self._report,
                facilities=self._facilities,
            )
        del self._running[task.id]
        self._report(Ended(outcome))


def _notebook(task: AttemptTask, store: ArtifactStore) -> Outcome:
    """Run the cells of a notebook here, and make durable what came of it."""
    assert task.notebook_path is not None
    started_at = time.time()
    path = Path(task.notebook_path)
    notebook = nbformat.reads(store.get(task.code.digest).decode(), as_version=4)
    namespace: dict[str, Any] = {}
    _save(notebook, path)
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(cell.source, namespace)
        cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=printed.getvalue())]
        if "parameters" in cell.metadata.get("tags", ()):
            namespace.update(load_params(task.params, store))
    _save(notebook, path)
    outputs = {name: keep_value(name, namespace[name], store) for name in task.outputs}
    executed = store.put_file(path, "notebook")
    outcome = Outcome(
        id=task.id,
        status="succeeded",
        started_at=started_at,
        ended_at=time.time(),
        outputs=outputs,
        notebook=executed,
    )
    return with_receipt(outcome, store)


def _save(notebook: nbformat.NotebookNode, path: Path) -> None:
    DISK.make_folder(path.parent)
    with DISK.whole_file(path, path.parent, READ_WRITE) as file:
        file.write(nbformat.writes(notebook).encode())
