"""papermill's manager of an execution, as an engine of papermill needs it.

papermill saves wherever something changes, and writes the whole file each time. Here only the
beginning and the end are saved at once, in the caller's thread: a path that cannot be written must
stop the caller before anything runs. In between, while the cells run in the thread of a loop,
that loop saves (`live`), at most about once a second.

A local file is spliced (`nbflow.notebooks.splicing`). Everything else is papermill's own:
remote paths with its handlers, and whatever somebody has put in the place of its writer or of
its handler for local files.
"""

import asyncio
import copy
import math
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from papermill import engines, iorw

from nbflow.notebooks.metadata import Metadata
from nbflow.notebooks.saving import Destination, NotebookFile
from nbflow.notebooks.splicing import SplicedFile

#: So many saves may come at once, as papermill makes them; then they come once a second.
_BURST = 5


class EngineMetadata(Metadata):
    """papermill's metadata of one notebook, its progress bar, its log lines, and its file.

    Parameters
    ----------
    notebook
        Parameters are already injected.
    output_path
        Any path that papermill can write; None saves nothing.
    progress_bar
        Whether there is one, or options for `tqdm`.
    log_output
        Whether to log that cells begin and end.
    autosave_cell_every
        Seconds between saves while a cell runs; 0 saves only when a cell begins or ends.
    clock
        Seconds since the epoch.
    """

    def __init__(
        self,
        notebook: NotebookNode,
        *,
        output_path: str | None = None,
        progress_bar: bool | dict[str, Any] = True,
        log_output: bool = False,
        autosave_cell_every: float = 30,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._target = None if output_path is None else destination(output_path)
        self._file: NotebookFile | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._rest_s = autosave_cell_every or math.inf
        super().__init__(
            notebook,
            clock=clock,
            changed=self._state_changed,
            important=self._state_changed_for_good,
            output_path=output_path,
            progress_bar=progress_bar,
            log_output=log_output,
            autosave_cell_every=autosave_cell_every,
        )

    @asynccontextmanager
    async def live(self) -> AsyncIterator[None]:
        """Save as the notebook changes, as long as this is entered, in the loop that runs now."""
        if self._target is None:
            yield
            return
        self._loop = asyncio.get_running_loop()
        self._file = NotebookFile(self.nb, self._target, burst=_BURST)
        try:
            yield
        finally:
            await self._file.pause()
            self._file = None

    def changed(self, first: int) -> None:
        """Tell that cells from `first` on may have new outputs."""
        if self._is_live():
            assert self._file is not None
            self._file.changed(first, rest_s=self._rest_s)

    def notebook_start(self, **kwargs: object) -> None:
        """Mark every cell as pending, and save.

        Raises
        ------
        OSError
            If that is not possible; other errors are those of papermill's handlers.
        """
        super().notebook_start(**kwargs)
        self._save_now()

    def notebook_complete(self, **kwargs: object) -> None:
        """Note the end, and save."""
        super().notebook_complete(**kwargs)
        if not self.nb.metadata.papermill["exception"]:
            self.complete_pbar()
        self.cleanup_pbar()
        if self._file is None:
            # Otherwise the caller has not waited for the end, and the loop still saves.
            self._save_now()
            if self._target is not None:
                self._target.close()

    def autosave_cell(self) -> None:
        """Do nothing: `changed` sees to saving while a cell runs."""

    def _save_now(self) -> None:
        if self._target is not None:
            self._target.plan(self.nb, 0)()

    def _state_changed(self, first: int) -> None:
        if self._is_live():
            assert self._file is not None
            self._file.changed(first)

    def _state_changed_for_good(self, first: int) -> None:
        if self._is_live():
            assert self._file is not None
            self._file.important(first)

    def _is_live(self) -> bool:
        """Whether this is called in the loop that saves; what another thread changes comes last."""
        try:
            return self._file is not None and asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False


def destination(path: str) -> Destination:
    """Return where papermill would save to."""
    handler = iorw.papermill_io.get_handler(path)
    papermills_own = type(handler) is iorw.LocalHandler and engines.write_ipynb is iorw.write_ipynb
    if not papermills_own:
        return _PapermillDestination(path)
    # Relative to where papermill was called: it may have gone elsewhere for the engine's sake.
    here = Path(handler._cwd or os.getcwd(), path)  # noqa: PTH109, SLF001 - papermill's own way
    folder = here.parent
    if not folder.exists():
        raise FileNotFoundError(f"output folder {folder} doesn't exist.")
    # Through links, as papermill writes; and never in the place of a device or a pipe.
    real = here.resolve()
    if real.exists() and not real.is_file():
        return _PapermillDestination(path)
    return SplicedFile(real)


class _PapermillDestination:
    """Wherever papermill writes."""

    def __init__(self, path: str) -> None:
        self._path = path

    def plan(self, notebook: NotebookNode, first: int) -> Callable[[], None]:  # noqa: ARG002 - whole
        """Return what writes the notebook as it is now."""
        # Texts, which are most of it, are not copied by this.
        as_it_is = copy.deepcopy(notebook)
        return lambda: engines.write_ipynb(as_it_is, self._path)

    def close(self) -> None:
        """Nothing is held."""
