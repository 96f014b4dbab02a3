"""What makes a forked process one of its own: how it begins, is claimed, and leaves.

Between a fork and the first reply, most time goes into pages of memory: each that is written to is
copied first, and in Python to look at an object is to write to it. So what can be found out before
the fork is, and nothing is done here that changes nothing.

Used by `forkserver` in the kernel's own environment: imports nothing of nbflow.
"""

import contextlib
import ctypes
import gc
import io
import json
import os
import resource
import signal
import socket
import sys
from typing import Any, NamedTuple

_PACKET_BYTES = 65536
_PR_SET_PDEATHSIG = 1
_BUFFERED = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)
#: The C library, which lets other threads of Python's run meanwhile, or (exit) does not.
_C = ctypes.CDLL(None)
_C_ALONE = ctypes.PyDLL(None)
_prctl, _exit = _C.prctl, _C_ALONE.exit
#: Of what the C library hands out: the largest that is looked for, and in which steps.
_CHUNK_BYTES, _ALIGNMENT_BYTES = 8192, 16
#: Beyond that, holes are no matter of a few pages.
_FILLED_BYTES = 64_000_000
_OFFSET = ctypes.c_ssize_t


def fill_heap() -> None:
    """Fill the holes in the C library's heap for good; before forks.

    What a fork allocates would lie in them, each on a page that it has to copy for that. So it
    comes to lie behind the heap's end, together. Another allocator has no such heap, and then
    nothing is done.
    """
    malloc, free, sbrk = _C_ALONE.malloc, _C_ALONE.free, _C_ALONE.sbrk
    malloc.restype = sbrk.restype = ctypes.c_void_p
    malloc.argtypes, free.argtypes, sbrk.argtypes = [ctypes.c_size_t], [ctypes.c_void_p], [_OFFSET]
    end = sbrk(0)
    if end is None:
        return
    filled = 0
    for size in range(_CHUNK_BYTES, 0, -_ALIGNMENT_BYTES):
        while filled < _FILLED_BYTES:
            chunk = malloc(size)
            if chunk is None or chunk >= end:
                free(chunk)
                break
            filled += size


def become_own_process(server: int, keep: int) -> None:
    """Shed everything that is the server's, but the descriptor `keep`."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
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
    """Give the process a random state of its own, as if it had imported all of it itself.

    Python's `random` does that at each fork.
    """
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
    process = sys.modules.get("multiprocessing.process")
    if process is not None:
        process.current_process().authkey = os.urandom(32)
    tempfile = sys.modules.get("tempfile")
    if tempfile is not None:
        tempfile.__dict__["tempdir"] = None


class Environment(NamedTuple):
    """The server's variables, which a kernel's take the place of."""

    all: dict[str, str]
    #: Those that imports have set, as they would have in the kernel.
    imported: dict[str, str]

    @classmethod
    def now(cls, born: frozenset[str]) -> "Environment":
        """Return what there is now; names in `born` were there before the imports."""
        every = dict(os.environ)
        return cls(every, {name: it for name, it in every.items() if name not in born})

    def give_way(self, claimed: dict[str, str]) -> None:
        """Let a kernel have the variables `claimed`."""
        wanted = self.imported | claimed
        for name in self.all.keys() - wanted.keys():
            del os.environ[name]
        for name, value in wanted.items():
            if self.all.get(name) != value:
                os.environ[name] = value


def await_claim(ours: socket.socket, environment: Environment) -> str:
    """Wait for the claim on this process, apply it, and return the connection file.

    If `ours` closes without a claim, the process ends.
    """
    try:
        data, descriptors, _, _ = socket.recv_fds(ours, _PACKET_BYTES, 3)
        while piece := ours.recv(_PACKET_BYTES):
            data += piece
    except ConnectionError:
        data = b""
    if not data:
        os._exit(0)
    ours.close()
    claim = json.loads(data)
    for target, descriptor in enumerate(descriptors):
        os.dup2(descriptor, target)
        os.close(descriptor)
    environment.give_way(claim["env"])
    os.chdir(claim["cwd"])
    if claim["nice"]:
        os.nice(claim["nice"])
    if claim["cpus"]:
        os.sched_setaffinity(0, claim["cpus"])
    sys.argv = claim["argv"]
    return str(claim["connection_file"])


class Leaving:
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
        #: What a kernel never lets go of; none if this process is no kernel.
        self._kept: object = None
        self._before: frozenset[str] = frozenset()

    def remember_modules(self) -> None:
        """Note what is loaded: kernels that are forked from now on have it from the server."""
        self._before = frozenset(sys.modules) - {"__main__"}

    def of_a_kernel(self, keep: object) -> None:
        """Note that this process is a kernel from now on, which holds `keep` to the end."""
        self._kept = keep

    def leave(self) -> None:
        """End the process, if it is a kernel's."""
        if self._kept is None:
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
        _exit(self.code)


def _take_apart(namespace: dict[str, Any]) -> None:
    for private in (True, False):
        for name in list(namespace):
            if name.startswith("_") is private and name != "__builtins__":
                namespace[name] = None
