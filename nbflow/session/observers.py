"""Observers: whoever wants to see a run that this process drives whenever it has changed.

Metrics and traces are made by them. They look from a thread of their own, so that nothing they do
holds up the run; one that fails is told of once, and left out from then on.
"""

import logging
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol, Self

from nbflow.core.view import RunView
from nbflow.drawing.watch import Watcher
from nbflow.session.change import Change

_log = logging.getLogger(__name__)

#: Least time between two looks, and longest, in seconds.
_INTERVAL_S, _IDLE_S = 0.2, 5.0


class Observer(Protocol):
    """Sees a run as it changes."""

    def __call__(self, view: RunView) -> None:
        """Look at the run; changes that came at once are seen at once."""

    def close(self) -> None:
        """Let go: nothing more will be seen of the run from here."""


class Observing:
    """Shows a run to its observers for as long as its context lasts, and once more at its end.

    Parameters
    ----------
    observers
        Are called from one thread, in order.
    view
        Gives the run as it stands.
    change
        Tells when that may have changed.
    """

    def __init__(
        self, observers: Sequence[Observer], view: Callable[[], RunView], change: Change
    ) -> None:
        self._observers = list(observers)
        self._view = view
        self._change = change
        self._watcher = Watcher(
            view,
            change.wait,
            self._show,
            interval_s=_INTERVAL_S,
            idle_s=_IDLE_S,
            name="nbflow-observers",
        )

    def __enter__(self) -> Self:
        if self._observers:
            self._watcher.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._observers:
            return
        self._change.notify()
        self._watcher.stop()
        self._show(self._view())
        for observer in self._observers:
            try:
                observer.close()
            except Exception:  # noqa: BLE001 - told, and no reason to end a run
                _log.exception("an observer of the run could not be closed")

    def _show(self, view: RunView) -> None:
        for observer in tuple(self._observers):
            try:
                observer(view)
            except Exception:  # noqa: BLE001 - told, and no reason to end a run
                _log.exception("an observer of the run has failed, and sees no more of it")
                self._observers.remove(observer)
