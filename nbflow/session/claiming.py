"""Claiming a run, and letting go of it.

Who claims a run gives it back, whatever happens in between: a lease that nobody gives back keeps
everybody else from the run until it has run out. Where even giving back fails (the disk is full,
the server away), the lease runs out while its process lives and does something else. So there is a
second evidence besides the lease, which needs neither: the process's `Sign`.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from nbflow.core import machine
from nbflow.core.errors import JournalError, LostLease, NbflowError
from nbflow.driver import Resumption
from nbflow.driver.lease import LEASE_TTL_S
from nbflow.session.holders import Sign, driver_name, end_stale_driver, has_let_go
from nbflow.session.home import Home
from nbflow.session.observing import Observation

_log = logging.getLogger(__name__)


class Claimed:
    """A run that this process holds: its state, the fence it was claimed under, how it goes on.

    Parameters
    ----------
    home
        Where it is recorded.
    run, epoch
        Its state, and the fence.
    left
        Requests that stood in the journal before the claim: an earlier driver was meant.
    sign
        By which others see that this process is at work on it.
    """

    def __init__(
        self, home: Home, run: machine.Run, epoch: int, left: Collection[int], sign: Sign
    ) -> None:
        self.run = run
        self.epoch = epoch
        self.left = left
        self.resumption = Resumption()
        #: Who observes it.
        self.observation = Observation()
        self._home = home
        self._sign = sign

    def give_back(self) -> None:
        """Give back the lease, and take the sign down.

        Nothing happens to a lease that was given back before, or is another driver's by now.

        Raises
        ------
        JournalError
            If the lease cannot be given back. It will run out; the sign is down.
        """
        try:
            self._home.journal.release(self.run.id, self.epoch)
        finally:
            self.take_sign_down()

    def give_back_after(self, error: BaseException) -> None:
        """Do the same where `error` is the one to tell: a second one is only logged."""
        try:
            self.give_back()
        except (NbflowError, OSError) as second:
            _log.warning(
                "run %s: after %s, its lease could not be given back, and will run out: %s",
                self.run.id,
                type(error).__name__,
                second,
            )

    def take_sign_down(self) -> None:
        """Show no more that this process is at work on the run; its lease was given back."""
        self._sign.take_down()


def claim(
    home: Home, run: str, clock: Callable[[], float], seen: machine.Run | None = None
) -> Claimed:
    """Take the run's lease and read its state; of what it was when it was `seen`, only what is new.

    A lease whose driver was a process of this machine that has ended is taken over at once, and so
    is one that this process could not give back. One that has run out, while its process is still
    at work on the run, is taken over once that process has been ended.

    Raises
    ------
    RunHeld
        While a live driver holds the run.
    """
    row = home.journal.row(run)
    if row.holder and has_let_go(row):
        home.journal.release(run, row.epoch)
    else:
        end_stale_driver(row, clock())
    # It is up before the lease is good: a process without one is taken to do nothing for the run.
    sign = Sign(row)
    try:
        # Before the claim: whoever asks after it has been told that the run is driven.
        left = [signal.id for signal in home.journal.signals(run)]
        epoch = home.journal.claim(run, driver_name(), now=clock(), ttl_s=LEASE_TTL_S)
        try:
            return Claimed(home, _latest(home, run, seen), epoch, left, sign)
        except BaseException:
            home.journal.release(run, epoch)
            raise
    except BaseException:
        sign.take_down()
        raise


@contextmanager
def claimed(
    home: Home, run: str, clock: Callable[[], float], seen: machine.Run | None = None
) -> Iterator[Claimed]:
    """Claim a run for a driver that is to be started; an error gives it back.

    Parameters and errors are those of `claim`.
    """
    held = claim(home, run, clock, seen)
    try:
        yield held
    except BaseException as error:
        held.give_back_after(error)
        raise


@contextmanager
def briefly_claimed(
    home: Home, run: str, clock: Callable[[], float] = time.time
) -> Iterator[Claimed]:
    """Claim a run to record something, and give it back. Parameters and errors as of `claim`."""
    with claimed(home, run, clock) as held:
        # Receipts lie in a store that may be far away, and slow.
        with kept(home, held, clock):
            yield held
        held.give_back()


@contextmanager
def kept(home: Home, held: Claimed, clock: Callable[[], float]) -> Iterator[None]:
    """Renew the lease of a run, whose driver will do so itself once it drives.

    A cluster may take longer to have its first worker than a lease lasts. Who has lost the lease
    meanwhile is told by the first record that it cannot write.
    """
    over = threading.Event()

    def renew() -> None:
        while not over.wait(LEASE_TTL_S / 3):
            try:
                home.journal.renew(held.run.id, held.epoch, now=clock(), ttl_s=LEASE_TTL_S)
            except LostLease:
                return
            except JournalError as error:
                _log.warning("run %s: its lease was not renewed: %s", held.run.id, error)

    keeping = threading.Thread(target=renew, name="nbflow-launch", daemon=True)
    keeping.start()
    try:
        yield
    finally:
        over.set()
        keeping.join()


def _latest(home: Home, run: str, seen: machine.Run | None) -> machine.Run:
    """Return the state of a run that is held."""
    # What stands in a journal never changes, but a run may be removed, and its id used again.
    if seen is None or (seen.id, seen.created_at) != (run, home.journal.row(run).created_at):
        return machine.replay(home.journal.read(run))
    return machine.continued(seen, home.journal.read(run, seen.seq))
