"""The tables, and the version that says who may read them.

Portable SQL: nothing here is SQLite's own. A journal of an older version is
migrated when it is opened; one of a newer version is refused. This is version 1, so
there is nothing to migrate from yet.
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
)

from nbflow.core.errors import JournalError, NewerSchema

#: Version of the tables below.
SCHEMA_VERSION = 1

metadata = MetaData()

#: Facts about the file itself: `schema` is its version.
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
)

#: The log. Rows are only ever inserted. `node` and `attempt` repeat the body, for queries.
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
    Column("consumed_epoch", Integer),
    Index("signals_of_run", "run"),
    # An id is never used twice, even if rows are dropped one day.
    sqlite_autoincrement=True,
)


def is_prepared(connection: Connection, place: str) -> bool:
    """Whether the tables exist, in a version that this program can use.

    Raises
    ------
    NewerSchema
        If they are of a newer version.
    JournalError
        If the database belongs to some other program.
    """
    tables = inspect(connection).get_table_names()
    if not tables:
        return False
    if meta.name not in tables:
        raise JournalError(
            f"{place} is a database, but not a journal of nbflow (its tables: "
            f"{', '.join(sorted(tables)[:5])}). Move it away, or choose another home"
        )
    text = connection.scalar(select(meta.c.value).where(meta.c.name == "schema"))
    if text is None or not text.isdigit():
        raise JournalError(
            f"{place}: its schema version reads {text!r}. Restore the journal from a backup"
        )
    if int(text) > SCHEMA_VERSION:
        raise NewerSchema(
            f"{place} was written by a newer nbflow: its schema is version {text}, and "
            f"this program knows up to version {SCHEMA_VERSION}. Upgrade nbflow to use this home"
        )
    return True


def create(connection: Connection) -> None:
    """Create the tables, within the caller's transaction."""
    metadata.create_all(connection, checkfirst=False)
    connection.execute(insert(meta), {"name": "schema", "value": str(SCHEMA_VERSION)})
