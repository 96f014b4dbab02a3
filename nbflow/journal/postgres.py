"""What is PostgreSQL's own: connections that can be lost, row locks, and what its errors mean.

A server is restarted, a network breaks: the connection goes, and the journal connects anew
for as long as `PATIENCE_S`. What may then be repeated?

- A reading, always.
- A writing that broke before its commit was sent: the server rolls back what is not committed.
- A writing that broke *during* its commit may or may not have happened. So it is looked for
  first, under the lock of the run's row. That lock is what settles it: the earlier transaction
  held it too, so whoever has it now sees how that one ended. Only what is not there is written
  again.

Transactions are READ COMMITTED: a conditional update waits for the row's lock, and
then tests its condition against the row as it has become. That is all that the fence needs.

Each connection is made durable (`synchronous_commit` is never off), waits for locks no longer than
it was told, and has the server end its transaction if it falls silent in the middle of one, so
that a stopped driver on another machine locks nobody out.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import URL, Connection, Dialect, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, OperationalError

from nbflow.core.errors import JournalError
from nbflow.journal import losing, schema
from nbflow.journal.database import PATIENCE_S, Database

T = TypeVar("T")

#: How long to wait between two tries to connect, in seconds.
_PAUSE_S = 0.1

#: Where servers listen if nobody says otherwise.
_PORT = 5432

#: After what silence within a transaction the server ends it, in milliseconds.
_IDLE_MS = 10_000

#: Openers of one database wait for each other at this lock; any number that nobody else uses.
_OPENING = 0x6E62666C6F77

#: How a broken network is noticed, in libpq's words.
_KEEPALIVE = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 20_000,
}

#: Beginning of the error's code -> what is wrong, and what to do. The first that fits counts.
_EXPLANATIONS = (
    ("53100", "cannot be written: the server's disk is full", "Free some space there, then resume"),
    ("53300", "has no connection left for us", "Close others, or raise the server's limit"),
    ("25006", "cannot be written: the server is read-only", "Connect to the primary server"),
    ("42501", "may not be used: permission denied", "Grant the user its tables, or choose another"),
    ("55P03", "is locked by another session for too long", "Find that session, and end it"),
    ("3F000", "has no schema to make its tables in", "Create the one that search_path names"),
    ("XX00", "is damaged", "Restore the database from a backup"),
    ("57P", "was shut down", "Start the server, then resume; nothing that was recorded is lost"),
    ("08", "was lost", "Check the server, then resume; nothing that was recorded is lost"),
)


class Server(Database):
    """The tables in a PostgreSQL database. Use `open`.

    Parameters
    ----------
    engine
        Makes connections to it.
    place
        Its address without the password, for messages.
    patience_s
        How long the server may be away, in seconds.
    """

    def __init__(self, engine: Engine, place: str, patience_s: float = PATIENCE_S) -> None:
        self._engine = engine
        self._place = place
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._closed = False
        self._writer: Connection | None = None

    @classmethod
    def open(
        cls,
        url: URL,
        *,
        create: bool = True,
        busy_timeout_s: float = 5.0,
        orphans: losing.Orphans | None = None,
    ) -> "Server":
        """Connect, and create or migrate the tables if need be; see `SqlJournal.open`."""
        with explained(f"journal {address(url)}"):
            engine = _engine(url, busy_timeout_s)
            try:
                with engine.connect() as connection:
                    place = f"journal {_reached(connection, url)}"
                    _prepare(connection, place, create=create, orphans=orphans)
            except BaseException:
                engine.dispose()
                raise
        return cls(engine, place)

    @property
    def place(self) -> str:
        """The server, and the database there."""
        return self._place

    @property
    def dialect(self) -> Dialect:
        """PostgreSQL's."""
        return self._engine.dialect

    def read(self, work: Callable[[Connection], T]) -> T:
        """Return what `work` finds; see `Database.read`."""
        self._check_open()
        with explained(self._place):
            deadline = _Deadline(self._patience_s)
            while True:
                try:
                    with self._connected(deadline) as connection:
                        return work(connection)
                except DBAPIError as error:
                    if not error.connection_invalidated or deadline.passed:
                        raise

    def write(
        self,
        work: Callable[[Connection], T],
        done: Callable[[Connection, T], bool] | None = None,
        *,
        patient: bool = False,
    ) -> T:
        """Return what `work` does, durably; see `Database.write`."""
        del patient  # locks are one run's, and the server takes them from a silent session
        with self._lock, explained(self._place):
            self._check_open()
            deadline = _Deadline(self._patience_s)
            writing = _Writing(work, done)
            while True:
                if self._writer is None:
                    self._writer = self._connected(deadline)
                try:
                    writing.tried(self._writer)
                except DBAPIError as error:
                    if not error.connection_invalidated:
                        raise
                    self._writer.close()
                    self._writer = None
                    if deadline.passed:
                        raise
                else:
                    return writing.result

    def faults(self) -> list[str]:
        """Return nothing: a server's structure is its owner's to check."""
        return []

    def close(self) -> None:
        """Let go of all connections; a second call does nothing."""
        with self._lock:
            self._closed = True
            if self._writer is not None:
                self._writer.close()
                self._writer = None
            self._engine.dispose()

    def _check_open(self) -> None:
        if self._closed:
            raise JournalError(f"{self._place} has been closed. Open it again")

    def _connected(self, deadline: "_Deadline") -> Connection:
        """Connect; a server that is away may come back until the deadline."""
        while True:
            try:
                return self._engine.connect()
            except OperationalError:
                if deadline.passed:
                    raise
            # Nothing tells when a server is there again, but to ask it.
            time.sleep(_PAUSE_S)


class _Writing(Generic[T]):
    """One transaction, and whether an earlier try of it may have been committed."""

    #: What it has come to, once a try has ended well.
    result: T

    def __init__(
        self, work: Callable[[Connection], T], done: Callable[[Connection, T], bool] | None
    ) -> None:
        self._work = work
        self._done = done
        self._in_doubt = False

    def tried(self, connection: Connection) -> None:
        """Do it, unless it turns out to be done."""
        with connection.begin() as transaction:
            if self._in_doubt and self._done is not None and self._done(connection, self.result):
                return
            self._in_doubt = False
            self.result = self._work(connection)
            # From here until the answer, nobody knows.
            self._in_doubt = True
            transaction.commit()


class _Deadline:
    """When patience ends."""

    def __init__(self, left_s: float) -> None:
        self._at = time.monotonic() + left_s

    @property
    def passed(self) -> bool:
        """Whether it has ended."""
        return time.monotonic() >= self._at


def address(url: URL) -> str:
    """Return `url` without its password, and without options, which may hold one, too."""
    shown = URL.create("postgresql", url.username, None, url.host, url.port, url.database)
    return shown.render_as_string()


def _reached(connection: Connection, url: URL) -> str:
    """Return where the tables are, in words that mean no other place.

    Whose artifacts lie in a store is told by them. So what a URL may leave to its options or to the
    environment is named, too: host and schema; and the machine, if it is a socket there.
    """
    info = cast("Any", connection.connection.driver_connection).info
    socket_folder = info.host if info.host.startswith(("/", "@")) else ""
    host = None if socket_folder else url.host or info.host
    port = None if info.port == _PORT else info.port
    where = URL.create("postgresql", info.user, None, host, port, info.dbname).render_as_string()
    if socket_folder:
        where += f" by {socket_folder} on {socket.gethostname()}"
    tables_in = connection.exec_driver_sql("SELECT current_schema()").scalar()
    return where if tables_in in {"public", None} else f"{where}, schema {tables_in}"


@contextmanager
def explained(place: str) -> Iterator[None]:
    """Turn what the database raises into a `JournalError` that names `place` and the next step."""
    try:
        yield
    except ImportError as error:
        raise JournalError(
            f"{place} needs the package psycopg ({error}). Install nbflow[postgres]"
        ) from error
    except DBAPIError as error:
        code = getattr(error.orig, "sqlstate", None) or "08"
        what, fix = next(
            ((what, fix) for prefix, what, fix in _EXPLANATIONS if code.startswith(prefix)),
            ("cannot be used", "See the cause below, or choose another home"),
        )
        if code == "08" and not error.connection_invalidated:
            what = "cannot be reached"
            fix = "Check that the server runs, and the address, user and password"
        cause = " ".join(str(error.orig).split())
        raise JournalError(f"{place} {what} ({cause}). {fix}") from error


def _engine(url: URL, busy_timeout_s: float) -> Engine:
    """Return an engine whose every connection is durable on commit. It connects to nothing yet."""
    engine = create_engine(
        url,
        # Readers of a run ask often; a connection that has died meanwhile is replaced.
        pool_size=2,
        pool_pre_ping=True,
        paramstyle="format",
        connect_args={key: value for key, value in _KEEPALIVE.items() if key not in url.query},
    )
    settings = (
        "SELECT set_config('lock_timeout', %s, false),"
        " set_config('idle_in_transaction_session_timeout', %s, false),"
        " CASE current_setting('synchronous_commit') WHEN 'off'"
        " THEN set_config('synchronous_commit', 'on', false) END"
    )

    def prepare(connection: Any, _: Any) -> None:
        connection.execute(settings, (str(int(busy_timeout_s * 1000)), str(_IDLE_MS)))
        connection.commit()

    event.listen(engine, "connect", prepare)
    return engine


def _prepare(
    connection: Connection, place: str, *, create: bool, orphans: losing.Orphans | None
) -> None:
    """Create or migrate the tables; of several that open the database at once, one does."""
    version = schema.version_of(connection, place)
    connection.rollback()
    if version == schema.SCHEMA_VERSION:
        return
    with connection.begin():
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_OPENING})")
        if schema.version_of(connection, place) is None:
            losing.refuse_without_tables(place, orphans)
            if not create:
                raise JournalError(
                    f"there is no journal at {place.removeprefix('journal ')}: nothing has run "
                    "here yet. Start a flow with `nbflow run`, or name another home with --home"
                )
        schema.bring_up(connection, place)
