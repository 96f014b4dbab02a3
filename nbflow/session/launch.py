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
from collections.abc import Callable
from concurrent.futures import Future

from nbflow import _logs
from nbflow.cluster import DaskCluster
from nbflow.cluster.connecting import Target
from nbflow.core import machine
from nbflow.core.attempts import Printed, Report
from nbflow.core.errors import LostLease
from nbflow.core.view import RunView
from nbflow.definition.input_files import FileMemo, input_digest
from nbflow.driver import Driver, Resumption, Surroundings
from nbflow.driver.stimuli import CancelAsked, Stimulus, StopAsked
from nbflow.ports import ClusterInfo
from nbflow.session.change import Change
from nbflow.session.home import Home, driver_name
from nbflow.session.logbook import FOLDER as LOGS
from nbflow.session.logbook import LogBook
from nbflow.session.observers import Observing
from nbflow.session.observing import Observation
from nbflow.session.resuming import seeds_of
from nbflow.session.samples import FILE as SAMPLES
from nbflow.session.samples import write_samples
from nbflow.session.telemetry import FILE, Publisher

#: How often it is made sure that no change was missed, in seconds.
_LOOK_S = 60.0


class Claimed:
    """A run that this process holds: its state, the fence it was claimed under, how it goes on."""

    def __init__(self, run: machine.Run, epoch: int) -> None:
        self.run = run
        self.epoch = epoch
        self.resumption = Resumption()
        #: Who observes it.
        self.observation = Observation()


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
        self._run: machine.Run | None = None
        self._epoch = 0
        self._files = FileMemo()
        self.change = Change()
        #: Resolves to the run's final state, or to the error that ended its driver.
        self.done: Future[machine.Run] = Future()
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
        self._run = claimed.run
        self._epoch = claimed.epoch
        self._claimed.set_result(claimed)

    def wait_begun(self) -> None:
        """Wait until everybody can read in the journal that the run is driven from here.

        Raises
        ------
        nbflow.core.errors.NbflowError
            What ended the driver before that.
        """
        while self.view().run.epoch != self._epoch:
            if self.done.done():
                self.done.result()
            self.change.wait(_LOOK_S)

    def abort(self) -> None:
        """End the cluster again without having driven anything."""
        for stage in (self._home, self._claimed):
            if not stage.done():
                stage.set_result(None)
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
    def is_replaced(self) -> bool:
        """Whether another driver has taken the run over: what is known here is the past."""
        return self.done.done() and isinstance(self.done.exception(), LostLease)

    def view(self) -> RunView:
        """Return the run as it stands."""
        driver = self._driver
        if driver is None:
            assert self._run is not None, "the launch has no run yet"
            return RunView(self._run, driven=not self.done.done())
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

    async def _drive(self) -> machine.Run | None:
        early: list[Report] = []
        try:
            await self._cluster.start(lambda report: self._hear(report, early))
            home = await asyncio.wrap_future(self._home)
            if home is None:
                return None
            self._info.set_result(await self._cluster.survey(home.store.ref))
            claimed = await asyncio.wrap_future(self._claimed)
            if claimed is None:
                return None
            return await self._drive_run(home, claimed, early)
        finally:
            await self._cluster.close()

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
            clock=self._clock,
            rng=random.Random(),
            on_change=self.change.notify,
            on_printed=self._hear_printed,
        )
