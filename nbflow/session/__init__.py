"""The session: flows that run, and the handles of their runs.

The one place that knows which adapters there are, and wires them together. Its names are
loaded when they are first used: checking or drawing a flow needs neither Dask nor a database.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbflow.session.archives import export_run, import_run
    from nbflow.session.flow import Flow
    from nbflow.session.loading import load
    from nbflow.session.opening import attach, runs
    from nbflow.session.run import Run

_PLACES = {
    "Flow": "flow",
    "Run": "run",
    "attach": "opening",
    "export_run": "archives",
    "import_run": "archives",
    "load": "loading",
    "runs": "opening",
}

__all__ = ["Flow", "Run", "attach", "export_run", "import_run", "load", "runs"]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
