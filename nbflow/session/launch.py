"""A driver in a thread of its own, with its cluster.

One thread and one event loop per run that this process drives. So a run goes on while the
caller's code runs, whether that is a script, a notebook's cell or a coroutine, and
"synchronous" is nothing but waiting for the thread. This is where adapters are chosen and
wired together.
"""

import asyncio
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from nbflow import _logs
from nbflow.cluster import DaskCluster
from nbflow.cluster.connecting import Target
from nbflow.core import machine
from nbflow.core.attempts import Printed, Report
from nbflow.core.view import RunView
from nbflow.definition.input_files import FileMemo, input_digest
from nbflow.driver import Driver, Surroundings
from nbflow.driver.stimuli import CancelAsked, Stimulus, StopAsked
from nbflow.ports import ClusterInfo
from nbflow.session.change import Change
from nbflow.session.claiming import Claimed
from nbflow.session.holders import driver_name
from nbflow.session.home import Home
from nbflow.session.logbook import FOLDER as LOGS
from nbflow.session.logbook import LogBook
from nbflow.session.observers import Observing
from nbflow.session.resuming import seeds_of
from nbflow.session.samples import FILE as SAMPLES
from nbflow.session.samples import write_samples
from nbflow.session.telemetry import FILE, Publisher

#: How often it is made sure that no change was missed, in seconds.
_LOOK_S = 60.0


class Launch:
    """The thread of one run.

    The cluster starts at once, while the caller checks the flow; `survey` then
    names the home, and `go` the run.

    Parameters
    ----------
    target
        The cluster.
    clock
        Seconds since the epoch.
    listen
        Called with what cells print, in the launch's thread: it must not block, nor raise.
    """

    def __init__(
        self,
        target: Target,
        *,
        clock: Callable[[], float] = time.time,
        listen: Callable[[Printed], None] | None = None,
    ) -> None:
        self._clock = clock
        self._listen = listen
        #: What the nodes print; None until the run is driven.
        self.logbook: LogBook | None = None
        self._cluster = DaskCluster(target, clock=clock)
        self._home: Future[Home | None] = Future()
        self._claimed: Future[Claimed | None] = Future()
        self._info: Future[ClusterInfo] = Future()
        self._driver: Driver | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._early: list[Stimulus] = []
        self._lock = threading.Lock()
        #: What `abort` cancels, while it goes on.
        self._surveying: asyncio.Task[ClusterInfo] | None = None
        self._held: Claimed | None = None
        self._files = FileMemo()
        self.change = Change()
        #: Resolves to the run's final state, or to the error that ended its driver.
        self.done: Future[machine.Run] = Future()
        # Whoever gives up waiting for it in a loop cancels what he waits for, but not the run.
        self.done.set_running_or_notify_cancel()
        self._thread = threading.Thread(target=self._main, name="nbflow-run", daemon=True)
        self._thread.start()

    def survey(self, home: Home) -> ClusterInfo:
        """Return what the cluster can do for runs of `home`, as soon as it is up.

        Raises
        ------
        nbflow.core.errors.ClusterError
            If it cannot be reached or used.
        """
        self._home.set_result(home)
        return self._info.result()

    def go(self, claimed: Claimed) -> None:
        """Drive this run."""
        self._held = claimed
        self._claimed.set_result(claimed)

    def wait_begun(self) -> None:
        """Wait until everybody can read in the journal that the run is driven from here.

        Raises
        ------
        nbflow.core.errors.NbflowError
            What ended the driver before that.
        """
        while self.view().is_taking_over:
            if self.done.done():
                self.done.result()
            self.change.wait(_LOOK_S)

    def abort(self) -> None:
        """End the cluster again without having driven anything."""
        for stage in (self._home, self._claimed):
            if not stage.done():
                stage.set_result(None)
        with self._lock:
            # A cluster may have no worker for a minute: nobody wants to wait for one any more.
            if self._surveying is not None:
                self._surveying.get_loop().call_soon_threadsafe(self._surveying.cancel)
        self.join()

    def cancel(self, by: str) -> None:
        """Ask for the run to be cancelled."""
        self._ask(CancelAsked(by))

    def stop(self, why: str) -> None:
        """Ask the driver to let go of the run, which stays resumable."""
        self._ask(StopAsked(why))

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait until the thread has ended; False if it has not in time."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def epoch(self) -> int:
        """The fence under which the run is, or was, driven from here."""
        assert self._held is not None, "the launch has no run yet"
        return self._held.epoch

    def view(self) -> RunView:
        """Return the run as it stands."""
        driver, held = self._driver, self._held
        assert held is not None, "the launch has no run yet"
        if driver is None:
            return RunView(
                held.run,
                driven=not self.done.done(),
                is_taking_over=held.run.epoch != held.epoch,
            )
        info, told = self._info.result(), driver.telemetry
        return RunView(
            driver.run,
            progress=told.progress,
            usage=told.usage,
            stacks=told.stacks,
            workers=told.workers,
            dashboard=info.dashboard,
            notes=told.notes,
            driven=not self.done.done(),
            is_taking_over=driver.run.epoch != held.epoch,
        )

    def wait_changed(self, timeout_s: float) -> bool:
        """Wait until the run may look different; False if the time passed without that."""
        return self.change.wait(timeout_s)

    def _ask(self, stimulus: Stimulus) -> None:
        with self._lock:
            if self._driver is None or self._loop is None:
                self._early.append(stimulus)
            elif not self.done.done():
                self._loop.call_soon_threadsafe(self._driver.put, stimulus)

    # --- in the thread ------------------------------------------------------------------------

    def _main(self) -> None:
        try:
            with self._letting_go():
                run = asyncio.run(self._drive())
        except BaseException as error:  # noqa: BLE001 - it is the waiting caller's to see
            if not self._info.done():
                self._info.set_exception(error)
            self.done.set_exception(error)
        else:
            if run is not None:
                self.done.set_result(run)
        finally:
            self.change.notify()

    @contextmanager
    def _letting_go(self) -> Iterator[None]:
        """Let go of the run once nothing of it is at work here any more."""
        try:
            yield
        except BaseException as error:
            # Its driver has given the lease back, unless it could not, or had not come to be.
            if (held := self._held) is not None:
                held.give_back_after(error)
            raise
        finally:
            if (held := self._held) is not None:
                held.take_sign_down()

    async def _drive(self) -> machine.Run | None:
        early: list[Report] = []
        try:
            await self._cluster.start(lambda report: self._hear(report, early))
            home = await asyncio.wrap_future(self._home)
            if home is None or not await self._surveyed(home):
                return None
            claimed = await asyncio.wrap_future(self._claimed)
            if claimed is None:
                return None
            return await self._drive_run(home, claimed, early)
        finally:
            await self._cluster.close()

    async def _surveyed(self, home: Home) -> bool:
        """Ask what the cluster can do; False if nobody wants to know that any more."""
        surveying = asyncio.create_task(self._cluster.survey(home.store.ref))
        with self._lock:
            self._surveying = surveying
            if self._claimed.done():  # aborted: a run is claimed once the survey has ended
                surveying.cancel()
        await asyncio.wait([surveying])
        with self._lock:
            self._surveying = None
        if surveying.cancelled():
            self._info.cancel()
            return False
        self._info.set_result(surveying.result())
        return True

    async def _drive_run(self, home: Home, claimed: Claimed, early: list[Report]) -> machine.Run:
        """Drive the run, with all who look at it."""
        _logs.now_about(_logs.Subject(run=claimed.run.id))
        folder = home.runs_folder(claimed.run.id)
        async with LogBook(folder / LOGS, self._clock) as self.logbook:
            with self._lock:
                self._loop = asyncio.get_running_loop()
                self._driver = driver = self._make_driver(home, claimed)
                for stimulus in (*early, *self._early):
                    driver.put(stimulus)
            with (
                Publisher(folder / FILE, self.view, self.change),
                Observing(claimed.observation.observers, self.view, self.change),
            ):
                try:
                    return await driver.drive()
                finally:
                    write_samples(folder / SAMPLES, driver.telemetry.usage)

    def _hear(self, report: Report, early: list[Report]) -> None:
        if self._driver is None:
            early.append(report)
        else:
            self._driver.put(report)

    def _hear_printed(self, printed: Printed) -> None:
        assert self.logbook is not None
        self.logbook.hear(printed)
        if self._listen is not None:
            self._listen(printed)

    def _make_driver(self, home: Home, claimed: Claimed) -> Driver:
        info = self._info.result()
        return Driver(
            run=claimed.run,
            epoch=claimed.epoch,
            name=driver_name(),
            surroundings=Surroundings(
                journal=home.journal,
                store=home.store,
                cluster=self._cluster,
                shares_store=info.shares_store,
                slots=info.threads,
                cache=home.cache,
                digest_of_files=lambda patterns: input_digest(patterns, self._files).digest,
                seeds=seeds_of(home.journal, claimed.run.forked_from),
                traceparent=claimed.observation.traceparent,
            ),
            resumption=claimed.resumption,
            left=claimed.left,
            clock=self._clock,
            rng=random.Random(),
            on_change=self.change.notify,
            on_printed=self._hear_printed,
        )
