"""What holds for every test: it leaves no process, no thread and no temporary folder behind."""

import os
import shutil
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


@pytest.fixture(autouse=True, scope="session")
def temporary_folder() -> Iterator[Path]:
    """A temporary folder of this session's own, with a short path: sockets lie in it."""
    folder = Path(tempfile.mkdtemp(prefix="nbt"))
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    yield folder
    tempfile.tempdir = None
    if before is None:
        del os.environ["TMPDIR"]
    else:
        os.environ["TMPDIR"] = before
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def nothing_left_behind(temporary_folder: Path) -> Iterator[None]:
    threads = set(threading.enumerate())
    children = set(psutil.Process().children(recursive=True))
    yield
    for thread in set(threading.enumerate()) - threads:
        if not thread.name.startswith(LIBRARY_THREADS):
            thread.join(GRACE_S)
            assert not thread.is_alive(), f"the test left the thread {thread.name} behind"
    new_children = {
        child
        for child in set(psutil.Process().children(recursive=True)) - children
        if "multiprocessing.resource_tracker" not in _told(child)  # Python's, one per process
    }
    _, alive = psutil.wait_procs(new_children, timeout=GRACE_S)
    assert not alive, f"the test left processes behind: {[_told(p) for p in alive]}"
    left = sorted(path.name for path in temporary_folder.glob("nbflow-*"))
    assert not left, f"the test left temporary folders behind: {left}"


def _told(process: psutil.Process) -> str:
    try:
        return f"{process.pid} {' '.join(process.cmdline())}"
    except psutil.NoSuchProcess:
        return f"{process.pid} (ended)"
