"""Progress of a run in a terminal: a live display, or plain lines where there is no terminal.

Both look at a run from a thread of their own (`nbflow.drawing.watch`), so that
they neither slow it down nor depend on its event loop. `start` comes before the run is
driven, `stop` after: what had ended by `start` counts as done earlier, and `stop` shows everything
up to the last view, whatever the thread had got to. A run that has been let go without an end is
told as interrupted.

What a live display paints is `nbflow.panels.frame`'s. Where somebody can tell why a node is stuck,
both say so: the display as long as it lasts, the lines once.
"""

import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Self, TextIO

from nbflow.core.findings import Diagnosis
from nbflow.core.states import RUN_ENDED
from nbflow.core.view import RunView
from nbflow.drawing.lines import done_earlier, shown_status
from nbflow.drawing.look import NODE_LOOKS, RUN_LOOKS
from nbflow.drawing.news import News
from nbflow.drawing.watch import ViewSource, WaitChanged, Watcher
from nbflow.drawing.words import duration, one_line, plural
from nbflow.panels.diagnosed import Diagnosed

if TYPE_CHECKING:
    # rich is loaded when a live display starts, not when a command line does.
    from rich.console import ConsoleDimensions, RenderableType
    from rich.live import Live

#: A terminal is painted at most 8 times a second, and at least twice, so that clocks move.
_FRAME_S, _IDLE_S = 0.125, 0.5
#: Lines come in batches, so that a fast run does not spend its time in flushing.
_BATCH_S = 0.2
#: What takes no longer than this needs no diagnosis, in seconds; and how often there is one then.
_PATIENCE_S, _DIAGNOSED_EVERY_S = 3.0, 2.0


class ProgressDisplay(ABC):
    """Shows a run from `start` to `stop`; also a context manager that calls both.

    Parameters
    ----------
    view, wait_changed, out
        As for `progress_display`.
    clock
        Gives the time in seconds since the epoch.
    diagnose
        As for `progress_display`.
    """

    #: How often the run is looked at while it changes, and while it does not, in seconds.
    _interval_s: ClassVar[float]
    _idle_s: ClassVar[float] = _IDLE_S
    #: How often it is diagnosed, and after which time first, in seconds.
    _diagnosed_every_s: ClassVar[float] = _DIAGNOSED_EVERY_S
    _diagnosed_after_s: ClassVar[float] = _PATIENCE_S
    #: Name of the thread that looks.
    _thread: ClassVar[str]

    def __init__(
        self,
        view: ViewSource,
        wait_changed: WaitChanged,
        out: TextIO | None = None,
        clock: Callable[[], float] = time.time,
        diagnose: Callable[[], Diagnosis] | None = None,
    ) -> None:
        self._view = view
        self._out = sys.stderr if out is None else out
        self._clock = clock
        self._began_at = 0.0
        self._diagnosed = Diagnosed(
            diagnose, clock, every_s=self._diagnosed_every_s, after_s=self._diagnosed_after_s
        )
        self._watcher = Watcher(
            view,
            wait_changed,
            self._show,
            interval_s=self._interval_s,
            idle_s=self._idle_s,
            name=self._thread,
        )

    @abstractmethod
    def _show(self, view: RunView) -> None:
        """Show the run as it is in `view`; called in the display's thread."""

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
    view: ViewSource,
    wait_changed: WaitChanged,
    out: TextIO | None = None,
    diagnose: Callable[[], Diagnosis] | None = None,
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
    diagnose
        Says what is wrong with the run as it stands; called from another thread.
    """
    stream = sys.stderr if out is None else out
    kind = TerminalProgress if can_animate(stream) else LineProgress
    return kind(view, wait_changed, stream, diagnose=diagnose)


class LineProgress(ProgressDisplay):
    """One plain line for each thing that happened, each exactly once, in order."""

    _interval_s = _BATCH_S
    _thread = "nbflow-lines"
    _news: News | None = None
    #: Findings that have been told: their nodes and kinds.
    _told: frozenset[tuple[str, str]] = frozenset()

    def start(self) -> None:
        """Say which run this is, and begin to tell what happens."""
        view = self._view()
        self._began_at = self._clock()
        self._news = News(view)
        done = done_earlier(view)
        earlier = f", {done:,} done earlier" if done else ""
        self._write([f"{_title(view)}: {plural(len(view.run.nodes), 'node')}{earlier}"])
        self._watcher.start()

    def stop(self) -> None:
        """Tell what is left to tell, and how the run stands."""
        self._watcher.stop()
        view = self._view()
        self._show(view)
        self._write([_summary(view, _elapsed_s(view, self._began_at, self._clock()))])
        if self._watcher.error is not None:
            raise self._watcher.error

    def _show(self, view: RunView) -> None:
        assert self._news is not None, "start() makes it before the thread"
        self._write([*self._news.since(view, self._clock()), *self._stuck(view)])

    def _stuck(self, view: RunView) -> Iterator[str]:
        """Yield what is stuck, as far as it has not been told yet."""
        diagnosis = None if view.run.status in RUN_ENDED else self._diagnosed.latest()
        for finding in diagnosis.findings if diagnosis else ():
            told = (finding.node, str(finding.kind))
            if finding.severity == "stuck" and told not in self._told:
                self._told |= {told}
                what = one_line(finding.summary, 400).rstrip(".")
                step = f". Next: {one_line(finding.suggestions[0])}" if finding.suggestions else ""
                yield f"{one_line(finding.node) or 'run'}: {finding.kind}: {what}{step}"

    def _write(self, lines: list[str]) -> None:
        if not lines:
            return
        # Errors and names are foreign text: a stream in ASCII must not end the run.
        encoding = getattr(self._out, "encoding", None) or "utf-8"
        text = "\n".join(lines).encode(encoding, "backslashreplace").decode(encoding)
        self._out.write(text + "\n")
        self._out.flush()


class TerminalProgress(ProgressDisplay):
    """A live display: a bar for the flow, and a row for each node that runs or has failed."""

    _interval_s = _FRAME_S
    _thread = "nbflow-bars"
    _live: "Live | None" = None

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
            self._show(self._view(), last=True)
        finally:
            self._live.stop()
        if self._watcher.error is not None:
            raise self._watcher.error

    def _show(self, view: RunView, *, last: bool = False) -> None:
        assert self._live is not None, "start() makes it before the thread"
        picture = self._frame(view, self._live.console.size, self._clock(), last=last)
        # The last one is painted by `Live.stop`, which alone does not cut it to the terminal.
        self._live.update(picture, refresh=not last)

    def _frame(
        self, view: RunView, size: "ConsoleDimensions", now: float, *, last: bool
    ) -> "RenderableType":
        """Return what is to be painted."""
        from nbflow.panels.frame import frame  # lazy: it loads rich

        elapsed_s = _elapsed_s(view, self._began_at, now)
        diagnosis = None if last else self._diagnosed.latest()
        return frame(view, size, now, elapsed_s, last=last, diagnosis=diagnosis)


def can_animate(stream: TextIO) -> bool:
    """Whether a stream is a terminal that can be painted."""
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
