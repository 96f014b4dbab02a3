"""Whose a notebook's file is: that of the newest attempt that has written it.

An attempt that its driver has given up may go on, because its worker was stopped or cut off, or
because its driver died. What it returns is not recorded; nor may what it saves take the place of
what a newer attempt has saved. So every notebook names its attempt in its metadata
(`METADATA`), and whoever is about to replace a file that is not the last version of its own looks
whose it is.

Nothing is locked. The process that was stopped could hold the lock, and network file systems
are bad at keeping them. An old attempt that is stopped between its look and its replacement, two
system calls, does replace once; then the newer one's next save replaces that.
"""

import os
from io import FileIO
from pathlib import Path

import msgspec

from nbflow.core.ids import AttemptId

#: Under this key of its metadata's ``nbflow``, a notebook names the attempt that has written it.
METADATA = "attempt"

#: How much the clocks of workers may differ, in seconds.
_CLOCK_SKEW_S = 60.0


class Superseded(OSError):
    """A newer attempt writes the file by now."""


class Author(msgspec.Struct, frozen=True):
    """An attempt that writes a notebook, as the notebook's metadata names it."""

    run: str
    node: str
    number: int
    epoch: int
    #: Seconds since the epoch of computers.
    began_at: float

    @classmethod
    def of(cls, attempt: AttemptId, began_at: float) -> "Author":
        """Return `attempt` as an author."""
        return cls(attempt.run, attempt.node, attempt.number, attempt.epoch, began_at)

    def is_newer_than(self, other: "Author") -> bool:
        """Whether this attempt has taken the place of `other`.

        One of a run that was deleted, whose id was used again, is older, whatever its number.
        """
        return (
            (self.run, self.node) == (other.run, other.node)
            and (self.epoch, self.number) > (other.epoch, other.number)
            and self.began_at > other.began_at - _CLOCK_SKEW_S
        )


class Authorship:
    """The right of one attempt to write one file. Blocks.

    Parameters
    ----------
    author
        The attempt.
    """

    def __init__(self, author: Author) -> None:
        self._author = author
        self._has_written = False
        self._superseded = ""

    def assure(self, path: Path, last: FileIO | None) -> None:
        """Make sure that this attempt may replace the file at `path` now.

        Parameters
        ----------
        path
            The file.
        last
            The last version that this attempt has written, if it has it at hand.

        Raises
        ------
        Superseded
            If it may not, now and for ever.
        """
        if not self._superseded:
            self._look(path, last)
        if self._superseded:
            raise Superseded(self._superseded)
        self._has_written = True

    def _look(self, path: Path, last: FileIO | None) -> None:
        try:
            # Opened even to compare: a network file system answers `stat` from its memory.
            with path.open("rb") as file:
                if last is not None and _is_same(file.fileno(), last.fileno()):
                    return
                found = _author_in(file.read())
        except FileNotFoundError:
            return
        if found is None:
            return
        # A result of another run is put here if it stands for this node's: from a cache, say.
        if found.is_newer_than(self._author) or (
            self._has_written and found.run != self._author.run
        ):
            self._superseded = (
                f"attempt {found.number} of {found.node} in the run {found.run} has written it"
            )


def is_file_at(path: Path, file: FileIO) -> bool:
    """Whether the open `file` is the one at `path`, and not one that was replaced there."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _is_same(one: int, other: int) -> bool:
    return os.path.samestat(os.fstat(one), os.fstat(other))


class _Ours(msgspec.Struct):
    attempt: Author | None = None


class _Metadata(msgspec.Struct):
    nbflow: _Ours = msgspec.field(default_factory=_Ours)


class _Notebook(msgspec.Struct):
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


_decoder = msgspec.json.Decoder(_Notebook)


def _author_in(data: bytes) -> Author | None:
    try:
        return _decoder.decode(data).metadata.nbflow.attempt
    except msgspec.DecodeError:
        return None  # A person's, or whatever it is: nobody vouches for it.
