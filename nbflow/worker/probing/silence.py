"""When a cell is silent for so long that its stack should be looked at.

A cell that prints, shows or begins is not silent. The first look comes soon enough to say where a
cell stands that has got stuck; then each waits as long again as has passed, up to a minute.
"""

from collections.abc import Callable

from nbflow.core.stacks import Stack

#: Seconds of silence after which stacks are taken; then every `_EVERY_S` seconds.
_FIRST_S = (2.0, 4.0, 8.0, 16.0, 32.0, 60.0)
_EVERY_S = 60.0


class Silence:
    """How long the cell that runs has been silent. Written by the event loop, read by the prober.

    Parameters
    ----------
    clock
        Seconds of a clock that nobody sets; the prober's.
    take
        Takes a stack while the cell with that index runs; None where there is nothing to take one.
    """

    def __init__(self, clock: Callable[[], float], take: Callable[[int], Stack] | None) -> None:
        self._clock = clock
        self._take = take
        #: Since when the present cell has been silent; no cell runs if there is no index.
        self._since: tuple[float, int | None] = (clock(), None)
        self._due_s = _FIRST_S[0]
        #: For which silence `_due_s` holds: one that began at this time.
        self._due_since = 0.0

    def cell_begins(self, index: int | None) -> None:
        """Note that a cell begins, or (None) that none runs any more."""
        self._since = (self._clock(), index)

    def heard(self) -> None:
        """Note that the cell has printed or shown something."""
        self._since = (self._clock(), self._since[1])

    def due(self, now: float) -> Callable[[], Stack] | None:
        """Return what takes a stack, if it is time for the next one; then the time is over."""
        since, cell = self._since
        take = self._take
        if take is None or cell is None:
            return None
        if since != self._due_since:
            self._due_since, self._due_s = since, _FIRST_S[0]
        silent_s = now - since
        if silent_s < self._due_s:
            return None
        self._due_s = next((it for it in _FIRST_S if it > silent_s), silent_s + _EVERY_S)
        index = cell
        return lambda: take(index)
