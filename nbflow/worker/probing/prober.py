"""The prober of a worker: one thread that looks at all running attempts, once a second.

It reads `/proc` outside of the event loop, which has better things to do, and hands what it has
found to the loop in one go. Stacks, which are waited for, are taken in a thread beside it, one at a
time: neither holds up the other.

Telemetry never harms an attempt: what goes wrong here is told once, as a note, and the rest goes
on.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

from nbflow.core.attempts import Sampled, WorkerNote
from nbflow.core.ids import AttemptId
from nbflow.core.stacks import Stack
from nbflow.worker.probing.gpus import Gpus
from nbflow.worker.probing.processes import Births, Moment, this_moment
from nbflow.worker.probing.sockets import Sockets
from nbflow.worker.probing.subjects import KernelSubject, PortableSubject, ThreadSubject
from nbflow.worker.telling import Told

_log = logging.getLogger(__name__)

#: Seconds between the beginnings of two rounds.
PERIOD_S = 1.0

AnySubject = KernelSubject | ThreadSubject | PortableSubject


@dataclass(eq=False)
class Watched:
    """One attempt that is probed."""

    id: AttemptId
    subject: AnySubject
    report: Callable[[Told], None]
    #: In which `report` is to be called.
    loop: asyncio.AbstractEventLoop
    #: Whether it is still to be reported; written in the loop only.
    wanted: bool = True
    #: Whether a stack is being taken.
    asking: bool = False


@dataclass
class _Round:
    moment: Moment
    sockets: Sockets
    gpus: Gpus
    #: What is to be told, by loop.
    told: dict[asyncio.AbstractEventLoop, list[tuple[Watched, Told]]] = field(default_factory=dict)


class Prober:
    """Looks at all attempts of one worker. Its thread begins with the first, and ends with `close`.

    Parameters
    ----------
    clock
        Seconds since the epoch.
    monotonic
        Seconds of a clock that nobody sets.
    period_s
        Seconds between the beginnings of two rounds.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        period_s: float = PERIOD_S,
    ) -> None:
        self.monotonic = monotonic
        self._clock = clock
        self._period_s = period_s
        self._watched: set[Watched] = set()
        #: Kinds of notes that have been told.
        self._noted: set[str] = set()
        self._closed = False
        #: Whether the thread waits for somebody to look at: between rounds, nobody wakes it.
        self._idle = False
        #: Guards the fields above; notified when there is something to do.
        self._changed = threading.Condition()
        #: Held while subjects are looked at: by the thread, or by who lets go of one.
        self._looking = threading.Lock()
        self._sockets = Sockets()
        self._births = Births()
        self._gpus = Gpus()
        self._thread: threading.Thread | None = None
        self._stacks: ThreadPoolExecutor | None = None

    def watch(self, watched: Watched) -> None:
        """Look at an attempt from now on."""
        with self._changed:
            if self._closed:
                return
            self._watched.add(watched)
            if self._thread is None:
                self._thread = threading.Thread(target=self._live, name="nbflow-probe", daemon=True)
                self._thread.start()
            if self._idle:
                self._changed.notify_all()

    def release(self, watched: Watched) -> None:
        """Look at an attempt for the last time. Its processes must still be there."""
        with self._changed:
            if watched not in self._watched:
                return
            everyone = list(self._watched)
            self._watched.discard(watched)
        with self._looking:
            try:
                watched.subject.last_look(self._round(everyone))
                self._sockets.forget(next(iter(watched.subject.members), 0))
            except Exception as error:  # noqa: BLE001 - telemetry, and told
                self._broken(watched, error)
            finally:
                watched.subject.close()

    def drop(self, watched: Watched) -> None:
        """Look at an attempt no more, and do not wait for anything."""
        with self._changed:
            self._watched.discard(watched)

    def close(self) -> None:
        """End the threads, and wait for them."""
        with self._changed:
            self._closed = True
            left, self._watched = self._watched, set()
            self._changed.notify_all()
            thread, stacks = self._thread, self._stacks
        if thread is not None:
            thread.join()
        for watched in left:
            watched.subject.close()
        if stacks is not None:
            stacks.shutdown(wait=True, cancel_futures=True)
        self._sockets.close()
        self._gpus.close()

    def _live(self) -> None:
        due = self.monotonic()
        while True:
            with self._changed:
                self._idle = True
                self._changed.wait_for(lambda: self._closed or self._watched)
                self._idle = False
                due = max(due + self._period_s, self.monotonic())
                while not self._closed and (left_s := due - self.monotonic()) > 0:
                    self._changed.wait(left_s)
                if self._closed:
                    return
                watched = list(self._watched)
            if watched:
                self._look_at(watched)

    def _look_at(self, watched: list[Watched]) -> None:
        with self._looking:
            # A function holds the interpreter's lock all the time, and each file that is read while
            # it does so costs a wait for it: what only kernels need is not read for functions.
            kernels = any(not isinstance(each.subject, ThreadSubject) for each in watched)
            round_ = self._round(watched, self._births.look() if kernels else None)
            for each in watched:
                try:
                    self._look_at_one(each, round_)
                except Exception as error:  # noqa: BLE001 - telemetry, and told
                    self.drop(each)
                    each.subject.close()
                    self._broken(each, error)
        for loop, told in round_.told.items():
            _hand_over(loop, told)

    def _look_at_one(self, watched: Watched, round_: _Round) -> None:
        usage = watched.subject.look(round_)
        if usage is not None:
            told = (watched, Sampled(watched.id, usage))
            round_.told.setdefault(watched.loop, []).append(told)
        if path := watched.subject.denied.path:
            self._note(
                watched,
                "denied",
                f"{path} may not be read: what nodes use and wait for is known only in part. Let "
                f"workers run as the user of their kernels, and with the right to trace them",
            )
        take = None if watched.asking else watched.subject.due_stack(round_.moment.now)
        if take is not None:
            watched.asking = True
            self._take_stack(watched, take)

    def _round(
        self, watched: list[Watched], births: Mapping[int, Sequence[int]] | None = None
    ) -> _Round:
        """Read what all subjects share."""
        moment = this_moment(self._clock(), self.monotonic(), births)
        trees = {it.subject.members[0]: it.subject.members for it in watched if it.subject.members}
        self._sockets.look(trees)
        if trees:
            self._gpus.look(moment)
        return _Round(moment, self._sockets, self._gpus)

    def _take_stack(self, watched: Watched, take: Callable[[], Stack]) -> None:
        with self._changed:
            if self._closed:
                return
            if self._stacks is None:
                self._stacks = ThreadPoolExecutor(1, thread_name_prefix="nbflow-stacks")
            self._stacks.submit(self._stack_taken, watched, take)

    def _stack_taken(self, watched: Watched, take: Callable[[], Stack]) -> None:
        try:
            if watched.wanted:
                _hand_over(watched.loop, [(watched, take())])
        except Exception as error:  # noqa: BLE001 - telemetry, and told
            self._broken(watched, error)
        finally:
            watched.asking = False

    def _broken(self, watched: Watched, error: Exception) -> None:
        _log.warning("the probe of %s failed", watched.id, exc_info=error)
        kind = type(error).__name__
        self._note(watched, f"broken {kind}", f"what nodes use cannot be measured: {kind}: {error}")

    def _note(self, watched: Watched, kind: str, message: str) -> None:
        if kind not in self._noted:
            self._noted.add(kind)
            _hand_over(watched.loop, [(watched, WorkerNote(message))])


def _hand_over(loop: asyncio.AbstractEventLoop, told: list[tuple[Watched, Told]]) -> None:
    """Have the loop report what is still wanted by then."""

    def report() -> None:
        for watched, what in told:
            if watched.wanted or isinstance(what, WorkerNote):
                watched.report(what)

    # A loop that is closed belongs to a worker that has ended.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(report)
