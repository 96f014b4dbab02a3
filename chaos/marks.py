"""Marks: what the nodes of `subject/flow.py` say of themselves, without nbflow's help."""

from collections.abc import Iterable
from pathlib import Path

import msgspec


class Mark(msgspec.Struct, frozen=True):
    """A node has begun or ended; `at` is in seconds since the epoch."""

    at: float
    node: str
    what: str


class Marks:
    """The marks of one run.

    Parameters
    ----------
    marks
        In the order in which they were made.
    """

    def __init__(self, marks: Iterable[Mark]) -> None:
        self._marks = tuple(marks)

    @classmethod
    def read(cls, path: Path) -> "Marks":
        """Read what has been marked so far, which may be nothing."""
        if not path.exists():
            return cls(())
        words = (line.split() for line in path.read_text().splitlines())
        return cls(Mark(float(at), node, what) for at, node, what in words)

    def beginnings(self, node: str) -> list[float]:
        """Return the moments at which `node` has begun."""
        return [mark.at for mark in self._marks if (mark.node, mark.what) == (node, "begins")]

    def has_ended(self, node: str) -> bool:
        """Whether `node` has come to its end once."""
        return any((mark.node, mark.what) == (node, "ends") for mark in self._marks)
