"""What is SQLite's own: how it is opened, how it locks, and what its errors mean.

Python's driver would open transactions by itself, and late (a reader that turns
writer can find its snapshot outdated). So its transactions are off
(``isolation_level=None``): a statement stands alone, and a writer begins with
``BEGIN IMMEDIATE``, which waits for the one write lock up to the busy timeout.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from nbflow.core.errors import JournalError

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
}


def path_of(where: str | Path) -> Path:
    """Return the absolute path that a file name or an ``sqlite://`` URL means.

    Raises
    ------
    JournalError
        If it is a URL of something else, or of a database in memory.
    """
    if isinstance(where, Path) or "://" not in where:
        return Path(where).absolute()
    try:
        url = make_url(where)
    except ArgumentError as error:
        raise JournalError(f"{where!r} is not a URL of a journal. Give a file's path") from error
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        # The URL may hold a password, so only its backend is named.
        raise JournalError(
            f"a journal cannot be kept at a {url.get_backend_name()} URL without a file: this "
            "version of nbflow keeps it in an SQLite file. Give a file's path"
        )
    return Path(url.database).absolute()


def open_engine(path: Path, busy_timeout_s: float) -> Engine:
    """Return an engine whose every connection is durable on commit. It opens nothing yet.

    Connections are not pooled: an idle one would keep the file open for nothing.
    """
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        poolclass=NullPool,
        connect_args={
            "timeout": busy_timeout_s,
            "isolation_level": None,
            "check_same_thread": False,
        },
    )
    event.listen(engine, "connect", _make_durable)
    return engine


def _make_durable(connection: sqlite3.Connection, _: Any) -> None:
    connection.execute("PRAGMA synchronous=FULL")


def begin_writing(connection: Connection) -> None:
    """Take the write lock for the transaction of `connection` that has just begun."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def use_wal(connection: Connection) -> None:
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


def checkpoint(connection: Connection) -> None:
    """Move what the WAL holds into the file, as far as no reader is in the way."""
    connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")
    connection.commit()


@contextmanager
def explained(place: str) -> Iterator[None]:
    """Turn what the database raises into a `JournalError` that names `place` and the next step."""
    try:
        yield
    except DBAPIError as error:
        what, fix = _EXPLANATIONS.get(
            _kind(error), ("cannot be used", "See the cause below, or choose another home")
        )
        raise JournalError(f"{place} {what} ({error.orig}). {fix}") from error


def _kind(error: DBAPIError) -> int:
    # Errors of the driver itself, such as the use of a closed connection, have no code.
    code: int = getattr(error.orig, "sqlite_errorcode", 0)
    return code & _KIND_OF_ERROR
