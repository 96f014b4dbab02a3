"""What a worker keeps for drivers: they come and go, and may end without a word.

So all of it has a limit. What is forgotten costs a moment if it is needed after all.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

from nbflow.artifacts import FileStore
from nbflow.core.attempts import StoreRef

#: How many stores a worker knows at a time.
STORES = 16

#: How many attempts a worker remembers that were asked to stop.
STOPPED = 10_000

_T = TypeVar("_T", bound=Hashable)


class Latest(Generic[_T]):
    """A set of the latest so many that were added.

    Parameters
    ----------
    limit
        How many.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._members: dict[_T, None] = {}

    def __contains__(self, member: object) -> bool:
        return member in self._members

    def __len__(self) -> int:
        return len(self._members)

    def add(self, member: _T) -> None:
        """Add a member, as the latest; the oldest goes, if they are too many."""
        self._members.pop(member, None)
        self._members[member] = None
        if len(self._members) > self._limit:
            del self._members[next(iter(self._members))]


class Stores:
    """The artifact stores of drivers, as far as this worker sees them."""

    def __init__(self) -> None:
        self._seen: dict[StoreRef, FileStore | None] = {}

    def find(self, ref: StoreRef, *, look_again: bool = False) -> FileStore | None:
        """Return a store, or None if it is not to be seen from here.

        Parameters
        ----------
        ref
            Which.
        look_again
            Whether to look once more for what was not there before: a mount may be late.
        """
        if look_again and self._seen.get(ref) is None:
            self._seen.pop(ref, None)
        if ref not in self._seen:
            self._seen[ref] = FileStore.open_ref(ref)
            if len(self._seen) > STORES:
                del self._seen[next(iter(self._seen))]
        return self._seen[ref]
