"""Warm kernels: fork servers, and processes that have been forked before anybody asks.

There is one fork server for each `Birth` that kernels were asked of. It starts with the first
request, gets a successor when it has died, when IPython's configuration has changed, or when it has
kernels and modules are asked for that it has not loaded, and ends when it has had no kernel for a
while.

Of each kind of kernel some wait ready. How many follows demand: a request that finds none (a
miss) raises the number by one, up to a limit; a kernel that has waited in vain for long is let go
and lowers it by one. So a batch that runs two notebooks at a time soon finds two kernels ready,
and a quiet machine has none.

The pool belongs to no event loop: it can be used from several threads at once.
"""

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec

from nbflow.kernels.birth import Birth
from nbflow.kernels.errors import KernelStartFailed
from nbflow.kernels.forking import Claim, ForkedProcess, ForkServer, ForkServerEnded
from nbflow.kernels.preloading import known_unsafe

T = TypeVar("T")

_log = logging.getLogger(__name__)

#: Times in a row that a server may end before it is ready, without any module to blame.
_PATIENCE = 2
#: Forks that may end before they are claimed.
_TRIES = 3
#: A server that has had no kernel for so long ends.
_SERVER_IDLE_S = 300.0
#: A kernel that has waited so long for somebody to claim it is let go.
_KERNEL_IDLE_S = 30.0
#: How the variables begin that one kernel alone gets.
_OWN = "NBFLOW_"
_MODULE_SUFFIXES = frozenset({".py", ".pyc", ".so"})
#: Starts whose durations are remembered.
_REMEMBERED = 1000


class NotPreloaded(msgspec.Struct, frozen=True):
    """A module that a pool could not load ahead, and why; kernels import it themselves."""

    module: str
    why: str


class PoolStats(msgspec.Struct, frozen=True):
    """What a pool has done so far.

    `hits` are kernels that were ready, `misses` those that had to be forked first; `ordinary`
    are starts that could not be warm. `start_s` are the latest durations, in seconds, from
    request to claim. `not_preloaded` are the modules that could not be loaded ahead.
    """

    hits: int = 0
    misses: int = 0
    ordinary: int = 0
    servers_started: int = 0
    servers_lost: int = 0
    idle_reaped: int = 0
    idle: int = 0
    start_s: tuple[float, ...] = ()
    not_preloaded: tuple[NotPreloaded, ...] = ()


class NoWarmKernel(KernelStartFailed):
    """No fork server can be had; an ordinary start may still do."""


@dataclass(slots=True)
class _Waiting:
    """Kernels of one server that wait to be claimed."""

    #: How many should wait.
    wanted: int = 0
    #: How many have been asked for, and are not there yet.
    coming: int = 0
    ready: list[tuple[float, ForkedProcess]] = field(default_factory=list)


@dataclass(slots=True)
class _Line:
    """The fork servers of one birth: the current one, and what was learned from earlier ones."""

    server: ForkServer | None = None
    waiting: _Waiting = field(default_factory=_Waiting)
    #: Modules that end a server or leave threads.
    unfit: set[str] = field(default_factory=set)
    failures: int = 0
    used_at: float = 0.0


class WarmPool:
    """Hands out warm kernels.

    Parameters
    ----------
    idle_limit
        How many of one kind may wait ready; None for as many as there are cores to use.
    kernel_idle_s, server_idle_s
        Seconds after which what is not used ends.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        *,
        idle_limit: int | None = None,
        kernel_idle_s: float = _KERNEL_IDLE_S,
        server_idle_s: float = _SERVER_IDLE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._idle_limit = _cores() if idle_limit is None else idle_limit
        self._kernel_idle_s = kernel_idle_s
        self._server_idle_s = server_idle_s
        self._clock = clock
        self._lines: dict[Birth, _Line] = {}
        #: Servers that have a successor, and live until their kernels have ended.
        self._retired: list[ForkServer] = []
        self._stats = PoolStats()
        self._closed = False
        # Reentrant: a future that is done already calls back at once.
        self._lock = threading.RLock()

    def stats(self) -> PoolStats:
        """Return what the pool has done so far."""
        with self._lock:
            idle = sum(len(line.waiting.ready) for line in self._lines.values())
            return msgspec.structs.replace(self._stats, idle=idle)

    def count_ordinary(self) -> None:
        """Note a kernel that was started without the pool."""
        self._count(ordinary=1)

    def prepare(self, birth: Birth, env: Mapping[str, str], preload: Iterable[str]) -> None:
        """Start the fork server for `birth`, if it is not there; a kernel will soon be wanted."""
        with self._lock:
            self._server(birth, env, frozenset(preload))

    async def acquire(
        self,
        birth: Birth,
        preload: Iterable[str],
        claim: Claim,
        descriptors: tuple[int, int, int],
    ) -> ForkedProcess:
        """Return a process that becomes the kernel of `claim`.

        Parameters
        ----------
        birth
            Which server it must come from.
        preload
            Modules that should be loaded.
        claim, descriptors
            See `ForkedProcess.become`.

        Raises
        ------
        NoWarmKernel
            If no fork server can be had, or the kernel would import other modules than it should.
        """
        began = self._clock()
        wanted = frozenset(preload) - set(known_unsafe(preload))
        for _ in range(_TRIES):
            server = await self._ready_server(birth, claim.env, wanted)
            hidden = _shadowed(server.packages, Path(claim.cwd))
            if hidden:
                what = f"{claim.cwd} has a {hidden!r} of its own, which warm kernels have loaded"
                raise NoWarmKernel("python", what, None)
            process = self._take(birth, server)
            hit = process is not None
            try:
                if process is None:
                    process = await _forked(server)
                process.become(claim, descriptors)
            except (OSError, ForkServerEnded):
                # It died while it waited, or its server did.
                continue
            self._acquired(birth, server, hit=hit, took_s=self._clock() - began)
            return process
        raise NoWarmKernel("python", "forked kernels end before they can be claimed", None)

    def close(self) -> None:
        """End all servers with all their kernels."""
        with self._lock:
            self._closed = True
            servers = [line.server for line in self._lines.values() if line.server is not None]
            servers += self._retired
            self._lines.clear()
            self._retired.clear()
        for server in servers:
            server.close()

    async def _ready_server(
        self, birth: Birth, env: Mapping[str, str], preload: frozenset[str]
    ) -> ForkServer:
        while True:
            with self._lock:
                server = self._server(birth, env, preload)
            try:
                await _promised(server.ready)
            except ForkServerEnded as error:
                self._learn(birth, server, error)
            else:
                self._tell_failed(server.failed)
                with self._lock:
                    self._lines[birth].failures = 0
                if server.alive:
                    return server

    def _server(self, birth: Birth, env: Mapping[str, str], preload: frozenset[str]) -> ForkServer:
        """Return the current server for `birth`, or a new one if that will not do."""
        if self._closed:
            raise NoWarmKernel("python", "its pool is closed", None)
        line = self._lines.setdefault(birth, _Line())
        line.used_at = self._clock()
        wanted = preload - line.unfit
        current = line.server
        if current is not None and current.alive and current.stale:
            self._retire(line, current)
        elif current is not None and current.alive:
            if wanted <= current.preload:
                return current
            # What takes its place can do all that this one can.
            wanted |= current.preload - line.unfit
            if current.unused:
                current.load(wanted)
                return current
            self._retire(line, current)
        elif current is not None:
            self._count(servers_lost=1)
            line.waiting = _Waiting()
        # What is not read early is each kernel's own matter; what marks a kernel, above all.
        born = {name: value for name, value in env.items() if not name.startswith(_OWN)}
        born |= dict(birth.env)
        line.server = ForkServer(birth.command, birth.arguments, born, wanted, tick=self._tick)
        self._count(servers_started=1)
        return line.server

    def _learn(self, birth: Birth, server: ForkServer, error: ForkServerEnded) -> None:
        """Remember why a server did not get ready; raise when there is nothing left to try."""
        with self._lock:
            line = self._lines.setdefault(birth, _Line())
            if line.server is not server:
                return  # Somebody else has learned it already.
            line.server = None
            self._count(servers_lost=1)
            if error.culprit is not None and error.culprit not in line.unfit:
                line.unfit.add(error.culprit)
                self._tell_failed({error.culprit: str(error), **server.failed})
                return
            line.failures += 1
            if line.failures >= _PATIENCE:
                line.failures = 0
                raise NoWarmKernel("python", str(error), None) from error

    def _tell_failed(self, failed: Mapping[str, str]) -> None:
        """Tell of modules that could not be loaded ahead: each once, however many servers try."""
        with self._lock:
            known = self._stats.not_preloaded
            names = {it.module for it in known}
            new = tuple(NotPreloaded(*it) for it in failed.items() if it[0] not in names)
            self._stats = msgspec.structs.replace(self._stats, not_preloaded=known + new)
        for it in new:
            _log.warning("%r is not loaded ahead of kernels, but in each: %s", it.module, it.why)

    def _take(self, birth: Birth, server: ForkServer) -> ForkedProcess | None:
        with self._lock:
            line = self._lines.get(birth)
            if line is None or line.server is not server:
                return None
            while line.waiting.ready:
                # The one that has waited least is the likeliest to be in the caches still.
                _, process = line.waiting.ready.pop()
                if process.poll() is None:
                    return process
            return None

    def _acquired(
        self,
        birth: Birth,
        server: ForkServer,
        *,
        hit: bool,
        took_s: float,
    ) -> None:
        with self._lock:
            times = (*self._stats.start_s[-_REMEMBERED + 1 :], took_s)
            self._stats = msgspec.structs.replace(self._stats, start_s=times)
            self._count(hits=1) if hit else self._count(misses=1)
            line = self._lines.get(birth)
            if line is None or line.server is not server:
                return
            waiting = line.waiting
            if not hit:
                waiting.wanted = min(self._idle_limit, waiting.wanted + 1)
            for _ in range(waiting.wanted - waiting.coming - len(waiting.ready)):
                waiting.coming += 1
                server.fork().add_done_callback(lambda come: self._came(waiting, come))

    def _came(self, waiting: _Waiting, come: "Future[ForkedProcess]") -> None:
        """Put a new process among those that wait."""
        with self._lock:
            waiting.coming -= 1
            if come.exception() is None:
                waiting.ready.append((self._clock(), come.result()))

    def _tick(self) -> None:
        """Let go what has waited for long; called from the servers' threads."""
        now = self._clock()
        with self._lock:
            for birth, line in list(self._lines.items()):
                self._thin(line.waiting, now)
                unused = line.server is None or line.server.children == 0
                if unused and now - line.used_at > self._server_idle_s:
                    del self._lines[birth]
                    if line.server is not None:
                        self._retired.append(line.server)
            idle = [server for server in self._retired if not server.alive or server.children == 0]
            self._retired = [server for server in self._retired if server not in idle]
        for server in idle:
            server.close()

    def _thin(self, waiting: _Waiting, now: float) -> None:
        while waiting.ready and now - waiting.ready[0][0] > self._kernel_idle_s:
            waiting.ready.pop(0)[1].abandon()
            waiting.wanted = max(0, waiting.wanted - 1)
            self._count(idle_reaped=1)

    def _retire(self, line: _Line, server: ForkServer) -> None:
        for _, process in line.waiting.ready:
            process.abandon()
        line.waiting = _Waiting()
        self._retired.append(server)

    def _count(self, **by: int) -> None:
        with self._lock:
            changed = {name: getattr(self._stats, name) + more for name, more in by.items()}
            self._stats = msgspec.structs.replace(self._stats, **changed)


def _cores() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


async def _promised(future: Future[T]) -> T:
    """Await a future that others may await, too: who stops waiting does not cancel it for them."""
    return await asyncio.shield(asyncio.wrap_future(future))


async def _forked(server: ForkServer) -> ForkedProcess:
    coming = server.fork()
    try:
        return await _promised(coming)
    except asyncio.CancelledError:
        coming.add_done_callback(_abandon)
        raise


def _abandon(come: Future[ForkedProcess]) -> None:
    if come.exception() is None:
        come.result().abandon()


def _shadowed(packages: frozenset[str], folder: Path) -> str | None:
    """Return a module in `folder` that would come before one of `packages`, were that not loaded.

    A kernel's working directory is the first place in which it looks for modules.
    """
    for entry in os.scandir(folder):
        name, suffix = os.path.splitext(entry.name)  # noqa: PTH122 - for every file of a folder
        module = name.partition(".")[0]
        if module in packages and (
            suffix in _MODULE_SUFFIXES or Path(entry.path, "__init__.py").is_file()
        ):
            return module
    return None
