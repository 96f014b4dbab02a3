"""The cluster's workers, as its scheduler sees them: told every few seconds, and when they change.

The scheduler is asked for its workers as a whole: for a thousand of them, that took it 9 ms, and
this process 20 ms. So many are asked for less often: a hundred every two seconds, a thousand every
ten. In between, the scheduler is asked only how many there are, so that one that comes or goes is
told soon. (It would say so by itself, in its topic ``all``. But it tells a client there of that
client's own end, which fails, and fills the log of somebody else's scheduler with errors.)

How long a worker has been silent is measured here, by how long its heartbeat has not changed: the
scheduler's clock need not be ours.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from nbflow.cluster.remote import KERNELS
from nbflow.core.attempts import KernelPool, Workers, WorkerState

#: How often the workers are told, in seconds; and how many workers make that a second longer.
INTERVAL_S, WORKERS_PER_S = 2.0, 100
#: How often the scheduler is asked for their number, in seconds.
COUNT_S = 0.5

#: How long the scheduler may take to answer, in seconds.
_ANSWER_S = 10.0

#: States of tasks that a worker has taken on, as its metrics count them.
_TAKEN = frozenset({"executing", "long-running", "ready", "constrained", "waiting", "resumed"})

#: States in which a worker takes what it is given.
_TAKES_TASKS = frozenset({"init", "running"})

_log = logging.getLogger(__name__)


class WorkerWatch:
    """Tells of the workers of one cluster.

    Parameters
    ----------
    report
        Is given what there is to tell.
    clock
        Seconds since the epoch.
    """

    def __init__(self, report: Callable[[Workers], None], clock: Callable[[], float]) -> None:
        self._report = report
        self._clock = clock
        self._client: Any = None
        self._heartbeats: dict[str, tuple[float, float]] = {}
        self._watching: asyncio.Task[None] | None = None
        self._closed = False

    def watch(self, client: Any) -> None:
        """Watch by means of this client, in place of an earlier one."""
        self._client = client
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch(), name="nbflow-workers")

    async def close(self) -> None:
        """Tell nothing any more."""
        self._closed = True
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def _watch(self) -> None:
        due, told = 0.0, -1
        # A library may swallow a cancellation, too.
        while not self._closed:
            try:
                count = (await self._identity(0))["n_workers"]
                if count != told or time.monotonic() >= due:
                    workers = (await self._identity(-1))["workers"]
                    self._tell(workers)
                    told = len(workers)
                    due = time.monotonic() + max(INTERVAL_S, told / WORKERS_PER_S)
            except OSError as error:  # a TimeoutError is one
                # Whoever keeps the line finds out, and gives us the next client.
                _log.debug("the scheduler does not tell its workers: %s", error)
            await asyncio.sleep(COUNT_S)

    async def _identity(self, workers: int) -> Mapping[str, Any]:
        # Not `wait_for`, which loses a cancellation that comes together with the answer (until
        # Python 3.12): then nobody would ever end this.
        async with asyncio.timeout(_ANSWER_S):
            scheduler = self._client.scheduler
            if scheduler is None:
                raise ConnectionError("the client has been closed; there will be another one")
            identity: Mapping[str, Any] = await scheduler.identity(n_workers=workers)
        return identity

    def _tell(self, workers: Mapping[str, Mapping[str, Any]]) -> None:
        now = time.monotonic()
        heartbeats: dict[str, tuple[float, float]] = {}
        for address, about in workers.items():
            last_seen = float(about.get("last_seen") or 0.0)
            before = self._heartbeats.get(address)
            is_same = before is not None and before[0] == last_seen
            heartbeats[address] = before if before is not None and is_same else (last_seen, now)
        self._heartbeats = heartbeats
        states = (
            state_of(address, about, silent_s=now - heartbeats[address][1])
            for address, about in workers.items()
        )
        self._report(Workers(self._clock(), tuple(states)))


def state_of(address: str, about: Mapping[str, Any], *, silent_s: float) -> WorkerState:
    """Return what a scheduler says of one worker (`distributed.scheduler.WorkerState.identity`).

    Parameters
    ----------
    address
        Of the worker.
    about
        What the scheduler says. Workers of other versions may measure less.
    silent_s
        How long it has not been heard of.
    """
    metrics: Mapping[str, Any] = about.get("metrics") or {}
    counts: Mapping[str, int] = metrics.get("task_counts") or {}
    spilled: Mapping[str, int] = metrics.get("spilled_bytes") or {}
    kernels = metrics.get(KERNELS)
    port = (about.get("services") or {}).get("dashboard")
    host = str(about.get("host") or "")
    return WorkerState(
        address=address,
        name=str(about.get("name") or ""),
        host=host,
        threads=int(about.get("nthreads") or 0),
        tasks=sum(count for state, count in counts.items() if state in _TAKEN),
        cpu_percent=float(metrics.get("cpu") or 0.0),
        memory_bytes=int(metrics.get("memory") or 0),
        memory_limit_bytes=int(about.get("memory_limit") or 0),
        spilled_bytes=int(spilled.get("disk") or 0),
        resources=dict(about.get("resources") or {}),
        dashboard=f"http://{host}:{port}/status" if host and port else "",
        silent_s=round(silent_s, 3),
        paused=str(about.get("status")) not in _TAKES_TASKS,
        kernels=msgspec.convert(kernels, KernelPool | None),
    )
