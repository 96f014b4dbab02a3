"""Run a notebook once, in order, with the tracer in its kernel."""

import tempfile
from pathlib import Path
from typing import Any

import msgspec
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from corpus.oracle import guest


class Traced(msgspec.Struct, frozen=True):
    """What one cell has done; the cell is known by its number, as Jupyter counts."""

    cell: int
    reads: tuple[str, ...] = ()
    binds: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    deletes: tuple[str, ...] = ()
    reads_files: tuple[str, ...] = ()
    writes_files: tuple[str, ...] = ()
    programs: bool = False
    generators: tuple[str, ...] = ()
    seeds: bool = False
    unknown: tuple[str, ...] = ()


class NoTraceError(Exception):
    """The notebook does not run to its end with the tracer in its kernel."""


def trace(notebook: Path, timeout_s: float) -> list[Traced]:
    """Return what the cells of a notebook do, in order.

    Parameters
    ----------
    notebook
        A file in a folder that it may change.
    timeout_s
        For each cell.

    Raises
    ------
    NoTraceError
        If it does not run to its end.
    """
    text = Path(guest.__file__).read_text("utf-8")
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder, "notes.jsonl")
        # In a namespace of its own: none of its names is the notebook's.
        begin = (
            f"exec({text!r}, space := {{'__name__': 'oracle'}}) or space['watch']({str(notes)!r})"
        )
        book = nbformat.reads(notebook.read_text("utf-8"), as_version=4)
        client = _Watching(
            book,
            folder,
            begin=f"(lambda: ({begin}))()",
            timeout=max(1, round(timeout_s)),
            kernel_name=book.metadata.get("kernelspec", {}).get("name", "python3"),
            resources={"metadata": {"path": str(notebook.parent)}},
        )
        try:
            client.execute()
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            raise NoTraceError(str(error).strip().splitlines()[-1]) from error
        if not notes.exists():
            return []
        return [msgspec.json.decode(line, type=Traced) for line in notes.open("rb")]


class _Watching(NotebookClient):
    """Runs a notebook after some code of ours."""

    def __init__(
        self, book: nbformat.NotebookNode, folder: str, *, begin: str, **traits: Any
    ) -> None:
        super().__init__(book, **traits)
        self._folder = folder
        self._begin = begin

    def create_kernel_manager(self) -> Any:
        """Let the kernel listen in a folder of its own."""
        manager: Any = super().create_kernel_manager()
        manager.transport = "ipc"
        manager.connection_file = str(Path(self._folder, "kernel.json"))
        manager.ip = str(Path(self._folder, "k"))
        return manager

    async def async_start_new_kernel_client(self) -> Any:
        """Start the kernel, and the tracer in it."""
        client: Any = await super().async_start_new_kernel_client()
        reply = await client.execute_interactive(
            self._begin, silent=True, store_history=False, timeout=60, output_hook=lambda _: None
        )
        if reply["content"]["status"] != "ok":
            raise NoTraceError(f"the tracer did not begin: {reply['content'].get('evalue')}")
        return client
