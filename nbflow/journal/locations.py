"""Where a journal is: what a file's name or a URL means."""

from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from nbflow.core.errors import JournalError

_KNOWN = "Give a file's path, or a URL like postgresql://user@host/database"


def location_of(where: str | Path) -> Path | URL:
    """Return the absolute path of an SQLite file, or the URL of a PostgreSQL database.

    Raises
    ------
    JournalError
        If it is a URL of something else, or of a database in memory.
    """
    if isinstance(where, Path) or "://" not in where:
        return Path(where).absolute()
    try:
        url = make_url(where)
    except (ArgumentError, ValueError) as error:
        # What cannot be parsed may hold a password in any place, so it is not repeated.
        raise JournalError(f"the journal's address is no URL that can be read. {_KNOWN}") from error
    if url.get_backend_name() in {"postgresql", "postgres"}:
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        raise JournalError(
            f"a journal cannot be kept at a {url.get_backend_name()} URL without a file or a "
            f"server of PostgreSQL. {_KNOWN}"
        )
    return Path(url.database).absolute()
