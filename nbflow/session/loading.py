"""From a target to a flow."""

import os

from nbflow.definition.targets import load_target
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
