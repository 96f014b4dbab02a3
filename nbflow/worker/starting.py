"""Start the kernel of an attempt: with the node's environment, cores and priority."""

from pathlib import Path

from nbflow.core.attempts import AttemptTask
from nbflow.core.events import ErrorInfo
from nbflow.core.spec import NotebookCode
from nbflow.core.states import Reason
from nbflow.guest import OUTPUTS_VARIABLE
from nbflow.kernels import (
    Kernel,
    KernelStartFailed,
    NoSuchKernel,
    UnusableKernel,
    WarmPool,
    Wishes,
    start_kernel,
)
from nbflow.notebooks.execution import Failure
from nbflow.notebooks.guard import StopRequest, unless_stopped
from nbflow.worker.cores import thread_environment

_STOPPED_EARLY = Reason("interrupted", "stopped before its first cell")


class KernelStart:
    """One start of a kernel for an attempt.

    Parameters
    ----------
    task
        The attempt; its code is a notebook.
    folder
        The attempt's own folder.
    worker_name
        For messages.
    pool
        Where warm kernels come from, if anywhere.
    cores
        Numbers of the cores that the kernel is to keep to; empty for all.
    """

    def __init__(
        self,
        task: AttemptTask,
        folder: Path,
        *,
        worker_name: str,
        pool: WarmPool | None,
        cores: tuple[int, ...],
    ) -> None:
        assert isinstance(task.code, NotebookCode)
        self._task = task
        self._code = task.code
        self._folder = folder
        self._worker_name = worker_name
        self._wishes = Wishes(pool, task.preload, cores, task.nice)

    async def kernel(self, name: str, stop: StopRequest) -> Kernel | Failure:
        """Return the running kernel `name`, or why there is none; `stop` ends the waiting."""
        hard_s = self._task.timeout.hard
        start_s = self._task.start_timeout_s
        limit_s = start_s if hard_s is None else min(hard_s, start_s)
        starting = start_kernel(
            name,
            cwd=self._cwd(),
            env=self._env(),
            start_timeout_s=limit_s,
            python=self._code.python,
            wishes=self._wishes,
        )
        try:
            kernel = await unless_stopped(starting, stop)
        except (NoSuchKernel, UnusableKernel, KernelStartFailed) as error:
            late = isinstance(error, KernelStartFailed) and error.timed_out and limit_s == hard_s
            message = f"{error} (on worker {self._worker_name})"
            reason = Reason("timed_out" if late else "error", message)
            return Failure(reason, ErrorInfo(type(error).__name__, message))
        if kernel is None:
            return Failure(_STOPPED_EARLY, ErrorInfo("Stopped", _STOPPED_EARLY.message))
        return kernel

    def _cwd(self) -> Path:
        """Return the kernel's working directory: as asked for, or beside the notebook."""
        if self._code.cwd is not None:
            return Path(self._code.cwd)
        beside = Path(self._code.papermill.folder or Path(self._code.path).parent)
        # A worker on another machine may not have the notebook's folder; a bare notebook
        # still runs there, in a folder that goes with the attempt.
        return beside if beside.is_dir() else self._folder / "work"

    def _env(self) -> dict[str, str]:
        attempt = self._task.id
        return {
            **(thread_environment(self._task.cpus) if self._task.cpus else {}),
            **({"TRACEPARENT": self._task.traceparent} if self._task.traceparent else {}),
            **self._code.env,
            "NBFLOW_RUN": attempt.run,
            "NBFLOW_NODE": attempt.node,
            "NBFLOW_ATTEMPT": attempt.idempotency_key,
            OUTPUTS_VARIABLE: str(self._folder / "outputs"),
        }
