"""nbflow as an engine of papermill: ``papermill IN OUT --engine nbflow``.

papermill prepares the notebook (parameters, report mode, paths) and judges it afterwards, with its
own code; between, `NbflowEngine` runs it on nbflow's kernels, in this process, without a
cluster. The kernels and an event loop live on a thread of their own (`background`), so the
caller may be a script, a thread, or a cell of a notebook in which a loop is already running.

papermill loads its engines while it is itself being imported. So `NbflowEngine` is loaded when
somebody asks for its name, and what runs notebooks when the first one is run.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbflow.engine.engine import NbflowEngine

__all__ = ["NbflowEngine"]


def __getattr__(name: str) -> Any:
    if name != "NbflowEngine":
        raise AttributeError(f"module 'nbflow.engine' has no attribute {name!r}")
    # First, from here, where nothing is half loaded: papermill asks for this very name meanwhile.
    importlib.import_module("papermill.engines")
    engine = importlib.import_module("nbflow.engine.engine").NbflowEngine
    globals()[name] = engine
    return engine
