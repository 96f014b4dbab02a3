"""Perform an attempt of the node that puts the stages of a notebook together.

Together, the stages are a run from top to bottom, or they are not. If they are, there is nothing to
run. If they are not, what they have written is undone, and the notebook is run in order, as if
there had never been stages.
"""

import asyncio
from pathlib import Path

import msgspec
from nbformat import NotebookNode

from nbflow.core.attempts import Outcome, WorkerNote
from nbflow.core.events import ErrorInfo
from nbflow.core.stage_judging import Judged, Verdict, judge
from nbflow.core.stage_results import EMITTED, VALUE
from nbflow.core.stages import StagePlace
from nbflow.core.states import Reason
from nbflow.core.values import Value
from nbflow.notebooks.errors import OutputProblem
from nbflow.notebooks.execution import Failure
from nbflow.notebooks.outputs import Collected
from nbflow.notebooks.reading import KernelChoice, read_notebook
from nbflow.notebooks.stages.assembling import Part, assemble, part_of
from nbflow.notebooks.stages.cutting import by_place, note_places, replaced_place
from nbflow.worker.failing import unkept
from nbflow.worker.notebook import Bench, NotebookAttempt
from nbflow.worker.undoing import undo


class AssemblyAttempt(NotebookAttempt):
    """One attempt of a notebook whose cells other nodes have run; see `NotebookAttempt`."""

    _indices: dict[int, int]
    _parts: dict[str, Part]
    #: What the stages hand on; None where the notebook was run in order.
    _outputs: dict[str, Value] | None = None
    _problems: tuple[OutputProblem, ...] = ()

    def _prepared(self) -> tuple[NotebookNode, KernelChoice]:
        written = read_notebook(self._store.get(self._code.digest), self._code.path)
        injected = replaced_place(written)
        note_places(written)
        notebook, choice = self._parameterized(written, self._task.params)
        self._indices = by_place(notebook, injected)
        self._parts = self._read_parts()
        return notebook, choice

    def _read_parts(self) -> dict[str, Part]:
        found: dict[str, Part] = {}
        for name, result in self._task.stages.items():
            if result.notebook is not None:
                read = read_notebook(self._store.get(result.notebook.digest), name)
                part = part_of(read)
                if part is not None:
                    found[name] = part
        return found

    async def _executed(self, bench: Bench) -> tuple[Failure | None, Collected]:
        stages = [self._judged(place) for place in self._code.stages]
        verdict = judge(stages)
        if verdict.kind == "in order":
            self._report(WorkerNote(f"{self._task.id.node} runs in order: {verdict.why}"))
            await asyncio.to_thread(self._undo)
            return await super()._executed(bench)
        if verdict.kind == "refused":
            return _refused(verdict), Collected({})
        failure, failed = self._failure(verdict, stages)
        parts = [self._parts[name] for name in self._task.stages if name in self._parts]
        assemble(bench.notebook, parts, self._indices, bench.metadata, failed=failed)
        bench.file.changed(0)
        self._outputs = self._handed_on()
        self._problems = self._unkept(parts)
        return failure, Collected({})

    def _judged(self, place: StagePlace) -> Judged:
        result, part = self._task.stages[place.node], self._parts.get(place.node)
        if part is None:
            return Judged(place, result)
        failed_at = part.place_of(result.error.cell) if result.error is not None else None
        return Judged(place, result, part.record, part.completed(), failed_at)

    def _undo(self) -> None:
        # The last first: what two stages have written is to be as it was before both.
        for part in reversed(self._parts.values()):
            undo(part.record.undo, self._store)

    def _failure(
        self, verdict: Verdict, stages: list[Judged]
    ) -> tuple[Failure | None, tuple[Part, int] | None]:
        """Return the failure of the notebook, with the cell's index in it, and where it is from."""
        if verdict.failed is None:
            return None, None
        stage = stages[verdict.failed]
        reason, error, place = stage.result.reason, stage.result.error, stage.failed_at
        assert reason is not None
        assert error is not None
        assert place is not None
        info = msgspec.structs.replace(error, cell=self._indices[place])
        return Failure(reason, info), (self._parts[stage.place.node], place)

    def _handed_on(self) -> dict[str, Value]:
        """Return what the stages bring for the whole: variables, and over them what was emitted."""
        found: dict[str, Value] = {}
        for prefix in (VALUE, EMITTED):
            for result in self._task.stages.values():
                found |= {
                    name.removeprefix(prefix): value
                    for name, value in result.outputs.items()
                    if name.startswith(prefix)
                }
        return found

    def _unkept(self, parts: list[Part]) -> tuple[OutputProblem, ...]:
        assert self._outputs is not None
        problems = [OutputProblem(*each) for part in parts for each in part.record.unkept]
        if not problems:
            problems = [
                OutputProblem(
                    "OutputMissing",
                    f"output {name!r} was asked for, but the notebook ended without it. Set a "
                    f"variable of that name, or emit it with nbflow.emit",
                )
                for name in self._task.outputs
                if name not in self._outputs
            ]
        return tuple(problems)

    def _stored(
        self, notebook: NotebookNode, failure: Failure | None, collected: Collected, folder: Path
    ) -> Outcome:
        if self._outputs is None:
            return super()._stored(notebook, failure, collected, folder)
        failure = failure or unkept(self._problems)
        return self._delivered(notebook, failure, self._outputs, folder)


def _refused(verdict: Verdict) -> Failure:
    message = (
        f"the notebook would have to be run in order: {verdict.why}. Run it again: what was "
        f"learned of its cells counts then. Or run it without `cells`"
    )
    return Failure(Reason("conflict", message), ErrorInfo("Conflict", message))
