"""Homes: where a journal and its artifacts live.

A home is a folder: ``journal.sqlite``, ``artifacts/``, and ``runs/RUN/`` with the
executed notebooks of runs that were given no other place for them. A file ``home.toml`` in it
may say that journal and artifacts are elsewhere (see `home_file`). It lies beside
the flow, in ``.nbflow``, unless ``home=``, ``--home`` or ``NBFLOW_HOME`` says otherwise.

Events that are too large for the journal go to the artifact store, which is why a journal is
opened here and not by itself.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from nbflow.artifacts import FileStore, TieredCache
from nbflow.core.errors import JournalError, UnknownRun
from nbflow.ports import ResultCache, RunRow
from nbflow.session import home_file, tenants
from nbflow.session.holders import is_driven

if TYPE_CHECKING:
    from nbflow.journal import SqlJournal

__all__ = [
    "FOLDER",
    "VARIABLE",
    "Home",
    "chosen",
    "is_driven",
    "is_home",
    "located",
    "runs_folder",
]

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
    tenant
        What the journal calls itself in the store; see `tenants`.
    """

    def __init__(
        self, folder: Path, journal: "SqlJournal", store: FileStore, *, tenant: str
    ) -> None:
        self.folder = folder
        self.journal = journal
        self.store = store
        self.tenant = tenant
        #: Results of earlier runs.
        self.cache: ResultCache = TieredCache(store)

    @classmethod
    def open(cls, folder: Path) -> "Home":
        """Open the home in `folder`, which is made if it is not there.

        Raises
        ------
        JournalError
            If the folder cannot be made, lies on a network file system, holds something else, or
            artifacts whose journal was lost, or if its ``home.toml`` is faulty.
        ArtifactError
            If its artifacts cannot be used.
        NewerSchema
            If a newer nbflow has written it.
        """
        # Lazy: SQLAlchemy can be loaded while the workers of a new run start.
        from nbflow.journal import Overflow, SqlJournal
        from nbflow.journal.filesystems import ALLOW

        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise JournalError(
                f"the home {folder} cannot be made: {error.strerror}. "
                "Choose another one by --home, home= or NBFLOW_HOME"
            ) from error
        folder = folder.resolve()
        places = home_file.read(folder, os.environ)

        # The journal comes first: it knows whether this is a home, and makes nothing if not.
        def put(data: bytes) -> str:
            return store.put(data, "json").digest

        def get(digest: str) -> bytes:
            return store.get(digest)

        journal = SqlJournal.open(
            places.journal,
            overflow=Overflow(put, get),
            allow_network=os.environ.get(ALLOW) == "1",
            orphans=lambda place: _orphans(folder, places, place),
        )
        try:
            store = FileStore.open(places.artifacts)
        except BaseException:
            journal.close()
            raise
        tenant = tenants.tenant(folder, places, journal.place)
        return cls(folder, journal, store, tenant=tenant)

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
        if not is_home(folder):
            raise UnknownRun(
                f"{folder} is no home of nbflow: it has no journal.sqlite, and no "
                f"{home_file.NAME}. "
                "Name the home by --home, home= or NBFLOW_HOME"
            )
        return cls.open(folder)

    def run_row(self, run: str) -> RunRow:
        """Return the row of the run that `run` names: its id, or a beginning of only one id.

        Raises
        ------
        UnknownRun
            If no run or several fit.
        JournalError
            If its row is damaged.
        """
        row, problem = self._named(run)
        if problem:
            raise JournalError(problem)
        return row

    def run_id(self, run: str) -> str:
        """Return the id of the run that `run` names like `run_row`, even if its row is damaged."""
        return self._named(run)[0].id

    def _named(self, run: str) -> tuple[RunRow, str]:
        rows = self.journal.listed()
        fitting = [each for each in rows if each[0].id == run] or [
            each for each in rows if each[0].id.startswith(run)
        ]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            names = ", ".join(row.id for row, _ in fitting[-5:])
            raise UnknownRun(
                f"{run!r} may be any of {len(fitting)} runs ({names}). Write more of it"
            )
        latest = ", ".join(row.id for row, _ in rows[-3:]) or "none yet"
        raise UnknownRun(f"there is no run {run!r} in {self.folder}. The latest: {latest}")

    def runs_folder(self, run: str) -> Path:
        """Return where the executed notebooks of `run` go by default."""
        return runs_folder(self.folder, run)

    def close(self) -> None:
        """Let go of the journal."""
        self.journal.close()


def runs_folder(home: Path, run: str) -> Path:
    """Return the folder of `run` in the home `home`."""
    return home / "runs" / run


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
        if is_home(folder / FOLDER):
            return folder / FOLDER
    return None


def chosen(home: str | os.PathLike[str] | None, beside: Path, environ: Mapping[str, str]) -> Path:
    """Return the folder of the home for a flow that lies in the folder `beside`."""
    if home is not None:
        return Path(home)
    if environ.get(VARIABLE):
        return Path(environ[VARIABLE])
    return beside / FOLDER


def is_home(folder: Path) -> bool:
    """Whether there is a home in `folder`, or what one without its journal has left."""
    names = (home_file.JOURNAL, home_file.NAME)
    return any((folder / name).is_file() for name in names) or _has_artifacts(
        folder / home_file.ARTIFACTS
    )


def _orphans(folder: Path, places: home_file.Places, journal: str) -> str:
    """Return what the runs of `journal` have stored, in words for people; "" if they have nothing.

    Artifacts in the home's own folder are those of the file beside them. In a store elsewhere, or
    before a server's journal, other journals may have theirs; there, a journal's own word for it
    counts.
    """
    artifacts = places.artifacts
    if isinstance(places.journal, Path) and artifacts == folder / home_file.ARTIFACTS:
        return str(artifacts) if _has_artifacts(folder / home_file.ARTIFACTS) else ""
    if isinstance(artifacts, Path) and not artifacts.exists():
        return ""
    store = FileStore.open(artifacts)
    settled = tenants.is_settled(store, tenants.tenant(folder, places, journal))
    if not settled or next(store.stored(), None) is None:
        return ""
    return store.ref.shown


def _has_artifacts(folder: Path) -> bool:
    """Whether a store in `folder` holds any, which is not opened for that, nor made."""
    return any(path.is_file() for path in folder.glob("sha256/*/*"))
