"""What a diagnosis says, for displays that are painted several times a second."""

import logging
from collections.abc import Callable

from nbflow.core.findings import Diagnosis

_log = logging.getLogger(__name__)


class Diagnosed:
    """Asks for a diagnosis now and then, and hands on the latest.

    A diagnosis that fails is told of once. A display goes on without it: it is there to show
    the run, whatever becomes of the reasons.

    Parameters
    ----------
    diagnose
        Gives a diagnosis of the run as it stands; None if nobody can.
    clock
        Seconds since the epoch.
    every_s
        Least time between two.
    after_s
        Time before the first: what is quick needs none.
    """

    def __init__(
        self,
        diagnose: Callable[[], Diagnosis] | None,
        clock: Callable[[], float],
        *,
        every_s: float = 2.0,
        after_s: float = 0.0,
    ) -> None:
        self._diagnose = diagnose
        self._clock = clock
        self._every_s = every_s
        self._due_at = clock() + after_s
        self._latest: Diagnosis | None = None

    def latest(self) -> Diagnosis | None:
        """Return the latest diagnosis; None before the first."""
        now = self._clock()
        if self._diagnose is not None and now >= self._due_at:
            self._due_at = now + self._every_s
            try:
                self._latest = self._diagnose()
            except Exception:  # noqa: BLE001 - told, and no reason to show nothing any more
                _log.warning("why nodes stand still cannot be told any more", exc_info=True)
                self._diagnose, self._latest = None, None
        return self._latest
