"""`SqlJournal`: the journal in an SQL database.

One connection writes, under a lock, because SQLite has one write lock per
file anyway, and an append must not pay for opening a connection. Reads open their own
and fetch page by page, so that a slow or abandoned reader holds back no checkpoint.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import (
    Connection,
    Dialect,
    Engine,
    Row,
    bindparam,
    exists,
    insert,
    select,
    update,
)
from sqlalchemy.sql.expression import Executable

from nbflow.core.errors import JournalError
from nbflow.core.events import VERSION, Event, Record
from nbflow.journal import codec, refusals, schema, sqlite
from nbflow.journal.schema import events, runs, signals
from nbflow.ports import Journal, RunRow, Signal

#: Records that a reader fetches at a time.
_PAGE = 1000

_ROW = select(
    runs.c.id,
    runs.c.flow,
    runs.c.created_at,
    runs.c.epoch,
    runs.c.last_seq,
    runs.c.holder,
    runs.c.lease_until,
)
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
    """All runs of one home, in one SQLite file. Use `open`.

    Parameters
    ----------
    engine
        Where the database is; its tables exist.
    place
        The file, for messages.
    """

    def __init__(self, engine: Engine, place: str) -> None:
        self._engine = engine
        self._place = place
        self._writer = engine.connect()
        self._lock = threading.Lock()
        self._advance = _Prepared(_ADVANCE, engine.dialect)
        self._insert = _Prepared(insert(events), engine.dialect)

    @classmethod
    def open(
        cls, where: str | Path, *, create: bool = True, busy_timeout_s: float = 5.0
    ) -> "SqlJournal":
        """Open the journal at `where`, and create it if need be.

        Parameters
        ----------
        where
            A file, or an SQLAlchemy URL (``sqlite:////folder/journal.db``).
        create
            Whether to create a missing journal, with its folder. If not, a missing one is an error.
        busy_timeout_s
            How long to wait for another process that is writing, in seconds.

        Raises
        ------
        JournalError
            If it cannot be opened, is damaged, is missing (and not to be created), or
            is no journal.
        NewerSchema
            If a newer nbflow has written it.
        """
        path = sqlite.path_of(where)
        if not create and not path.exists():
            raise JournalError(
                f"there is no journal at {path}: nothing has run here yet. "
                "Start a flow with `nbflow run`, or name another home with --home"
            )
        _make_folder(path.parent)
        place = f"journal {path}"
        engine = sqlite.open_engine(path, busy_timeout_s)
        with sqlite.explained(place):
            with engine.connect() as connection:
                _prepare(connection, place)
            return cls(engine, place)

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
        body = self._insert.bind(_columns(record))
        row = RunRow(id=run, flow=flow, created_at=at, epoch=0, last_seq=1)
        with self._writing() as connection:
            if _find(connection, run) is not None:
                raise refusals.exists(run, self._place)
            connection.execute(insert(runs), _columns_of_run(row))
            connection.exec_driver_sql(self._insert.sql, body)
        return record

    def claim(self, run: str, holder: str, *, now: float, ttl_s: float) -> int:
        """Take the run's lease; see `Journal.claim`.

        Even `holder` itself is refused while its lease is good: two handles in one
        process are two drivers.
        """
        free = (runs.c.holder == "") | (runs.c.lease_until <= now)
        taken = (
            update(runs)
            .where(runs.c.id == run, free)
            .values(epoch=runs.c.epoch + 1, holder=holder, lease_until=now + ttl_s)
        )
        with self._writing() as connection:
            won = connection.execute(taken).rowcount == 1
            row = self._existing(connection, run)
            if not won:
                raise refusals.held(row, now)
        return row.epoch

    def renew(self, run: str, epoch: int, *, now: float, ttl_s: float) -> None:
        """Extend the lease; see `Journal.renew`. A lease that was given back is lost, too."""
        extended = (
            update(runs)
            .where(runs.c.id == run, runs.c.epoch == epoch, runs.c.holder != "")
            .values(lease_until=now + ttl_s)
        )
        with self._writing() as connection:
            if connection.execute(extended).rowcount != 1:
                raise refusals.lost(self._existing(connection, run), epoch)

    def release(self, run: str, epoch: int) -> None:
        """Give the lease back; see `Journal.release`."""
        freed = (
            update(runs)
            .where(runs.c.id == run, runs.c.epoch == epoch)
            .values(holder="", lease_until=0.0)
        )
        with self._writing() as connection:
            connection.execute(freed)

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
        # Encoded before the lock is taken: the write lock is every process's.
        rows = [self._insert.bind(_columns(record)) for record in records]
        first, last = records[0].seq, records[-1].seq
        step = self._advance.bind({"run": run, "of_epoch": epoch, "old": first - 1, "new": last})
        with self._writing() as connection:
            # The fence: a driver that was replaced changes no row, whatever it believes.
            if connection.exec_driver_sql(self._advance.sql, step).rowcount != 1:
                row = self._existing(connection, run)
                if row.epoch != epoch:
                    raise refusals.lost(row, epoch)
                raise refusals.misplaced(row, first)
            connection.exec_driver_sql(self._insert.sql, rows)

    def read(self, run: str, after_seq: int = 0) -> Iterator[Record]:
        """Yield the run's records in order; see `Journal.read`.

        Raises
        ------
        UnknownRun
            At once, if there is no such run.
        JournalError
            On the way, where a record is missing or damaged.
        """
        return self._records(run, after_seq, self.row(run).last_seq)

    def row(self, run: str) -> RunRow:
        """Return the run's row; see `Journal.row`."""
        with self._reading() as connection:
            return self._existing(connection, run)

    def rows(self) -> list[RunRow]:
        """Return all runs, oldest first."""
        with self._reading() as connection:
            found = connection.execute(_ROW.order_by(runs.c.created_at, runs.c.id)).all()
        return [RunRow(*row) for row in found]

    def signal(self, run: str, kind: str, by: str, *, at: float) -> None:
        """Leave a request for the run's driver; `UnknownRun` if there is no such run."""
        with self._writing() as connection:
            self._existing(connection, run)
            connection.execute(insert(signals), {"run": run, "kind": kind, "by": by, "at": at})

    def signals(self, run: str) -> list[Signal]:
        """Return requests that no driver has consumed, oldest first."""
        waiting = (
            select(signals.c.id, signals.c.kind, signals.c.by, signals.c.at)
            .where(signals.c.run == run, signals.c.consumed_epoch.is_(None))
            .order_by(signals.c.id)
        )
        with self._reading() as connection:
            return [Signal(*row) for row in connection.execute(waiting).all()]

    def consume(self, run: str, epoch: int, signal: int) -> None:
        """Mark a request as taken up; `LostLease` if `epoch` is no longer the run's."""
        driver = exists().where(runs.c.id == run, runs.c.epoch == epoch)
        taken = (
            update(signals)
            .where(
                signals.c.run == run,
                signals.c.id == signal,
                signals.c.consumed_epoch.is_(None),
                driver,
            )
            .values(consumed_epoch=epoch)
        )
        with self._writing() as connection:
            if connection.execute(taken).rowcount == 1:
                return
            row = self._existing(connection, run)
            if row.epoch != epoch:
                raise refusals.lost(row, epoch)
            raise JournalError(f"run {run}: there is no waiting signal {signal} in {self._place}")

    def close(self) -> None:
        """Checkpoint and let go of the file; a second call does nothing."""
        with self._lock, sqlite.explained(self._place):
            if self._writer.closed:
                return
            with closing(self._writer):
                sqlite.checkpoint(self._writer)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._lock, sqlite.explained(self._place):
            self._check_open()
            with self._writer.begin():
                sqlite.begin_writing(self._writer)
                yield self._writer

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        self._check_open()
        with sqlite.explained(self._place), self._engine.connect() as connection:
            yield connection

    def _check_open(self) -> None:
        if self._writer.closed:
            raise JournalError(f"{self._place} has been closed. Open it again")

    def _existing(self, connection: Connection, run: str) -> RunRow:
        row = _find(connection, run)
        if row is None:
            raise refusals.unknown(run, self._place)
        return row

    def _records(self, run: str, after_seq: int, last_seq: int) -> Iterator[Record]:
        seq = after_seq
        while True:
            page = self._page(run, seq)
            for row in page:
                seq += 1
                if row.seq != seq:
                    raise self._gap(run, seq, f"the next one is {row.seq}")
                event = codec.decode(row.type, row.version, row.body, self._at(run, seq))
                yield Record(run, seq, row.epoch, row.at, event)
            if len(page) < _PAGE:
                break
        # Appended since then is welcome; fewer than the index counted is damage.
        if seq < last_seq:
            raise self._gap(run, seq + 1, f"its index counts {last_seq}")

    def _page(self, run: str, after_seq: int) -> Sequence[Row[Any]]:
        page = (
            select(events)
            .where(events.c.run == run, events.c.seq > after_seq)
            .order_by(events.c.seq)
            .limit(_PAGE)
        )
        with self._reading() as connection:
            return connection.execute(page).all()

    def _at(self, run: str, seq: int) -> str:
        return f"{self._place}, run {run}, seq {seq}"

    def _gap(self, run: str, seq: int, evidence: str) -> JournalError:
        return JournalError(
            f"{self._at(run, seq)}: the record is missing ({evidence}). "
            "Restore the journal from a backup; records before this one are intact"
        )


class _Prepared:
    """A statement that is compiled once, for the path on which every event goes.

    Through `Connection.execute`, SQLAlchemy looks up and binds a statement anew on each
    call, at about twice the CPU of the whole append.
    """

    def __init__(self, statement: Executable, dialect: Dialect) -> None:
        compiled: Any = statement.compile(dialect=dialect)  # type: ignore[attr-defined]
        self.sql = str(compiled)
        self._order: Sequence[str] = compiled.positiontup

    def bind(self, values: dict[str, Any]) -> tuple[Any, ...]:
        """Return `values` in the order in which the statement wants them."""
        return tuple([values[name] for name in self._order])


def _columns(record: Record) -> dict[str, Any]:
    return {
        "run": record.run,
        "seq": record.seq,
        "epoch": record.epoch,
        "type": record.type,
        "version": VERSION,
        "node": record.node,
        "attempt": record.attempt,
        "at": record.at,
        "body": codec.encode(record.event),
    }


def _columns_of_run(row: RunRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__struct_fields__}


def _find(connection: Connection, run: str) -> RunRow | None:
    row = connection.execute(_ROW.where(runs.c.id == run)).one_or_none()
    return None if row is None else RunRow(*row)


def _prepare(connection: Connection, place: str) -> None:
    """Create the tables if there are none; of several processes that find none, one does."""
    sqlite.use_wal(connection)
    if schema.is_prepared(connection, place):
        return
    connection.rollback()
    with connection.begin():
        sqlite.begin_writing(connection)
        if not schema.is_prepared(connection, place):
            schema.create(connection)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise JournalError(
            f"the journal's folder {folder} cannot be created ({error.strerror}). "
            "Choose another home"
        ) from error
