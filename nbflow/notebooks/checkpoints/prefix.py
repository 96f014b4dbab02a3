"""What has made a namespace, as a digest: only where it is the same may a notebook go on."""

from collections.abc import Mapping

import msgspec
from nbformat import NotebookNode

from nbflow._version import __version__
from nbflow.core.fingerprints import digest
from nbflow.core.spec import NotebookCode
from nbflow.core.values import Value

_SCHEME = b"nbflow-checkpoint-1"
_encoder = msgspec.json.Encoder(order="deterministic")


def prefix_digest(
    notebook: NotebookNode,
    count: int,
    *,
    code: NotebookCode,
    params: Mapping[str, Value],
    kernel: str,
) -> str:
    """Return the digest of what lies before the cell with index `count`.

    Parameters
    ----------
    notebook
        With its injected cell, which counts by the parameters, not by its text: that names files
        of this machine.
    count
        How many cells count.
    code
        Whose folder, interpreter and variables count.
    params
        Artifacts count by content, secrets by reference.
    kernel
        The kernel's name.
    """
    surroundings = (code.cwd, code.python, code.env, code.path, kernel)
    cells = [_cell(cell) for cell in notebook.cells[:count]]
    parts = (
        _SCHEME,
        __version__.encode(),
        *map(_encoder.encode, (surroundings, dict(params), cells)),
    )
    return digest(*parts)


def _cell(cell: NotebookNode) -> tuple[str, str, list[str]]:
    tags = sorted(cell.metadata.get("tags", []))
    source = "" if "injected-parameters" in tags else cell.source
    return cell.cell_type, source, tags
