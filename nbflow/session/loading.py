"""From a target to a flow."""

import os

from nbflow.definition.places import working_in
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


def reloaded(target: str) -> Flow:
    """Return the flow that `FlowSpec.target` leads to, as it is written now.

    Modules that this process has imported are not imported again, and what they define is as it
    was then; the file that defines the flow itself is run again.

    Parameters
    ----------
    target
        It is absolute, so the current folder does not matter.

    Raises
    ------
    nbflow.core.errors.DefinitionError
        If it cannot be read, or is no longer there.
    """
    assert target, "a flow that was made by calls cannot be read again"
    folder = os.path.dirname(target)  # noqa: PTH120 - it is a target, and no path
    with working_in(folder):
        return load_target(target, flow_class=Flow, base_dir=folder)


def load_notebook(notebook: BareNotebook) -> Flow:
    """Return the flow of one node that a bare notebook is.

    Raises
    ------
    nbflow.core.errors.DefinitionError
        If there is no such file.
    """
    return load_bare(notebook, flow_class=Flow)
