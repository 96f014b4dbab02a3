"""The first panel: a table of nodes that moves by itself, in the notebook that started the run.

The kernel may be busy with the very cell that waits for the run, so no event loop can be
relied on: a thread paints (see `nbflow.drawing.watch`), and each painting is one message per
changed widget. Clicks are another matter. They arrive when the kernel gets to them, which
may be after a blocking cell; `cancel` must only *ask* for cancellation, as it may then run
in whatever thread Jupyter chooses.

Once the kernel has died nothing can be updated, so the header says when it last was.

A stored notebook keeps the snapshot that was displayed beside the widget. It is replaced once,
when the run ends, so that the notebook does not go on saying "running": not more often, as
a notebook builds the widget's view anew each time.
"""

import threading
import time
from collections.abc import Callable, Iterator
from html import escape
from typing import Any

import ipywidgets
from IPython.display import DisplayHandle, display

from nbflow.core.states import RUN_ENDED, RunStatus
from nbflow.core.view import RunView
from nbflow.drawing.lines import finished, shown_status
from nbflow.drawing.watch import ViewSource, WaitChanged, Watcher
from nbflow.drawing.words import one_line, plural
from nbflow.panels.html import MAX_ROWS, header_html, panel_html, table_html
from nbflow.panels.style import STYLE

#: At most 5 updates a second, and at least one, so that clocks move.
_INTERVAL_S, _IDLE_S = 0.2, 1.0
#: A long table scrolls within the panel.
_TABLE_HEIGHT = "480px"


class RunPanel:
    """A live table of a run's nodes, for display in a notebook.

    Parameters
    ----------
    view
        Gives the latest view of the run; called from another thread.
    wait_changed
        Blocks until the run has changed, at most so many seconds.
    cancel
        Asks for the run to be cancelled, without waiting for it.
    max_rows
        Most nodes that get a row; the most urgent ones do.
    clock
        Gives the time in seconds since the epoch.

    Notes
    -----
    The panel updates itself from its creation until the run has ended or `close` is called,
    displayed or not. It may be displayed any number of times.
    """

    def __init__(
        self,
        view: ViewSource,
        wait_changed: WaitChanged,
        cancel: Callable[[], None],
        *,
        max_rows: int = MAX_ROWS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._view = view
        self._cancel = cancel
        self._max_rows = max_rows
        self._clock = clock
        # `_paint` and `_clicked` run in different threads, and both set the button.
        self._lock = threading.Lock()
        self._asked = False
        # Held while a snapshot is sent, so that none arrives after a newer one.
        self._sending = threading.Lock()
        self._displays: list[DisplayHandle] = []
        self._going = True
        self._header = ipywidgets.HTML(layout=ipywidgets.Layout(flex="1 1 auto"))
        self._button = ipywidgets.Button(
            description="Cancel",
            icon="stop",
            tooltip="Stop the run; it can be resumed",
            layout=ipywidgets.Layout(width="110px", flex="0 0 auto"),
        )
        self._button.on_click(self._clicked)
        self._table = ipywidgets.HTML(
            layout=ipywidgets.Layout(max_height=_TABLE_HEIGHT, overflow="auto")
        )
        #: The widget itself, for layouts of the user's own.
        self.widget = ipywidgets.VBox(
            [
                ipywidgets.HTML(STYLE, layout=ipywidgets.Layout(display="none")),
                ipywidgets.HBox([self._header, self._button]),
                self._table,
            ]
        )
        self.widget.add_class("nbflow-panel")
        self._paint(view())
        self._watcher = Watcher(
            view,
            wait_changed,
            self._paint,
            interval_s=_INTERVAL_S,
            idle_s=_IDLE_S,
            name="nbflow-panel",
            failed=self._show_failure,
        )
        self._watcher.start()

    @property
    def live(self) -> bool:
        """Whether the panel still updates itself."""
        return self._watcher.alive

    def close(self) -> None:
        """Stop updating, and remove the panel wherever it is displayed."""
        self._watcher.stop()
        for widget in _with_parts(self.widget):
            widget.close()

    def _ipython_display_(self) -> None:
        """Display the panel here."""
        with self._sending:
            handle = display(self._repr_mimebundle_(), raw=True, display_id=True)
            if handle is not None:  # there is none outside IPython
                self._displays.append(handle)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """Return the live widget, and a snapshot for readers that have no widgets."""
        view = self._view()
        snapshot = {
            "text/html": panel_html(view, self._clock(), self._max_rows),
            "text/plain": _plain(view),
        }
        if self.widget.comm is None:
            return snapshot  # closed
        return {
            "application/vnd.jupyter.widget-view+json": {
                "version_major": 2,
                "version_minor": 0,
                "model_id": self.widget.model_id,
            },
            **snapshot,
        }

    def _paint(self, view: RunView) -> None:
        now = self._clock()
        self._header.value = header_html(view, now)
        self._table.value = table_html(view, now, self._max_rows)
        with self._lock:
            self._show_button(view.run.status)
        going = view.run.status not in RUN_ENDED
        if self._going and not going:
            self._keep_snapshot()
        self._going = going

    def _keep_snapshot(self) -> None:
        with self._sending:
            for handle in self._displays:
                handle.update(self._repr_mimebundle_(), raw=True)

    def _show_failure(self, error: Exception) -> None:
        what = escape(one_line(f"{type(error).__name__}: {error}"))
        self._header.value += f'<div class="nbflow">! the panel has stopped: {what}</div>'

    def _show_button(self, status: RunStatus) -> None:
        going = status not in RUN_ENDED
        cancelling = going and (self._asked or status is RunStatus.CANCELLING)
        self._button.disabled = cancelling or not going
        self._button.description = "Cancelling" if cancelling else "Cancel"

    def _clicked(self, _: ipywidgets.Button) -> None:
        self._cancel()
        # Only once it has been asked for without an error: otherwise the button may be tried again.
        with self._lock:
            self._asked = True
            self._show_button(self._view().run.status)


def _plain(view: RunView) -> str:
    nodes = f"{finished(view):,}/{plural(len(view.run.nodes), 'node')}"
    return f"run {view.run.id}: {shown_status(view)}, {nodes}"


def _with_parts(widget: ipywidgets.Widget) -> Iterator[ipywidgets.Widget]:
    """Yield `widget` and all it is made of: layouts and styles are widgets of their own."""
    for child in getattr(widget, "children", ()):
        yield from _with_parts(child)
    if isinstance(widget, ipywidgets.DOMWidget):
        yield widget.layout
    if isinstance(widget, ipywidgets.Button | ipywidgets.HTML):
        yield widget.style
    yield widget
