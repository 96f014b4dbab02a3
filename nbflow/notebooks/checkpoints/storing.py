"""Store a notebook's variables between two of its cells, where that is asked for.

A checkpoint is a help for a day that may never come. So nothing that goes wrong with one ends
a notebook: it is said, and the notebook goes on; only a kernel that dies is what it always is.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from nbformat import NotebookNode

from nbflow.core.errors import NbflowError
from nbflow.guest_namespace.asking import REQUEST_NAME
from nbflow.kernels import EvaluationFailed, Kernel
from nbflow.notebooks.checkpoints.guest_text import ask_guest
from nbflow.notebooks.checkpoints.notes import Notes
from nbflow.notebooks.checkpoints.package import Unpackable, pack
from nbflow.notebooks.checkpoints.planning import Plan, is_marked
from nbflow.notebooks.guard import Guard
from nbflow.notebooks.masking import Mask
from nbflow.notebooks.writing import write_file

#: Storing takes no more than this share of the time, where checkpoints come by themselves.
_PATIENCE = 10
#: After so many seconds, storing is given up.
LIMIT_S = 600.0


class Keeper:
    """Stores the variables of one notebook.

    Parameters
    ----------
    notebook
        As it stands.
    kernel
        Runs its cells.
    folder
        The attempt's own.
    plan
        Where, and how.
    mask
        Knows the secrets.
    notes
        Where it is said what was stored, and what not.
    deliver
        Makes two files durable, the variables and the notebook, given the index of the next cell.
    """

    def __init__(
        self,
        notebook: NotebookNode,
        kernel: Kernel,
        folder: Path,
        plan: Plan,
        *,
        mask: Mask,
        notes: Notes,
        deliver: Callable[[int, Path, Path], Awaitable[int]],
    ) -> None:
        self._notebook = notebook
        self._kernel = kernel
        self._private = folder
        self._folder = folder / "checkpoint"
        self._outputs = folder / "outputs"
        self._plan = plan
        self._mask = mask
        self._notes = notes
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        self._kept_at = self._loop.time()
        self._cost_s = 0.0

    async def begin(self) -> None:
        """Look at the kernel before its first cell.

        Raises
        ------
        KernelDied
            If the kernel ends meanwhile.
        """
        if self._plan.unfit:
            return
        self._folder.mkdir(exist_ok=True)
        try:
            await ask_guest(self._kernel, "begin", self._folder, {"ignored": [str(self._private)]})
        except EvaluationFailed as error:
            self._notes.not_stored(0, f"the kernel cannot be asked ({error})")

    async def after(self, index: int, guard: Guard, taken_bytes: int) -> None:
        """Store the variables after the cell `index`, if that is asked for.

        Raises
        ------
        KernelDied
            If the kernel ends meanwhile.
        """
        if not self._is_asked(index) or guard.verdict is not None or not self._goes_on(index):
            return
        began_at = self._loop.time()
        with guard.memory_uncounted():
            problem = self._plan.unfit or await self._store(index, taken_bytes)
        self._kept_at = self._loop.time()
        self._cost_s = self._kept_at - began_at
        if problem:
            self._notes.not_stored(index, problem)

    def _is_asked(self, index: int) -> bool:
        request = self._outputs / REQUEST_NAME
        asked = request.exists()
        if asked:
            request.unlink()
        every_s = self._plan.every_s
        if every_s is not None:
            rest_s = max(every_s, _PATIENCE * self._cost_s)
            asked = asked or self._loop.time() - self._kept_at >= rest_s
        return asked or is_marked(self._notebook.cells[index])

    def _goes_on(self, index: int) -> bool:
        """Whether a cell is left for which it is worth it."""
        return any(
            cell.cell_type == "code" and cell.source.strip()
            for cell in self._notebook.cells[index + 1 :]
        )

    async def _store(self, index: int, taken_bytes: int) -> str:
        """Return why it could not be stored; empty if it was."""
        began_at, plan = self._loop.time(), self._plan
        request = {"replays": plan.replays, "hidden": list(plan.hidden), "limit_s": LIMIT_S}
        try:
            problems = await ask_guest(self._kernel, "keep", self._folder, request)
            if problems:
                return "; ".join(problems)
            book = self._folder / "partial.ipynb"
            write_file(self._notebook, book)
            package = await asyncio.to_thread(
                pack, self._folder, self._outputs, taken_bytes, self._mask, private=self._private
            )
            size_bytes = await self._deliver(index + 1, package, book)
        except Unpackable as error:
            return str(error)
        except (EvaluationFailed, NbflowError, OSError) as error:
            return f"{type(error).__name__}: {error}"
        finally:
            _remove(self._folder / name for name in _LEFT)
        self._notes.stored(index, size_bytes, self._loop.time() - began_at)
        return ""


_LEFT = ("variables.pickle", "manifest.json", "checkpoint.zip", "partial.ipynb")


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
