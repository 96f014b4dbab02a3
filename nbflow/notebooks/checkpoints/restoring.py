"""Go on with a notebook where its variables were stored, in a fresh kernel.

Nothing is taken on trust: not that the cells before are the same, nor that the kernel has become
what the other one was. Where anything is not as it was, the notebook starts over, in another
kernel.
"""

from pathlib import Path

import msgspec
from nbformat import NotebookNode

from nbflow.core.errors import NbflowError
from nbflow.core.events import Checkpoint
from nbflow.kernels import EvaluationFailed, Kernel, KernelDied
from nbflow.notebooks.checkpoints.guest_text import ask_guest
from nbflow.notebooks.checkpoints.package import EMITTED, Unpackable, unpack
from nbflow.notebooks.reading import read_notebook
from nbflow.ports import ArtifactStore


class Unresumable(Exception):
    """The notebook cannot go on where it was; the text says why."""


class Earlier(msgspec.Struct, frozen=True):
    """What there is of an earlier attempt: its notebook, and what it had taken of its limit."""

    notebook: NotebookNode
    cell: int
    taken_bytes: int


def fetch(
    checkpoint: Checkpoint,
    notebook: NotebookNode,
    prefix: str,
    *,
    store: ArtifactStore,
    folder: Path,
) -> Earlier:
    """Bring a checkpoint into the attempt's folder. Blocks.

    Parameters
    ----------
    checkpoint
        Of an earlier attempt.
    notebook
        As it is to be run now.
    prefix
        The digest of what lies before the checkpoint now.
    store
        Has the bytes.
    folder
        The attempt's own.

    Raises
    ------
    Unresumable
        If it is no checkpoint of this notebook, or its bytes cannot be had.
    """
    if checkpoint.prefix != prefix:
        raise Unresumable("the cells before it, the parameters or nbflow have changed")
    (folder / "checkpoint" / EMITTED).mkdir(parents=True, exist_ok=True)
    try:
        package = store.path(checkpoint.namespace.digest)
        besides = unpack(package, folder / "checkpoint")
        earlier = read_notebook(store.get(checkpoint.notebook.digest), "the stored notebook")
    except (NbflowError, Unpackable, OSError) as error:
        raise Unresumable(str(error)) from error
    count = checkpoint.cell
    if [cell.cell_type for cell in earlier.cells[:count]] != [
        cell.cell_type for cell in notebook.cells[:count]
    ]:
        raise Unresumable("the stored notebook is another one")
    return Earlier(earlier, count, besides.taken_bytes)


async def restore(kernel: Kernel, folder: Path) -> None:
    """Give a fresh kernel the variables that `fetch` has brought.

    Raises
    ------
    Unresumable
        If it is not what the other one was; it must not be used then.
    """
    try:
        problems = await ask_guest(kernel, "restore", folder / "checkpoint", {})
    except (EvaluationFailed, KernelDied) as error:
        raise Unresumable(str(error)) from error
    if problems:
        raise Unresumable("; ".join(problems))


def take_over(earlier: Earlier, notebook: NotebookNode, folder: Path) -> None:
    """Take the results and statuses of the cells before the checkpoint, and what they emitted."""
    for path in (folder / "checkpoint" / EMITTED).iterdir():
        path.rename(folder / "outputs" / path.name)
    for mine, theirs in zip(notebook.cells[: earlier.cell], earlier.notebook.cells, strict=False):
        mine.metadata = theirs.metadata
        if mine.cell_type == "code":
            mine.outputs = theirs.outputs
            mine.execution_count = theirs.execution_count
