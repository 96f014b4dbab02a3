"""What a test, or tests that share something, must not leave behind."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from zmq.utils.garbage import GarbageCollectorThread

#: How long what is ending by itself may take, in seconds.
GRACE_S = 10.0

#: Threads that libraries keep for the life of the process, by the beginning of their names.
LIBRARY_THREADS = (
    "Dask-Offload",  # distributed's pool for serialisation
    "Profile",  # distributed's statistical profiler
    "TCP-Executor",  # distributed's sockets
    "IO loop",  # the loop that synchronous Dask clients share
)


@contextmanager
def none_of(temporary_folder: Path) -> Iterator[None]:
    """Fail if the body leaves a process, a thread, or a folder of nbflow in `temporary_folder`."""
    threads = set(threading.enumerate())
    children = set(psutil.Process().children(recursive=True))
    folders = set(temporary_folder.glob("nbflow-*"))
    yield
    for thread in set(threading.enumerate()) - threads:
        if not _is_a_librarys(thread):
            # It may be on its way: listed, and not begun.
            thread._started.wait(GRACE_S)
            thread.join(GRACE_S)
            assert not thread.is_alive(), f"the test left the thread {thread.name} behind"
    new_children = {
        child
        for child in set(psutil.Process().children(recursive=True)) - children
        if "multiprocessing.resource_tracker" not in _told(child)  # Python's, one per process
    }
    _, alive = psutil.wait_procs(new_children, timeout=GRACE_S)
    assert not alive, f"the test left processes behind: {[_told(p) for p in alive]}"
    left = sorted(set(temporary_folder.glob("nbflow-*")) - folders)
    for path in left:  # or the next test would be blamed for them
        shutil.rmtree(path, ignore_errors=True)
    assert not left, f"the test left temporary folders behind: {[path.name for path in left]}"


def _is_a_librarys(thread: threading.Thread) -> bool:
    # The last is pyzmq's, which frees what was sent without a copy. It has no name of its own.
    return thread.name.startswith(LIBRARY_THREADS) or isinstance(thread, GarbageCollectorThread)


def _told(process: psutil.Process) -> str:
    try:
        return f"{process.pid} {' '.join(process.cmdline())}"
    except psutil.NoSuchProcess:
        return f"{process.pid} (ended)"
