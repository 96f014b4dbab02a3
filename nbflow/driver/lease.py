"""Holding a run: the lease is renewed, and requests from outside are noticed.

One background task per driver, with a thread of its own: the driver's writing thread may be busy
with one file for longer than a lease lasts. It never touches the run's state: what it sees becomes
a stimulus, and the driver's loop decides.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec

from nbflow.core.decisions import Decision
from nbflow.driver.stimuli import CancelAsked, Decided, LeaseLost, Stimulus
from nbflow.ports import Journal, Signal

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

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
        put: Callable[[Stimulus], None],
        clock: Callable[[], float],
    ) -> None:
        self._run = run
        self._epoch = epoch
        self._journal = journal
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="nbflow-lease")
        self._put = put
        self._clock = clock
        self._seen: set[int] = set()
        # The lease was taken before the driver was made; nobody knows here how long ago.
        self._renew_at = clock()

    async def keep(self) -> None:
        """Renew and listen until cancelled; whatever else ends it is told by a `LeaseLost`.

        Without a keeper the run would be anyone's, and nobody could cancel it.
        """
        try:
            while True:
                await asyncio.sleep(SIGNAL_POLL_S)
                for signal in await self._call(self._look):
                    if signal.id not in self._seen:
                        self._seen.add(signal.id)
                        self._hear(signal)
        except Exception as error:  # noqa: BLE001 - it ends the drive, which raises it
            self._put(LeaseLost(error))

    async def release(self) -> None:
        """Give the lease back.

        Raises
        ------
        nbflow.core.errors.JournalError
            If that cannot be written.
        """
        # In the thread of the renewals, none of which is under way then.
        await self._call(self._journal.release, self._run, self._epoch)

    def close(self) -> None:
        """End the thread; `keep` has been cancelled."""
        self._thread.shutdown()

    def take_up(self, signals: Iterable[Signal]) -> list[CancelAsked | Decided]:
        """Return what requests ask for that another one has read; they are not heard again."""
        signals = list(signals)
        self._seen.update(signal.id for signal in signals)
        asked = (_asked_by(self._run, signal) for signal in signals)
        return [request for request in asked if request is not None]

    async def _call(self, call: Callable[..., _T], *args: object) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *args)

    def _hear(self, signal: Signal) -> None:
        request = _asked_by(self._run, signal)
        if request is not None:
            self._put(request)

    def _look(self) -> list[Signal]:
        now = self._clock()
        # Also when the clock has been set back: the lease would end by the new one long before.
        if not self._renew_at - LEASE_TTL_S / 3 <= now < self._renew_at:
            self._journal.renew(self._run, self._epoch, now=now, ttl_s=LEASE_TTL_S)
            self._renew_at = now + LEASE_TTL_S / 3
        return self._journal.signals(self._run)


def _asked_by(run: str, signal: Signal) -> CancelAsked | Decided | None:
    """Return what `signal` asks for; None if only another version of this program knows.

    Such a request is left for a driver of that version.
    """
    try:
        if signal.kind == "cancel":
            return CancelAsked(signal.by, signal.id)
        if signal.kind == "decide":
            return Decided(msgspec.json.decode(signal.body, type=Decision), signal.id)
        why = f"there is no request {signal.kind!r}"
    except msgspec.DecodeError as error:
        why = str(error)
    _log.warning("run %s: what %s asks for is not understood: %s", run, signal.by, why)
    return None
