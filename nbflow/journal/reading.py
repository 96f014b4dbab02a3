"""The records of a run in order, page by page.

Each page is a transaction of its own, so that a slow or abandoned reader holds back no
checkpoint. Rows are only ever appended, so pages read at different times fit together.

With each page comes what the run's row counted at that moment, by the same statement: a driver may
be appending, and two statements would see two moments.
"""

from collections.abc import Iterator, Sequence

from sqlalchemy import select

from nbflow.core.events import Record
from nbflow.journal import refusals
from nbflow.journal.database import AnyRow, Database
from nbflow.journal.envelope import Envelopes
from nbflow.journal.schema import events, runs
from nbflow.ports import RunRow

#: Records that are fetched at a time.
PAGE = 1000


def records(
    database: Database, envelopes: Envelopes, index: RunRow, after_seq: int
) -> Iterator[Record]:
    """Yield the records of a run after the `after_seq`-th.

    Parameters
    ----------
    database, envelopes
        Where they are, and what reads them.
    index
        The run's row, read before.
    after_seq
        The last one that is not wanted.

    Raises
    ------
    JournalError
        Where a record is missing or damaged, or is not counted by the run's row.
    """
    run, seq = index.id, after_seq
    while True:
        found = page(database, run, seq)
        for row in found:
            seq += 1
            if row.seq != seq:
                raise refusals.missing(database.place, run, seq, f"the next one is {row.seq}")
            if seq > row.counted:
                raise refusals.miscounted(database.place, run, row.counted, seq)
            record = envelopes.record(row[:-1])
            if record.epoch > index.epoch and seq <= index.last_seq:
                raise refusals.damaged_row(run, database.place)
            yield record
        if len(found) < PAGE:
            break
    # Appended since then is welcome; fewer than the index counted is damage.
    if seq < index.last_seq:
        raise refusals.missing(database.place, run, seq + 1, f"its index counts {index.last_seq}")


def page(database: Database, run: str, after_seq: int) -> Sequence[AnyRow]:
    """Return the next rows of `run`, at most `PAGE`, each with what its run's row counts."""
    counted = select(runs.c.last_seq).where(runs.c.id == run).scalar_subquery()
    following = (
        select(events, counted.label("counted"))
        .where(events.c.run == run, events.c.seq > after_seq)
        .order_by(events.c.seq)
        .limit(PAGE)
    )
    return database.read(lambda connection: connection.execute(following).all())
