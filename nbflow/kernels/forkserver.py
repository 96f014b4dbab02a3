"""A program that has ipykernel and heavy libraries loaded, and forks: ``forkserver.py FD ARG...``.

It is a kernel that has paused: IPython's own application runs (``ARG...`` are its arguments) up to
the first step that depends on what a kernel is for, and there it serves. A fork is a process that
goes on from that step. Up to there it has one thread and no sockets of ZeroMQ, so that a fork
is safe. FD is a socket to its owner (`nbflow.kernels.forking`), on which packets of JSON go
both ways:

=======================================  ======================================================
owner                                    fork server
=======================================  ======================================================
``{"preload": [...]}``, first of all     ``{"loading": m}`` before each module that was named,
                                         ``{"failed": m, "why": ...}`` if it cannot be imported,
                                         ``{"unfit": m}`` if it left a thread running (the end),
                                         ``{"ready": [loaded modules], "packages": [top-level
                                         names that came with them], "configuration": {file of
                                         IPython's: when it was written, or null}}``
``{"fork": n}``                          ``{"forked": n, "pid": p}``, and in the end
and a socket for the claim               ``{"exited": p, "code": c}`` (negative: the signal)
=======================================  ======================================================

A forked child waits at its own socket for its *claim*: the connection file, working directory,
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
import io
import json
import os
import random
import resource
import select
import signal
import socket
import threading
from pathlib import Path
from typing import Any, NamedTuple

_PACKET_BYTES = 65536
_PR_SET_PDEATHSIG = 1
_BUFFERED = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)
_CONFIGURATION = tuple(
    f"{name}.{kind}"
    for name in ("ipython_config", "ipython_kernel_config")
    for kind in ("py", "json")
)

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
    #: Variables that imports have set, as they would have in the kernel.
    env: dict[str, str]


def main(descriptor: int, arguments: list[str]) -> None:
    """Serve until the owner is gone; in a forked child, be a kernel."""
    born = frozenset(os.environ)
    # The first hook that is registered is the last to run.
    departure = _Departure()
    atexit.register(departure.leave)
    for name in _KERNEL_MODULES:
        # A version of ipykernel or IPython may lack one; the kernel then imports what it has.
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    from ipykernel.kernelapp import IPKernelApp  # lazy: after the path is in order

    app: Any = IPKernelApp.instance()

    def claimed() -> None:
        child = _Server(socket.socket(fileno=descriptor), app, born).serve()
        if child is None:
            raise SystemExit(0)
        departure.of_a_kernel()
        del app.init_connection_file
        app.connection_file = _await_claim(child)
        app.init_connection_file()

    app.init_connection_file = claimed
    # Parent 1 means: watch no parent (the leash does), and print no notice about Ctrl-C.
    app.initialize([*arguments, "--IPKernelApp.parent_handle=1"])
    # Runs before ipykernel's own clean-up, which ends the thread that flushes outputs first, and
    # then waits for threads that may themselves wait for a flush: ten seconds, now and then.
    atexit.register(_end_channel_threads, app)
    bound_output()
    # Its handler drops what is below its level; until then, every message is made in full.
    app.log.setLevel(app.log_level)
    app.start()
    departure.code = 0


class _Departure:
    """How a kernel leaves: with all that its notebook may notice of a Python process's end.

    Threads have been joined and exit hooks have run when this is called. Then Python would take
    apart every module, which for a fork means to copy most of the memory that it shares: longer
    than anything else in a short kernel's life. Here only what has come since the fork is taken
    apart, in Python's own way (names are set to None, those with an underscore first), so that
    files are closed and destructors run. Files that somebody else holds are flushed. Then the C
    library ends the process, with its own exit hooks, while no other thread of Python's can run.
    """

    def __init__(self) -> None:
        #: The exit code; 1 for a process whose kernel has not ended in good order.
        self.code = 1
        self._before: frozenset[str] | None = None

    def of_a_kernel(self) -> None:
        """Note that this process is a kernel from now on."""
        self._before = frozenset(sys.modules) - {"__main__"}

    def leave(self) -> None:
        """End the process, if it is a kernel's."""
        if self._before is None:
            return
        for name in [name for name in sys.modules if name not in self._before][::-1]:
            _take_apart(vars(sys.modules[name]))
        for name in ("last_exc", "last_type", "last_value", "last_traceback"):
            sys.__dict__.pop(name, None)
        gc.collect()
        for file in gc.get_objects():
            if isinstance(file, _BUFFERED) and not file.closed:
                # Of pipes and sockets whose other end is gone there is nothing left to save.
                with contextlib.suppress(OSError, ValueError):
                    file.flush()
        ctypes.PyDLL(None).exit(self.code)


def _take_apart(namespace: dict[str, Any]) -> None:
    for private in (True, False):
        for name in list(namespace):
            if name.startswith("_") is private and name != "__builtins__":
                namespace[name] = None


class _Server:
    def __init__(self, owner: socket.socket, app: Any, born: frozenset[str]) -> None:
        self._owner = owner
        self._born = born
        self._children: set[int] = set()
        #: Top-level names of what every kernel loads.
        self._kernel_packages = _top_level()
        self._configuration = _configuration(app)
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

    def _load(self, modules: list[str]) -> None:
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
                self._ending = True
                return
            loaded.append(name)
        self._tell(
            {
                "ready": loaded,
                "packages": sorted(_top_level() - self._kernel_packages),
                "configuration": self._configuration,
            }
        )
        # Out of the collector's sight, so that a child's first collection does not copy every page.
        gc.collect()
        gc.freeze()

    def _serve_order(self) -> Child | None:
        order = self._received()
        if order is None:
            self._ending = True
            return None
        request, descriptors = order
        if "preload" in request:
            self._load(request["preload"])
            return None
        claim = socket.socket(fileno=descriptors[0])
        server = os.getpid()
        pid = os.fork()
        if pid == 0:
            for end in (self._owner, self._wakeup, self._wake):
                # Its number will belong to something else, which must not be closed with it.
                end.detach()
            _become_own_process(server, keep=claim.fileno())
            env = {name: it for name, it in os.environ.items() if name not in self._born}
            return Child(claim, env)
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
        # Seen before their parents are gone: some lead sessions of their own.
        family = _descendants()
        for pid in self._children:
            # The group is the child's own once it leads its session; a zombie has none.
            for kill in (os.killpg, os.kill):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    kill(pid, signal.SIGKILL)
        for process in family:
            with contextlib.suppress(Exception):
                # As good as it gets: it may have ended, or be another user's.
                process.kill()
        for pid in self._children:
            os.waitpid(pid, 0)


def _descendants() -> list[Any]:
    psutil = sys.modules.get("psutil")
    return psutil.Process().children(recursive=True) if psutil is not None else []


def _configuration(app: Any) -> dict[str, int | None]:
    """Return where IPython looks for its configuration, and when each file was written (ns)."""
    paths = [Path(folder, name) for folder in app.config_file_paths for name in _CONFIGURATION]
    return {str(path): path.stat().st_mtime_ns if path.exists() else None for path in paths}


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


def bound_output() -> None:
    """Let a kernel send what is printed in pieces, lose none of them, and not wait for nothing.

    ipykernel gathers for 0.2 s what is printed, which may be gigabytes, and sends it as one message
    that its receiver must take whole. Here a megabyte is sent at once, and printing waits for that.
    And ZeroMQ drops messages beyond a thousand that the receiver has not taken yet, with the news
    that the cell has ended among them; here it drops none. After each cell ipykernel waits for its
    other thread to send what was printed, also if that is nothing.

    Stands by itself: its source is sent to kernels that were not forked.
    """
    import sys

    from ipykernel.kernelapp import IPKernelApp

    piece = 1_000_000
    thread = IPKernelApp.instance().iopub_thread
    # The socket belongs to its thread.
    thread.io_loop.add_callback(lambda: setattr(thread.socket, "sndhwm", 0))

    def bound(stream: Any) -> None:
        write, flush = stream.write, stream.flush
        pending = 0

        def write_in_pieces(text: Any) -> Any:
            nonlocal pending
            if not isinstance(text, str) or len(text) + pending < piece:
                written = write(text)
                pending += len(text)
                return written
            for start in range(0, len(text), piece):
                write(text[start : start + piece])
                flush()
            pending = 0
            return len(text)

        def flush_if_needed() -> None:
            # What is just being sent is out before anything that is sent after this.
            if stream._buffers:  # noqa: SLF001 - ipykernel's own
                flush()

        stream.write = write_in_pieces
        if hasattr(stream, "_buffers"):
            stream.flush = flush_if_needed

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "pub_thread"):
            bound(stream)


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
    main(int(sys.argv[1]), sys.argv[2:])
