"""Perform an attempt of a notebook node: read, parameterize, execute, collect, store.

Whatever happens, the executed notebook is stored as it is by then, and the outcome names it.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from nbformat import NotebookNode

from nbflow.core.attempts import AttemptTask, Outcome, Progress
from nbflow.core.spec import NotebookCode
from nbflow.core.values import Value
from nbflow.kernels import (
    EvaluationFailed,
    Kernel,
    KernelDied,
    NoSuchKernel,
    UnusableKernel,
    WarmPool,
)
from nbflow.notebooks.authors import Author, Authorship
from nbflow.notebooks.cells import CellOptions
from nbflow.notebooks.checkpoints import Earlier, Unresumable, take_over
from nbflow.notebooks.errors import InvalidInput
from nbflow.notebooks.execution import CellProgress, Execution, Failure
from nbflow.notebooks.guard import Bounds, Guard, StopRequest
from nbflow.notebooks.metadata import MARKERS, Metadata, mark_error, prepare
from nbflow.notebooks.outputs import Collected, collect, collect_emitted, keep
from nbflow.notebooks.parameters import (
    assign_hidden,
    hidden_assignments,
    inject,
    injected_index,
    is_python,
)
from nbflow.notebooks.reading import KernelChoice, choose_kernel, read_notebook
from nbflow.notebooks.saving import NotebookFile, choose_place
from nbflow.notebooks.splicing import SplicedFile
from nbflow.notebooks.writing import write_file
from nbflow.ports import ArtifactStore
from nbflow.worker.checkpoints import Checkpointing
from nbflow.worker.cores import OwnCores
from nbflow.worker.failing import refused, unkept, unprinted
from nbflow.worker.printing import Printing
from nbflow.worker.probing.attending import Attendance
from nbflow.worker.probing.prober import Prober
from nbflow.worker.receipts import with_receipt
from nbflow.worker.secrets import Secrets, holding_secrets, resolve_secrets
from nbflow.worker.starting import KernelStart
from nbflow.worker.telling import Told


@dataclass(frozen=True, slots=True)
class Bench:
    """What lies on the table while a notebook runs."""

    notebook: NotebookNode
    choice: KernelChoice
    #: The attempt's own folder.
    folder: Path
    #: Where people see how it is getting on.
    file: NotebookFile
    metadata: Metadata
    printing: Printing
    checkpoints: Checkpointing


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
        report: Callable[[Told], None],
        clock: Callable[[], float],
        stop: StopRequest,
        pool: WarmPool | None,
        prober: Prober | None = None,
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
        self._pool = pool
        self._secrets = Secrets()
        #: Code that sets the parameters that hold secrets.
        self._hidden = ""
        self._attendance = Attendance(
            task.id,
            prober,
            report,
            clock=clock,
            mask=lambda text: self._secrets.mask.text(text),  # noqa: PLW0108 - of later
        )
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
            return self._outcome(refused("invalid_input", error))
        except (NoSuchKernel, UnusableKernel) as error:
            return await self._without_kernel(refused("error", error), folder)
        bench = self._laid_out(notebook, choice, folder)
        bench.metadata.notebook_start()
        try:
            failure, collected = await self._executed(bench)
            bench.printing.close()
            bench.metadata.note_usage(self._attendance.sum())
            bench.metadata.notebook_complete()
            failure = self._marked(notebook, failure) or unprinted(bench.printing.problem)
            # Marks move all cells behind them.
            bench.file.changed(0)
            await bench.file.save()
        finally:
            await bench.file.close()
            bench.printing.close()
        return await asyncio.to_thread(self._stored, notebook, failure, collected, folder)

    def _laid_out(self, notebook: NotebookNode, choice: KernelChoice, folder: Path) -> Bench:
        file, metadata = self._shown(notebook, folder)
        listen = self._report if self._task.heard else None
        printing = Printing(self._task.id, self._code.papermill, listen, clock=self._clock)
        checkpoints = Checkpointing(
            self._task,
            notebook,
            choice,
            folder,
            store=self._store,
            mask=self._secrets.mask,
            tell=self._report,
            clock=self._clock,
        )
        return Bench(notebook, choice, folder, file, metadata, printing, checkpoints)

    def _shown(self, notebook: NotebookNode, folder: Path) -> tuple[NotebookFile, Metadata]:
        author = Author.of(self._task.id, self._started_at)
        place = choose_place(self._task.notebook_path, folder / "run.ipynb")
        file = NotebookFile(notebook, SplicedFile(place, Authorship(author)))
        return file, Metadata(
            notebook,
            clock=self._clock,
            changed=file.changed,
            important=file.important,
            author=author,
        )

    def _prepared(self) -> tuple[NotebookNode, KernelChoice]:
        """Return the notebook as it is to be run, and its kernel. Blocks."""
        notebook = read_notebook(self._store.get(self._code.digest), self._code.path)
        return self._parameterized(notebook, self._task.params)

    def _parameterized(
        self, notebook: NotebookNode, params: Mapping[str, Value]
    ) -> tuple[NotebookNode, KernelChoice]:
        self._secrets = resolve_secrets(params, os.environ, self._worker_name)
        choice = choose_kernel(notebook, self._code.kernel, self._code.papermill.language)
        injected = inject(notebook, params, choice, self._store.path)
        revealed = {
            name: self._secrets.revealed(value) for name, value in holding_secrets(params).items()
        }
        if revealed:
            self._hidden = hidden_assignments(revealed, choice, self._store.path)
        return self._with_paths(injected), choice

    def _with_paths(self, notebook: NotebookNode) -> NotebookNode:
        form = self._code.papermill
        input_path = form.input_path or self._code.path
        output_path = form.output_path or self._task.notebook_path
        return prepare(notebook, input_path, output_path, report_mode=form.report_mode)

    async def _executed(self, bench: Bench) -> tuple[Failure | None, Collected]:
        """Run the notebook in a kernel of its own, and collect what it hands on."""
        task = await asyncio.to_thread(bench.checkpoints.plan)
        earlier = await bench.checkpoints.earlier()
        with OwnCores(self._task.cpus) as cores:
            start = KernelStart(
                task,
                bench.folder,
                worker_name=self._worker_name,
                pool=self._pool,
                cores=cores.numbers,
            )
            ended = None
            if earlier is not None:
                ended = await self._run_in(start, bench, earlier)
            # A kernel into which something was restored in vain is no fresh one.
            ended = ended or await self._run_in(start, bench, None)
        assert ended is not None
        return ended

    async def _run_in(
        self, start: KernelStart, bench: Bench, earlier: Earlier | None
    ) -> tuple[Failure | None, Collected] | None:
        """Run the notebook in a kernel; None if it cannot go on where it was `earlier`."""
        kernel = await self._kernel(start, bench)
        if isinstance(kernel, Failure):
            return kernel, Collected({})
        keeper = bench.checkpoints.keeper(kernel)
        run = Execution(
            bench.notebook,
            kernel,
            bench.metadata,
            self._told,
            bench.file.changed,
            CellOptions(
                self._task.output_limit,
                mask=self._secrets.mask,
                heard=self._hearing(bench.printing.heard),
                taken_bytes=earlier.taken_bytes if earlier else 0,
            ),
            self._assignments(bench, kernel),
            first=earlier.cell if earlier else 0,
            between=keeper.after if keeper else None,
        )
        bounds = Bounds(self._began_at, self._task.timeout, self._task.memory_bytes)
        try:
            async with Guard(kernel, bounds, self._stop, lambda: run.place) as guard:
                try:
                    if keeper is not None:
                        await keeper.begin()
                    if earlier is not None:
                        await self._go_on(kernel, bench, earlier)
                except KernelDied as error:
                    failure: Failure | None = run.lost(
                        "the kernel could not be prepared", error, guard
                    )
                except Unresumable as error:
                    bench.checkpoints.starts_over(error)
                    return None
                else:
                    failure = await run.run(guard)
                if failure is None:
                    try:
                        return None, await self._collected(kernel, bench)
                    except (KernelDied, EvaluationFailed) as error:
                        failure = run.lost("the outputs could not be captured", error, guard)
        finally:
            await self._attendance.end()
            await kernel.shutdown()
        outputs = bench.folder / "outputs"
        return failure, collect_emitted(bench.notebook, outputs, self._secrets.mask)

    async def _kernel(self, start: KernelStart, bench: Bench) -> Kernel | Failure:
        """Return the kernel, attended from now on, or why there is none."""
        kernel = await start.kernel(bench.choice.name, self._stop)
        if isinstance(kernel, Failure):
            bench.notebook.metadata.papermill["exception"] = True
        else:
            self._attendance.begin(kernel, bench.notebook)
        return kernel

    async def _go_on(self, kernel: Kernel, bench: Bench, earlier: Earlier) -> None:
        """Make `kernel` what the one of an earlier attempt was, and take over what there is.

        Raises
        ------
        Unresumable
            If that is not assured.
        """
        await bench.checkpoints.restore(kernel)
        if self._hidden:
            try:
                await assign_hidden(kernel, bench.choice, self._hidden)
            except EvaluationFailed as error:
                raise Unresumable(f"the parameters could not be set: {error}") from error
        take_over(earlier, bench.notebook, bench.folder)
        self._repeat(bench, earlier.cell)
        bench.checkpoints.goes_on(earlier)
        bench.file.changed(0)

    def _repeat(self, bench: Bench, count: int) -> None:
        """Let who listens hear what the first cells had printed: nothing of it is left there."""
        heard = bench.printing.heard
        if heard is None:
            return
        for index, cell in enumerate(bench.notebook.cells[:count]):
            for output in cell.get("outputs", ()):
                heard(index, output)

    async def _collected(self, kernel: Kernel, bench: Bench) -> Collected:
        return await collect(
            bench.notebook,
            self._task.outputs,
            bench.folder / "outputs",
            kernel=kernel,
            python=is_python(bench.choice),
            staging=bench.folder / "staging",
            mask=self._secrets.mask,
        )

    def _assignments(
        self, bench: Bench, kernel: Kernel
    ) -> dict[int, Callable[[], Awaitable[None]]]:
        """Return what is to run after a cell: what sets the secrets, after the injected one."""
        if not self._hidden:
            return {}
        index = injected_index(bench.notebook)
        return {index: lambda: assign_hidden(kernel, bench.choice, self._hidden)}

    def _hearing(
        self, heard: Callable[[int, NotebookNode], None] | None
    ) -> Callable[[int, NotebookNode], None]:
        """Return what is to be called with each output: a cell that prints is not silent."""

        def hear(index: int, output: NotebookNode) -> None:
            self._attendance.heard()
            if heard is not None:
                heard(index, output)

        return hear

    def _told(self, progress: CellProgress) -> None:
        self._attendance.cell_begins(progress.cell)
        self._report(
            Progress(
                self._task.id,
                progress.done,
                progress.total,
                progress.cell,
                progress.description,
            )
        )

    def _marked(self, notebook: NotebookNode, failure: Failure | None) -> Failure | None:
        """Point to the cell that failed, as papermill does, and say where it is then."""
        if failure is None or failure.error.cell is None or failure.reason.kind == "interrupted":
            return failure
        mark_error(notebook, failure.error.cell)
        error = msgspec.structs.replace(failure.error, cell=failure.error.cell + MARKERS)
        return Failure(failure.reason, error)

    def _stored(
        self, notebook: NotebookNode, failure: Failure | None, collected: Collected, folder: Path
    ) -> Outcome:
        """Make all that the attempt has brought durable, and the receipt last."""
        kept = keep(
            collected, () if failure else self._task.outputs, self._store, self._secrets.mask
        )
        failure = failure or unkept(kept.problems)
        return self._delivered(notebook, failure, kept.outputs, folder)

    def _delivered(
        self,
        notebook: NotebookNode,
        failure: Failure | None,
        outputs: Mapping[str, Value],
        folder: Path,
    ) -> Outcome:
        """Make the executed notebook durable, and then the receipt. Blocks."""
        path = folder / "executed.ipynb"
        write_file(notebook, path)
        executed = self._store.put_file(path, "notebook", preview=Path(self._code.path).name)
        outcome = self._outcome(failure, outputs=dict(outputs), notebook=executed)
        return with_receipt(outcome, self._store)

    def _outcome(self, failure: Failure | None, **fields: Any) -> Outcome:
        stopped = failure is not None and failure.reason.kind == "interrupted"
        outcome = Outcome(
            id=self._task.id,
            status="stopped" if stopped else "failed" if failure else "succeeded",
            started_at=self._started_at,
            ended_at=self._clock(),
            usage=self._attendance.sum(),
            reason=failure.reason if failure else None,
            error=failure.error if failure and not stopped else None,
            **fields,
        )
        return self._secrets.masked(outcome)

    async def _without_kernel(self, failure: Failure, folder: Path) -> Outcome:
        """Let the notebook's file, too, say that no cell has run: an older one would mislead."""
        read = read_notebook(self._store.get(self._code.digest), self._code.path)
        notebook = self._with_paths(read)
        file, metadata = self._shown(notebook, folder)
        try:
            metadata.notebook_start()
            notebook.metadata.papermill["exception"] = True
            metadata.notebook_complete()
            await file.save()
        finally:
            await file.close()
        return await asyncio.to_thread(self._stored, notebook, failure, Collected({}), folder)
