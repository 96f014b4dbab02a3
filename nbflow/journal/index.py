"""The index: one row a run, with its lease and how far its sequence has come."""

from collections.abc import Callable, Sequence
from typing import Any, TypeGuard

from sqlalchemy import Connection, select, update

from nbflow.core.errors import UnknownRun
from nbflow.journal import refusals
from nbflow.journal.database import AnyRow
from nbflow.journal.schema import runs
from nbflow.journal.seals import fits, seal
from nbflow.ports import RunRow

_ALL = select(
    runs.c.id,
    runs.c.flow,
    runs.c.created_at,
    runs.c.epoch,
    runs.c.last_seq,
    runs.c.holder,
    runs.c.lease_until,
    runs.c.checksum,
)


#: The end of the year 9999, in seconds since the epoch: nothing later can be shown.
_LATEST = 253_402_300_800


class Index:
    """Reads and checks rows of the index, each within a transaction of the caller's.

    Parameters
    ----------
    place
        The journal, for messages.
    """

    def __init__(self, place: str) -> None:
        self._place = place

    def row(self, connection: Connection, run: str) -> RunRow:
        """Return the run's row; `UnknownRun` if there is none, `JournalError` if it is damaged."""
        return self._sound(self._found(connection, run, lock=False))

    def locked(self, connection: Connection, run: str) -> RunRow:
        """Return the run's row, which nobody else changes before the end of the transaction."""
        return self._sound(self._found(connection, run, lock=True))

    def locked_as_it_is(self, connection: Connection, run: str) -> RunRow:
        """Return the run's row like `locked`, as far as it is legible."""
        return _legible(self._found(connection, run, lock=True))

    def examined(self, connection: Connection, run: str) -> tuple[RunRow, bool]:
        """Return the run's row as far as it is legible, and whether it is as it was written."""
        try:
            row = self._found(connection, run, lock=False)
        except UnknownRun:
            # A damaged id is not found by the database, but stands in the list.
            rows = [each for each in self.examined_rows(connection) if each[0].id == run]
            if not rows:
                raise
            return rows[0]
        return _examined(row)

    def rows(self, connection: Connection) -> list[RunRow]:
        """Return all rows, oldest first."""
        found = connection.execute(_ALL.order_by(runs.c.created_at, runs.c.id)).all()
        return [self._sound(row) for row in found]

    def examined_rows(self, connection: Connection) -> list[tuple[RunRow, bool]]:
        """Return all rows like `rows`, each as `examined` does."""
        found = connection.execute(_ALL.order_by(runs.c.created_at, runs.c.id)).all()
        return [_examined(row) for row in found]

    def _found(self, connection: Connection, run: str, *, lock: bool) -> AnyRow:
        query = _ALL.where(runs.c.id == run)
        row = connection.execute(query.with_for_update() if lock else query).one_or_none()
        if row is None:
            raise refusals.unknown(run, self._place)
        return row

    def _sound(self, row: AnyRow) -> RunRow:
        if not _is_sound(row):
            raise refusals.damaged_row(_legible(row).id, self._place)
        return RunRow(*row[:-1])


def sealed(row: RunRow) -> dict[str, object]:
    """Return the columns of a new row, which is held by nobody."""
    fixed = (row.id, row.flow, float(row.created_at))
    return {
        "id": row.id,
        "flow": row.flow,
        "created_at": fixed[-1],
        "epoch": row.epoch,
        "last_seq": row.last_seq,
        "holder": "",
        "lease_until": 0.0,
        "checksum": seal(*fixed),
    }


def change(connection: Connection, run: str, **columns: object) -> None:
    """Change columns of the run's row, which is locked."""
    connection.execute(update(runs).where(runs.c.id == run).values(**columns))


def _is_sound(row: Sequence[object]) -> bool:
    # What never changes is sealed: id, flow and time. Of the rest, the type is known; the records
    # tell whether their number fits.
    return fits(row[-1], *row[:3]) and all(
        fitting(value) for fitting, value in zip(_FITTING, row[3:-1], strict=True)
    )


def _examined(row: Sequence[Any]) -> tuple[RunRow, bool]:
    sound = _is_sound(row)
    return RunRow(*row[:-1]) if sound else _legible(row), sound


def _legible(row: Sequence[object]) -> RunRow:
    """Return the row, with what a row without records has in place of what is no such value."""
    run, flow, created_at, *rest = row[:-1]
    changing: list[Any] = [
        value if fitting(value) else nothing
        for fitting, value, nothing in zip(_FITTING, rest, (0, 0, "", 0.0), strict=True)
    ]
    return RunRow(
        run if _is_text(run) else ascii(run),
        flow if _is_text(flow) else "",
        created_at if _is_time(created_at) else 0.0,
        *changing,
    )


def _is_text(value: object) -> TypeGuard[str]:
    # What was no Unicode in the file has got surrogates for it, and cannot be printed.
    return isinstance(value, str) and not any("\ud800" <= sign <= "\udfff" for sign in value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and value >= 0


def _is_time(value: object) -> TypeGuard[float]:
    return isinstance(value, float) and 0 <= value < _LATEST


#: What the columns hold that may change: epoch, last_seq, holder and lease_until.
_FITTING: tuple[Callable[[object], bool], ...] = (
    _is_count,
    _is_count,
    _is_text,
    lambda value: isinstance(value, float),
)
