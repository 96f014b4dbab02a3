"""What the journal asks of a database: a reading, and a writing transaction.

`SqlJournal` says what is done within one; `sqlite` and `postgres` say how one comes about, how
writers keep out of each other's way, and what an error means.
"""

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, TypeVar

from sqlalchemy import Connection, Dialect, Row

T = TypeVar("T")

#: A row of whatever columns.
AnyRow: TypeAlias = "Row[*tuple[Any, ...]]"

#: How long a run's driver waits for a database that is away, or locked by a process that has
#: stopped, in seconds. Shorter than a lease, even if that was renewed ten seconds before.
PATIENCE_S = 15.0


class Database(Protocol):
    """A database whose tables are there, of this program's version. Thread-safe."""

    @property
    def place(self) -> str:
        """Where it is, for messages; never with a password."""

    @property
    def dialect(self) -> Dialect:
        """How it says things."""

    def read(self, work: Callable[[Connection], T]) -> T:
        """Return what `work` finds. It may be called again if the connection is lost.

        Raises
        ------
        JournalError
            If the database cannot be read, or was closed.
        """

    def write(
        self,
        work: Callable[[Connection], T],
        done: Callable[[Connection, T], bool] | None = None,
        *,
        patient: bool = False,
    ) -> T:
        """Return what `work` does, durably, in one transaction: all of it, or nothing.

        Parameters
        ----------
        work
            Does it, or raises, and then nothing is written. It must lock the run's row before it
            decides by anything that it has read.
        done
            Looks whether an earlier call of `work`, which had returned this, was committed. It is
            asked where the connection broke during a commit, and must lock the row as `work`
            does. None says that `work` may be done twice.
        patient
            Whether a run would end if nothing can be written. Such a writing waits longer for
            whoever is in the way than one that a person waits for.

        Raises
        ------
        JournalError
            If the database cannot be written, or was closed.
        """

    def faults(self) -> list[str]:
        """Return what the database itself finds wrong in its structure; it reads all of it."""

    def close(self) -> None:
        """Let go; a second call does nothing."""
