"""The one thread that keeps a display up to date while other code runs.

A painter is called once at the start, then whenever the run has changed, but not more often than
`interval_s`, and not so often that painting takes more than a fifth of a processor: changes
between two paintings are coalesced, since a painter always takes a fresh view. Running clocks
move because a painting comes at least every `idle_s`.

The thread is a daemon, so it never keeps a process alive. It ends by itself after it has
painted a run that has ended and that nobody drives, and soon after `stop`. (An ended run that
is driven is about to be let go, or about to be resumed.) If the view or the painter raises, it
ends too, and keeps the error for whoever owns the display: a traceback in the midst of
a picture helps nobody.
"""

import threading
import time
from collections.abc import Callable
from typing import TypeAlias

from nbflow.core.states import RUN_ENDED
from nbflow.core.view import RunView

#: Gives the latest view of a run; callable from any thread.
ViewSource: TypeAlias = Callable[[], RunView]
#: Blocks until the run has changed, at most so many seconds; whether it has.
WaitChanged: TypeAlias = Callable[[float], bool]

#: Shares of time: painting gets one part, everything else at least four.
_REST_PER_WORK = 4.0


class Watcher:
    """Calls `paint` with views of a run, from a thread of its own.

    Parameters
    ----------
    view
        Gives the latest view.
    wait_changed
        Blocks until the run has changed or the seconds it is given have passed.
    paint
        Called with each view, in the watcher's thread only.
    interval_s
        Least time between two paintings.
    idle_s
        Longest time between two paintings.
    name
        The thread's name.
    failed
        Called in the thread, as its last act, with the exception that ended it.
    """

    def __init__(
        self,
        view: ViewSource,
        wait_changed: WaitChanged,
        paint: Callable[[RunView], None],
        *,
        interval_s: float,
        idle_s: float,
        name: str,
        failed: Callable[[Exception], None] | None = None,
    ) -> None:
        self._view = view
        self._wait_changed = wait_changed
        self._paint = paint
        self._interval_s = interval_s
        self._idle_s = idle_s
        self._failed = failed
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        #: What ended the thread before its time.
        self.error: Exception | None = None

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread; once only."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end, and wait until it has (at most about `idle_s`)."""
        self._stopping.set()
        if self.alive and threading.current_thread() is not self._thread:
            self._thread.join()

    def _main(self) -> None:
        try:
            self._watch()
        except Exception as error:  # noqa: BLE001 - kept, and told to the display's owner
            self.error = error
            if self._failed is not None:
                self._failed(error)

    def _watch(self) -> None:
        while not self._stopping.is_set():
            began = time.monotonic()
            view = self._view()
            self._paint(view)
            if view.run.status in RUN_ENDED and not view.driven:
                return
            work_s = time.monotonic() - began
            # What nobody drives may be driven again, by another process, but not within a moment.
            least_s = self._interval_s if view.driven else self._idle_s
            if self._stopping.wait(max(least_s, _REST_PER_WORK * work_s)):
                return
            # If the change came during the rest above and is not reported again, it is
            # painted after `idle_s` at the latest.
            self._wait_changed(self._idle_s)
