"""A program that has ipykernel and heavy libraries loaded, and forks kernels: ``forkserver.py FD``.

It has one thread and no sockets of ZeroMQ, so that a fork is safe. FD is a socket to its
owner (`nbflow.kernels.nursery`), on which packets of JSON go both ways:

=======================================  ======================================================
owner                                    fork server
=======================================  ======================================================
``{"preload": [...]}``                   ``{"loading": m}`` before each module that was named,
                                         ``{"failed": m, "why": ...}`` if it cannot be imported,
                                         ``{"unfit": m}`` if it left a thread running (the end),
                                         ``{"ready": [loaded modules], "packages": [top-level
                                         names that came with them]}``
``{"fork": n, "argv": [...]}``           ``{"forked": n, "pid": p}``, and in the end
and a socket for the claim               ``{"exited": p, "code": c}`` (negative: the signal)
=======================================  ======================================================

A forked child initialises IPython's application as far as that does not depend on what it will be
used for, and then waits at its own socket for its *claim*: the connection file, working directory,
environment and descriptors 0 to 2 of a kernel. From there on it is what ``python -m
ipykernel_launcher`` would be: it leads a session of its own, has no descriptor, signal handler or
random state of the server's, and runs IPython's own code to the end. A socket that closes
without a claim ends it.

When the owner goes (the socket closes, or the leash sends SIGTERM), the server kills all its
children with what they have started, and ends. When it is killed, the system kills its children.

It runs in the kernel's own environment, as a file: nothing of nbflow is imported.
"""

import sys

if __name__ == "__main__":
    # The folder of this file has modules of its own, which must not hide anybody else's.
    del sys.path[0]

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import random
import resource
import select
import signal
import socket
import threading
from typing import Any, NamedTuple

_PACKET_BYTES = 65536
_PR_SET_PDEATHSIG = 1

#: All that a kernel imports while it starts and answers its first cell.
_KERNEL_MODULES = (
    "ipykernel.kernelapp",
    "ipykernel.ipkernel",
    "ipykernel.debugger",
    "ipykernel.control",
    "ipykernel.shellchannel",
    "ipykernel.zmqshell",
    "IPython.core.completer",
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.magics",
    "IPython.core.oinspect",
    "IPython.extensions.storemagic",
    "faulthandler",
    "pdb",
    "psutil",
    "sqlite3",
    "tornado.platform.asyncio",
)


class Child(NamedTuple):
    """What a forked process is, in its own eyes: one that will be a kernel if it is claimed."""

    claim: socket.socket
    argv: list[str]
    #: Variables that imports have set, as they would have in the kernel.
    env: dict[str, str]


def main(descriptor: int) -> None:
    """Serve until the owner is gone; in a forked child, be a kernel."""
    owner = socket.socket(fileno=descriptor)
    child = _Server(owner).serve()
    # Past all that is the server's, so that a kernel ends as any Python process does.
    if child is not None:
        _be_kernel(child)


class _Server:
    def __init__(self, owner: socket.socket) -> None:
        self._owner = owner
        self._children: set[int] = set()
        self._env: dict[str, str] = {}
        self._wakeup, self._wake = socket.socketpair()
        for end in (self._wakeup, self._wake):
            end.setblocking(False)
        self._ending = False

    def serve(self) -> Child | None:
        """Return None at the end; in a forked child, what it is."""
        signal.set_wakeup_fd(self._wake.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        order = self._received()
        if order is None or not self._load(order[0]["preload"]):
            return None
        # Out of the collector's sight, so that a child's first collection does not copy every page.
        gc.collect()
        gc.freeze()
        while not self._ending:
            ready, _, _ = select.select([self._owner, self._wakeup], [], [])
            if self._wakeup in ready:
                self._wakeup.recv(_PACKET_BYTES)
                self._reap()
            if self._owner in ready:
                child = self._serve_order()
                if child is not None:
                    return child
        self._kill_children()
        return None

    def _end(self, *_: object) -> None:
        self._ending = True

    def _load(self, modules: list[str]) -> bool:
        born = dict(os.environ)
        for name in _KERNEL_MODULES:
            # A version of ipykernel or IPython may lack one; the kernel then imports what it has.
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        before = _top_level()
        loaded = []
        for name in modules:
            self._tell({"loading": name})
            try:
                importlib.import_module(name)
            except BaseException as error:  # noqa: BLE001 - whatever a library does when imported
                self._tell({"failed": name, "why": f"{type(error).__name__}: {error}"})
                continue
            if threading.active_count() > 1:
                # Threads do not survive a fork, and locks that they hold stay locked for ever.
                self._tell({"unfit": name})
                return False
            loaded.append(name)
        self._env = {name: value for name, value in os.environ.items() if name not in born}
        self._tell({"ready": loaded, "packages": sorted(_top_level() - before)})
        return True

    def _serve_order(self) -> Child | None:
        order = self._received()
        if order is None:
            self._ending = True
            return None
        request, descriptors = order
        claim = socket.socket(fileno=descriptors[0])
        server = os.getpid()
        pid = os.fork()
        if pid == 0:
            for end in (self._owner, self._wakeup, self._wake):
                # Its number will belong to something else, which must not be closed with it.
                end.detach()
            _become_own_process(server, keep=claim.fileno())
            return Child(claim, request["argv"], self._env)
        claim.close()
        self._children.add(pid)
        self._tell({"forked": request["fork"], "pid": pid})
        return None

    def _received(self) -> tuple[Any, list[int]] | None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._owner, _PACKET_BYTES, 1)
        except ConnectionError:
            return None
        return (json.loads(data), descriptors) if data else None

    def _tell(self, news: dict[str, Any]) -> None:
        # An owner that is gone is noticed where it is listened to.
        with contextlib.suppress(ConnectionError):
            self._owner.send(json.dumps(news).encode())

    def _reap(self) -> None:
        for pid in list(self._children):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._children.discard(pid)
                self._tell({"exited": pid, "code": os.waitstatus_to_exitcode(status)})

    def _kill_children(self) -> None:
        for pid in self._children:
            # The group is the child's own once it leads its session; a zombie has none.
            for kill in (os.killpg, os.kill):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    kill(pid, signal.SIGKILL)
        for pid in self._children:
            os.waitpid(pid, 0)


def _top_level() -> set[str]:
    return {name.partition(".")[0] for name in list(sys.modules)}


def _become_own_process(server: int, keep: int) -> None:
    """Shed everything that is the server's."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != server:
        os._exit(0)
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    highest = 1 << 20 if limit == resource.RLIM_INFINITY else limit
    os.closerange(3, keep)
    os.closerange(keep + 1, highest)
    _seed()


def _seed() -> None:
    """Give the process a random state of its own, as if it had imported all of it itself."""
    random.seed()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
    process = sys.modules.get("multiprocessing.process")
    if process is not None:
        process.current_process().authkey = os.urandom(32)
    tempfile = sys.modules.get("tempfile")
    if tempfile is not None:
        tempfile.__dict__["tempdir"] = None


def _be_kernel(child: Child) -> None:
    """Run IPython's kernel application, and wait on the way for the claim."""
    from ipykernel.kernelapp import IPKernelApp  # lazy: after the path is in order

    app: Any = IPKernelApp.instance()

    def claimed() -> None:
        del app.init_connection_file
        app.connection_file = _await_claim(child)
        app.init_connection_file()

    # The first step that depends on what the kernel is for; all threads and sockets come after it.
    app.init_connection_file = claimed
    # Parent 1 means: watch no parent (the leash does), and print no notice about Ctrl-C.
    app.initialize([*child.argv, "--IPKernelApp.parent_handle=1"])
    # Runs before ipykernel's own clean-up, which ends the thread that flushes outputs first, and
    # then waits for threads that may themselves wait for a flush: ten seconds, now and then.
    atexit.register(_end_channel_threads, app)
    app.start()


def _end_channel_threads(app: Any) -> None:
    for thread in (app.control_thread, app.shell_channel_thread):
        if thread is not None and thread.is_alive():
            thread.stop()
            thread.join()


def _await_claim(child: Child) -> str:
    """Wait for the claim, apply it, and return the connection file."""
    try:
        data, descriptors, _, _ = socket.recv_fds(child.claim, _PACKET_BYTES, 3)
        while piece := child.claim.recv(_PACKET_BYTES):
            data += piece
    except ConnectionError:
        data = b""
    if not data:
        os._exit(0)
    child.claim.close()
    claim = json.loads(data)
    for target, descriptor in enumerate(descriptors):
        os.dup2(descriptor, target)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(child.env | claim["env"])
    os.chdir(claim["cwd"])
    if claim["nice"]:
        os.nice(claim["nice"])
    if claim["cpus"]:
        os.sched_setaffinity(0, claim["cpus"])
    sys.argv = claim["argv"]
    # Files may have been written since the server looked into their folders.
    importlib.invalidate_caches()
    return str(claim["connection_file"])


if __name__ == "__main__":
    main(int(sys.argv[1]))
