"""The tables, and the version that says who may read them.

Portable SQL: nothing here is one database's own. A journal of an older version is migrated
when it is opened, in one transaction; one of a newer version is refused.

`checksum` seals the columns of a row that never change (see `seals`). What does change, in
`runs`, is checked against the records: they count up to `last_seq`, under epochs up to `epoch`.
"""

from sqlalchemy import (
    Column,
    Connection,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    insert,
    inspect,
    select,
    update,
)

from nbflow.core.errors import JournalError, NewerSchema
from nbflow.journal.migrations import MIGRATIONS

#: Version of the tables below. A new one needs a migration, and a golden journal.
SCHEMA_VERSION = 2

metadata = MetaData()

#: Facts about the journal itself: `schema` is its version.
meta = Table(
    "nbflow_meta",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", String, nullable=False),
)

#: One row a run: its lease, and how far its sequence has come.
runs = Table(
    "runs",
    metadata,
    Column("id", String, primary_key=True),
    Column("flow", String, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("last_seq", Integer, nullable=False),
    Column("holder", String, nullable=False),
    Column("lease_until", Float, nullable=False),
    #: Of `id`, `flow` and `created_at`.
    Column("checksum", LargeBinary, nullable=False),
)

#: The log. Rows are only ever inserted, or removed with their run. `node` and `attempt` repeat
#: the body, for queries; `reference` is the artifact that a large body has become.
events = Table(
    "events",
    metadata,
    Column("run", String, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("epoch", Integer, nullable=False),
    Column("type", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("node", String),
    Column("attempt", Integer),
    Column("at", Float, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("reference", String),
    #: Of all columns before.
    Column("checksum", LargeBinary, nullable=False),
)

#: Requests to a run's driver; `consumed_epoch` says which driver took it up.
signals = Table(
    "signals",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("by", String, nullable=False),
    Column("at", Float, nullable=False),
    Column("body", String, nullable=False),
    #: Of `run`, `kind`, `by`, `at` and `body`.
    Column("checksum", LargeBinary, nullable=False),
    Column("consumed_epoch", Integer),
    Index("signals_of_run", "run"),
    # An id is never used twice, even if rows are dropped one day.
    sqlite_autoincrement=True,
)


def version_of(connection: Connection, place: str) -> int | None:
    """Return the version of the tables that are there; None if there are none.

    Raises
    ------
    NewerSchema
        If it is newer than this program's.
    JournalError
        If the database belongs to some other program.
    """
    tables = inspect(connection).get_table_names()
    if meta.name not in tables:
        # A server's database may be shared with others; a file may not.
        shared = connection.dialect.name != "sqlite"
        foreign = sorted(set(tables) & set(metadata.tables) if shared else tables)
        if foreign:
            raise JournalError(
                f"{place} is a database, but not a journal of nbflow (its tables: "
                f"{', '.join(foreign[:5])}). Leave it to its owner, and choose another home, or "
                "on a server another database or schema"
            )
        return None
    text = connection.scalar(select(meta.c.value).where(meta.c.name == "schema"))
    if not isinstance(text, str) or not text.isdecimal() or not int(text):
        raise JournalError(
            f"{place}: its schema version reads {text!r}. Restore the journal from a backup"
        )
    if int(text) > SCHEMA_VERSION:
        raise NewerSchema(
            f"{place} was written by a newer nbflow: its schema is version {text}, and "
            f"this program knows up to version {SCHEMA_VERSION}. Upgrade nbflow to use this home"
        )
    return int(text)


def bring_up(connection: Connection, place: str) -> None:
    """Create the tables, or migrate older ones, within the caller's transaction.

    The caller holds a lock that keeps other openers out, so that of several processes one does it.
    """
    version = version_of(connection, place)
    if version is None:
        metadata.create_all(connection, checkfirst=False)
        connection.execute(insert(meta), {"name": "schema", "value": str(SCHEMA_VERSION)})
        return
    for step in range(version, SCHEMA_VERSION):
        MIGRATIONS[step](connection)
    current = update(meta).where(meta.c.name == "schema").values(value=str(SCHEMA_VERSION))
    connection.execute(current)
