"""Which processes belong to a kernel, also those that it has lost sight of; and their end.

A kernel's death leaves nobody who knows what it has started. So a process counts as the kernel's if

- it descends from it, as long as all between them live;
- it is in its session, whatever its group;
- it was started with the kernel's mark (`MARK`), which is inherited through the environment; or
- it holds the kernel's folder open: a fork that has not become another program shows the
  environment of the fork server, but has the kernel's log.

What has shed its session, its environment and its parents on purpose is not found. This reads
``/proc``; on systems without it, a kernel's family are its living descendants.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from nbflow.kernels import forkserver

#: The variable of a kernel's environment that names its private folder.
MARK = "NBFLOW_KERNEL"

_PROC = Path("/proc")
#: Looks for what was started while the others were being killed.
_ROUNDS = 5
_FORKED = os.fsencode(forkserver.__file__)


@dataclass(frozen=True, slots=True)
class _Process:
    pid: int
    parent: int
    session: int


def has_children(pid: int) -> bool:
    """Whether the process `pid` has started others that live. Quick; true where nobody can say."""
    if sys.platform != "linux":
        return True
    try:
        tasks = list((_PROC / str(pid) / "task").iterdir())
        return any((task / "children").read_bytes() for task in tasks)
    except OSError:
        # It is ending, or the system does not list children.
        return True


def end_group(pid: int | None) -> None:
    """Kill the process group that the kernel `pid` leads."""
    # Nobody is left in the group (macOS says "not permitted" of zombies).
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if pid is not None:
            os.killpg(pid, signal.SIGKILL)


def end_family(pid: int | None, folder: Path) -> None:
    """Kill all that belongs to a kernel, itself included.

    Parameters
    ----------
    pid
        The kernel's process, which may have ended; None if it is not known any more.
    folder
        Its private folder.
    """
    killed: set[int] = set()
    for _ in range(_ROUNDS):
        found = set(_members(pid, folder)) - killed - {os.getpid()}
        # What is in the group must have been seen first: its children are nobody's afterwards.
        end_group(pid)
        if not found:
            return
        for member in found:
            # Another one's exit, or a program that runs as another user.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(member, signal.SIGKILL)
        killed |= found


def _members(pid: int | None, folder: Path) -> Iterator[int]:
    if sys.platform != "linux":
        yield from _living_descendants(pid)
        return
    processes = list(_processes())
    yield from _descendants(pid, processes)
    mark = os.fsencode(f"{MARK}={folder}")
    for process in processes:
        if process.session == pid or _has_mark(process.pid, mark) or _holds(process.pid, folder):
            yield process.pid


def _living_descendants(pid: int | None) -> Iterator[int]:
    with contextlib.suppress(psutil.NoSuchProcess):
        if pid is not None:
            yield from (child.pid for child in psutil.Process(pid).children(recursive=True))


def _processes() -> Iterator[_Process]:
    """Yield all processes of this machine that have not ended."""
    for entry in os.scandir(_PROC):
        if not entry.name.isdigit():
            continue
        try:
            stat = Path(entry.path, "stat").read_bytes()
        except OSError:
            continue
        # The name before it may hold anything, parentheses included.
        state, parent, _, session = stat.rpartition(b")")[2].split()[:4]
        if state not in (b"Z", b"X"):
            yield _Process(int(entry.name), int(parent), int(session))


def _descendants(pid: int | None, processes: list[_Process]) -> Iterator[int]:
    family = {pid}
    grown = True
    while grown:
        more = {it.pid for it in processes if it.parent in family} - family
        yield from more
        family |= more
        grown = bool(more)


def _has_mark(pid: int, mark: bytes) -> bool:
    try:
        return mark in (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _holds(pid: int, folder: Path) -> bool:
    """Whether a fork of the fork server has a file of `folder` open."""
    place = _PROC / str(pid)
    try:
        if _FORKED not in (place / "cmdline").read_bytes().split(b"\0"):
            return False
        return any(
            folder in descriptor.readlink().parents for descriptor in (place / "fd").iterdir()
        )
    except OSError:
        return False
