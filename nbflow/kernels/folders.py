"""A kernel's private folder: its connection file, its sockets, and its log.

A Unix socket's path holds 107 bytes at most, which test runners' and clusters' temporary
folders easily exceed; so the folder lies in the first place that is short enough.
Only its owner may enter it: who can open the sockets can run code.

Whoever is killed leaves its folders behind. So each says which process it belongs to, also that of
an embedded cluster, and a later process removes those of which the owner surely has ended.
"""

import contextlib
import functools
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from nbflow import _processes
from nbflow.kernels.answering import ANSWERS
from nbflow.kernels.family import end_family

#: Longest path of a Unix socket (macOS has the smallest limit, 103).
_SOCKET_PATH_LIMIT = 103
_LOG_LINES = 12
#: What the debugger says at each start about Python's own modules: ``0.00s - make the debugger…``.
_NOISE = re.compile(r"\d+\.\d\ds - ")
_LOG_TAIL_BYTES = 8192
#: The file in a folder that names the process which it belongs to.
_OWNER = "owner"
#: What folders of embedded clusters, and of kernels, begin with.
CLUSTER, _KERNEL = "nbflow-c-", "nbflow-k-"


def last_lines(log: bytes) -> str:
    """Return the last lines of a process's log, for people."""
    lines = log.decode(errors="replace").strip().splitlines()
    return "\n".join([line for line in lines if not _NOISE.match(line)][-_LOG_LINES:])


def sweep(pid: int) -> None:
    """Remove what is left of the kernels that a process of this pid started; it has ended."""
    for left in _folders(f"{_KERNEL}{pid}-"):
        _remove_kernel(left)


def own(folder: Path) -> None:
    """Say in `folder` that it is this process's."""
    # Without room, or a way to tell processes apart, it stays when this process is killed.
    with contextlib.suppress(OSError):
        (folder / _OWNER).write_text(_processes.told())


def sweep_ended() -> None:
    """Remove what processes have left that have ended, such as those that were killed.

    What belongs to another user, or to who knows whom, stays: of a process in another container
    that shares the folder, nobody here can tell whether it lives.
    """
    for left in _folders(_KERNEL):
        if _is_nobodys(left):
            _remove_kernel(left)
    for left in _folders(CLUSTER):
        if _is_nobodys(left):
            shutil.rmtree(left, ignore_errors=True)


@functools.cache
def sweep_ended_once() -> None:
    """Do that if this process has not done it yet."""
    sweep_ended()


def _folders(prefix: str) -> Iterator[Path]:
    places = {tempfile.gettempdir(), "/tmp"}  # noqa: S108 - where `KernelFolder` puts them
    for place in places:
        yield from Path(place).glob(f"{prefix}*")


def _remove_kernel(folder: Path) -> None:
    end_family(None, folder)
    shutil.rmtree(folder, ignore_errors=True)


def _is_nobodys(folder: Path) -> bool:
    """Whether a folder is of this user, and its owner surely has ended."""
    try:
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
            return False
        owner = _processes.named((folder / _OWNER).read_text(errors="replace"))
        ended = owner is not None and owner.has_ended
    except OSError:
        return False
    return ended


class KernelFolder:
    """One kernel's folder, made now and removed by `remove`."""

    def __init__(self) -> None:
        places = [tempfile.gettempdir(), "/tmp"]  # noqa: S108 - a fresh private folder inside it
        short = [place for place in places if self._fits(place)]
        prefix = f"{_KERNEL}{os.getpid()}-"
        self.path = Path(tempfile.mkdtemp(prefix=prefix, dir=short[0] if short else None))
        own(self.path)
        #: Whether sockets can lie in it.
        self.holds_sockets = bool(short)

    @staticmethod
    def _fits(place: str) -> bool:
        return (
            Path(place).is_dir()
            and len(f"{place}/nbflow-k-1234567-12345678/k-5") <= _SOCKET_PATH_LIMIT
        )

    @property
    def connection_file(self) -> str:
        """Where the connection file lies."""
        return str(self.path / "kernel.json")

    @property
    def socket_prefix(self) -> str:
        """What the paths of the five sockets begin with."""
        return str(self.path / "k")

    @property
    def log(self) -> Path:
        """Where the process writes what does not go through Jupyter's channels."""
        return self.path / "log"

    @property
    def answers(self) -> Path:
        """Where a Python kernel writes where its threads stand, if it can."""
        return self.path / ANSWERS

    def log_tail(self) -> str:
        """Return the last lines of the log; empty if there is none any more."""
        try:
            with self.log.open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - _LOG_TAIL_BYTES))
                data = file.read()
        except FileNotFoundError:
            return ""
        return last_lines(data)

    def remove(self) -> None:
        """Remove the folder with all that is in it, if it is still there."""
        shutil.rmtree(self.path, ignore_errors=True)
