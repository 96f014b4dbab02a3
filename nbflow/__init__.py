"""nbflow: run notebooks as a durable graph on Dask, without changing the notebooks.

The names below are loaded when they are first used, so that ``import nbflow`` in a
notebook's kernel, which may only want `emit`, costs next to nothing.
"""

from typing import TYPE_CHECKING, Any

from nbflow._lazy import lazily
from nbflow._version import __version__

if TYPE_CHECKING:
    from nbflow.cluster import Embedded
    from nbflow.core.errors import (
        ArtifactError,
        ClusterError,
        DefinitionError,
        JournalError,
        LostLease,
        NbflowError,
        NewerSchema,
        RunCancelled,
        RunExists,
        RunFailed,
        RunHeld,
        RunInterrupted,
        UnknownRun,
    )
    from nbflow.core.policies import Cache, Expected, OutputLimit, Retry, Timeout
    from nbflow.core.values import Secret
    from nbflow.guest import emit
    from nbflow.guest_namespace.asking import checkpoint
    from nbflow.session import Flow, Run, attach, export_run, import_run, load, runs

_PLACES = {
    "Cache": "nbflow.core.policies",
    "ClusterError": "nbflow.core.errors",
    "DefinitionError": "nbflow.core.errors",
    "Embedded": "nbflow.cluster",
    "Expected": "nbflow.core.policies",
    "Flow": "nbflow.session",
    "JournalError": "nbflow.core.errors",
    "NbflowError": "nbflow.core.errors",
    "ArtifactError": "nbflow.core.errors",
    "LostLease": "nbflow.core.errors",
    "NewerSchema": "nbflow.core.errors",
    "OutputLimit": "nbflow.core.policies",
    "RunExists": "nbflow.core.errors",
    "RunInterrupted": "nbflow.core.errors",
    "Retry": "nbflow.core.policies",
    "Run": "nbflow.session",
    "RunCancelled": "nbflow.core.errors",
    "RunFailed": "nbflow.core.errors",
    "RunHeld": "nbflow.core.errors",
    "Secret": "nbflow.core.values",
    "Timeout": "nbflow.core.policies",
    "UnknownRun": "nbflow.core.errors",
    "attach": "nbflow.session",
    "checkpoint": "nbflow.guest_namespace.asking",
    "emit": "nbflow.guest",
    "export_run": "nbflow.session",
    "import_run": "nbflow.session",
    "load": "nbflow.session",
    "runs": "nbflow.session",
}

__all__ = [
    "ArtifactError",
    "Cache",
    "ClusterError",
    "DefinitionError",
    "Embedded",
    "Expected",
    "Flow",
    "JournalError",
    "LostLease",
    "NbflowError",
    "NewerSchema",
    "OutputLimit",
    "Retry",
    "Run",
    "RunCancelled",
    "RunExists",
    "RunFailed",
    "RunHeld",
    "RunInterrupted",
    "Secret",
    "Timeout",
    "UnknownRun",
    "__version__",
    "attach",
    "checkpoint",
    "emit",
    "export_run",
    "import_run",
    "load",
    "runs",
]


__getattr__ = lazily(__name__, _PLACES)


def load_ipython_extension(shell: Any) -> None:
    """Add nbflow's magics to an IPython session: ``%load_ext nbflow``."""
    from nbflow.magics import load  # lazy, as all that this module names

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Take them away again, with all that they have begun: ``%unload_ext nbflow``."""
    from nbflow.magics import unload  # lazy, as above

    unload(shell)


def __dir__() -> list[str]:
    return sorted(__all__)
