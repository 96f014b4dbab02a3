"""The display of ``nbflow top``: a live table of what runs, on a terminal."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, TextIO

from nbflow.core.findings import Diagnosis
from nbflow.core.view import RunView
from nbflow.drawing.watch import ViewSource, WaitChanged
from nbflow.panels.terminal import TerminalProgress

if TYPE_CHECKING:
    from rich.console import ConsoleDimensions, RenderableType


class TopDisplay(TerminalProgress):
    """Shows a run as a table, from `start` to `stop`.

    Parameters
    ----------
    view, wait_changed, out, clock
        As of `ProgressDisplay`.
    diagnose
        Says what is wrong with the run, and what its nodes do.
    """

    _interval_s: ClassVar[float] = 0.5
    _idle_s: ClassVar[float] = 1.0
    _thread: ClassVar[str] = "nbflow-top"
    _diagnosed_every_s: ClassVar[float] = 1.0
    _diagnosed_after_s: ClassVar[float] = 0.0

    def __init__(
        self,
        view: ViewSource,
        wait_changed: WaitChanged,
        diagnose: Callable[[], Diagnosis],
        out: TextIO,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(view, wait_changed, out, clock, diagnose)

    def _frame(
        self, view: RunView, size: "ConsoleDimensions", now: float, *, last: bool
    ) -> "RenderableType":
        from nbflow.panels.top_frame import top_frame  # lazy: it loads rich

        del last
        return top_frame(view, self._diagnosed.latest(), size, now)
