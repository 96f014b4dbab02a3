"""The engine, as papermill calls it.

It imports nothing but papermill: every papermill process loads it, also those that use another
engine. What it needs to run a notebook is imported by its methods for that reason.
"""

from typing import Any

from nbformat import NotebookNode
from papermill.engines import Engine, NotebookExecutionManager


class NbflowEngine(Engine):  # type: ignore[misc]
    """Runs notebooks on nbflow's kernels; registered with papermill as ``nbflow``.

    It takes what papermill's own engine takes, and the traits of nbclient's
    `NotebookClient` such as ``allow_errors`` or ``timeout``. Besides: ``output_limit`` (an
    `nbflow.core.policies.OutputLimit`) and ``memory_bytes``, the most that the notebook's processes
    may use.
    """

    @classmethod
    def execute_notebook(
        cls,
        nb: NotebookNode,
        kernel_name: str,
        output_path: str | None = None,
        progress_bar: bool | dict[str, Any] = True,
        log_output: bool = False,
        autosave_cell_every: int = 30,
        **kwargs: Any,
    ) -> NotebookNode:
        """Run the notebook, and keep its file and metadata true whatever happens.

        A cell's error raises nothing: papermill itself raises it, from the notebook that is
        returned.

        Raises
        ------
        DeadKernelError
            If the kernel ended while it was needed; nbclient's.
        CellTimeoutError
            If a cell took longer than ``execution_timeout``; nbclient's.
        NoSuchKernel
            If no kernel of this name is installed; jupyter_client's.
        RuntimeError
            If the kernel did not start.
        KeyboardInterrupt
            If the caller was interrupted; the kernel has ended by then.
        """
        from nbflow.engine.managing import managed  # lazy: see above

        options = {"log_output": log_output, "autosave_cell_every": autosave_cell_every}
        with managed(nb, output_path, progress_bar=progress_bar, **options) as nb_man:
            cls.execute_managed_notebook(nb_man, kernel_name, log_output=log_output, **kwargs)
        executed: NotebookNode = nb_man.nb
        return executed

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: NotebookExecutionManager, kernel_name: str, **kwargs: Any
    ) -> None:
        """Run the cells of a notebook whose execution has been noted as begun."""
        from nbflow.engine.calling import execute  # lazy: see above

        execute(nb_man, kernel_name, kwargs)
