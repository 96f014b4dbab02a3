"""Whose value a variable of the session is to get, while cells are at work elsewhere.

A variable that such a cell binds is taken away from the session until the cell has ended: whoever
reads it meanwhile gets a NameError, and never a value that a run in order would not have there. The
last cell that was sent wins, in whatever order they end, and one that fails leaves what was there
before it. What the user binds meanwhile is the user's: nothing is written over it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class _Outcome(Enum):
    """What has become of a claim, where that is no value."""

    PENDING = "the cell is at work"
    LEFT = "the cell has left the variable as it was"
    UNBOUND = "there is no such variable"


@dataclass(slots=True)
class _Shelf:
    """A variable: what it was when the first claim was made, and the claims, in order."""

    before: Any
    #: node -> what it has bound, or a `_Outcome`.
    claims: dict[str, Any] = field(default_factory=dict)


class Claims:
    """The variables of a session that cells elsewhere will bind.

    Parameters
    ----------
    namespace
        The session's.
    """

    def __init__(self, namespace: dict[str, Any]) -> None:
        self._namespace = namespace
        self._shelves: dict[str, _Shelf] = {}

    def claim(self, node: str, names: Iterable[str]) -> None:
        """Take variables away, for a cell that will bind them."""
        for name in names:
            if name not in self._shelves or name in self._namespace:
                # What the user has bound over an earlier claim is no longer that claim's.
                self._shelves[name] = _Shelf(self._namespace.pop(name, _Outcome.UNBOUND))
            self._shelves[name].claims[node] = _Outcome.PENDING

    def holder(self, name: str) -> str | None:
        """Return the node that is to bind a variable, if nobody can read the variable now."""
        if name in self._namespace or name not in self._shelves:
            return None
        return next(reversed(self._shelves[name].claims))

    def settle(
        self,
        node: str,
        names: Iterable[str],
        values: Mapping[str, Any],
        deleted: Iterable[str] = (),
    ) -> tuple[str, ...]:
        """Give the session what a cell has bound.

        Parameters
        ----------
        node
            The cell's node.
        names
            What it had claimed.
        values
            What it has bound.
        deleted
            What it has deleted; the others of `names` are as they were before it.

        Returns
        -------
        tuple of str
            Variables of `values` that the user has bound meanwhile, and that stay the user's.
        """
        kept = []
        gone = frozenset(deleted)
        for name in names:
            shelf = self._shelves.get(name)
            if shelf is None or node not in shelf.claims:
                continue  # a cell that was sent later has bound it already
            if name in self._namespace:
                del self._shelves[name]
                kept += [name] if name in values else []
                continue
            left = _Outcome.UNBOUND if name in gone else _Outcome.LEFT
            shelf.claims[node] = values.get(name, left)
            self._bind(name, shelf)
        return tuple(kept)

    def _bind(self, name: str, shelf: _Shelf) -> None:
        """Bind what is certain by now: the last claim that is not without effect decides."""
        value = shelf.before
        for outcome in reversed(shelf.claims.values()):
            if outcome is _Outcome.PENDING:
                return
            if outcome is not _Outcome.LEFT:
                value = outcome
                break
        del self._shelves[name]
        if value is not _Outcome.UNBOUND:
            self._namespace[name] = value
