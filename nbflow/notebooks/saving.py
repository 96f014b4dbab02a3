"""Save a notebook while it runs, so that people can watch it, without slowing it down.

A save is two steps. What can change is encoded at once, in the loop's thread, which is the one that
changes it; so there is nothing to lock. The rest (long texts, copying, the disk) is
done in another thread, so a loop that serves many notebooks does not wait for one.

Saves come at most about once a second, and never take more than a tenth of the time, however large
the notebook grows; only what is important does not wait. A save that fails is logged, once, and
harms nothing: what is durable is the artifact that is stored at the end. Hence there is no
flush to disk either, and nothing is validated again (see `nbflow.notebooks.writing.to_bytes`).
"""

import asyncio
import logging
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from nbformat import NotebookNode

from nbflow.notebooks.splicing import SplicedFile

_log = logging.getLogger(__name__)

#: Seconds between two saves, at least.
_INTERVAL_S = 1.0
#: A save that takes long makes the next one wait so many times as long.
_PATIENCE = 10


class Destination(Protocol):
    """Where a notebook is saved to."""

    def plan(self, notebook: NotebookNode, first: int) -> Callable[[], None]:
        """Return what saves `notebook` as it is now; see `SplicedFile.plan`."""

    def close(self) -> None:
        """Let go of what was held for the next save."""


class NotebookFile:
    """The file that shows how a notebook is getting on. It belongs to the loop that runs now.

    Parameters
    ----------
    notebook
        Is saved as it stands at the time.
    place
        A path, whose folder must be there, or another destination.
    burst
        How many saves may come at once before they come once a second.
    """

    def __init__(
        self, notebook: NotebookNode, place: Path | Destination, *, burst: int = 1
    ) -> None:
        self._notebook = notebook
        self._place = place
        self._target = SplicedFile(place) if isinstance(place, Path) else place
        self._burst = burst
        self._loop = asyncio.get_running_loop()
        self._saved_at = self._loop.time()
        self._next_at = self._saved_at - (burst - 1) * _INTERVAL_S
        #: The first cell that may differ from what is saved; None if nothing does.
        self._first: int | None = 0
        #: When to save next; never, as long as nobody asks.
        self._due_at = math.inf
        self._is_important = False
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Future[float] | None = None
        self._error: Exception | None = None
        self._complained = False

    def changed(self, first: int, *, rest_s: float = 0.0) -> None:
        """Save soon.

        Parameters
        ----------
        first
            Cells from this index on may have changed; the number of cells if only the notebook's
            own metadata has.
        rest_s
            Seconds that shall lie between the last save and this one; infinite: some time.
        """
        self._save_at(max(self._next_at, self._saved_at + rest_s), first)

    def important(self, first: int) -> None:
        """Save in the loop's next turn, however long ago the last save was."""
        self._is_important = True
        self._save_at(self._loop.time(), first)

    async def save(self) -> Exception | None:
        """Save now; return what went wrong, if anything did."""
        await self._written()
        self._save()
        await self._written()
        return self._error

    async def pause(self) -> None:
        """End the save that is being made, make one that is due, forget one that was to come."""
        await self._written()
        if self._due_at <= self._loop.time():
            await self.save()
        self._forget_timer()

    async def close(self) -> None:
        """Pause, and let go of the file."""
        await self.pause()
        self._target.close()

    async def _written(self) -> None:
        while self._writing is not None:
            await asyncio.wait({self._writing})

    def _save_at(self, due_at: float, first: int) -> None:
        self._first = first if self._first is None else min(first, self._first)
        self._due_at = min(due_at, self._due_at)
        if self._writing is None:
            self._set_timer()

    def _set_timer(self) -> None:
        self._forget_timer()
        if self._due_at < math.inf:
            self._timer = self._loop.call_at(self._due_at, self._save)

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _save(self) -> None:
        self._forget_timer()
        self._due_at, self._is_important = math.inf, False
        self._saved_at = self._loop.time()
        first = len(self._notebook.cells) if self._first is None else self._first
        job = self._target.plan(self._notebook, first)
        self._first = None
        planned_s = self._loop.time() - self._saved_at
        self._writing = self._loop.run_in_executor(None, _timed, job)
        self._writing.add_done_callback(lambda writing: self._saved(writing, planned_s))

    def _saved(self, writing: "asyncio.Future[float]", planned_s: float) -> None:
        self._writing = None
        error = writing.exception()
        assert error is None or isinstance(error, Exception)
        self._error = error
        if error is not None:
            self._first = 0
            self._complain(error)
        took_s = planned_s + (0.0 if error else writing.result())
        now = self._loop.time()
        # Each save costs an interval; those that were not used before let a burst pass.
        earliest = now - (self._burst - 1) * _INTERVAL_S
        self._next_at = max(self._next_at, earliest) + max(_INTERVAL_S, _PATIENCE * took_s)
        if not self._is_important:
            # What changed during the save has its turn after the pause that this save has earned.
            self._due_at = max(self._due_at, self._next_at)
        self._set_timer()

    def _complain(self, error: Exception) -> None:
        if not self._complained:
            _log.warning("cannot save the running notebook as %s: %s", self._place, error)
        self._complained = True


def choose_place(wanted: str | None, fallback: Path) -> Path:
    """Return the path `wanted` if this worker can write there, else `fallback`."""
    if wanted is None:
        return fallback
    folder = Path(wanted).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        # Another machine's folder: whoever has the artifact writes it there.
        return fallback
    return Path(wanted) if os.access(folder, os.W_OK) else fallback


def _timed(job: Callable[[], None]) -> float:
    """Return the seconds that `job` takes; waiting for a thread is none of its time."""
    began = time.perf_counter()
    job()
    return time.perf_counter() - began
