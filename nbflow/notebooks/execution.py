"""Run a notebook's cells, one after the other, in a kernel.

nbclient's `NotebookClient` sends each cell and turns messages into outputs. What it leaves to
chance is decided here: which status each cell ends with, what a kernel's
death means (a limit of ours, or its own end), and when progress is told.

To stop an execution, ask its guard. Only the end of its loop cancels it: `asyncio.run` cancels all
tasks. Then nobody can say how the notebook ended, and a cancellation it remains, though nbclient
takes it for the kernel's death.
"""

import asyncio
import re
import signal
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

import msgspec
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_output

from nbflow.core.events import ErrorInfo
from nbflow.core.states import FailureKind, Reason
from nbflow.kernels import EvaluationFailed, Kernel, KernelDied
from nbflow.notebooks.cells import CellClient, CellOptions
from nbflow.notebooks.guard import Guard
from nbflow.notebooks.memory_pressure import MemoryPressure
from nbflow.notebooks.metadata import Metadata

_TRACEBACK_LIMIT = 6000
_MESSAGE_LIMIT = 2000
_LINE_LIMIT = 80
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_DEFAULTS = CellOptions()
_NOTHING: Mapping[int, Callable[[], Awaitable[None]]] = MappingProxyType({})


class CellProgress(msgspec.Struct, frozen=True):
    """`done` of `total` code cells have run; `cell` is the index of the one that runs now."""

    done: int
    total: int
    cell: int | None
    description: str


class Failure(msgspec.Struct, frozen=True):
    """Why the cells did not all run. `error.cell` is an index in the notebook as it was run."""

    reason: Reason
    error: ErrorInfo


class Execution:
    """One execution of a notebook's cells.

    Parameters
    ----------
    notebook
        Is changed in place: outputs, and papermill's metadata.
    kernel
        Runs the cells; neither started nor shut down here.
    metadata
        Already started.
    progress
        Called when a cell begins, and at the end.
    changed
        Called with an index: cells from there on may have changed.
    options
        How cells run.
    after
        By the index of a cell, what is to be done once it has run, before the next one does.
    first
        Where to begin: the cells before have run in an earlier kernel.
    between
        Is given the index of each cell that has run, the guard, and the bytes of output so far.
    before
        Is given the index of each cell that is about to run.
    """

    def __init__(
        self,
        notebook: NotebookNode,
        kernel: Kernel,
        metadata: Metadata,
        progress: Callable[[CellProgress], None],
        changed: Callable[[int], None],
        options: CellOptions = _DEFAULTS,
        after: Mapping[int, Callable[[], Awaitable[None]]] = _NOTHING,
        *,
        first: int = 0,
        between: Callable[[int, Guard, int], Awaitable[None]] | None = None,
        before: Callable[[int], Awaitable[None]] | None = None,
    ) -> None:
        self._notebook = notebook
        self._kernel = kernel
        self._metadata = metadata
        self._progress = progress
        self._changed = changed
        self._mask = options.mask
        self._after = after
        self._first = first
        self._between = between
        self._before = before
        self._client = CellClient(notebook, kernel, changed, options)
        self._pressure = MemoryPressure()
        self._done = sum(map(self._runs, notebook.cells[:first]))
        self._total = sum(map(self._runs, notebook.cells))
        self._place = "before its first cell"

    @property
    def place(self) -> str:
        """What runs now, for messages."""
        return self._place

    @property
    def displays(self) -> frozenset[str]:
        """Ids of the displays that its cells have made, and that can be updated."""
        return self._client.displays

    @property
    def foreign_updates(self) -> frozenset[str]:
        """Ids of displays that its cells have updated, and not made."""
        return frozenset(self._client.foreign_updates)

    async def run(self, guard: Guard) -> Failure | None:
        """Run all cells; return None if they did, or the failure that ended it.

        A cell that raises `SystemExit` with no value or 0 ends the notebook early and well, as
        in papermill.
        """
        self._notebook.metadata["language_info"] = self._kernel.language_info
        failure: Failure | None = None
        async with self._client.attended(guard):
            for index, cell in enumerate(self._notebook.cells):
                if index < self._first or guard.verdict is not None or self._is_skipped(cell):
                    continue
                try:
                    failure = await self._run_before(index)
                    failure = failure or await self._run_cell(index, cell, guard)
                    failure = failure or await self._run_after(index)
                    failure = failure or await self._run_between(index, guard)
                except _Exited:
                    break
                if failure is not None:
                    break
        self._client.set_widgets_metadata()
        self._changed(len(self._notebook.cells))
        self._progress(CellProgress(self._done, self._total, None, ""))
        # An interrupt reaches the kernel from here on, too, while outputs are captured.
        self._place = "after its last cell"
        guard.interruptible.set()
        return self._judged(failure, guard)

    def lost(self, what: str, error: Exception, guard: Guard) -> Failure:
        """Return the failure to which an error leads that belongs to no cell; `what` says what."""
        failure = self._unanswered(what, error)
        return self._judged(failure, guard) or failure

    async def _run_cell(self, index: int, cell: NotebookNode, guard: Guard) -> Failure | None:
        """Run one cell, and give it the status that it has earned."""
        self._begin(index, cell)
        guard.begin_cell()
        try:
            raised = await self._client.run(index)
        except CellExecutionError as error:
            self._metadata.cell_failed(index)
            if error.ename == "SystemExit" and error.evalue in ("", "0"):
                raise _Exited from error
            return _raised(index, cell, error)
        except (DeadKernelError, CellTimeoutError) as error:
            if _is_cancelled():
                raise asyncio.CancelledError from error
            failure = await self._broke(index, cell, error, guard)
            self._metadata.cell_failed(index)
            return failure
        finally:
            guard.end_cell()
        if guard.struck and guard.verdict is not None and guard.verdict.status == "failed":
            # It took the interrupt well. It was interrupted all the same, and is to blame.
            failure = self._blamed(index, cell, guard.verdict.error, guard.verdict.reason)
            self._metadata.cell_failed(index)
            return failure
        if raised:
            # As it was allowed to; papermill keeps quiet about it.
            cell.metadata.papermill["exception"] = True
        self._metadata.cell_complete(cell, cell_index=index)
        self._done += self._runs(cell)
        return None

    async def _run_before(self, index: int) -> Failure | None:
        if self._before is None:
            return None
        try:
            await self._before(index)
        except (KernelDied, EvaluationFailed) as error:
            return self._unanswered("the cell's variables could not be set", error)
        return None

    async def _run_after(self, index: int) -> Failure | None:
        if index not in self._after:
            return None
        try:
            await self._after[index]()
        except (KernelDied, EvaluationFailed) as error:
            return self._unanswered("the parameters could not be set", error)
        return None

    async def _run_between(self, index: int, guard: Guard) -> Failure | None:
        if self._between is None:
            return None
        self._place = f"after {self._place.removeprefix('in ')}"
        try:
            await self._between(index, guard, self._client.taken_bytes)
        except KernelDied as error:
            return self._unanswered("the variables could not be stored", error)
        return None

    def _unanswered(self, what: str, error: Exception) -> Failure:
        """Return the failure of a request of our own, which belongs to no cell."""
        self._notebook.metadata.papermill["exception"] = True
        kind: FailureKind = "kernel_died" if isinstance(error, KernelDied) else "error"
        message = self._mask.text(str(error))
        info = ErrorInfo(type(error).__name__, message[:_MESSAGE_LIMIT])
        return Failure(Reason(kind, f"{what}: {message}"), info)

    def _begin(self, index: int, cell: NotebookNode) -> None:
        self._metadata.cell_start(cell, cell_index=index)
        if self._runs(cell):
            # By its text: indices shift when cells are inserted, and counts start with the run.
            self._place = f"in the cell {_first_line(cell.source)!r}"
            told = self._metadata.get_cell_description(cell) or _first_line(cell.source)
            self._progress(CellProgress(self._done, self._total, index, told))

    async def _broke(
        self, index: int, cell: NotebookNode, error: Exception, guard: Guard
    ) -> Failure:
        """Say why the kernel is gone, also to whoever opens the notebook."""
        if isinstance(error, CellTimeoutError):
            reason = Reason("error", f"the outputs did not arrive {self._place}: {error}")
            return self._blamed(index, cell, type(error).__name__, reason)
        if guard.verdict is not None:
            return self._blamed(index, cell, guard.verdict.error, guard.verdict.reason)
        death = await self._kernel.death()
        if death.status == -signal.SIGKILL and self._pressure.has_killed():
            message = (
                f"the system killed the kernel {self._place}, because memory ran out (signal 9, "
                f"and the system's count of such kills has risen). Let the notebook load less at "
                f"a time, run fewer nodes at once, or set `memory`, to be told how much it was"
            )
            return self._blamed(index, cell, "OutOfMemory", Reason("out_of_memory", message))
        reason = Reason("kernel_died", f"{death} ({self._place})")
        return self._blamed(index, cell, type(death).__name__, reason)

    def _blamed(self, index: int, cell: NotebookNode, name: str, reason: Reason) -> Failure:
        """Return the failure of a cell that has raised no error itself, and write it there."""
        message = self._mask.text(reason.message)
        cell.outputs.append(new_output("error", ename=name, evalue=message, traceback=[message]))
        self._changed(index)
        return Failure(
            Reason(reason.kind, message), ErrorInfo(name, message[:_MESSAGE_LIMIT], index)
        )

    def _runs(self, cell: NotebookNode) -> bool:
        code = cell.cell_type == "code" and bool(cell.source.strip())
        return code and not self._is_skipped(cell)

    def _is_skipped(self, cell: NotebookNode) -> bool:
        """Whether a tag says that the cell is not to run; it stays pending, which is the truth."""
        tag = self._client.skip_cells_with_tag
        return cell.cell_type == "code" and tag in cell.metadata.get("tags", [])

    def _judged(self, failure: Failure | None, guard: Guard) -> Failure | None:
        """Give the guard's verdict as the reason: what a cell raised then only follows from it."""
        verdict = guard.verdict
        if verdict is None:
            return failure
        self._notebook.metadata.papermill["exception"] = True
        if failure is not None:
            return Failure(verdict.reason, failure.error)
        return Failure(verdict.reason, ErrorInfo(verdict.error, verdict.reason.message))


class _Exited(Exception):
    """A cell has ended the notebook, well."""


def _is_cancelled() -> bool:
    """Whether a cancellation of the task that runs now has been asked for, and not taken back."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _first_line(source: str) -> str:
    lines = (line.strip() for line in source.splitlines())
    first = next((line for line in lines if line), "")
    return first if len(first) <= _LINE_LIMIT else f"{first[: _LINE_LIMIT - 1]}…"


def _raised(index: int, cell: NotebookNode, error: CellExecutionError) -> Failure:
    parts = (error.ename or "exit code", error.evalue)
    shown = (": " if error.ename else " ").join(part for part in parts if part)
    info = ErrorInfo(
        type=error.ename or "Error",
        message=error.evalue[:_MESSAGE_LIMIT],
        cell=index,
        # The end of a traceback says more than its beginning; all of it is in the notebook.
        traceback=_ANSI.sub("", error.traceback[-2 * _TRACEBACK_LIMIT :])[-_TRACEBACK_LIMIT:],
    )
    message = f"the cell {_first_line(cell.source)!r} raised {shown}"
    return Failure(Reason("error", message[:_MESSAGE_LIMIT]), info)
