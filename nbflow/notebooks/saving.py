"""Save a notebook while it runs, so that people can watch it, without slowing it down.

A save replaces the file in one step: a reader sees the old or the new notebook, never half of
one. Partial saves are not flushed to disk and their failure is only logged: what is durable is the
artifact that is stored at the end. They come at most about once a second, and
never take more than a tenth of the time, however large the notebook grows.
"""

import asyncio
import logging
import os
from pathlib import Path

from nbformat import NotebookNode

from nbflow.notebooks.reading import to_bytes

_log = logging.getLogger(__name__)

#: Seconds between two saves, at least.
_INTERVAL_S = 1.0
#: A save that takes long makes the next one wait so many times as long.
_PATIENCE = 10


class NotebookFile:
    """The file that shows how a notebook is getting on.

    Parameters
    ----------
    notebook
        Is saved as it stands at the time.
    path
        Where to; its folder is made if need be.
    """

    def __init__(self, notebook: NotebookNode, path: Path) -> None:
        self._notebook = notebook
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._next_at = self._loop.time()
        self._pending: asyncio.TimerHandle | None = None
        self._complained = False

    def changed(self) -> None:
        """Save soon: now, or when the interval since the last save is over."""
        if self._pending is None:
            delay_s = max(0.0, self._next_at - self._loop.time())
            self._pending = self._loop.call_later(delay_s, self.save)

    def save(self) -> None:
        """Save now."""
        self.close()
        began = self._loop.time()
        try:
            replace_file(self._path, to_bytes(self._notebook))
        except OSError as error:
            if not self._complained:
                _log.warning("cannot save the running notebook as %s: %s", self._path, error)
            self._complained = True
        now = self._loop.time()
        self._next_at = now + max(_INTERVAL_S, _PATIENCE * (now - began))

    def close(self) -> None:
        """Forget a save that was to come."""
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None


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


def replace_file(path: Path, data: bytes) -> None:
    """Write `path` in one step."""
    partial = path.with_name(f".{path.name}.part")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
