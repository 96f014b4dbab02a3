"""What papermill's users may ask of an engine, sorted by who is to know it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from nbclient import NotebookClient
from papermill.log import logger

from nbflow.core.policies import OutputLimit
from nbflow.engine.timing import CellTimeouts
from nbflow.kernels import START_TIMEOUT_S

#: nbclient's traits that make sense for a kernel that is nbflow's: those that say how cells run.
_CELL_TRAITS = frozenset(
    {
        "allow_error_names",
        "allow_errors",
        "coalesce_streams",
        "display_data_priority",
        "force_raise_errors",
        "iopub_timeout",
        "on_cell_complete",
        "on_cell_error",
        "on_cell_execute",
        "on_cell_start",
        "raise_on_iopub_timeout",
        "record_timing",
        "skip_cells_with_tag",
        "store_widget_state",
    }
)
#: What papermill hands to every engine, and this one has no use for.
_UNUSED = frozenset({"input_path", "log", "nb", "startup_timeout"})


@dataclass(frozen=True)
class EngineOptions:
    """One call's options."""

    cwd: Path
    start_timeout_s: float = START_TIMEOUT_S
    timeouts: CellTimeouts = CellTimeouts()
    log_output: bool = False
    stdout_file: TextIO | None = None
    stderr_file: TextIO | None = None
    extra_arguments: tuple[str, ...] = ()
    output_limit: OutputLimit = OutputLimit()
    memory_bytes: int | None = None
    #: Passed on to nbclient.
    traits: Mapping[str, Any] = field(default_factory=dict)


def read_options(arguments: Mapping[str, Any], cwd: Path) -> EngineOptions:
    """Sort an engine's keyword arguments; those that nobody knows are told and left out.

    Parameters
    ----------
    arguments
        papermill's, and its user's.
    cwd
        Of the caller.
    """
    given = {key: value for key, value in arguments.items() if value is not None}
    timeout, execution_timeout = given.pop("timeout", None), given.pop("execution_timeout", None)
    resources = given.pop("resources", {})
    options = {
        "cwd": Path(resources.get("metadata", {}).get("path") or cwd),
        "start_timeout_s": given.pop("start_timeout", START_TIMEOUT_S),
        "timeouts": CellTimeouts(
            execution_timeout or timeout,
            given.pop("timeout_func", None),
            given.pop("interrupt_on_timeout", False),
        ),
        "extra_arguments": tuple(given.pop("extra_arguments", ())),
        "traits": {key: given.pop(key) for key in _CELL_TRAITS & given.keys()},
    }
    for key in ("log_output", "stdout_file", "stderr_file", "output_limit", "memory_bytes"):
        if key in given:
            options[key] = given.pop(key)
    _tell_unknown(given.keys() - _UNUSED)
    return EngineOptions(**options)


def _tell_unknown(names: set[str]) -> None:
    if names:
        known_elsewhere = sorted(names & NotebookClient.class_traits().keys())
        others = sorted(names - set(known_elsewhere))
        for name in known_elsewhere:
            logger.warning(f"The nbflow engine starts and ends kernels itself: {name} is ignored")
        for name in others:
            logger.warning(f"The nbflow engine does not know the argument {name}; it is ignored")
