"""What cells print, shown while they run: ``--log-output``, and files that only this process has.

It arrives in the thread that drives the run, which must not wait for a terminal or a pipe. So a
thread of its own writes it. If that falls far behind, what comes meanwhile is left out: this is a
view of the run, and the executed notebook has everything.
"""

import queue
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TextIO

from nbflow.cli.as_papermill import LEVELS, PapermillOptions
from nbflow.core.attempts import Printed

#: Pieces that may wait to be written; five a second come from one notebook.
_PATIENCE = 256
_HEADER_WIDTH = 40
#: How IPython colours tracebacks, for terminals.
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Listener:
    """Writes what is printed, in a thread, until it is closed.

    Parameters
    ----------
    log
        Gives the stream where everything is shown, cell by cell; None for nowhere. It is asked each
        time, since a live display takes over `sys.stderr` while it lasts.
    level
        The level of what is shown there, as papermill's ``--log-level``.
    files
        Where each stream of the cells goes besides.
    """

    def __init__(
        self,
        log: Callable[[], TextIO] | None,
        level: str = "INFO",
        files: Mapping[str, TextIO] | None = None,
    ) -> None:
        self._log = log
        self._level = LEVELS[level]
        self._files = dict(files or {})
        self._queue: queue.Queue[Printed | None] = queue.Queue(_PATIENCE)
        self._cell: int | None = None
        self._left_out = False
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._write_all, name="nbflow-output", daemon=True)
        self._thread.start()

    def hear(self, printed: Printed) -> None:
        """Take a piece; returns at once."""
        try:
            self._queue.put_nowait(printed)
        except queue.Full:
            self._left_out = True

    def close(self) -> None:
        """Write what is left.

        Raises
        ------
        OSError
            If something could not be written.
        """
        self._queue.put(None)
        self._thread.join()
        if self._left_out and self._log is not None:
            print("[some of what the cells printed is left out here]", file=self._log())
        if self._error is not None:
            raise self._error

    def _write_all(self) -> None:
        while (printed := self._queue.get()) is not None:
            if self._error is None:
                try:
                    self._write(printed)
                except OSError as error:
                    self._error = error

    def _write(self, printed: Printed) -> None:
        file = self._files.get(printed.stream)
        if file is not None:
            file.write(printed.text)
            file.flush()
        shown_at = LEVELS["WARNING" if printed.stream == "stderr" else "INFO"]
        if self._log is None or shown_at < self._level:
            return
        lines = [] if printed.cell == self._cell else [_header(printed.cell)]
        self._cell = printed.cell
        text = printed.text.removesuffix("\n")
        log = self._log()
        if not log.isatty():
            text = _COLOURS.sub("", text)
        # Whole lines: other threads write there, too.
        print(*lines, text, sep="\n", file=log, flush=True)


@contextmanager
def listening(asked: PapermillOptions, files: Mapping[str, TextIO]) -> Iterator[Listener | None]:
    """Listen for as long as a run is driven, if anybody wants to know what its cells print.

    An error of the listener's own does not hide what ended the run.
    """
    if not asked.log_output and not files:
        yield None
        return
    listener = Listener((lambda: sys.stderr) if asked.log_output else None, asked.log_level, files)
    try:
        yield listener
    except BaseException:
        with suppress(OSError):
            listener.close()
        raise
    listener.close()


def _header(cell: int) -> str:
    return f"Executing Cell {cell + 1:-<{_HEADER_WIDTH}}"
