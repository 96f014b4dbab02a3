"""Processes of a disturbed run: all that carry its mark in their environment, whoever started them.

A mark is found in ``/proc``, so that no process escapes by leaving its family: a fork server, a
kernel, or a driver that has been detached.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

import psutil

#: What a process is to nbflow.
Kind: TypeAlias = Literal["driver", "worker", "scheduler", "fork server", "kernel", "other"]

#: The variable that holds the mark.
VARIABLE = "CHAOS_RUN"

_OUTSIDE = "chaos.outside"
_FORK_SERVER = "nbflow/kernels/forkserver.py"
#: A word of the command line -> what runs there.
_PROGRAMS: dict[str, Kind] = {
    "chaos.driving": "driver",
    "nbflow.session.detached": "driver",
    "nbflow.cluster.worker_process": "worker",
    "ipykernel_launcher": "kernel",
}


def marked(mark: str) -> list[psutil.Process]:
    """Return the living processes that carry `mark`."""
    wanted = f"{VARIABLE}={mark}".encode()
    return [process for process in _living() if wanted in _environment(process.pid).split(b"\0")]


def by_kind(mark: str) -> dict[Kind, list[psutil.Process]]:
    """Return the living processes that carry `mark`, by what they are."""
    found: dict[Kind, list[psutil.Process]] = {}
    for process in marked(mark):
        found.setdefault(kind_of(process), []).append(process)
    return found


def kind_of(process: psutil.Process) -> Kind:
    """Return what a process is; ``other`` if it has just ended."""
    try:
        words = process.cmdline()
        if any(word.endswith(_FORK_SERVER) for word in words):
            # A kernel has been forked by a fork server, and has its command line.
            beneath = any(word.endswith(_FORK_SERVER) for word in process.parent().cmdline())
            return "kernel" if beneath else "fork server"
    except (psutil.NoSuchProcess, AttributeError):
        return "other"
    if _OUTSIDE in words:
        return "scheduler" if "scheduler" in words else "worker"
    return next((kind for word, kind in _PROGRAMS.items() if word in words), "other")


def told(process: psutil.Process) -> str:
    """Return a process's number and command line, for people."""
    try:
        return f"{process.pid} {' '.join(process.cmdline())[:200]}"
    except psutil.NoSuchProcess:
        return f"{process.pid} (ended)"


def _living() -> Iterator[psutil.Process]:
    for process in psutil.process_iter(["status"]):
        if process.info["status"] != psutil.STATUS_ZOMBIE and process.pid != os.getpid():
            yield process


def _environment(pid: int) -> bytes:
    """Return the environment that a process was started with; nothing if it is not for us."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""
