"""Homes: where a journal and its artifacts live.

A home is a folder: ``journal.sqlite``, ``artifacts/``, and ``runs/RUN/`` with the
executed notebooks of runs that were given no other place for them. It lies beside
the flow, in ``.nbflow``, unless ``home=``, ``--home`` or ``NBFLOW_HOME`` says otherwise.
"""

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from nbflow.artifacts import FileStore
from nbflow.core.errors import JournalError, UnknownRun
from nbflow.ports import RunRow

if TYPE_CHECKING:
    from nbflow.journal import SqlJournal

#: Name of the folder that is a home by default.
FOLDER = ".nbflow"

#: The environment variable that points to a home.
VARIABLE = "NBFLOW_HOME"


class Home:
    """An open home: its journal and its artifact store.

    Parameters
    ----------
    folder
        The home's folder.
    journal, store
        The adapters that are open on it.
    """

    def __init__(self, folder: Path, journal: "SqlJournal", store: FileStore) -> None:
        self.folder = folder
        self.journal = journal
        self.store = store

    @classmethod
    def open(cls, folder: Path) -> "Home":
        """Open the home in `folder`, which is made if it is not there.

        Raises
        ------
        JournalError
            If the folder cannot be made or written, or holds something else.
        NewerSchema
            If a newer nbflow has written it.
        """
        # Lazy: SQLAlchemy can be loaded while the workers of a new run start.
        from nbflow.journal import SqlJournal

        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise JournalError(
                f"the home {folder} cannot be made: {error.strerror}. "
                "Choose another one by --home, home= or NBFLOW_HOME"
            ) from error
        folder = folder.resolve()
        journal = SqlJournal.open(folder / "journal.sqlite")
        try:
            store = FileStore.open(folder / "artifacts")
        except BaseException:
            journal.close()
            raise
        return cls(folder, journal, store)

    @classmethod
    def find(cls, home: str | os.PathLike[str] | None, start: Path) -> "Home":
        """Open an existing home: `home` if given, else the one found from `start` upwards.

        Raises
        ------
        UnknownRun
            If there is none.
        """
        folder = located(home, start, os.environ)
        if folder is None:
            raise UnknownRun(
                f"there is no {FOLDER} folder in {start} or above it. "
                "Name the home by --home, home= or NBFLOW_HOME"
            )
        if not (folder / "journal.sqlite").is_file():
            raise UnknownRun(
                f"{folder} is no home of nbflow: it has no journal.sqlite. "
                "Name the home by --home, home= or NBFLOW_HOME"
            )
        return cls.open(folder)

    def run_row(self, run: str) -> RunRow:
        """Return the row of the run that `run` names: its id, or a beginning of only one id.

        Raises
        ------
        UnknownRun
            If no run or several fit.
        """
        rows = self.journal.rows()
        fitting = [row for row in rows if row.id == run] or [
            row for row in rows if row.id.startswith(run)
        ]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            names = ", ".join(row.id for row in fitting[-5:])
            raise UnknownRun(
                f"{run!r} may be any of {len(fitting)} runs ({names}). Write more of it"
            )
        latest = ", ".join(row.id for row in rows[-3:]) or "none yet"
        raise UnknownRun(f"there is no run {run!r} in {self.folder}. The latest: {latest}")

    def runs_folder(self, run: str) -> Path:
        """Return where the executed notebooks of `run` go by default."""
        return self.folder / "runs" / run

    def close(self) -> None:
        """Let go of the journal."""
        self.journal.close()


def located(
    home: str | os.PathLike[str] | None, start: Path, environ: Mapping[str, str]
) -> Path | None:
    """Return the folder of the home that a command without a flow means, if there is one."""
    if home is not None:
        return Path(home)
    if environ.get(VARIABLE):
        return Path(environ[VARIABLE])
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / FOLDER / "journal.sqlite").is_file():
            return folder / FOLDER
    return None


def chosen(home: str | os.PathLike[str] | None, beside: Path, environ: Mapping[str, str]) -> Path:
    """Return the folder of the home for a flow that lies in the folder `beside`."""
    if home is not None:
        return Path(home)
    if environ.get(VARIABLE):
        return Path(environ[VARIABLE])
    return beside / FOLDER


def is_driven(row: RunRow, now: float) -> bool:
    """Whether a live driver holds the run, as far as can be known from here."""
    return bool(row.holder) and row.lease_until > now and not is_dead(row.holder)


def driver_name() -> str:
    """Return who this process is, as a lease's holder: host, pid, and when the process began.

    The start time tells a process from a later one that was given the same pid.
    """
    process = psutil.Process()
    return f"{socket.gethostname()}:{process.pid}:{process.create_time():.2f}"


def is_dead(holder: str) -> bool:
    """Whether the driver `holder` surely lives no more: it was of this host, and has ended."""
    host, _, rest = holder.partition(":")
    pid, _, began = rest.partition(":")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        return f"{psutil.Process(int(pid)).create_time():.2f}" != began.partition(":")[0]
    except psutil.NoSuchProcess:
        return True
