"""Perform an attempt of a stage: some cells of a notebook, with the variables that others give.

It is an attempt of a notebook that has these cells alone. What is different: variables come in
before cells and go out at the end, the kernel is watched for whatever was not known of the cells,
and each cell gets the number that it has in a run from top to bottom.
"""

import asyncio
from pathlib import Path

import msgspec
from nbformat import NotebookNode

from nbflow.core.attempts import Outcome
from nbflow.core.errors import ArtifactError
from nbflow.core.events import ErrorInfo
from nbflow.core.stage_results import (
    EMITTED,
    NAMESPACE,
    VALUE,
    Lesson,
    StageRecord,
    source_digest,
)
from nbflow.core.stages import StageSpec
from nbflow.core.states import Reason
from nbflow.core.values import Artifact, Value
from nbflow.kernels import EvaluationFailed, Kernel, KernelDied
from nbflow.notebooks.captured import capture_variables
from nbflow.notebooks.cells import CellOptions
from nbflow.notebooks.checkpoints import Earlier
from nbflow.notebooks.execution import Execution, Failure
from nbflow.notebooks.guard import Bounds, Guard
from nbflow.notebooks.outputs import Collected, collect_emitted, keep
from nbflow.notebooks.reading import KernelChoice, read_notebook
from nbflow.notebooks.stages.assembling import with_record
from nbflow.notebooks.stages.cutting import Cut, by_place, cut, note_places, replaced_place
from nbflow.notebooks.stages.earlier_names import earlier_names
from nbflow.notebooks.stages.native_files import native_files
from nbflow.notebooks.stages.stage_kernel import StageEnd, StageKernel
from nbflow.worker.notebook import Bench, NotebookAttempt
from nbflow.worker.starting import KernelStart
from nbflow.worker.undoing import keep_files


class StageAttempt(NotebookAttempt):
    """One attempt of a stage; see `NotebookAttempt`."""

    _cut: Cut
    #: Names that only other stages may have; see `earlier_names`.
    _earlier: frozenset[str] | None = None
    _given: dict[str, Artifact]
    #: Where files are exchanged with the kernel.
    _folder: Path
    _record = StageRecord()
    _end: StageEnd | None = None
    _kept_files: tuple[tuple[str, Artifact | None], ...] | None = None

    @property
    def _spec(self) -> StageSpec:
        assert self._code.stage is not None
        return self._code.stage

    def _prepared(self) -> tuple[NotebookNode, KernelChoice]:
        written = read_notebook(self._store.get(self._code.digest), self._code.path)
        # The variables that stages give are no parameters. One that does not exist is not given.
        given = {name: value for name, value in self._task.params.items() if is_given(value)}
        self._given = {name: value for name, value in given.items() if isinstance(value, Artifact)}
        params = {name: it for name, it in self._task.params.items() if name not in given}
        self._earlier = earlier_names(written, self._spec)
        injected = replaced_place(written)
        note_places(written)
        # papermill changes the list of cells of what it is given.
        notebook, choice = self._parameterized(NotebookNode({**written}), params)
        self._cut = cut(notebook, self._spec, written=written, indices=by_place(notebook, injected))
        return self._cut.notebook, choice

    async def _run_in(
        self, start: KernelStart, bench: Bench, earlier: Earlier | None
    ) -> tuple[Failure | None, Collected] | None:
        assert earlier is None, "stages have no checkpoints"
        # Before there is a kernel that would have to be ended. They may be gigabytes, which are
        # fetched and hashed: the worker's loop has other kernels to attend to.
        files = await asyncio.to_thread(self._given_files)
        self._folder = bench.folder / "stage"
        self._folder.mkdir()
        kernel = await self._kernel(start, bench)
        if isinstance(kernel, Failure):
            return kernel, Collected({})
        stage = self._watched(kernel, bench, files)
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
            ),
            before=lambda index: self._before(stage, kernel, index),
        )
        bounds = Bounds(self._began_at, self._task.timeout, self._task.memory_bytes)
        try:
            async with Guard(kernel, bounds, self._stop, lambda: run.place) as guard:
                try:
                    await stage.begin()
                    failure = await run.run(guard)
                    if failure is None or _raised(failure, guard):
                        failure = await self._ended(stage, run, failure)
                    if failure is None:
                        return None, await self._brought(kernel, bench)
                except (KernelDied, EvaluationFailed) as error:
                    failure = run.lost("the kernel could not be asked", error, guard)
        finally:
            await self._attendance.end()
            await kernel.shutdown()
        return failure, collect_emitted(
            bench.notebook, bench.folder / "outputs", self._secrets.mask
        )

    def _given_files(self) -> dict[str, Path]:
        return {name: self._store.path(value.digest) for name, value in self._given.items()}

    def _watched(self, kernel: Kernel, bench: Bench, files: dict[str, Path]) -> StageKernel:
        return StageKernel(
            kernel,
            self._folder,
            self._spec,
            given=files,
            wanted=[name for name in self._task.outputs if not name.startswith(VALUE)],
            sequential=self._earlier,
            ignored=[str(bench.folder)],
        )

    async def _before(self, stage: StageKernel, kernel: Kernel, index: int) -> None:
        position = self._cut.positions[index]
        if position is None:
            return
        await stage.before(position, self._cut.counts[index])
        paths = self._spec.writes_files
        if paths and self._kept_files is None and not self._spec.cells[position].replayed:
            folder = await working_folder(kernel, self._folder)
            self._kept_files = await asyncio.to_thread(keep_files, paths, folder, self._store)

    async def _ended(
        self, stage: StageKernel, run: Execution, failure: Failure | None
    ) -> Failure | None:
        """Ask the kernel what was done, and note it; what was not known of its cells is a conflict.

        Raises
        ------
        KernelDied, EvaluationFailed
            If it does not answer.
        """
        end = await stage.end(failure is not None)
        self._end = end
        problems = list(end.problems)
        if run.foreign_updates:
            problems.append("it updates a display that a cell of another stage has made")
        self._record = StageRecord(
            read_files=end.read_files,
            written_files=end.written_files,
            native_files=await asyncio.to_thread(self._native_files),
            shared=end.shared,
            warned=end.warned,
            displays=tuple(sorted(run.displays)),
            updates=tuple(sorted(run.foreign_updates)),
            lessons=self._lessons(end),
            left=end.left,
            programs=end.programs,
            undo=await asyncio.to_thread(self._undo, end),
        )
        if not problems:
            return failure
        message = "the cells do what was not known of them: " + "; ".join(problems)
        return Failure(Reason("conflict", message), ErrorInfo("Conflict", message))

    def _undo(self, end: StageEnd) -> tuple[tuple[str, Artifact | None], ...]:
        """Return what puts files back that were written, also where Python did not see it."""
        kept = dict(self._kept_files or ())
        for path, copy in end.kept_files.items():
            if path not in kept:
                kept[path] = None if copy is None else self._store.put_file(copy, "file")
        return tuple(kept.items())

    def _native_files(self) -> tuple[str, ...]:
        folder = Path(self._code.cwd or self._code.papermill.folder or Path(self._code.path).parent)
        return native_files(folder, self._started_at) if folder.is_dir() else ()

    def _lessons(self, end: StageEnd) -> tuple[Lesson, ...]:
        sources = {
            position: source
            for position, source in zip(self._cut.positions, self._cut.sources, strict=True)
            if position is not None
        }
        return tuple(
            Lesson(source_digest(sources[position]), kind, name)
            for position, kind, name in end.lessons
            if position in sources
        )

    async def _brought(self, kernel: Kernel, bench: Bench) -> Collected:
        """Return what the notebook as a whole hands on, as far as this stage has it."""
        outputs = bench.folder / "outputs"
        emitted = collect_emitted(bench.notebook, outputs, self._secrets.mask).emitted
        names = [name.removeprefix(VALUE) for name in self._task.outputs if name.startswith(VALUE)]
        if not names:
            return Collected(emitted)
        staging = bench.folder / "staging"
        return Collected(emitted, await capture_variables(kernel, names, staging), staging)

    def _marked(self, notebook: NotebookNode, failure: Failure | None) -> Failure | None:  # noqa: ARG002 - the base class asks for it
        # The marks belong into the whole notebook.
        return failure

    def _stored(
        self, notebook: NotebookNode, failure: Failure | None, collected: Collected, folder: Path
    ) -> Outcome:
        emitted = keep(Collected(collected.emitted), (), self._store, self._secrets.mask)
        captured = msgspec.structs.replace(collected, emitted={})
        values = keep(captured, (), self._store, self._secrets.mask)
        outputs = {f"{EMITTED}{name}": value for name, value in emitted.outputs.items()}
        outputs |= {f"{VALUE}{name}": value for name, value in values.outputs.items()}
        if failure is None and self._end is not None:
            outputs |= self._variables(self._end)
        unkept = tuple((it.kind, str(it)) for it in (*emitted.problems, *values.problems))
        record = msgspec.structs.replace(
            self._record, unkept=unkept, places=self._cut.places, repeated=self._cut.repeated
        )
        with_record(notebook, record)
        return self._delivered(notebook, failure, outputs, folder)

    def _variables(self, end: StageEnd) -> dict[str, Value]:
        """Make the files of variables durable; several may be in one.

        Raises
        ------
        ArtifactError
            If the store cannot take one, or it would hold a secret.
        """
        artifacts: dict[Path, Artifact] = {}
        for path in dict.fromkeys(end.given.values()):
            leak = self._secrets.mask.leak_in_file(path)
            if leak is not None:
                raise ArtifactError(f"a variable that is handed on would contain the secret {leak}")
            artifacts[path] = self._store.put_file(path, "namespace", type_name=NAMESPACE)
        return {
            name: msgspec.structs.replace(artifacts[path], preview=end.types.get(name, ""))
            for name, path in end.given.items()
        }


def _raised(failure: Failure, guard: Guard) -> bool:
    """Whether a cell has raised an error, and the kernel can still be asked."""
    raised = failure.error.cell is not None and failure.reason.kind == "error"
    return raised and guard.verdict is None


def is_given(value: Value) -> bool:
    """Whether a parameter of a stage is a variable that another stage has given."""
    return isinstance(value, Artifact) and value.kind == "namespace"


async def working_folder(kernel: Kernel, scratch: Path) -> Path:
    """Return the folder in which a Python kernel works now; its answer comes by way of a file.

    Raises
    ------
    KernelDied, EvaluationFailed
        If it does not answer.
    """
    answer = scratch / "working-folder"
    written = f"__import__('pathlib').Path({str(answer)!r}).write_text(__import__('os').getcwd())"
    await kernel.evaluate(written)
    return Path(answer.read_text())
