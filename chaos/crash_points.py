"""Crash points: a process ends itself, by SIGKILL, at the n-th of its durable steps.

A step is whatever changes what a later process finds: a commit of the journal (before it, and after
it), each creation, write and sync of a file of the artifact store, and each rename, link, removal
and new folder below the watched one, whoever makes it. They are counted over all threads, in the
order in which they come; between two of them nothing durable happens, so an end there is like
an end at the next one.

The steps are watched from outside: `sqlite3.connect` and `Disk.before` are replaced, and the
interpreter's audit events are listened to, in this process, for as long as it lives. Nothing in
nbflow knows.
"""

import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from nbflow.artifacts.files import Disk, Step

#: Audit event -> the step, and which of its arguments is the path that changes.
_EVENTS = {
    "os.rename": ("rename", 1),
    "os.link": ("link", 1),
    "os.remove": ("removal", 0),
    "os.mkdir": ("new folder", 0),
    "os.rmdir": ("removal", 0),
}
#: What of a `Disk` the interpreter does not tell.
_UNTOLD: frozenset[Step] = frozenset({"create", "write", "fsync"})
#: The folder that a path is in -> what is there.
_PLACES = {
    "sha256": "an artifact",
    "receipts": "a receipt",
    "entries": "an entry",
    "runs": "the run's folder",
    "tmp": "an unfinished artifact",
}


class CrashPoints:
    """Counts durable steps; see the module.

    Parameters
    ----------
    nth
        The step at which the process ends, from 1; 0 is none.
    told
        The file to which the step's name is written before that.
    """

    def __init__(self, nth: int, told: Path) -> None:
        self._nth = nth
        self._told = str(told)
        self._lock = threading.Lock()
        #: How many steps there were.
        self.count = 0

    def at(self, step: str) -> None:
        """Count a step, and end here if it is the one."""
        with self._lock:
            self.count += 1
            if self.count != self._nth:
                return
            file = os.open(self._told, os.O_WRONLY | os.O_CREAT)
            os.write(file, step.encode())
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self, folder: Path) -> None:
        """Count the steps of this process below `folder` from here on."""
        _watch_journals(self.at)
        _watch_disks(self.at)
        _watch_names(self.at, f"{folder}/")


def _watch_journals(at: Callable[[str], None]) -> None:
    """See every transaction, also those in which tables are made."""

    class Watched(sqlite3.Connection):
        def commit(self) -> None:
            if not self.in_transaction:
                super().commit()
                return
            at("before a commit of the journal")
            super().commit()
            at("after a commit of the journal")

    connect: Any = partial(sqlite3.connect, factory=Watched)
    sqlite3.connect = connect


def _watch_disks(at: Callable[[str], None]) -> None:
    def before(disk: Disk, step: Step, path: Path) -> None:
        del disk
        if step in _UNTOLD:
            at(f"before the {step} of {_place_of(path)}")

    Disk.before = before


def _watch_names(at: Callable[[str], None], below: str) -> None:
    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _EVENTS:
            return
        what, which = _EVENTS[event]
        path = os.fsdecode(arguments[which])
        if path.startswith(below):
            at(f"before the {what} of {_place_of(Path(path))}")

    sys.addaudithook(hear)


def _place_of(path: Path) -> str:
    """Return what a path is, without what is random about it."""
    if path.suffix == ".ipynb":
        return "an executed notebook"
    return next((what for name, what in _PLACES.items() if name in path.parts), path.name)
