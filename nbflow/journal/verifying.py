"""Everything that is wrong with a run, for `nbflow verify`.

Reading stops at the first fault, since nothing may be concluded from what comes after it. Here
nothing is concluded: each row is looked at by itself.
"""

from collections.abc import Iterator, Sequence

from sqlalchemy import func, select

from nbflow.core.errors import JournalError
from nbflow.journal import refusals
from nbflow.journal.database import AnyRow, Database
from nbflow.journal.envelope import Envelopes
from nbflow.journal.index import Index
from nbflow.journal.reading import PAGE, page
from nbflow.journal.schema import events, runs
from nbflow.ports import Damage, RunRow


def damages(run: str, database: Database, envelopes: Envelopes, index: Index) -> Iterator[Damage]:
    """Return what yields every fault of `run`.

    Parameters
    ----------
    run
        The run.
    database, envelopes, index
        Where it is, and what reads it.

    Raises
    ------
    UnknownRun
        If there is no such run.
    """
    row, sound = database.read(lambda connection: index.examined(connection, run))
    return _damages(row, sound, database, envelopes)


def _damages(
    index: RunRow, sound: bool, database: Database, envelopes: Envelopes
) -> Iterator[Damage]:
    run = index.id
    if not sound:
        yield Damage(run, 0, str(refusals.damaged_row(run, database.place)))
    seq = epoch = 0
    more = True
    while more:
        found, more = _page(run, seq, index.last_seq, database)
        for one in found:
            # A number that is damaged itself is told of by the seal; it must not lead us back.
            here = one.seq if isinstance(one.seq, int) and one.seq > seq else seq + 1
            if here > seq + 1:
                yield _gap(run, seq + 1, here - 1)
            seq = here
            if isinstance(one, Damage):
                yield one
                continue
            try:
                epoch = max(epoch, envelopes.record(one[: len(events.c)]).epoch)
            except JournalError as error:
                yield Damage(run, seq, str(error))
    if seq < index.last_seq:
        yield _gap(run, seq + 1, index.last_seq)
    yield from _miscounted(run, epoch, database)


def _gap(run: str, first: int, last: int) -> Damage:
    rest = f", and so are all up to seq {last}" if last > first else ""
    return Damage(run, first, f"the record is missing{rest}")


def _miscounted(run: str, epoch: int, database: Database) -> Iterator[Damage]:
    """Compare what changes in the run's row with its records; a driver may be adding some."""
    latest = select(func.max(events.c.seq)).where(events.c.run == run).scalar_subquery()
    both = select(runs.c.last_seq, runs.c.epoch, latest).where(runs.c.id == run)
    row = database.read(lambda connection: connection.execute(both).one_or_none())
    if row is not None and not all(isinstance(value, int) for value in row[:2]):
        return  # it is no number, which was told before
    if row is not None and isinstance(row[2], int) and row[2] > row[0]:
        yield Damage(run, 0, f"its row counts {row[0]} records, and there are {row[2]}")
    if row is not None and epoch > row[1]:
        yield Damage(run, 0, f"its row tells of epoch {row[1]}, its records of {epoch}")


def _page(
    run: str, after_seq: int, last_seq: int, database: Database
) -> "tuple[Sequence[AnyRow | Damage], bool]":
    """Return the next rows, and the damage of those that cannot be fetched; and if to go on."""
    try:
        # A short page is the last. Not an empty one: under a damaged number, a row may come again.
        found = page(database, run, after_seq)
        return found, len(found) == PAGE
    except JournalError:
        # Some part of the file is unreadable; what lies elsewhere can be fetched one by one.
        until = min(after_seq + PAGE, last_seq)
        alone = [_fetched(run, seq, database) for seq in range(after_seq + 1, until + 1)]
        there = [one for one in alone if one is not None]
        return there, bool(there)


def _fetched(run: str, seq: int, database: Database) -> "AnyRow | Damage | None":
    one = select(events).where(events.c.run == run, events.c.seq == seq)
    try:
        return database.read(lambda connection: connection.execute(one).one_or_none())
    except JournalError as error:
        return Damage(run, seq, str(error))
