"""Read a notebook from bytes, and tell which kernel and language it is for."""

from typing import Any

import msgspec
import nbformat
from nbformat import NotebookNode
from papermill.iorw import load_notebook_node

from nbflow.kernels import kernel_language
from nbflow.notebooks.errors import InvalidInput

#: What a notebook without a kernel is for, as in Jupyter.
DEFAULT_KERNEL = "python3"


class KernelChoice(msgspec.Struct, frozen=True):
    """The kernel that a notebook runs in, and its language."""

    name: str
    language: str


def read_notebook(data: bytes, source: str) -> NotebookNode:
    """Return the notebook in `data`, upgraded to nbformat 4 and with papermill's metadata in place.

    Parameters
    ----------
    data
        Content of the file.
    source
        Where it came from, for messages.

    Raises
    ------
    InvalidInput
        If it is not a notebook.
    """
    try:
        parsed = nbformat.reads(data.decode("utf-8-sig"), as_version=4)
        # An upgrade from version 3 leaves nodes of another class, which papermill does not know.
        notebook: NotebookNode = load_notebook_node(nbformat.from_dict(parsed))
    except (ValueError, KeyError, AttributeError, TypeError, nbformat.ValidationError) as error:
        # What nbformat raises for a file that is JSON but no notebook depends on where it stumbles.
        raise InvalidInput(
            f"{source} is not a notebook that nbformat can read ({type(error).__name__}: {error}). "
            f"Open it in Jupyter and save it again"
        ) from error
    return notebook


def choose_kernel(
    notebook: NotebookNode, override: str | None, language: str | None = None
) -> KernelChoice:
    """Return the kernel that `notebook` is to run in, `override` before its own metadata.

    So does `language`, in which its parameters are written.

    Raises
    ------
    NoSuchKernel, UnusableKernel
        If the notebook does not tell the language, and the kernel is not installed here, or not
        well.
    """
    metadata: dict[str, Any] = notebook.metadata
    spec = metadata.get("kernelspec", {})
    name = override or spec.get("name") or DEFAULT_KERNEL
    if language:
        return KernelChoice(name, language)
    language = metadata.get("language_info", {}).get("name") or spec.get("language")
    if override or not language:
        # The notebook speaks of another kernel, or not at all.
        language = kernel_language(name)
    return KernelChoice(name, language)
