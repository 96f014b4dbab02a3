"""A fork server as its owner sees it: start it, have it fork, learn of every end.

A thread of its own starts the server and listens to it; it lives as long as the server does,
which the leash needs (see `leash`). So a server can be used from any thread and any event loop,
and what it promises comes as `concurrent.futures.Future`.
"""

import contextlib
import itertools
import json
import os
import select
import signal
import socket
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from nbflow.core.errors import NbflowError
from nbflow.kernels import forkserver
from nbflow.kernels.errors import describe_exit
from nbflow.kernels.folders import last_lines
from nbflow.kernels.leash import leashed

_PACKET_BYTES = 65536
#: How often an idle server's owner is given the chance to tidy up.
_TICK_S = 2.0
_LOG_TAIL_BYTES = 2000


class ForkServerEnded(NbflowError):
    """The fork server is not there (any more).

    `culprit` is the module during whose import it ended, if it did not even get ready.
    """

    def __init__(self, what: str, culprit: str | None = None) -> None:
        super().__init__(what)
        self.culprit = culprit


@dataclass(frozen=True, slots=True)
class Claim:
    """What a kernel is to be: `argv` is its ``sys.argv``, `cpus` its cores (empty: all)."""

    connection_file: str
    cwd: str
    env: Mapping[str, str]
    argv: Sequence[str]
    cpus: Sequence[int] = ()
    nice: int = 0


class ForkedProcess:
    """A process that a fork server has forked; looks like a `subprocess.Popen`."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int, claim: socket.socket, server: "ForkServer") -> None:
        self.pid = pid
        #: Which has forked it.
        self.server = server
        self.returncode: int | None = None
        #: Why it ended, where the exit code is not the whole truth.
        self.note = ""
        self._claim = claim
        self._ended = threading.Event()

    def become(self, claim: Claim, descriptors: tuple[int, int, int]) -> None:
        """Make it the kernel of `claim`, with `descriptors` as its 0, 1 and 2.

        Raises
        ------
        OSError
            If it has ended already.
        """
        data = json.dumps(
            {
                "connection_file": claim.connection_file,
                "cwd": claim.cwd,
                "env": dict(claim.env),
                "argv": list(claim.argv),
                "cpus": list(claim.cpus),
                "nice": claim.nice,
            }
        ).encode()
        with self._claim:
            sent = socket.send_fds(self._claim, [data], descriptors)
            self._claim.sendall(data[sent:])

    def abandon(self) -> None:
        """Let it end without having been claimed."""
        self._claim.close()

    def ended(self, code: int, note: str = "") -> None:
        """Note its end; called by its server's listener."""
        self.returncode = code
        self.note = note
        self._claim.close()
        self._ended.set()

    def poll(self) -> int | None:
        """Return the exit code (negative: the signal), or None while it runs."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait up to `timeout` seconds for its end."""
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired("kernel", timeout or 0.0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)


@dataclass(slots=True)
class _Forking:
    """Forks that the server has been asked for, and those that live."""

    asked: dict[int, tuple[Future[ForkedProcess], socket.socket]] = field(default_factory=dict)
    living: dict[int, ForkedProcess] = field(default_factory=dict)


class ForkServer:
    """One fork server. Nothing blocks but `close`.

    Parameters
    ----------
    command, arguments
        The interpreter and its options; arguments of IPython's kernel application.
    env
        The server's environment.
    preload
        Modules to import before the first fork.
    tick
        Called from the server's thread every few seconds, and after every end of a child.
    """

    def __init__(
        self,
        command: Sequence[str],
        arguments: Sequence[str],
        env: Mapping[str, str],
        preload: Iterable[str],
        *,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        #: The modules that are loaded; `ForkServerEnded` if it does not get that far.
        self.ready: Future[frozenset[str]]
        #: Modules that are not loaded, and why.
        self.failed: dict[str, str] = {}
        #: Top-level names of all that came with `preload`; complete once it is ready.
        self.packages: frozenset[str] = frozenset()
        self.preload: frozenset[str] = frozenset()
        #: What its first kernel has said of itself; all would say the same, but for a random tip.
        self.kernel_info: dict[str, Any] | None = None
        #: What has been promised of each order to load, in their order.
        self._readies: deque[Future[frozenset[str]]] = deque()
        self._configuration: dict[str, int | None] = {}
        self._tick = tick
        self._numbers = itertools.count(1)
        self._forking = _Forking()
        self._loading: str | None = None
        self._ended: str | None = None
        # Guards what the thread and its callers share, and the order of packets.
        self._lock = threading.Lock()
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Lies there when the server comes up.
        self.load(preload)
        program = [*command, forkserver.__file__, str(theirs.fileno()), *arguments]
        self._thread = threading.Thread(
            target=self._live, args=(program, dict(env), theirs), name="nbflow-fork-server"
        )
        self._thread.daemon = True
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it can be asked for forks (it may not be ready yet)."""
        return self._ended is None

    @property
    def children(self) -> int:
        """How many of its forks live."""
        return len(self._forking.living)

    @property
    def stale(self) -> bool:
        """Whether IPython's configuration is another one than it has read."""
        return any(_written_at(path) != at for path, at in self._configuration.items())

    @property
    def unused(self) -> bool:
        """Whether it has neither forks nor been asked for any."""
        return not self._forking.living and not self._forking.asked

    def load(self, modules: Iterable[str]) -> None:
        """Have it import more, before its next fork; `ready` begins anew.

        Only while it is unused: a module may end it, and all that it has forked.
        """
        with self._lock:
            self.preload |= frozenset(modules)
            self.ready = Future()
            if self._ended is not None:
                self.ready.set_exception(ForkServerEnded(self._ended))
                return
            self._readies.append(self.ready)
            self._send({"preload": sorted(self.preload)})

    def fork(self) -> Future[ForkedProcess]:
        """Ask for a process that will be a kernel once it is claimed."""
        result: Future[ForkedProcess] = Future()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with self._lock, theirs:
            number = next(self._numbers)
            order = json.dumps({"fork": number}).encode()
            self._forking.asked[number] = (result, ours)
            try:
                socket.send_fds(self._ours, [order], [theirs.fileno()])
            except OSError as error:
                del self._forking.asked[number]
                ours.close()
                what = self._ended or f"the fork server cannot be reached ({error})"
                result.set_exception(ForkServerEnded(what))
        return result

    def close(self) -> None:
        """End it with all its children, and wait until that has happened."""
        # Wakes the listening thread as well, which closing would not. Fails if it has ended.
        with contextlib.suppress(OSError):
            self._ours.shutdown(socket.SHUT_RDWR)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _live(self, program: list[str], env: dict[str, str], theirs: socket.socket) -> None:
        with tempfile.TemporaryFile() as log:
            try:
                process = subprocess.Popen(  # noqa: S603 - a kernel specification's interpreter
                    leashed(program, signal.SIGTERM),
                    env=env,
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=[theirs.fileno()],
                    # An interrupt from the terminal is for its owner.
                    start_new_session=True,
                )
            except OSError as error:
                theirs.close()
                self._end(f"the fork server could not be started: {error}")
                return
            theirs.close()
            self._listen()
            self._ours.close()
            log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_TAIL_BYTES))
            said = last_lines(log.read())
            what = f"the fork server {describe_exit(process.wait())}"
            self._end(f"{what}. It wrote:\n{said}" if said else what)

    def _listen(self) -> None:
        """Hear all that the server says, until it is gone."""
        while True:
            if not select.select([self._ours], [], [], _TICK_S)[0]:
                self._tick()
                continue
            try:
                packet = self._ours.recv(_PACKET_BYTES)
            except ConnectionError:
                return
            if not packet:
                return
            self._hear(json.loads(packet))

    def _hear(self, news: dict[str, Any]) -> None:
        match news:
            case {"loading": name}:
                self._loading = name
            case {"failed": name, "why": why}:
                self.failed[name] = why
            case {"unfit": name}:
                self._loading = name
                self.failed[name] = "it leaves a thread running, which no fork survives"
            case {"ready": loaded, "packages": names, "configuration": configuration}:
                self._loading = None
                self.packages = frozenset(names)
                self._configuration = configuration
                self._readies.popleft().set_result(frozenset(loaded))
            case {"forked": number, "pid": pid}:
                with self._lock:
                    future, claim = self._forking.asked.pop(number)
                    process = ForkedProcess(pid, claim, self)
                    self._forking.living[pid] = process
                future.set_result(process)
            case {"exited": pid, "code": code}:
                with self._lock:
                    process = self._forking.living.pop(pid)
                process.ended(code)
                self._tick()

    def _send(self, order: dict[str, Any]) -> None:
        # If it is gone, the listening thread will say how.
        with contextlib.suppress(OSError):
            self._ours.send(json.dumps(order).encode())

    def _end(self, what: str) -> None:
        """Break every promise: nothing will come any more."""
        with self._lock:
            self._ended = what
            asked, self._forking.asked = self._forking.asked, {}
            living, self._forking.living = self._forking.living, {}
            readies, self._readies = self._readies, deque()
        for process in living.values():
            # It was killed with its server, by it or by the system.
            process.ended(-signal.SIGKILL, what)
        error = ForkServerEnded(what, self._loading)
        for ready in readies:
            ready.set_exception(error)
        for future, claim in asked.values():
            claim.close()
            future.set_exception(error)


def _written_at(path: str) -> int | None:
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116 - for a dozen paths, at each start
    except OSError:
        return None
