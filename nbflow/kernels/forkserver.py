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

A forked child waits at its own socket for its *claim* (see `forked`): the connection file, working
directory, environment and descriptors 0 to 2 of a kernel. From there on it is what ``python -m
ipykernel_launcher`` would be: it leads a session of its own, has no descriptor, signal handler or
random state of the server's, and runs IPython's own code to the end, the longest parts of which the
server has rehearsed (see `rehearsing`). A socket that closes without a claim ends it.

When the owner goes (the socket closes, or the leash sends SIGTERM), the server kills all its
children with what they have started, and ends. When it is killed, the system kills its children.

It runs in the kernel's own environment, as a file: nothing of nbflow is imported, and the files
beside it that it needs are loaded without becoming modules that a notebook could see.
"""

import sys

if __name__ == "__main__":
    # The folder of this file has modules of its own, which must not hide anybody else's.
    del sys.path[0]

import atexit
import contextlib
import gc
import importlib
import importlib.util
import json
import os
import select
import signal
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING or __name__ != "__main__":
    from nbflow.kernels import answering, bounding, forked, rehearsing
else:

    def _beside(name: str) -> Any:
        place = Path(__file__).with_name(f"{name}.py")
        spec = importlib.util.spec_from_file_location(f"nbflow_{name}", place)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    answering, bounding = _beside("answering"), _beside("bounding")
    forked, rehearsing = _beside("forked"), _beside("rehearsing")

_PACKET_BYTES = 65536
#: Python's allocator: sizes are multiples of this, up to what the C library is asked for instead.
_ALIGNMENT_BYTES, _SMALL_BYTES = 16, 512
#: What is taken for holes of each size.
_HOLES_BYTES = 32_768
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
    "IPython.core.logger",
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
    environment: forked.Environment
    rehearsal: rehearsing.Rehearsal | None


def main(descriptor: int, arguments: list[str]) -> None:
    """Serve until the owner is gone; in a forked child, be a kernel."""
    born = frozenset(os.environ)
    # The first hook that is registered is the last to run.
    leaving = forked.Leaving()
    atexit.register(leaving.leave)
    for name in _KERNEL_MODULES:
        # A version of ipykernel or IPython may lack one; the kernel then imports what it has.
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    from ipykernel.kernelapp import IPKernelApp  # lazy: after the path is in order

    app: Any = IPKernelApp.instance()

    def claimed() -> None:
        del app.init_connection_file
        # Its handler drops what is below its level; otherwise, every message is made in full.
        app.log.setLevel(app.log_level)
        server = _Server(socket.socket(fileno=descriptor), app, born, leaving)
        child = server.serve()
        if child is None:
            raise SystemExit(0)
        # The numbers of its descriptors belong to something else now, which must not be closed.
        leaving.of_a_kernel(keep=server)
        app.connection_file = forked.await_claim(child.claim, child.environment)
        # Telemetry: a kernel that cannot do it runs all the same.
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            answering.answer_signal()
        if child.rehearsal is None:
            app.init_connection_file()
        else:
            child.rehearsal.take_over()

    app.init_connection_file = claimed
    # Parent 1 means: watch no parent (the leash does), and print no notice about Ctrl-C.
    app.initialize([*arguments, "--IPKernelApp.parent_handle=1"])
    # Runs before ipykernel's own clean-up, which ends the thread that flushes outputs first, and
    # then waits for threads that may themselves wait for a flush: ten seconds, now and then.
    atexit.register(_end_channel_threads, app)
    bounding.bound_output()
    app.start()
    leaving.code = 0


class _Server:
    def __init__(
        self, owner: socket.socket, app: Any, born: frozenset[str], leaving: forked.Leaving
    ) -> None:
        self._owner = owner
        self._app = app
        self._born = born
        self._leaving = leaving
        self._rehearsal: rehearsing.Rehearsal | None = None
        self._filling: list[list[bytes]] = []
        self._environment = forked.Environment.now(born)
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
        if self._rehearsal is not None:
            self._rehearsal.undo()
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
        # What IPython loads by a name that a module beside a notebook might have, too.
        packages = _top_level() - self._kernel_packages | set(self._app.default_extensions)
        self._prepare_forks()
        self._tell(
            {
                "ready": loaded,
                "packages": sorted(packages),
                "configuration": self._configuration,
            }
        )

    def _prepare_forks(self) -> None:
        """Do once what each child would have to do, and would come out the same."""
        self._environment = forked.Environment.now(self._born)
        self._rehearsal = rehearsing.Rehearsal.of(self._app)
        self._leaving.remember_modules()
        # Files may be written before a child looks into their folders, which it does itself.
        importlib.invalidate_caches()
        sys.path_importer_cache.clear()
        # Out of the collector's sight, so that a child's first collection does not copy every page.
        gc.collect()
        self._filling = _fill_holes()
        forked.fill_heap()
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
            forked.become_own_process(server, keep=claim.fileno())
            return Child(claim, self._environment, self._rehearsal)
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


def _fill_holes() -> list[list[bytes]]:
    """Fill the holes that imports have left in Python's memory, as long as the result is kept.

    What a child allocates would lie in them, each on a page that it has to copy for that. So it
    comes to lie together.
    """
    sizes = range(_ALIGNMENT_BYTES * 3, _SMALL_BYTES + 1, _ALIGNMENT_BYTES)
    empty = sys.getsizeof(b"")
    return [[bytes(size - empty) for _ in range(_HOLES_BYTES // size)] for size in sizes]


def _descendants() -> list[Any]:
    psutil = sys.modules.get("psutil")
    return psutil.Process().children(recursive=True) if psutil is not None else []


def _configuration(app: Any) -> dict[str, int | None]:
    """Return where IPython looks for configuration and start-up files, and times of change (ns)."""
    paths = [Path(folder, name) for folder in app.config_file_paths for name in _CONFIGURATION]
    paths += rehearsing.startup_folders(app)
    return {str(path): path.stat().st_mtime_ns if path.exists() else None for path in paths}


def _top_level() -> set[str]:
    return {name.partition(".")[0] for name in list(sys.modules)}


def _end_channel_threads(app: Any) -> None:
    for thread in (app.control_thread, app.shell_channel_thread):
        if thread is not None and thread.is_alive():
            thread.stop()
            thread.join()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
