"""Progress of a run in a terminal: a live display, or plain lines where there is no terminal.

Both look at a run from a thread of their own (`nbflow.drawing.watch`), so that
they neither slow it down nor depend on its event loop. `start` comes before the run is
driven, `stop` after: what had ended by `start` counts as done earlier, and `stop` shows everything
up to the last view, whatever the thread had got to.
"""

import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from nbflow.core.states import RUN_ENDED, NodeState
from nbflow.core.view import RunView
from nbflow.drawing.lines import NodeLine, finished, node_line, shown_status
from nbflow.drawing.look import NODE_LOOKS, RUN_LOOKS
from nbflow.drawing.news import News
from nbflow.drawing.watch import ViewSource, WaitChanged, Watcher
from nbflow.drawing.words import duration, one_line, plural

if TYPE_CHECKING:
    # rich is loaded when the first frame is painted, not when a command line starts up.
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text

#: A terminal is painted at most 8 times a second, and at least twice, so that clocks move.
_FRAME_S, _IDLE_S = 0.125, 0.5
#: Lines come in batches, so that a fast run does not spend its time in flushing.
_BATCH_S = 0.2
#: Most failures that are listed while a run goes on, and at its end.
_LIVE_FAILURES, _FINAL_FAILURES = 5, 30
_SHOWN_LIVE = (NodeState.RUNNING, NodeState.BACKING_OFF)
_TROUBLE = frozenset({NodeState.FAILED, NodeState.BACKING_OFF})
#: Widths in terminal cells.
_BAR_WIDTH, _CELLS_BAR_WIDTH, _NAME_WIDTH = 30, 12, 32


class ProgressDisplay(ABC):
    """Shows a run from `start` to `stop`; also a context manager that calls both."""

    @abstractmethod
    def start(self) -> None:
        """Begin to show the run, from another thread."""

    @abstractmethod
    def stop(self) -> None:
        """Show the last state, and end the thread."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        except Exception as trouble:
            if error is None:
                raise
            # What ended the run matters more than that its picture could not be finished.
            if trouble is not error:
                error.add_note(f"Its progress could not be shown either: {trouble!r}")


def progress_display(
    view: ViewSource, wait_changed: WaitChanged, out: TextIO | None = None
) -> ProgressDisplay:
    """Return the display that suits a stream.

    Parameters
    ----------
    view
        Gives the latest view of the run; called from another thread.
    wait_changed
        Blocks until the run has changed, at most so many seconds.
    out
        Where to write; standard error by default.
    """
    stream = sys.stderr if out is None else out
    if _can_animate(stream):
        return TerminalProgress(view, wait_changed, stream)
    return LineProgress(view, wait_changed, stream)


class LineProgress(ProgressDisplay):
    """One plain line for each thing that happened, each exactly once, in order.

    Parameters
    ----------
    view, wait_changed, out
        As for `progress_display`.
    clock
        Gives the time in seconds since the epoch.
    """

    def __init__(
        self,
        view: ViewSource,
        wait_changed: WaitChanged,
        out: TextIO | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._view = view
        self._out = sys.stderr if out is None else out
        self._clock = clock
        self._watcher = Watcher(
            view, wait_changed, self._tell, interval_s=_BATCH_S, idle_s=_IDLE_S, name="nbflow-lines"
        )
        self._news: News | None = None
        self._began_at = 0.0

    def start(self) -> None:
        """Say which run this is, and begin to tell what happens."""
        view = self._view()
        self._began_at = self._clock()
        self._news = News(view)
        done = finished(view)
        earlier = f", {done:,} done earlier" if done else ""
        self._write([f"{_title(view)}: {plural(len(view.run.nodes), 'node')}{earlier}"])
        self._watcher.start()

    def stop(self) -> None:
        """Tell what is left to tell, and how the run stands."""
        self._watcher.stop()
        view = self._view()
        self._tell(view)
        self._write([_summary(view, _elapsed_s(view, self._began_at, self._clock()))])
        if self._watcher.error is not None:
            raise self._watcher.error

    def _tell(self, view: RunView) -> None:
        assert self._news is not None, "start() makes it before the thread"
        self._write(self._news.since(view, self._clock()))

    def _write(self, lines: list[str]) -> None:
        if not lines:
            return
        # Errors and names are foreign text: a stream in ASCII must not end the run.
        encoding = getattr(self._out, "encoding", None) or "utf-8"
        text = "\n".join(lines).encode(encoding, "backslashreplace").decode(encoding)
        self._out.write(text + "\n")
        self._out.flush()


class TerminalProgress(ProgressDisplay):
    """A live display: a bar for the flow, and a row for each node that runs or has failed.

    Parameters
    ----------
    view, wait_changed, out
        As for `progress_display`.
    clock
        Gives the time in seconds since the epoch.
    """

    def __init__(
        self,
        view: ViewSource,
        wait_changed: WaitChanged,
        out: TextIO | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._view = view
        self._out = sys.stderr if out is None else out
        self._clock = clock
        self._watcher = Watcher(
            view, wait_changed, self._paint, interval_s=_FRAME_S, idle_s=_IDLE_S, name="nbflow-bars"
        )
        self._live: Live | None = None
        self._began_at = 0.0

    def start(self) -> None:
        """Take the cursor, and begin to paint."""
        from rich.console import Console
        from rich.live import Live

        self._began_at = self._clock()
        self._live = Live(
            console=Console(file=self._out, highlight=False, markup=False, emoji=False),
            auto_refresh=False,
            # Standard output belongs to results and may be a pipe; what others write to
            # standard error appears above the display instead of tearing it.
            redirect_stdout=False,
            redirect_stderr=self._out is sys.stderr,
        )
        self._live.start()
        self._watcher.start()

    def stop(self) -> None:
        """Paint the last state, leave it on the screen, and give the cursor back."""
        if self._live is None:
            return
        try:
            self._watcher.stop()
            self._paint(self._view(), last=True)
        finally:
            self._live.stop()
        if self._watcher.error is not None:
            raise self._watcher.error

    def _paint(self, view: RunView, *, last: bool = False) -> None:
        assert self._live is not None, "start() makes it before the thread"
        console = self._live.console
        self._live.update(
            frame(view, console, self._clock(), self._began_at, last=last), refresh=True
        )


# --- what is shown ----------------------------------------------------------------------------


def frame(
    view: RunView, console: "Console", now: float, began_at: float, *, last: bool
) -> "RenderableType":
    """Return one frame of the live display, not higher than the terminal unless it is the last.

    Parameters
    ----------
    view
        What is shown.
    console
        Where it will be shown.
    now, began_at
        The present, and since when the run is watched, in seconds since the epoch.
    last
        Whether this frame stays on the screen: all failures then, and nothing of what runs.
    """
    from rich.console import Group

    # Header, overall bar, and a line for what does not fit.
    room = max(1, console.size.height - 4)
    names = _last_names(view) if last else _live_names(view, room)
    hidden = "" if last else _hidden(view, names)
    return Group(
        _header(view, _elapsed_s(view, began_at, now)),
        _overall(view),
        *([_rows([node_line(view, name, now) for name in names])] if names else []),
        *([_dim(hidden)] if hidden else []),
    )


def _can_animate(stream: TextIO) -> bool:
    encoding = getattr(stream, "encoding", None) or ""
    return (
        stream.isatty() and os.environ.get("TERM") != "dumb" and encoding.lower().startswith("utf")
    )


def _title(view: RunView) -> str:
    return f"{one_line(view.run.graph.spec.name)} {one_line(view.run.id)}"


def _elapsed_s(view: RunView, began_at: float, now: float) -> float:
    # A resumed run may have been created days ago: what is shown is how long one has waited.
    ended_at = view.run.ended_at if view.run.status in RUN_ENDED else None
    return max(0.0, (now if ended_at is None else ended_at) - began_at)


def _summary(view: RunView, elapsed_s: float) -> str:
    status = shown_status(view)
    time_word = "in" if status in RUN_ENDED else "after"
    what = f"{_title(view)}: {RUN_LOOKS[status].word} {time_word} {duration(elapsed_s)}"
    counts = ", ".join(f"{n:,} {NODE_LOOKS[state].word}" for state, n in view.counts.items())
    return f"{what}: {counts}" if counts else what


def _live_names(view: RunView, room: int) -> list[str]:
    """Choose the rows of a frame: the latest failures, then what runs or waits for a retry."""
    nodes = view.run.nodes
    busy = [name for name in view.run.graph.nodes if nodes[name].state in _SHOWN_LIVE]
    failed = [name for name, node in nodes.items() if node.state is NodeState.FAILED]
    failed.sort(key=lambda name: nodes[name].ended_at or 0.0)
    kept = failed[-min(_LIVE_FAILURES, max(1, room - len(busy))) :]
    return [*kept, *busy][:room]


def _last_names(view: RunView) -> list[str]:
    nodes = view.run.nodes
    failed = [name for name in view.run.graph.nodes if nodes[name].state is NodeState.FAILED]
    return failed[:_FINAL_FAILURES]


def _hidden(view: RunView, names: list[str]) -> str:
    """Say what a frame had no room for."""
    shown = set(names)
    counts = dict.fromkeys((*_SHOWN_LIVE, NodeState.FAILED), 0)
    for name, node in view.run.nodes.items():
        if node.state in counts and name not in shown:
            counts[node.state] += 1
    parts = [f"{n:,} more {NODE_LOOKS[state].word}" for state, n in counts.items() if n]
    return "… and " + ", ".join(parts) if parts else ""


# --- rich -------------------------------------------------------------------------------------
# Only `Text` is used, never markup: names and messages are foreign, and may hold brackets.


def _header(view: RunView, elapsed_s: float) -> "Text":
    from rich.text import Text

    look = RUN_LOOKS[shown_status(view)]
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f"{look.glyph} {one_line(view.run.graph.spec.name)}", style=f"bold {look.rich}")
    text.append(f"  {one_line(view.run.id)}  ", style="dim")
    text.append(look.word, style=look.rich)
    text.append(f"  {duration(elapsed_s)}")
    if view.dashboard:
        text.append(f"  {one_line(view.dashboard)}", style="dim")
    return text


def _overall(view: RunView) -> "Table":
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    total, done = len(view.run.nodes), finished(view)
    counts = Text(no_wrap=True, overflow="ellipsis")
    for state, number in view.counts.items():
        look = NODE_LOOKS[state]
        counts.append(f"{look.glyph} {number:,} {look.word}  ", style=look.rich)
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=_BAR_WIDTH)
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, overflow="ellipsis")
    style = "red" if view.run.failed else "green"
    bar = ProgressBar(total or 1, done, complete_style=style, finished_style=style)
    grid.add_row(bar, Text(f"{done:,}/{total:,} nodes"), counts)
    return grid


def _rows(lines: list[NodeLine]) -> "Table":
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(width=1)
    grid.add_column(no_wrap=True, overflow="ellipsis", max_width=_NAME_WIDTH)
    grid.add_column(width=_CELLS_BAR_WIDTH)
    grid.add_column(no_wrap=True, justify="right")
    grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    grid.add_column(no_wrap=True, justify="right")
    for line in lines:
        look = NODE_LOOKS[line.state]
        bar: ProgressBar | Text = Text("")
        if line.total:
            bar = ProgressBar(line.total, line.done or 0, complete_style=look.rich)
        grid.add_row(
            Text(look.glyph, style=look.rich),
            Text(line.name),
            bar,
            Text(f"{line.done}/{line.total}" if line.total else ""),
            Text(line.note, style=look.rich if line.state in _TROUBLE else "dim"),
            Text("" if line.elapsed_s is None else duration(line.elapsed_s)),
        )
    return grid


def _dim(text: str) -> "Text":
    from rich.text import Text

    return Text(text, style="dim", no_wrap=True, overflow="ellipsis")
