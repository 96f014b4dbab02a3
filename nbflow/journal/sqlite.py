"""What is SQLite's own: how it is opened, how it locks, and what its errors mean.

One connection writes, under a lock, because SQLite has one write lock per file anyway, and an
append must not pay for opening a connection. Reads open their own, and idle ones are not
kept: nothing then holds back a checkpoint.

Python's driver would open transactions by itself, and late (a reader that turns
writer can find its snapshot outdated). So its transactions are off
(``isolation_level=None``): a statement stands alone, and a writer begins with
``BEGIN IMMEDIATE``, which waits for the one write lock up to the busy timeout.

A commit that fails has not happened, so nothing is ever repeated here: there is no connection
that could be lost with the answer.

Where the file or its folder may not be written, a journal that exists is opened for reading.
"""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from sqlalchemy import Connection, Dialect, Engine, NullPool, create_engine, event
from sqlalchemy.exc import DBAPIError, OperationalError

from nbflow.core.errors import JournalError
from nbflow.journal import filesystems, locks, losing, schema, wal
from nbflow.journal.database import PATIENCE_S, Database

T = TypeVar("T")

#: The low byte of an SQLite error code is its kind; the rest only refines it.
_KIND_OF_ERROR = 0xFF

#: Kind of error -> what is wrong, and what to do.
_EXPLANATIONS: dict[int, tuple[str, str]] = {
    sqlite3.SQLITE_FULL: (
        "cannot be written: the disk is full",
        "Free some space there, then resume; nothing that was recorded is lost",
    ),
    sqlite3.SQLITE_READONLY: (
        "cannot be written: the file or its folder is read-only",
        "Make both writable, or choose another home",
    ),
    sqlite3.SQLITE_PERM: (
        "cannot be opened: permission denied",
        "Make the file and its folder accessible, or choose another home",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "cannot be opened",
        "Check that its folder exists and may be written, or choose another home",
    ),
    sqlite3.SQLITE_BUSY: (
        "is locked by another process for too long",
        "Find the process that holds it (a stopped one, or a database browser?) and end it",
    ),
    sqlite3.SQLITE_LOCKED: (
        "is locked within this process",
        "Close other uses of the journal, then try again",
    ),
    sqlite3.SQLITE_NOTADB: (
        "is not a journal: some other content is in the file",
        "Move it away, restore it from a backup, or choose another home",
    ),
    sqlite3.SQLITE_CORRUPT: (
        "is damaged",
        "Restore it from a backup; `sqlite3 FILE .recover` may save what is legible",
    ),
    sqlite3.SQLITE_IOERR: (
        "cannot be read or written: the disk reports an error",
        "Check the disk and its free space, then resume",
    ),
    sqlite3.SQLITE_CONSTRAINT: (
        "was changed by a newer nbflow while this one had it open",
        "Upgrade nbflow, then resume; nothing that was recorded is lost",
    ),
}


class SqliteFile(Database):
    """The database in one file. Use `open`.

    Parameters
    ----------
    path
        The file.
    engine
        Makes connections to it.
    may_write
        Whether there is a writer.
    busy_timeout_s, patience_s
        How long a writing waits for another process's; see `Database.write`.
    """

    def __init__(
        self,
        path: Path,
        engine: Engine,
        *,
        may_write: bool,
        busy_timeout_s: float,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._path = path
        self._engine = engine
        self._busy_timeout_s = self._waits_s = busy_timeout_s
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._closed = False
        self._writer = engine.connect() if may_write else None

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        create: bool = True,
        busy_timeout_s: float = 5.0,
        patience_s: float = PATIENCE_S,
        allow_network: bool = False,
        orphans: losing.Orphans | None = None,
    ) -> "SqliteFile":
        """Open the file, and create or migrate it if need be; see `SqlJournal.open`."""
        exists = path.exists()
        if not create and not exists:
            raise JournalError(
                f"there is no journal at {path}: nothing has run here yet. "
                "Start a flow with `nbflow run`, or name another home with --home"
            )
        if orphans is not None:
            losing.refuse(path, _place(path), orphans)
        may_write = not exists or _is_writable(path)
        if may_write:
            _make_folder(path.parent)
            if not allow_network:
                filesystems.refuse_network(path, filesystems.mounts())
        if exists and not locks.is_open(path):
            wal.refuse_damaged(path)
        try:
            with explained(path):
                engine = _engine(path, busy_timeout_s, may_write=may_write)
                with engine.connect() as connection:
                    if may_write:
                        _prepare(connection, path, orphans)
                    else:
                        _check_version(connection, path)
                return cls(
                    path,
                    engine,
                    may_write=may_write,
                    busy_timeout_s=busy_timeout_s,
                    patience_s=patience_s,
                )
        except JournalError:
            if not exists:
                _remove_empty(path)
            raise

    @property
    def place(self) -> str:
        """The file."""
        return _place(self._path)

    @property
    def dialect(self) -> Dialect:
        """SQLite's."""
        return self._engine.dialect

    def read(self, work: Callable[[Connection], T]) -> T:
        """Return what `work` finds; see `Database.read`."""
        self._check_open()
        with explained(self._path), self._engine.connect() as connection:
            return work(connection)

    def write(
        self,
        work: Callable[[Connection], T],
        done: Callable[[Connection, T], bool] | None = None,
        *,
        patient: bool = False,
    ) -> T:
        """Return what `work` does, durably; see `Database.write`."""
        del done  # a commit is never in doubt
        with self._lock, explained(self._path):
            self._check_open()
            if self._writer is None:
                what, _ = _EXPLANATIONS[sqlite3.SQLITE_READONLY]
                raise JournalError(
                    f"{self.place} {what}. It can be looked at; to run, resume or cancel here, "
                    "make both writable"
                )
            with self._writer.begin():
                self._wait_up_to(self._patience_s if patient else self._busy_timeout_s)
                begin_writing(self._writer)
                return work(self._writer)

    def faults(self) -> list[str]:
        """Return what SQLite finds wrong: pages, and indexes that miss rows."""
        check = "PRAGMA integrity_check"
        try:
            found = self.read(lambda connection: connection.exec_driver_sql(check).scalars().all())
        except JournalError as error:
            return [str(error)]
        return [line for line in found if line != "ok"]

    def close(self) -> None:
        """Checkpoint, and let go of the file; a second call does nothing."""
        with self._lock, explained(self._path):
            writer, self._writer, self._closed = self._writer, None, True
            if writer is not None:
                # What is in the WAL is durable there. If the disk has no space to move it, whoever
                # comes next does that.
                with closing(writer), suppress(OperationalError):
                    _checkpoint(writer)

    def _wait_up_to(self, seconds: float) -> None:
        assert self._writer is not None, "who writes may"
        if seconds != self._waits_s:
            self._writer.exec_driver_sql(f"PRAGMA busy_timeout={round(seconds * 1000)}")
            self._waits_s = seconds

    def _check_open(self) -> None:
        if self._closed:
            raise JournalError(f"{self.place} has been closed. Open it again")


def begin_writing(connection: Connection) -> None:
    """Take the write lock for the transaction of `connection` that has just begun."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what the database raises into a `JournalError` that names it and the next step."""
    try:
        yield
    except DBAPIError as error:
        kind = _kind(error)
        what, fix = _EXPLANATIONS.get(
            kind, ("cannot be used", "See the cause below, or choose another home")
        )
        if kind == sqlite3.SQLITE_BUSY and (holder := locks.holder_of(path)):
            what, fix = f"is locked for too long by {holder}", holder.way_out
        raise JournalError(f"{_place(path)} {what} ({error.orig}). {fix}") from error
    except UnicodeDecodeError as error:
        # No text of ours is decoded strictly. It was SQLite's own message, which quotes what it
        # has found in place of its schema.
        what, fix = _EXPLANATIONS[sqlite3.SQLITE_CORRUPT]
        cause = ascii(error.object.decode(errors="replace"))
        raise JournalError(f"{_place(path)} {what} ({cause}). {fix}") from error


def _place(path: Path) -> str:
    return f"journal {path}"


def _is_writable(path: Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise JournalError(
            f"the journal's folder {folder} cannot be created ({error.strerror}). "
            "Choose another home"
        ) from error


def _remove_empty(path: Path) -> None:
    """Remove the file of a journal that could not be created, so that no home seems to be there.

    Another process may be creating the same one. It holds a lock while it does, and the file is no
    longer empty when it lets go of that.
    """
    where = f"file:{quote(str(path))}?mode=rw"
    with (
        suppress(OSError, sqlite3.Error),
        closing(sqlite3.connect(where, uri=True, timeout=0, isolation_level=None)) as connection,
    ):
        # Its own journal would want room to take the lock.
        connection.execute("PRAGMA journal_mode=MEMORY")
        connection.execute("BEGIN EXCLUSIVE")
        if not path.stat().st_size:
            path.unlink()


def _engine(path: Path, busy_timeout_s: float, *, may_write: bool) -> Engine:
    """Return an engine whose every connection is durable on commit. It opens nothing yet."""
    where = f"file:{quote(str(path))}{'' if may_write else _reading_mode(path)}"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            where,
            uri=True,
            timeout=busy_timeout_s,
            isolation_level=None,
            check_same_thread=False,
        )
        # Damaged text is found by its checksum, with its place; not by a decoder without one.
        connection.text_factory = _text
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)
    event.listen(engine, "connect", _make_durable)
    return engine


def _text(data: bytes) -> str:
    return data.decode(errors="surrogateescape")


def _make_durable(connection: sqlite3.Connection, _: Any) -> None:
    try:
        connection.execute("PRAGMA synchronous=FULL")
    except BaseException:
        # Nobody else knows of it yet.
        connection.close()
        raise


def _reading_mode(path: Path) -> str:
    """Return how to open a file that may not be written.

    SQLite reads a file with a WAL by an index in shared memory, which is a file that whoever
    writes has made. Without both, nobody writes, and the file is all there is.
    """
    wal, index = (path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))
    if not wal.exists() or not wal.stat().st_size:
        return "?immutable=1"
    if not index.exists() and not os.access(path.parent, os.W_OK):
        raise JournalError(
            f"{_place(path)} is read-only, and its last records still lie in {wal}: copy the "
            "folder to a writable place, and look at it there"
        )
    return "?mode=ro"


def _check_version(connection: Connection, path: Path) -> None:
    version = schema.version_of(connection, _place(path))
    if version is None:
        raise JournalError(
            f"{_place(path)} is empty, and is read-only here. Make it writable, or name another "
            "home by --home, home= or NBFLOW_HOME"
        )
    if version != schema.SCHEMA_VERSION:
        raise JournalError(
            f"{_place(path)} was written by an older nbflow (its schema is version {version}), "
            "and is read-only here. Make it writable once, or copy its folder to a writable "
            "place: it is brought up to date when it is opened"
        )


def _prepare(connection: Connection, path: Path, orphans: losing.Orphans | None) -> None:
    """Create or migrate the tables; of several processes that open the file at once, one does."""
    _use_wal(connection)
    if schema.version_of(connection, _place(path)) == schema.SCHEMA_VERSION:
        return
    connection.rollback()
    with connection.begin():
        begin_writing(connection)
        if schema.version_of(connection, _place(path)) is None:
            losing.refuse_without_tables(_place(path), orphans)
        schema.bring_up(connection, _place(path))


def _use_wal(connection: Connection) -> None:
    """Switch the file to write-ahead logging, once for all; readers then never block the writer.

    A file system without shared memory keeps the rollback journal, which is as durable.
    """
    while True:
        try:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        except OperationalError as error:
            connection.rollback()
            if _kind(error) != sqlite3.SQLITE_BUSY:
                raise
        else:
            connection.commit()
            return
        # Another process is switching at this moment, for which SQLite does not wait. But for
        # its lock it does: once we have had that, the other one is done, or has died.
        begin_writing(connection)
        connection.commit()


def _checkpoint(connection: Connection) -> None:
    """Move what the WAL holds into the file, as far as no reader is in the way."""
    connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")
    connection.commit()


def _kind(error: DBAPIError) -> int:
    # Errors of the driver itself, such as the use of a closed connection, have no code.
    code: int = getattr(error.orig, "sqlite_errorcode", 0)
    return code & _KIND_OF_ERROR
