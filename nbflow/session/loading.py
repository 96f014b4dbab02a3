"""From a target to a flow."""

import os

from nbflow.definition.targets import BareNotebook, load_target
from nbflow.definition.targets import load_notebook as load_bare
from nbflow.session.flow import Flow


def load(target: str | os.PathLike[str]) -> Flow:
    """Return the flow that `target` names.

    Parameters
    ----------
    target
        A flow file, a notebook, ``path.py:flow`` or ``module:flow``.

    Raises
    ------
    nbflow.core.errors.DefinitionError
        If it cannot be read; every fault is named with its file and line.
    """
    return load_target(os.fspath(target), flow_class=Flow)


def load_notebook(notebook: BareNotebook) -> Flow:
    """Return the flow of one node that a bare notebook is.

    Raises
    ------
    nbflow.core.errors.DefinitionError
        If there is no such file.
    """
    return load_bare(notebook, flow_class=Flow)
