"""The line to a scheduler: watched, and restored when it breaks.

A client of Dask's that loses its connection cancels all its futures and comes back with the same
identity, if it does within its timeout; what happened meanwhile it never learns. So a broken client
is thrown away here, and a new one made, which then finds out what became of the attempts.

A connection can break in two ways. Closed, which is known at once: the futures are cancelled, or a
message cannot be sent. Or silent: the scheduler is stopped, or the network swallows what is sent.
Then nothing tells, except that the scheduler does not answer when it is asked, every few seconds.
Silence alone is waited out, since all may go on where it was; it becomes a break when the system
gives the connection up (Dask's ``distributed.comm.timeouts.tcp``).

Either may last for `RESTORE_S`. Then the cluster is gone for this driver; the run can be resumed.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from nbflow.cluster import connecting
from nbflow.cluster.connecting import Target
from nbflow.core.errors import ClusterError

#: How long a lost or silent scheduler is waited for, in seconds.
RESTORE_S = 60.0

#: How often the scheduler is asked whether it is there, in seconds.
PULSE_S = 5.0

#: How long it may take to answer before that is worth a remark, in seconds.
ANSWER_S = 5.0

#: How long one attempt to connect again may take, in seconds. The next reads a scheduler file anew.
CONNECT_S = 5.0

#: Pause between attempts that failed at once, in seconds: there is nothing that could be awaited.
PAUSE_S = 0.2

#: How long a client may take to say goodbye, in seconds.
CLOSE_S = 3.0

_log = logging.getLogger(__name__)


class Link:
    """One client after the other, to the same cluster.

    Parameters
    ----------
    target
        The cluster, as the user named it.
    restored
        Makes the new client do what the old one did, before anything else uses it. Told
        whether the scheduler is still the same process. May raise `OSError`: it broke again.
    ready
        Called then, when the connection can be used by all.
    pulse
        Called after each answer of the scheduler, with the number of its workers.
    note
        Receives remarks for people.
    gone
        Is told why, when the scheduler has not come back in time.
    """

    def __init__(
        self,
        target: Target,
        *,
        restored: Callable[[bool], Awaitable[None]],
        ready: Callable[[], None],
        pulse: Callable[[int], Awaitable[None]],
        note: Callable[[str], None],
        gone: Callable[[str], None],
    ) -> None:
        self._target = target
        self._restored = restored
        self._became_ready = ready
        self._pulse = pulse
        self._note = note
        self._gone = gone
        self._client: Any = None
        #: The connection that the client was made with; another one means that it broke.
        self._comm: Any = None
        self._scheduler_id = ""
        self._address = ""
        #: Whether the client does all that it should: false from a break until it is mended.
        self._ready = False
        self._broken = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None

    @property
    def client(self) -> Any:
        """The client of the moment."""
        assert self._client is not None, "the cluster has not been started"
        return self._client

    @property
    def is_up(self) -> bool:
        """Whether attempts can be handed over; if not, `restored` or `gone` will be called."""
        if self._ready and not self._is_whole():
            self.suspect()
        return self._ready

    def suspect(self) -> None:
        """Make the connection anew: somebody has got no sense out of this one."""
        self._ready = False
        self._broken.set()

    async def open(self, embedded_address: str | None) -> None:
        """Connect, and keep the connection up if the cluster is not our own.

        Raises
        ------
        ClusterError
            If the scheduler cannot be reached.
        """
        await self._connect(embedded_address, None)
        self._ready = True
        if embedded_address is None:
            self._keeping = asyncio.create_task(self._keep(), name="nbflow-link")
            self._keeping.add_done_callback(self._kept)

    async def close(self) -> None:
        """Let the connection go."""
        self._ready = False
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        await self._drop()

    # --- watching -----------------------------------------------------------------------------

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        silent_since: float | None = None
        while True:
            # Not `wait_for`: until Python 3.12, it loses a cancellation that comes together with
            # what is waited for.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PULSE_S):
                    await self._broken.wait()
            if not self.is_up:
                if not await self._restore():
                    return
                silent_since = None
                continue
            asked_at = loop.time()
            if await self._answers():
                if silent_since is not None:
                    self._note("the scheduler answers again")
                silent_since = None
            elif self.is_up:
                if silent_since is None:
                    silent_since = asked_at
                    self._note(f"the scheduler has not answered for {ANSWER_S:.0f} s; waiting")
                if loop.time() - silent_since >= RESTORE_S:
                    self._ready = False
                    self._gone(
                        f"the scheduler at {self._address} has not answered for {RESTORE_S:.0f} s"
                    )
                    return

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(ANSWER_S):
                identity = await self._client.scheduler.identity(n_workers=0)
            await self._pulse(identity["n_workers"])
        except OSError:  # a TimeoutError is one
            return False
        return True

    def _is_whole(self) -> bool:
        client = self._client
        return (
            client.status == "running"
            and client.scheduler_comm is self._comm
            and not self._comm.comm.closed()
        )

    def _kept(self, keeping: asyncio.Task[None]) -> None:
        if not keeping.cancelled() and (error := keeping.exception()) is not None:
            _log.error("the watch over the scheduler has ended", exc_info=error)
            self._ready = False
            self._gone(f"the connection to the scheduler cannot be kept: {error!r}")

    # --- mending ------------------------------------------------------------------------------

    async def _restore(self) -> bool:
        """Connect anew; False if that did not succeed in time."""
        loop = asyncio.get_running_loop()
        where = self._address
        since, before = loop.time(), self._scheduler_id
        self._note(
            f"the connection to the scheduler at {where} is lost; trying again for "
            f"{RESTORE_S:.0f} s"
        )
        why = ""
        while (left_s := since + RESTORE_S - loop.time()) > 0:
            await self._drop()
            try:
                await self._connect(None, min(CONNECT_S, left_s))
                self._broken.clear()
                async with asyncio.timeout(since + RESTORE_S - loop.time()):
                    await self._restored(self._scheduler_id == before)
            except (ClusterError, OSError) as error:
                why = str(error)
                await asyncio.sleep(PAUSE_S)
                continue
            self._ready = True
            self._became_ready()
            self._note(f"connected to the scheduler again after {loop.time() - since:.1f} s")
            return True
        self._gone(f"the scheduler at {where} was lost, and not back in {RESTORE_S:.0f} s: {why}")
        return False

    async def _connect(self, embedded_address: str | None, timeout_s: float | None) -> None:
        self._client = await connecting.connect(self._target, embedded_address, timeout_s)
        self._comm = self._client.scheduler_comm
        self._address = self._client.scheduler.address
        if embedded_address is None:
            identity = await self._client.scheduler.identity(n_workers=0)
            self._scheduler_id = identity["id"]

    async def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(OSError):
                await asyncio.wait_for(client.close(), CLOSE_S)
