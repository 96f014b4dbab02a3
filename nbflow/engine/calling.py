"""The caller's side: wait for the background, and raise what papermill's users know."""

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import NATIVE_KERNEL_NAME
from jupyter_client.kernelspec import NoSuchKernel as NotInstalled
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.log import logger

from nbflow.engine.background import Background, background
from nbflow.engine.options import read_options
from nbflow.engine.performing import Performance
from nbflow.engine.signals import Signals
from nbflow.engine.timing import CellTimeouts
from nbflow.kernels import KernelStartFailed, NoSuchKernel
from nbflow.notebooks.engine_metadata import EngineMetadata
from nbflow.notebooks.execution import Failure
from nbflow.notebooks.metadata import mark_error


def execute(metadata: EngineMetadata, kernel_name: str, arguments: Mapping[str, Any]) -> None:
    """Run a notebook's cells in the background, and wait for the end.

    Parameters
    ----------
    metadata
        Of a notebook whose execution has been noted as begun.
    kernel_name
        Name of an installed kernel.
    arguments
        Of the engine's call, all but those of the metadata.

    Raises
    ------
    DeadKernelError, CellTimeoutError, NoSuchKernel, RuntimeError, KeyboardInterrupt
        See `NbflowEngine.execute_notebook`.
    """
    # The caller's, at this moment: papermill changes it around the call, where one was named.
    options = read_options(arguments, Path.cwd())
    # jupyter_client's managers, and so papermill's users, know Python's kernel by two names.
    name = NATIVE_KERNEL_NAME if kernel_name == "python" else kernel_name
    logger.info(f"Executing notebook with kernel: {kernel_name}")
    place = background()
    performance = Performance(metadata, name, options, place.pool)
    try:
        failure = _awaited(performance, place)
    except NoSuchKernel as error:
        raise NotInstalled(name) from error
    except KernelStartFailed as error:
        raise RuntimeError(str(error)) from error
    if failure is not None:
        _raise(failure, metadata, options.timeouts)


def _awaited(performance: Performance, place: Background) -> Failure | None:
    with Signals() as signals:
        job = place.start(performance.perform)
        signals.concern(job)
        while True:
            try:
                failure = job.result()
                break
            except KeyboardInterrupt:
                # From a handler that is not Python's own.
                signals.receive(signal.SIGINT)
    signals.raise_any()
    return failure


def _raise(failure: Failure, metadata: EngineMetadata, timeouts: CellTimeouts) -> None:
    """Raise what papermill does not find in the notebook, and mark the failed cell there."""
    kind = failure.reason.kind
    message = failure.reason.message
    cell = failure.error.cell
    timed_out = kind == "timed_out" or failure.error.type == CellTimeoutError.__name__
    if not timed_out and kind == "error":
        return
    if cell is None:
        raise (CellTimeoutError if timed_out else DeadKernelError)(message)
    blamed = metadata.nb.cells[cell]
    mark_error(metadata.nb, cell)
    if timed_out:
        limit_s: Any = timeouts.of(blamed)  # nbclient's own text, which is known to people
        raise CellTimeoutError.error_from_timeout_and_cell(message, limit_s, blamed)
    raise DeadKernelError(message)
