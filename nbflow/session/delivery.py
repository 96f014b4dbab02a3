"""What a run has made, taken to where papermill's form of a command wants it.

Workers save an executed notebook to its place while it runs, where they can reach it. What is left
for the end is done here: addresses such as ``s3://``, devices, files of which the author wants no
half-finished state, and whatever no worker could reach.
"""

from pathlib import Path
from typing import Any

from nbflow.artifacts import digest_of
from nbflow.core.errors import NbflowError, NotDelivered
from nbflow.core.spec import NotebookCode, PapermillForm
from nbflow.session.results import NodeHandle
from nbflow.session.run import Run


def deliver(run: Run) -> None:
    """Take the executed notebooks of `run`, and what they printed, to where they were to go.

    Raises
    ------
    NotDelivered
        If that cannot be done. The notebooks are in the run's home all the same.
    """
    for name, spec in run.view().run.graph.nodes.items():
        if isinstance(spec.code, NotebookCode) and spec.code.papermill != PapermillForm():
            _deliver_node(run[name], spec.code.papermill)


def write_notebook(data: bytes, target: str) -> None:
    """Write a notebook to a path or an address; the folder of a path is made if need be.

    Raises
    ------
    NbflowError
        If an address cannot be written.
    OSError
        If a path cannot.
    """
    if "://" in target:
        from nbflow.notebooks.elsewhere import write_elsewhere  # lazy: papermill takes seconds

        write_elsewhere(data, target)
        return
    path = Path(target)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _deliver_node(node: NodeHandle, form: PapermillForm) -> None:
    data = node.notebook_bytes
    if data is None:
        return  # It never began, and its reason says why.
    target = form.delivered_to or form.saved_to
    if target is not None and (form.delivered_to or not _holds(Path(target), data)):
        try:
            write_notebook(data, target)
        except (NbflowError, OSError) as error:
            cause = error.strerror if isinstance(error, OSError) else str(error)
            raise NotDelivered(_undelivered(node, target, cause)) from error
    for stream, file in (("stdout", form.stdout_file), ("stderr", form.stderr_file)):
        if file is not None:
            _complete(Path(file), node, stream)


def _holds(path: Path, data: bytes) -> bool:
    if not path.is_file() or path.stat().st_size != len(data):
        return False
    return digest_of(path.read_bytes()) == digest_of(data)


def _complete(file: Path, node: NodeHandle, stream: str) -> None:
    """Write what was printed into a file that is empty, since no worker could reach it."""
    if file.is_file() and file.stat().st_size == 0:
        file.write_text(_printed(node.notebook, stream), "utf-8", errors="backslashreplace")


def _printed(notebook: Any, stream: str) -> str:
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", ()))
    return "".join(str(output.text) for output in outputs if output.get("name") == stream)


def _undelivered(node: NodeHandle, target: str, cause: str | None) -> str:
    kept = node.notebook_path
    where = (
        f"It is kept as {kept}" if kept is not None and str(kept) != target else "See nbflow show"
    )
    return f"the executed notebook could not be written to {target} ({cause}). {where}"
