"""From each version of the tables to the next.

A migration never changes once it is released, so it says in plain SQL what it makes: the
tables of `schema` go on changing. It runs inside one transaction, in which nobody else writes.

A program of the former version may have the journal open meanwhile. Each migration sees to it
that such a program's next write fails, rather than leave rows that this one would call damaged.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from nbflow.journal.seals import seal

#: Rows that are copied at a time.
_PAGE = 1000


def add_checksums(connection: Connection) -> None:
    """From version 1 to 2: checksums, references to large bodies, and bodies of signals.

    The tables are made anew, because a column that may not be empty keeps a program of
    version 1 from writing. Version 1 was never on a server, so this is SQLite's SQL.
    """
    for statement in (
        "DROP INDEX signals_of_run",
        "ALTER TABLE runs RENAME TO runs_1",
        "ALTER TABLE events RENAME TO events_1",
        "ALTER TABLE signals RENAME TO signals_1",
        """CREATE TABLE runs (
            id VARCHAR NOT NULL, flow VARCHAR NOT NULL, created_at FLOAT NOT NULL,
            epoch INTEGER NOT NULL, last_seq INTEGER NOT NULL, holder VARCHAR NOT NULL,
            lease_until FLOAT NOT NULL, checksum BLOB NOT NULL, PRIMARY KEY (id))""",
        """CREATE TABLE events (
            run VARCHAR NOT NULL, seq INTEGER NOT NULL, epoch INTEGER NOT NULL,
            type VARCHAR NOT NULL, version INTEGER NOT NULL, node VARCHAR, attempt INTEGER,
            at FLOAT NOT NULL, body BLOB NOT NULL, reference VARCHAR, checksum BLOB NOT NULL,
            PRIMARY KEY (run, seq))""",
        """CREATE TABLE signals (
            id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, run VARCHAR NOT NULL,
            kind VARCHAR NOT NULL, "by" VARCHAR NOT NULL, at FLOAT NOT NULL,
            body VARCHAR NOT NULL, checksum BLOB NOT NULL, consumed_epoch INTEGER)""",
        "CREATE INDEX signals_of_run ON signals (run)",
    ):
        connection.exec_driver_sql(statement)
    _copy(
        connection,
        "SELECT id, flow, created_at, epoch, last_seq, holder, lease_until FROM runs_1",
        "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        lambda row: (*row, seal(*row[:3])),
    )
    _copy(
        connection,
        "SELECT run, seq, epoch, type, version, node, attempt, at, body, NULL FROM events_1"
        " ORDER BY run, seq",
        "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        lambda row: (*row, seal(*row)),
    )
    _copy(
        connection,
        "SELECT id, run, kind, \"by\", at, '', consumed_epoch FROM signals_1 ORDER BY id",
        "INSERT INTO signals VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        lambda row: (*row[:6], seal(*row[1:6]), row[6]),
    )
    for table in ("runs_1", "events_1", "signals_1"):
        connection.exec_driver_sql(f"DROP TABLE {table}")


def _copy(
    connection: Connection,
    select: str,
    insert: str,
    change: Callable[[Sequence[Any]], tuple[Any, ...]],
) -> None:
    found = connection.exec_driver_sql(select)
    pages: Iterator[Sequence[Any]] = iter(lambda: found.fetchmany(_PAGE), [])
    for page in pages:
        connection.exec_driver_sql(insert, [change(tuple(row)) for row in page])


#: By the version that it starts from, what makes the next one.
MIGRATIONS: Mapping[int, Callable[[Connection], None]] = {1: add_checksums}
