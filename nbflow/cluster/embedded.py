"""The embedded cluster: a scheduler in the driver's loop, workers as processes beside it.

Everything listens on loopback. The scheduler shares the driver's thread, so that
handing over an attempt is not one more hop between processes; workers are
started at once and join while the flow is still being checked. A worker process
that dies is replaced, and its attempts are reported as lost, not silently run again.
"""

import asyncio
import contextlib
import functools
import itertools
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec
import psutil
from dask.system import CPU_COUNT
from distributed import Scheduler
from distributed.deploy.utils import nprocesses_nthreads
from distributed.diagnostics.plugin import SchedulerPlugin

from nbflow import _logs
from nbflow.cluster.worker_process import WorkerOptions
from nbflow.core.errors import ClusterError
from nbflow.kernels.folders import CLUSTER, own, sweep, sweep_ended
from nbflow.worker.cores import share_of_threads

#: How long a worker process may take to end by itself, in seconds.
CLOSE_GRACE_S = 3.0

#: How often in a row a worker process may end before it has joined, until it is given up.
MAX_FAILED_STARTS = 3

#: Pause after the system has refused to start a process, in seconds: it may be short of something.
PAUSE_S = 1.0


class Embedded(msgspec.Struct, frozen=True, omit_defaults=True):
    """How large the embedded cluster is.

    Parameters
    ----------
    workers
        Worker processes; None sizes them to the machine.
    threads
        Attempts that one worker runs at once; None divides the machine's cores.
    resources
        Dask resources that every worker offers, as in ``{"GPU": 1}``.
    dashboard
        Whether to serve Dask's dashboard on a free port of loopback (needs bokeh).
    kernels
        Whether workers get ready for notebooks while they start. `Flow.run` knows.
    """

    workers: int | None = None
    threads: int | None = None
    resources: dict[str, float] = {}
    dashboard: bool = False
    kernels: bool = True

    def __post_init__(self) -> None:
        for name, count in (("workers", self.workers), ("threads", self.threads)):
            if count is not None and count < 1:
                raise ValueError(f"{name} must be 1 or more, not {count}")

    def sized(self) -> tuple[int, int]:
        """Return (workers, threads of each) for this machine."""
        workers, threads = nprocesses_nthreads(CPU_COUNT)
        if self.workers is not None:
            workers, threads = self.workers, max(1, CPU_COUNT // self.workers)
        return workers, self.threads or threads


class _Joins(SchedulerPlugin):
    """Notices which workers have joined."""

    def __init__(self) -> None:
        #: Set while there is a worker.
        self.first = asyncio.Event()
        #: Names of the worker processes that have joined, each with its pid.
        self.seen: set[str] = set()

    def add_worker(self, scheduler: Scheduler, worker: str) -> None:
        """Note a worker that has joined; called by the scheduler."""
        self.seen.add(str(scheduler.workers[worker].name))
        self.first.set()

    def remove_worker(self, scheduler: Scheduler, worker: str, **_: object) -> None:
        """Note that there is none any more, after the last has gone; called by the scheduler."""
        del worker
        if not scheduler.workers:
            self.first.clear()


class OnceScheduler(Scheduler):
    """A scheduler that runs no task twice: a lost worker is an event of ours.

    Being our own, it needs no fences. With no failures allowed, it gives up the tasks that a lost
    worker had before it; what only that worker kept the result of, it would still run again.
    """

    async def remove_worker(
        self, address: str, *, stimulus_id: str, expected: bool = False, close: bool = True
    ) -> Literal["OK", "already-removed"]:
        """Forget a worker, its results, and that anybody wanted those."""
        del expected  # However a worker leaves, its tasks are not for another one.
        leaving = self.workers.get(self.coerce_address(address))
        kept = [] if leaving is None else [task.key for task in leaving.has_what]
        for client in list(self.clients) if kept else ():
            self.client_releases_keys(kept, client, stimulus_id)
        return await super().remove_worker(address, stimulus_id=stimulus_id, close=close)


class EmbeddedCluster:
    """A running embedded cluster.

    Parameters
    ----------
    config
        Its size.
    note
        Receives remarks for people, such as the replacement of a worker.
    gone
        Is told why, when no worker process is left and none will be started again.
    """

    def __init__(
        self, config: Embedded, note: Callable[[str], None], gone: Callable[[str], None]
    ) -> None:
        self.config = config
        self._note = note
        self._gone = gone
        self._joins = _Joins()
        self._folder = _new_folder()
        self._scheduler: Scheduler | None = None
        self._watchers: list[asyncio.Task[None]] = []
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._closing = asyncio.Event()
        #: Worker processes that will not be started again.
        self._given_up = 0
        self._all_given_up = asyncio.Event()
        #: Why the system has refused to start a process, the last time that it did.
        self._unstarted = ""
        self._quiet = contextlib.ExitStack()
        self._sweeping: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """The scheduler's address."""
        assert self._scheduler is not None, "the cluster has not been started"
        return str(self._scheduler.address)

    async def start(self) -> None:
        """Start the scheduler, and the worker processes without waiting for them to join.

        Raises
        ------
        ClusterError
            If the scheduler cannot listen on loopback.
        """
        self._hush()
        try:
            self._scheduler = await OnceScheduler(
                host="127.0.0.1",
                port=0,
                dashboard=self.config.dashboard,
                dashboard_address="127.0.0.1:0",
                allowed_failures=0,
            )
        except OSError as error:
            raise ClusterError(
                f"the embedded cluster cannot listen on loopback: {error}"
            ) from error
        self._scheduler.add_plugin(self._joins)
        workers, threads = self.config.sized()
        for number in range(workers):
            watch = self._keep_running(number, threads)
            self._watchers.append(asyncio.create_task(watch, name=f"nbflow-worker-{number}"))
        # What killed drivers have left may take a while to remove; nobody waits for it but the end.
        self._sweeping = asyncio.create_task(asyncio.to_thread(sweep_ended))

    async def first_worker(self) -> None:
        """Wait until one worker has joined.

        Raises
        ------
        ClusterError
            If the worker processes end instead; their last words are in the message.
        """
        joined = asyncio.create_task(self._joins.first.wait())
        given_up = asyncio.create_task(self._all_given_up.wait())
        await asyncio.wait({joined, given_up}, return_when=asyncio.FIRST_COMPLETED)
        joined.cancel()
        given_up.cancel()
        if not self._joins.first.is_set():
            raise ClusterError(self._no_worker_left())

    async def close(self) -> None:
        """End all worker processes, with what they started, and the scheduler."""
        self._closing.set()
        await self._end_processes()
        ends = await asyncio.gather(*self._watchers, return_exceptions=True)
        if self._scheduler is not None:
            await self._scheduler.close()
        if self._sweeping is not None:
            await self._sweeping
        self._quiet.close()
        self._folder.cleanup()
        for end in ends:
            if end is not None:
                raise end

    async def _end_processes(self) -> None:
        processes = list(self._processes.values())
        families = [child for process in processes for child in _descendants(process.pid)]
        for process in processes:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
        if processes:
            waits = [asyncio.ensure_future(process.wait()) for process in processes]
            await asyncio.wait(waits, timeout=CLOSE_GRACE_S)
        for process in processes:
            if process.returncode is None:
                process.kill()
        for child in families:
            _kill(child)

    def _hush(self) -> None:
        """Let Dask print errors only, as LocalCluster does; a program's terminal is not its own."""
        # Filters of this cluster alone: of two that overlap, the first to end takes away its own.
        dask_log = logging.getLogger("distributed")
        handlers = [it for it in dask_log.handlers if isinstance(it, logging.StreamHandler)]
        errors_only, news_only = functools.partial(_is_error), functools.partial(_is_news)
        scheduler_log = logging.getLogger("distributed.scheduler")
        for place, wanted in (*((it, errors_only) for it in handlers), (scheduler_log, news_only)):
            place.addFilter(wanted)
            self._quiet.callback(place.removeFilter, wanted)

    async def _keep_running(self, number: int, threads: int) -> None:
        failed_starts = 0
        for start in itertools.count():
            # A name is new at each start, so that it tells whether this very process has joined.
            name = f"{number}" if start == 0 else f"{number}.{start}"
            if self._closing.is_set():
                return
            has_joined = await self._run_one(number, name, threads)
            if self._closing.is_set():
                return
            failed_starts = 0 if has_joined else failed_starts + 1
            if failed_starts == MAX_FAILED_STARTS:
                break
        self._note(f"worker {number} could not be started, {MAX_FAILED_STARTS} times in a row")
        self._given_up += 1
        if self._given_up == len(self._watchers):
            self._all_given_up.set()
            self._gone(self._no_worker_left())

    async def _run_one(self, number: int, name: str, threads: int) -> bool:
        """Run a worker process to its end; return whether it has joined the cluster."""
        try:
            process = await self._spawn(number, name, threads)
        except OSError as error:
            self._unstarted = str(error)
            self._note(f"worker {name} could not be started: {error}")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PAUSE_S):
                    await self._closing.wait()
            return False
        self._unstarted = ""
        self._processes[number] = process
        if self._closing.is_set():
            process.kill()  # It came into being while the others were being ended.
        code = await process.wait()
        sweep(process.pid)
        if not self._closing.is_set():
            self._note(f"worker {name} (pid {process.pid}) {_how_it_ended(code)}")
        return name in self._joins.seen

    async def _spawn(self, number: int, name: str, threads: int) -> asyncio.subprocess.Process:
        options = WorkerOptions(
            scheduler=self.address,
            name=name,
            threads=threads,
            local_directory=self._lasting_folder(),
            driver_pid=os.getpid(),
            resources=self.config.resources,
            kernels=self.config.kernels,
        )
        with self._log(number).open("ab") as log, _logs.handed_on() as (variables, descriptors):
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "nbflow.cluster.worker_process",
                msgspec.json.encode(options).decode(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={
                    **os.environ,
                    **share_of_threads(threads * len(self._watchers), os.environ),
                    **variables,
                },
                pass_fds=descriptors,
                # Out of the terminal's process group: Ctrl-C reaches the driver alone.
                start_new_session=True,
            )

    def _lasting_folder(self) -> str:
        """Return the cluster's folder, made anew if somebody has cleaned it up as an old one."""
        if not Path(self._folder.name).is_dir():
            self._folder = _new_folder()
        return self._folder.name

    def _log(self, number: int) -> Path:
        return Path(self._folder.name) / f"worker-{number}.log"

    def _no_worker_left(self) -> str:
        if self._unstarted:
            return f"no worker process of the embedded cluster could start: {self._unstarted}"
        return (
            "no worker process of the embedded cluster could start. One ended with:\n"
            + self._last_words(0)
        )

    def _last_words(self, number: int) -> str:
        log = self._log(number)
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return "\n".join(f"    {line}" for line in lines[-8:])


def _new_folder() -> tempfile.TemporaryDirectory[str]:
    """Make a folder for what worker processes write, which goes with this process."""
    prefix = f"{CLUSTER}{os.getpid()}-"
    folder = tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True)
    own(Path(folder.name))
    return folder


def _is_error(record: logging.LogRecord) -> bool:
    """Whether a line of the log says that something has gone wrong."""
    return record.levelno >= logging.ERROR


def _is_news(record: logging.LogRecord) -> bool:
    """Whether the scheduler says something that the driver does not: a lost task it does."""
    return "marked as failed because" not in record.getMessage()


def _how_it_ended(code: int) -> str:
    if code < 0:
        return f"was killed by signal {-code} ({signal.Signals(-code).name})"
    return f"ended with exit code {code}"


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _kill(process: psutil.Process) -> None:
    """Kill a process that should be gone already; psutil makes sure that it is still the same."""
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return
