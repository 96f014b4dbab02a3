"""The index: one row a run, with its lease and how far its sequence has come."""

from collections.abc import Sequence

from sqlalchemy import Connection, select, update

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
        """Return the run's row like `locked`, damaged or not."""
        return RunRow(*self._found(connection, run, lock=True)[:-1])

    def examined(self, connection: Connection, run: str) -> tuple[RunRow, bool]:
        """Return the run's row, and whether it is as it was written."""
        row = self._found(connection, run, lock=False)
        return RunRow(*row[:-1]), _is_sound(row)

    def rows(self, connection: Connection) -> list[RunRow]:
        """Return all rows, oldest first."""
        found = connection.execute(_ALL.order_by(runs.c.created_at, runs.c.id)).all()
        return [self._sound(row) for row in found]

    def _found(self, connection: Connection, run: str, *, lock: bool) -> AnyRow:
        query = _ALL.where(runs.c.id == run)
        row = connection.execute(query.with_for_update() if lock else query).one_or_none()
        if row is None:
            raise refusals.unknown(run, self._place)
        return row

    def _sound(self, row: AnyRow) -> RunRow:
        if not _is_sound(row):
            raise refusals.damaged_row(row[0], self._place)
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
    # What never changes is sealed: id, flow and time.
    return fits(row[-1], *row[:3])
