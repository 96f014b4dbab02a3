"""The panel of a run, as a notebook shows and keeps it: a live widget, and a snapshot beside.

A stored notebook keeps the snapshot that was displayed beside the widget. It is replaced once,
when the run ends, so that the notebook does not go on saying "running": not more often, as
a notebook builds the widget's view anew each time.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

from IPython.display import DisplayHandle, display

from nbflow.core.findings import Finding
from nbflow.core.states import RUN_ENDED
from nbflow.core.view import RunView
from nbflow.drawing.lines import finished, shown_status
from nbflow.drawing.words import plural
from nbflow.panels.followed import Followed
from nbflow.panels.html import MAX_ROWS, panel_html
from nbflow.panels.widget import RunWidget


class RunPanel:
    """A live picture of a run, for display in a notebook.

    Parameters
    ----------
    run
        What is shown.
    max_rows
        Most nodes that the snapshot has rows for; the most urgent ones do.
    clock
        Gives the time in seconds since the epoch.

    Notes
    -----
    The panel updates itself from its creation until the run has ended or `close` is called,
    displayed or not. It may be displayed any number of times.
    """

    def __init__(
        self,
        run: Followed,
        *,
        max_rows: int = MAX_ROWS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._run = run
        self._max_rows = max_rows
        self._clock = clock
        # Held while a snapshot is sent, so that none arrives after a newer one.
        self._sending = threading.Lock()
        self._displays: list[DisplayHandle] = []
        self._going = run.view().run.status not in RUN_ENDED
        #: The widget itself, for layouts of the user's own.
        self.widget = RunWidget(run, changed=self._changed, clock=clock)

    @property
    def live(self) -> bool:
        """Whether the panel still updates itself."""
        return self.widget.live

    @property
    def closed(self) -> bool:
        """Whether it has been closed."""
        return self.widget.comm is None

    def wake(self) -> None:
        """Follow the run again, if it goes on after an end."""
        self.widget.feed.wake()

    def close(self) -> None:
        """Stop updating, and remove the panel wherever it is displayed."""
        self.widget.close()

    def _ipython_display_(self) -> None:
        """Display the panel here."""
        with self._sending:
            handle = display(self._repr_mimebundle_(), raw=True, display_id=True)
            if handle is not None:  # there is none outside IPython
                self._displays.append(handle)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """Return the live widget, and a snapshot for readers that have no widgets."""
        view = self._run.view()
        snapshot = {
            "text/html": panel_html(view, self._clock(), self._max_rows, self._findings(view)),
            "text/plain": _plain(view),
        }
        if self.closed:
            return snapshot
        return {
            "application/vnd.jupyter.widget-view+json": {
                "version_major": 2,
                "version_minor": 0,
                "model_id": self.widget.model_id,
            },
            **snapshot,
        }

    def _findings(self, view: RunView) -> tuple[Finding, ...]:
        # Of a run that has ended the rows say what has failed, and what was found before is old.
        diagnosis = self.widget.feed.diagnosis
        ended = view.run.status in RUN_ENDED
        return () if ended or diagnosis is None else diagnosis.findings

    def _changed(self, view: RunView) -> None:
        going = view.run.status not in RUN_ENDED
        if self._going and not going:
            with self._sending:
                for handle in self._displays:
                    handle.update(self._repr_mimebundle_(), raw=True)
        self._going = going


def _plain(view: RunView) -> str:
    nodes = f"{finished(view):,}/{plural(len(view.run.nodes), 'node')}"
    return f"run {view.run.id}: {shown_status(view)}, {nodes}"
