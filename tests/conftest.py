"""What holds for every test: it leaves no process, no thread and no temporary folder behind."""

import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

#: How long what is ending by itself may take, in seconds.
GRACE_S = 10.0

#: Threads that libraries keep for the life of the process, by the beginning of their names.
LIBRARY_THREADS = (
    "Dask-Offload",  # distributed's pool for serialisation
    "Profile",  # distributed's statistical profiler
    "TCP-Executor",  # distributed's sockets
    "IO loop",  # the loop that synchronous Dask clients share
)


def _temporary_folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("nbflow-*"))


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    threads = set(threading.enumerate())
    children = set(psutil.Process().children(recursive=True))
    folders = _temporary_folders()
    yield
    for thread in set(threading.enumerate()) - threads:
        if not thread.name.startswith(LIBRARY_THREADS):
            thread.join(GRACE_S)
            assert not thread.is_alive(), f"the test left the thread {thread.name} behind"
    new_children = set(psutil.Process().children(recursive=True)) - children
    _, alive = psutil.wait_procs(new_children, timeout=GRACE_S)
    assert not alive, f"the test left processes behind: {[_told(p) for p in alive]}"
    assert _temporary_folders() <= folders, "the test left temporary folders behind"


def _told(process: psutil.Process) -> str:
    with process.oneshot():
        return f"{process.pid} {' '.join(process.cmdline())}"
