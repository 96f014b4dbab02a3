"""Run a notebook's cells, one after the other, in a kernel.

nbclient's `NotebookClient` sends each cell and turns messages into outputs. What it leaves to
chance is decided here: which status each cell ends with, what a kernel's
death means (a limit of ours, or its own end), and when progress is told.

Nothing here is ever cancelled from outside: to stop an execution, ask its guard. (nbclient
takes a cancellation for the kernel's death.)
"""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import msgspec
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_output

from nbflow.core.events import ErrorInfo
from nbflow.core.states import FailureKind, Reason
from nbflow.kernels import Kernel, KernelDied
from nbflow.notebooks.guard import Guard
from nbflow.notebooks.metadata import Metadata

#: Seconds that a finished cell's outputs may take to arrive before that is an error.
_OUTPUTS_TIMEOUT_S = 60
#: How long a dead kernel's channel must be silent to hold no more messages.
_SILENCE_MS = 100

_TRACEBACK_LIMIT = 6000
_MESSAGE_LIMIT = 2000
_LINE_LIMIT = 80
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


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
        Called when the notebook has got new outputs.
    """

    def __init__(
        self,
        notebook: NotebookNode,
        kernel: Kernel,
        metadata: Metadata,
        progress: Callable[[CellProgress], None],
        changed: Callable[[], None],
    ) -> None:
        self._notebook = notebook
        self._kernel = kernel
        self._metadata = metadata
        self._progress = progress
        self._client = _CellClient(notebook, kernel, changed)
        self._done = 0
        self._total = sum(_runs(cell) for cell in notebook.cells)
        self._place = "before its first cell"

    @property
    def place(self) -> str:
        """What runs now, for messages."""
        return self._place

    async def run(self, guard: Guard) -> Failure | None:
        """Run all cells; return None if they did, or the failure that ended it.

        A cell that raises `SystemExit` with no value or 0 ends the notebook early and well, as
        in papermill.
        """
        self._client.guard = guard
        self._notebook.metadata["language_info"] = self._kernel.language_info
        failure: Failure | None = None
        for index, cell in enumerate(self._notebook.cells):
            if guard.verdict is not None or _is_skipped(cell):
                continue
            self._begin(index, cell)
            try:
                await self._client.run(index)
            except CellExecutionError as error:
                self._metadata.cell_failed(index)
                if error.ename != "SystemExit" or error.evalue not in ("", "0"):
                    failure = _raised(index, cell, error)
                break
            except (DeadKernelError, CellTimeoutError) as error:
                failure = await self._broke(index, cell, error, guard)
                self._metadata.cell_failed(index)
                break
            self._metadata.cell_complete(cell, cell_index=index)
            self._done += _runs(cell)
        self._client.set_widgets_metadata()
        self._progress(CellProgress(self._done, self._total, None, ""))
        # An interrupt reaches the kernel from here on, too, while outputs are captured.
        self._place = "after its last cell"
        guard.interruptible.set()
        return self._judged(failure, guard)

    def outputs_lost(self, error: Exception, guard: Guard) -> Failure:
        """Return the failure to which an error leads that came while outputs were captured."""
        kind: FailureKind = "kernel_died" if isinstance(error, KernelDied) else "error"
        reason = Reason(kind, f"the outputs could not be captured: {error}")
        failure = Failure(reason, ErrorInfo(type(error).__name__, str(error)[:_MESSAGE_LIMIT]))
        return self._judged(failure, guard) or failure

    def _begin(self, index: int, cell: NotebookNode) -> None:
        self._metadata.cell_start(cell, cell_index=index)
        if _runs(cell):
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
            name = type(error).__name__
        elif guard.verdict is not None:
            reason = guard.verdict.reason
            name = _ERROR_NAMES.get(reason.kind, "KernelDied")
        else:
            death = await self._kernel.death()
            reason = Reason("kernel_died", f"{death} ({self._place})")
            name = type(death).__name__
        message = reason.message
        cell.outputs.append(_error_output(name, message))
        return Failure(reason, ErrorInfo(name, message[:_MESSAGE_LIMIT], index))

    def _judged(self, failure: Failure | None, guard: Guard) -> Failure | None:
        """Give the guard's verdict as the reason: what a cell raised then only follows from it."""
        verdict = guard.verdict
        if verdict is None:
            return failure
        self._notebook.metadata.papermill["exception"] = True
        if failure is not None:
            return Failure(verdict.reason, failure.error)
        name = _ERROR_NAMES.get(verdict.reason.kind, "Stopped")
        return Failure(verdict.reason, ErrorInfo(name, verdict.reason.message))


_ERROR_NAMES = {"timed_out": "TimedOut", "out_of_memory": "OutOfMemory", "interrupted": "Stopped"}


class _CellClient(NotebookClient):
    """nbclient's machinery for single cells, on a kernel that somebody else owns."""

    def __init__(self, notebook: NotebookNode, kernel: Kernel, changed: Callable[[], None]) -> None:
        super().__init__(
            notebook,
            km=kernel.manager,
            raise_on_iopub_timeout=True,
            iopub_timeout=_OUTPUTS_TIMEOUT_S,
        )
        self.kc = kernel.client
        self.guard: Guard | None = None
        self._kernel = kernel
        self._changed = changed
        self.on_cell_executed = self._check_status

    async def run(self, index: int) -> None:
        """Run one cell; raises what nbclient raises."""
        try:
            await self.async_execute_cell(self.nb.cells[index], index)
        finally:
            self._interruptible(yes=False)

    def process_message(
        self, msg: dict[str, Any], cell: NotebookNode, cell_index: int
    ) -> NotebookNode | None:
        """Turn a message into an output, and note that the cell has begun or has news."""
        if msg["msg_type"] == "execute_input":
            self._interruptible(yes=True)
        output = super().process_message(msg, cell, cell_index)
        self._changed()
        return output

    async def _async_poll_kernel_alive(self) -> None:
        """Wait for the kernel's death, let its last messages in, and end the wait for its reply."""
        await self._kernel.ended()
        assert self.kc is not None
        while await self.kc.iopub_channel.socket.poll(_SILENCE_MS):  # noqa: ASYNC110 - polls itself
            # nbclient's own task takes them, in its turn.
            await asyncio.sleep(0)
        assert self.task_poll_for_reply is not None
        self.task_poll_for_reply.cancel()

    def _interruptible(self, *, yes: bool) -> None:
        assert self.guard is not None
        if yes:
            self.guard.interruptible.set()
        else:
            self.guard.interruptible.clear()

    @staticmethod
    def _check_status(cell_index: int, execute_reply: dict[str, Any], **_: object) -> None:
        """Take an interrupted cell for failed: some kernels answer "abort", and no error."""
        content = execute_reply["content"]
        if content["status"] in ("abort", "aborted"):
            content.update(status="error", ename="Interrupted", evalue=f"cell {cell_index}")


def _runs(cell: NotebookNode) -> bool:
    return cell.cell_type == "code" and bool(cell.source.strip()) and not _is_skipped(cell)


def _is_skipped(cell: NotebookNode) -> bool:
    """Whether a tag says that the cell is not to run; it stays pending, which is the truth."""
    return cell.cell_type == "code" and "skip-execution" in cell.metadata.get("tags", [])


def _first_line(source: str) -> str:
    lines = (line.strip() for line in source.splitlines())
    first = next((line for line in lines if line), "")
    return first if len(first) <= _LINE_LIMIT else f"{first[: _LINE_LIMIT - 1]}…"


def _error_output(name: str, message: str) -> NotebookNode:
    output: NotebookNode = new_output("error", ename=name, evalue=message, traceback=[message])
    return output


def _raised(index: int, cell: NotebookNode, error: CellExecutionError) -> Failure:
    parts = (error.ename or "exit code", error.evalue)
    shown = (": " if error.ename else " ").join(part for part in parts if part)
    info = ErrorInfo(
        type=error.ename or "Error",
        message=error.evalue[:_MESSAGE_LIMIT],
        cell=index,
        # The end of a traceback says more than its beginning; all of it is in the notebook.
        traceback=_ANSI.sub("", error.traceback)[-_TRACEBACK_LIMIT:],
    )
    message = f"the cell {_first_line(cell.source)!r} raised {shown}"
    return Failure(Reason("error", message[:_MESSAGE_LIMIT]), info)
