"""Perform an attempt of a notebook node: read, parameterize, execute, collect, store.

Whatever happens, the executed notebook is stored as it is by then, and the outcome names it.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from nbformat import NotebookNode

from nbflow.core.attempts import AttemptTask, Outcome, Progress
from nbflow.core.errors import NbflowError
from nbflow.core.events import ErrorInfo
from nbflow.core.spec import NotebookCode
from nbflow.core.states import FailureKind, Reason
from nbflow.guest import OUTPUTS_VARIABLE
from nbflow.kernels import (
    START_TIMEOUT_S,
    EvaluationFailed,
    Kernel,
    KernelDied,
    KernelStartFailed,
    NoSuchKernel,
    UnusableKernel,
    start_kernel,
)
from nbflow.notebooks.errors import InvalidInput, OutputProblem
from nbflow.notebooks.execution import CellProgress, Execution, Failure
from nbflow.notebooks.guard import Bounds, Guard, StopRequest
from nbflow.notebooks.metadata import MARKERS, Metadata, mark_error, prepare
from nbflow.notebooks.outputs import Collected, collect, collect_emitted, keep
from nbflow.notebooks.parameters import inject, is_python
from nbflow.notebooks.reading import KernelChoice, choose_kernel, read_notebook, to_bytes
from nbflow.notebooks.saving import NotebookFile, choose_place
from nbflow.ports import ArtifactStore
from nbflow.worker.receipts import with_receipt

_STOPPED_EARLY = Reason("interrupted", "stopped before its first cell")


class NotebookAttempt:
    """One attempt of a notebook node; see `nbflow.worker.perform` for the parameters.

    Its `perform` is never cancelled: `stop` is how to end it early.
    """

    def __init__(
        self,
        task: AttemptTask,
        *,
        worker_name: str,
        store: ArtifactStore,
        scratch: Path,
        report: Callable[[Progress], None],
        clock: Callable[[], float],
        stop: StopRequest,
    ) -> None:
        assert isinstance(task.code, NotebookCode)
        self._task = task
        self._code = task.code
        self._worker_name = worker_name
        self._store = store
        self._scratch = scratch
        self._report = report
        self._clock = clock
        self._stop = stop
        self._started_at = clock()
        self._began_at = asyncio.get_running_loop().time()

    async def perform(self) -> Outcome:
        """Perform the attempt, and return its outcome, durable."""
        self._scratch.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="attempt-", dir=self._scratch))
        try:
            for name in ("outputs", "staging", "work"):
                (folder / name).mkdir()
            return await self._perform_in(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    async def _perform_in(self, folder: Path) -> Outcome:
        try:
            notebook, choice = await asyncio.to_thread(self._prepared)
        except InvalidInput as error:
            return self._unstarted("invalid_input", error)
        except (NoSuchKernel, UnusableKernel) as error:
            return self._unstarted("error", error)
        file = NotebookFile(notebook, choose_place(self._task.notebook_path, folder / "run.ipynb"))
        metadata = Metadata(notebook, clock=self._clock, changed=file.changed)
        metadata.notebook_start()
        try:
            failure, collected = await self._executed(notebook, choice, metadata, file, folder)
            metadata.notebook_complete()
            failure = _marked(notebook, failure)
            file.save()
        finally:
            file.close()
        return await asyncio.to_thread(self._stored, notebook, failure, collected)

    def _prepared(self) -> tuple[NotebookNode, KernelChoice]:
        notebook = read_notebook(self._store.get(self._code.digest), self._code.path)
        choice = choose_kernel(notebook, self._code.kernel)
        injected = inject(notebook, self._task.params, choice, self._store.path)
        return prepare(injected, self._code.path, self._task.notebook_path), choice

    async def _executed(
        self,
        notebook: NotebookNode,
        choice: KernelChoice,
        metadata: Metadata,
        file: NotebookFile,
        folder: Path,
    ) -> tuple[Failure | None, Collected]:
        """Run the notebook in a kernel of its own, and collect what it hands on."""
        kernel = await self._started(choice, folder)
        if isinstance(kernel, Failure):
            notebook.metadata.papermill["exception"] = True
            return kernel, Collected({})
        run = Execution(notebook, kernel, metadata, self._told, file.changed)
        bounds = Bounds(self._began_at, self._task.timeout, self._task.memory_bytes)
        try:
            async with Guard(kernel, bounds, self._stop, lambda: run.place) as guard:
                failure = await run.run(guard)
                if failure is None:
                    try:
                        return None, await self._collected(notebook, choice, kernel, folder)
                    except (KernelDied, EvaluationFailed) as error:
                        failure = run.outputs_lost(error, guard)
        finally:
            await kernel.shutdown()
        return failure, collect_emitted(notebook, folder / "outputs")

    async def _started(self, choice: KernelChoice, folder: Path) -> Kernel | Failure:
        """Start the kernel, unless the attempt is to stop before it is up."""
        hard_s = self._task.timeout.hard
        limit_s = START_TIMEOUT_S if hard_s is None else min(hard_s, START_TIMEOUT_S)
        starting = asyncio.create_task(
            start_kernel(
                choice.name, cwd=self._cwd(folder), env=self._env(folder), start_timeout_s=limit_s
            )
        )
        asked = asyncio.create_task(self._stop.asked.wait())
        await asyncio.wait({starting, asked}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if not starting.done():
            starting.cancel()
            await asyncio.wait({starting})
        if starting.cancelled():
            return Failure(_STOPPED_EARLY, ErrorInfo("Stopped", _STOPPED_EARLY.message))
        try:
            return starting.result()
        except (NoSuchKernel, UnusableKernel, KernelStartFailed) as error:
            late = isinstance(error, KernelStartFailed) and error.timed_out and limit_s == hard_s
            message = f"{error} (on worker {self._worker_name})"
            reason = Reason("timed_out" if late else "error", message)
            return Failure(reason, ErrorInfo(type(error).__name__, message))

    def _cwd(self, folder: Path) -> Path:
        """Return the kernel's working directory: as asked for, or beside the notebook."""
        if self._code.cwd is not None:
            return Path(self._code.cwd)
        beside = Path(self._code.path).parent
        # A worker on another machine may not have the notebook's folder; a bare notebook
        # still runs there, in a folder that goes with the attempt.
        return beside if beside.is_dir() else folder / "work"

    def _env(self, folder: Path) -> dict[str, str]:
        attempt = self._task.id
        return {
            "NBFLOW_RUN": attempt.run,
            "NBFLOW_NODE": attempt.node,
            "NBFLOW_ATTEMPT": attempt.idempotency_key,
            OUTPUTS_VARIABLE: str(folder / "outputs"),
        }

    async def _collected(
        self, notebook: NotebookNode, choice: KernelChoice, kernel: Kernel, folder: Path
    ) -> Collected:
        return await collect(
            notebook,
            self._task.outputs,
            folder / "outputs",
            kernel=kernel,
            python=is_python(choice),
            staging=folder / "staging",
        )

    def _told(self, progress: CellProgress) -> None:
        self._report(
            Progress(
                self._task.id,
                progress.done,
                progress.total,
                progress.cell,
                progress.description,
            )
        )

    def _stored(
        self, notebook: NotebookNode, failure: Failure | None, collected: Collected
    ) -> Outcome:
        """Make all that the attempt has brought durable, and the receipt last."""
        kept = keep(collected, () if failure else self._task.outputs, self._store)
        executed = self._store.put(
            to_bytes(notebook), "notebook", preview=Path(self._code.path).name
        )
        failure = failure or _unkept(kept.problems)
        outcome = self._outcome(failure, outputs=kept.outputs, notebook=executed)
        return with_receipt(outcome, self._store)

    def _outcome(self, failure: Failure | None, **fields: Any) -> Outcome:
        stopped = failure is not None and failure.reason.kind == "interrupted"
        return Outcome(
            id=self._task.id,
            status="stopped" if stopped else "failed" if failure else "succeeded",
            started_at=self._started_at,
            ended_at=self._clock(),
            reason=failure.reason if failure else None,
            error=failure.error if failure and not stopped else None,
            **fields,
        )

    def _unstarted(self, kind: FailureKind, error: NbflowError) -> Outcome:
        info = ErrorInfo(type(error).__name__, str(error))
        return self._outcome(Failure(Reason(kind, str(error)), info))


def _marked(notebook: NotebookNode, failure: Failure | None) -> Failure | None:
    """Point to the cell that failed, as papermill does, and say where it is then."""
    if failure is None or failure.error.cell is None or failure.reason.kind == "interrupted":
        return failure
    mark_error(notebook, failure.error.cell)
    error = msgspec.structs.replace(failure.error, cell=failure.error.cell + MARKERS)
    return Failure(failure.reason, error)


def _unkept(problems: Sequence[OutputProblem]) -> Failure | None:
    if not problems:
        return None
    message = "; ".join(str(problem) for problem in problems)
    return Failure(Reason("error", message), ErrorInfo(problems[0].kind, message))
