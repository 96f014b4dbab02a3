"""Holding a run: the lease is renewed, and requests from outside are noticed.

One background task per driver. It never touches the run's state: what it sees
becomes a stimulus, and the driver's loop decides.
"""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import msgspec

from nbflow.core.decisions import Decision
from nbflow.core.errors import NbflowError
from nbflow.driver.stimuli import CancelAsked, Decided, LeaseLost, Stimulus
from nbflow.ports import Journal, Signal

#: How long a driver may be silent before another may take its run over, in seconds.
LEASE_TTL_S = 30.0

#: How often requests that others leave in the journal are looked for, in seconds.
SIGNAL_POLL_S = 0.5


class Keeper:
    """Keeps one run's lease and listens for signals.

    Parameters
    ----------
    run, epoch
        What is held, and by which fence.
    journal
        Where the lease and the signals are.
    writer
        The driver's single writing thread.
    put
        Receives stimuli, in the loop's thread.
    clock
        Seconds since the epoch.
    """

    def __init__(
        self,
        run: str,
        epoch: int,
        journal: Journal,
        writer: ThreadPoolExecutor,
        put: Callable[[Stimulus], None],
        clock: Callable[[], float],
    ) -> None:
        self._run = run
        self._epoch = epoch
        self._journal = journal
        self._writer = writer
        self._put = put
        self._clock = clock
        self._seen: set[int] = set()
        self._renew_at = clock() + LEASE_TTL_S / 3

    async def keep(self) -> None:
        """Renew and listen until cancelled; a lost lease ends it with a `LeaseLost`."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await asyncio.sleep(SIGNAL_POLL_S)
                for signal in await loop.run_in_executor(self._writer, self._look):
                    if signal.id not in self._seen:
                        self._seen.add(signal.id)
                        self._hear(signal)
        except NbflowError as error:
            self._put(LeaseLost(error))

    def take_up(self, signals: Iterable[Signal]) -> list[CancelAsked | Decided]:
        """Return what requests ask for that another one has read; they are not heard again."""
        signals = list(signals)
        self._seen.update(signal.id for signal in signals)
        asked = (_asked_by(signal) for signal in signals)
        return [request for request in asked if request is not None]

    def _hear(self, signal: Signal) -> None:
        request = _asked_by(signal)
        if request is not None:
            self._put(request)

    def _look(self) -> list[Signal]:
        now = self._clock()
        # Also when the clock has been set back: the lease would end by the new one long before.
        if not self._renew_at - LEASE_TTL_S / 3 <= now < self._renew_at:
            self._journal.renew(self._run, self._epoch, now=now, ttl_s=LEASE_TTL_S)
            self._renew_at = now + LEASE_TTL_S / 3
        return self._journal.signals(self._run)


def _asked_by(signal: Signal) -> CancelAsked | Decided | None:
    """Return what `signal` asks for; None if only another version of this program knows."""
    if signal.kind == "cancel":
        return CancelAsked(signal.by, signal.id)
    if signal.kind == "decide":
        return Decided(msgspec.json.decode(signal.body, type=Decision), signal.id)
    return None
