"""`SqlJournal`: the journal in an SQL database.

What each call does within its transaction; how one comes about is the database's affair. An
append is one conditional update and one insert. All other writers lock the run's row
first, and decide by what they then read: SQLite has one write lock for all, a
server one for each row.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import (
    Connection,
    Dialect,
    and_,
    bindparam,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.expression import Executable

from nbflow.core.errors import JournalError, UnknownRun
from nbflow.core.events import Event, Record
from nbflow.journal import locations, postgres, reading, refusals, verifying
from nbflow.journal.database import PATIENCE_S, Database
from nbflow.journal.envelope import Envelopes, Overflow
from nbflow.journal.index import Index, change, sealed
from nbflow.journal.losing import Orphans
from nbflow.journal.schema import events, runs, signals
from nbflow.journal.seals import fits, seal
from nbflow.journal.sqlite import SqliteFile
from nbflow.ports import Damage, Journal, RunRow, Signal

_ADVANCE = (
    update(runs)
    .where(
        runs.c.id == bindparam("run"),
        runs.c.epoch == bindparam("of_epoch"),
        runs.c.last_seq == bindparam("old"),
    )
    .values(last_seq=bindparam("new"))
)


class SqlJournal(Journal):
    """All runs of one home, in an SQLite file or a PostgreSQL database. Use `open`.

    Parameters
    ----------
    database
        Where the tables are.
    overflow
        Where large events go; see `Envelopes`.
    """

    def __init__(self, database: Database, overflow: Overflow | None = None) -> None:
        self._database = database
        self._place = database.place
        self._envelopes = Envelopes(database.place, overflow)
        self._index = Index(database.place)
        names = ("new", "run", "of_epoch", "old")
        self._advance = _prepared(_ADVANCE, database.dialect, names)
        self._insert = _prepared(insert(events), database.dialect, events.c.keys())

    @classmethod
    def open(
        cls,
        where: str | Path,
        *,
        create: bool = True,
        busy_timeout_s: float = 5.0,
        patience_s: float = PATIENCE_S,
        overflow: Overflow | None = None,
        allow_network: bool = False,
        orphans: Orphans | None = None,
    ) -> "SqlJournal":
        """Open the journal at `where`; create it, or bring it up to date, if need be.

        A file that may not be written is opened for reading.

        Parameters
        ----------
        where
            A file, or a URL (``sqlite:////folder/journal.db``, ``postgresql://host/name``).
        create
            Whether to create a missing journal, with its folder. If not, a missing one is an error.
        busy_timeout_s
            How long to wait for another process that is writing, in seconds.
        patience_s
            How long a run's driver waits for one, in seconds: without what it writes, its run ends.
        overflow
            Where events go that are too large for a database; None keeps them in it.
        allow_network
            Whether a file may lie on a network file system: only one machine uses it then.
        orphans
            Asked where a file is missing or empty, or a database has no tables; see `losing`.

        Raises
        ------
        JournalError
            If it cannot be opened, is damaged, is missing (and not to be created, or lost), or
            is no journal.
        NewerSchema
            If a newer nbflow has written it.
        """
        location = locations.location_of(where)
        database: Database
        if isinstance(location, Path):
            database = SqliteFile.open(
                location,
                create=create,
                busy_timeout_s=busy_timeout_s,
                patience_s=patience_s,
                allow_network=allow_network,
                orphans=orphans,
            )
        else:
            database = postgres.Server.open(
                location, create=create, busy_timeout_s=busy_timeout_s, orphans=orphans
            )
        return cls(database, overflow)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def create(self, run: str, event: Event, *, flow: str, at: float) -> Record:
        """Add a run with its first event; see `Journal.create`."""
        record = Record(run, 1, 0, at, event)
        self._add(RunRow(id=run, flow=flow, created_at=at, epoch=0, last_seq=1), [record])
        return record

    def restore(self, row: RunRow, records: Sequence[Record]) -> None:
        """Add a run with its whole history; see `Journal.restore`."""
        refusals.check_history(row, records)
        self._add(row, records)

    def claim(self, run: str, holder: str, *, now: float, ttl_s: float) -> int:
        """Take the run's lease; see `Journal.claim`.

        Even `holder` itself is refused while its lease is good: two handles in one
        process are two drivers.
        """
        refusals.check_ttl(ttl_s)

        def work(connection: Connection) -> int:
            row = self._index.locked(connection, run)
            if row.is_held(now):
                raise refusals.held(row, now)
            epoch = row.epoch + 1
            change(connection, run, epoch=epoch, holder=holder, lease_until=now + ttl_s)
            return epoch

        def done(connection: Connection, epoch: int) -> bool:
            row = self._index.locked(connection, run)
            return (row.epoch, row.holder) == (epoch, holder)

        return self._database.write(work, done)

    def renew(self, run: str, epoch: int, *, now: float, ttl_s: float) -> None:
        """Extend the lease; see `Journal.renew`. A lease that was given back is lost, too."""
        refusals.check_ttl(ttl_s)

        def work(connection: Connection) -> None:
            row = self._index.locked(connection, run)
            if row.epoch != epoch or not row.holder:
                raise refusals.lost(row, epoch)
            change(connection, run, lease_until=now + ttl_s)

        self._database.write(work, patient=True)

    def release(self, run: str, epoch: int) -> None:
        """Give the lease back; see `Journal.release`."""
        freed = (
            update(runs)
            .where(runs.c.id == run, runs.c.epoch == epoch)
            .values(holder="", lease_until=0.0)
        )

        def work(connection: Connection) -> None:
            connection.execute(freed)

        self._database.write(work)

    def append(self, run: str, epoch: int, records: Sequence[Record]) -> None:
        """Append in one transaction; see `Journal.append`.

        Raises
        ------
        LostLease
            If `epoch` is not the run's.
        JournalError
            If the records do not continue the run's sequence, or cannot be written.
        """
        if not records:
            return
        refusals.check_batch(run, epoch, records)
        # Made before any lock is taken: the lock is every process's, the work is not.
        rows = [self._envelopes.row(record) for record in records]
        first, last = records[0].seq, records[-1].seq
        step = (last, run, epoch, first - 1)

        def work(connection: Connection) -> None:
            # The fence: a driver that was replaced changes no row, whatever it believes.
            if connection.exec_driver_sql(self._advance, step).rowcount != 1:
                row = self._index.locked(connection, run)
                if row.epoch != epoch:
                    raise refusals.lost(row, epoch)
                raise refusals.misplaced(row, first)
            connection.exec_driver_sql(self._insert, rows)

        def done(connection: Connection, _: None) -> bool:
            self._index.locked(connection, run)
            return _holds(connection, rows)

        self._database.write(work, done, patient=True)

    def read(self, run: str, after_seq: int = 0) -> Iterator[Record]:
        """Yield the run's records in order; see `Journal.read`.

        Raises
        ------
        UnknownRun
            At once, if there is no such run.
        JournalError
            On the way, where a record is missing or damaged.
        """
        return reading.records(self._database, self._envelopes, self.row(run), after_seq)

    def row(self, run: str) -> RunRow:
        """Return the run's row; see `Journal.row`."""
        return self._database.read(lambda connection: self._index.row(connection, run))

    def rows(self) -> list[RunRow]:
        """Return all runs, oldest first; `JournalError` if one's row is damaged."""
        return self._database.read(self._index.rows)

    def listed(self) -> list[tuple[RunRow, str]]:
        """Return all runs, oldest first, each with what is wrong with its row: most often nothing.

        Of a damaged row there is what is legible.
        """
        rows = self._database.read(self._index.examined_rows)
        return [
            (row, "" if sound else str(refusals.damaged_row(row.id, self._place)))
            for row, sound in rows
        ]

    def references(self, run: str) -> Iterator[str]:
        """Yield the digests of artifacts that hold large events; see `Journal.references`."""
        large = select(events.c.reference).where(
            events.c.run == run, events.c.reference.is_not(None)
        )

        def work(connection: Connection) -> Sequence[str]:
            self._index.row(connection, run)
            return connection.execute(large).scalars().all()

        return iter(self._database.read(work))

    def verify(self, run: str) -> Iterator[Damage]:
        """Yield every fault of what is held of the run; see `Journal.verify`.

        Raises
        ------
        UnknownRun
            At once, if there is no such run.
        """
        return verifying.damages(run, self._database, self._envelopes, self._index)

    @property
    def place(self) -> str:
        """Where the journal is, for messages; never with a password."""
        return self._place

    def faults(self) -> list[str]:
        """Return what is wrong with the database as a whole, by which any run may lack something.

        `verify` looks at what is there of a run. Only the database's own structure tells that a
        run, or a request to one, is not listed any more.
        """
        return self._database.faults()

    def remove(self, run: str, *, now: float) -> None:
        """Forget a run that nobody holds, damaged or not; see `Journal.remove`."""

        def work(connection: Connection) -> None:
            row = self._index.locked_as_it_is(connection, run)
            if row.is_held(now):
                raise refusals.held(row, now)
            connection.execute(delete(signals).where(signals.c.run == run))
            connection.execute(delete(events).where(events.c.run == run))
            connection.execute(delete(runs).where(runs.c.id == run))

        def done(connection: Connection, _: None) -> bool:
            try:
                self._index.locked_as_it_is(connection, run)
            except UnknownRun:
                return True
            return False

        self._database.write(work, done)

    def signal(self, run: str, kind: str, by: str, *, at: float, body: str = "") -> None:
        """Leave a request for the run's driver; `UnknownRun` if there is no such run."""
        columns = {"run": run, "kind": kind, "by": by, "at": float(at), "body": body}
        row = {**columns, "checksum": seal(*columns.values())}
        same = select(signals.c.id).where(*[signals.c[name] == columns[name] for name in columns])

        def work(connection: Connection) -> None:
            self._index.locked(connection, run)
            connection.execute(insert(signals), row)

        def done(connection: Connection, _: None) -> bool:
            self._index.locked(connection, run)
            return connection.execute(same).first() is not None

        self._database.write(work, done)

    def signals(self, run: str) -> list[Signal]:
        """Return requests that no driver has consumed, oldest first."""
        waiting = (
            select(
                signals.c.id,
                signals.c.run,
                signals.c.kind,
                signals.c.by,
                signals.c.at,
                signals.c.body,
                signals.c.checksum,
            )
            .where(signals.c.run == run, signals.c.consumed_epoch.is_(None))
            .order_by(signals.c.id)
        )
        found = self._database.read(lambda connection: connection.execute(waiting).all())
        for row in found:
            if not fits(row.checksum, *row[1:-1]):
                raise JournalError(
                    f"{self._place}, run {run}, signal {row.id}: the request is damaged (its "
                    "checksum does not fit). Restore the journal from a backup"
                )
        return [Signal(row.id, row.kind, row.by, row.at, row.body) for row in found]

    def consume(self, run: str, epoch: int, signal: int) -> None:
        """Mark a request as taken up; `LostLease` if `epoch` is no longer the run's."""
        this = and_(signals.c.run == run, signals.c.id == signal)
        taken = update(signals).where(this, signals.c.consumed_epoch.is_(None))
        taker = select(signals.c.consumed_epoch).where(this)

        def work(connection: Connection) -> None:
            row = self._index.locked(connection, run)
            if row.epoch != epoch:
                raise refusals.lost(row, epoch)
            if connection.execute(taken.values(consumed_epoch=epoch)).rowcount != 1:
                raise JournalError(
                    f"run {run}: there is no waiting signal {signal} in {self._place}"
                )

        def done(connection: Connection, _: None) -> bool:
            self._index.locked(connection, run)
            return connection.scalar(taker) == epoch

        self._database.write(work, done, patient=True)

    def close(self) -> None:
        """Let go of the database; a second call does nothing."""
        self._database.close()

    def _add(self, row: RunRow, records: Sequence[Record]) -> None:
        """Add a run, held by nobody, with all its records."""
        columns = sealed(row)
        rows = [self._envelopes.row(record) for record in records]

        def work(connection: Connection) -> None:
            try:
                connection.execute(insert(runs), columns)
            except IntegrityError as error:
                raise refusals.exists(row.id, self._place) from error
            connection.exec_driver_sql(self._insert, rows)

        def done(connection: Connection, _: None) -> bool:
            # There is no row to lock yet; but to insert it again waits for the earlier one.
            trial = connection.begin_nested()
            try:
                connection.execute(insert(runs), columns)
            except IntegrityError:
                trial.rollback()
                return _holds(connection, rows)
            trial.rollback()
            return False

        self._database.write(work, done)


def _prepared(statement: Executable, dialect: Dialect, names: Sequence[str]) -> str:
    """Return the SQL of the path on which every event goes, for values in the order of `names`.

    Through `Connection.execute`, SQLAlchemy looks up and binds a statement anew on each
    call, at about twice the CPU of the whole append.
    """
    compiled: Any = statement.compile(dialect=dialect)  # type: ignore[attr-defined]
    assert list(compiled.positiontup) == list(names), "the order that the caller keeps to"
    return str(compiled)


def _holds(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> bool:
    """Whether exactly these rows of one run are among its events."""
    (run, first, *_), (_, last, *_) = rows[0], rows[-1]
    there = (
        select(events.c.checksum)
        .where(
            events.c.run == run,
            events.c.seq >= first,
            events.c.seq <= last,
        )
        .order_by(events.c.seq)
    )
    found = connection.execute(there).scalars().all()
    return list(found) == [row[-1] for row in rows]
