"""From the first note in a notebook's metadata to the last, whatever happens between."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nbformat import NotebookNode
from papermill.iorw import write_ipynb

from nbflow.engine.signals import Terminated
from nbflow.notebooks.engine_metadata import EngineMetadata


@contextmanager
def managed(
    notebook: NotebookNode, output_path: str | None, **options: Any
) -> Iterator[EngineMetadata]:
    """Note the beginning, and at the end what is true by then, in the notebook and in its file."""
    metadata = EngineMetadata(notebook, output_path=output_path, **options)
    metadata.notebook_start()
    try:
        yield metadata
    except BaseException as error:
        notebook.metadata.papermill["exception"] = True
        metadata.notebook_complete()
        if output_path is None:
            # papermill would save once, at the end, and does not get there.
            write_ipynb(notebook, notebook.metadata.papermill.get("output_path"))
        if isinstance(error, Terminated):
            signal.raise_signal(signal.SIGTERM)
        raise
    metadata.notebook_complete()
