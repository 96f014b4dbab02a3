"""Ctrl-C and SIGTERM while a notebook runs: its end is asked for first, the caller's comes after.

The usual handlers would raise in the middle of whatever the caller's thread does, locks included,
or end the process and leave a notebook that seems to be running. So they are replaced while
a caller waits. Handlers that are not the usual ones stay, and in other threads than the main one
there are none: there, the system ends the kernels with the process.
"""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from nbflow.engine.background import Job

#: The handlers that are replaced.
_USUAL = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
#: At so many signals the caller no longer waits.
_PATIENCE = 3


class Terminated(KeyboardInterrupt):
    """The process was asked to end, by SIGTERM."""


class Signals:
    """What has been received while this is entered."""

    def __init__(self) -> None:
        self._received: list[int] = []
        self._job: Job[Any] | None = None
        self._replaced: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number, usual in _USUAL.items():
                if signal.getsignal(number) == usual:
                    self._replaced[number] = signal.signal(number, self.receive)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._replaced.items():
            signal.signal(number, handler)

    def concern(self, job: Job[Any]) -> None:
        """Name what a signal ends."""
        self._job = job
        if self._received:
            self._end(job)

    def receive(self, number: int, _frame: FrameType | None = None) -> None:
        """Ask for the job's end; the second time, have its kernel killed."""
        self._received.append(number)
        if self._job is not None:
            self._end(self._job)

    def raise_any(self) -> None:
        """Raise what the signals mean to the caller, if there were any."""
        if signal.SIGTERM in self._received:
            raise Terminated
        if self._received:
            raise KeyboardInterrupt

    def _end(self, job: Job[Any]) -> None:
        if len(self._received) >= _PATIENCE:
            self.raise_any()
        if len(self._received) == 1:
            job.ask()
        else:
            job.insist()
