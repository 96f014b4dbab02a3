"""A notebook's file that is replaced again and again, but written only where it has changed.

Each version is a temporary file that is renamed when it is whole: a reader sees the old or
the new notebook, never half of one. What it has in common with the version before is copied from
that one by the operating system (some file systems only refer to it), and not encoded again:

- everything up to the first cell that may have changed;
- behind that, every long text that is still the same object. A text never changes, so neither do
  its bytes; and long texts are what makes executed notebooks large.

`SplicedFile.plan` encodes all that can change, in the thread that changes it. The job that it
returns no longer needs the notebook, and may run in another thread.

A version is only copied from as it was written. It is kept open, so renaming or deleting it does
no harm; if its size or time has changed, somebody has written into it, and the next version is
encoded whole.
"""

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

from nbformat import NotebookNode

from nbflow.notebooks.authors import Authorship, is_file_at
from nbflow.notebooks.encoding import LongText, Piece
from nbflow.notebooks.writing import cell_pieces, encoded, frame_pieces

#: How much is gathered before it is written, or read where the system does not copy.
_BUFFER_BYTES = 1 << 18
#: How a system says that it cannot copy between these files.
_CANNOT_COPY = frozenset({errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM})


class SplicedFile:
    """A file that shows a notebook.

    Parameters
    ----------
    path
        Its folder must be there.
    authorship
        The right to write it, if others may have it too.
    """

    def __init__(self, path: Path, authorship: Authorship | None = None) -> None:
        self._path = path
        self._authorship = authorship
        self._version: _Version | None = None

    def __str__(self) -> str:
        return str(self._path)

    def plan(self, notebook: NotebookNode, first: int) -> Callable[[], None]:
        """Encode what can change in `notebook`, and return what writes the file.

        Parameters
        ----------
        notebook
            Cells before `first` are as they were at the plan before.
        first
            Index of a cell; the number of cells if only the notebook's metadata may differ.

        Returns
        -------
        Callable
            To be called once, before the next plan. Raises `OSError` if the file cannot (or, as
            `Superseded`, must not) be written; then the next version is encoded whole.
        """
        before, after = frame_pieces(notebook)
        old = self._version if self._version and self._version.is_untouched() else None
        # The frame differs if it held no cells before, or holds none now.
        kept = min(first, len(old.cells)) if old and old.before == before else None
        cells = notebook["cells"][kept or 0 :]
        pieces = [cell_pieces(cell, index) for index, cell in enumerate(cells, kept or 0)]
        plan = _Plan(kept, before, pieces, after)
        return lambda: self._carry_out(plan, old)

    def close(self) -> None:
        """Let go of the last version."""
        if self._version is not None:
            self._version.file.close()
            self._version = None

    def _carry_out(self, plan: "_Plan", old: "_Version | None") -> None:
        before, self._version = self._version, None
        try:
            self._version = self._written(plan, old, before.file if before else None)
        finally:
            if before is not None:
                before.file.close()

    def _written(self, plan: "_Plan", old: "_Version | None", last: FileIO | None) -> "_Version":
        partial = self._path.with_name(f".{self._path.name}.part")
        # A new file: one that is there may be written by a process that was stopped meanwhile.
        partial.unlink(missing_ok=True)
        file = partial.open("x+b", buffering=0)
        try:
            if self._path.exists():
                os.fchmod(file.fileno(), stat.S_IMODE(self._path.stat().st_mode))
            version = _spliced(file, plan, old)
            if self._authorship is not None:
                self._authorship.assure(self._path, last)
            _publish(file, partial, self._path)
        except BaseException:
            if is_file_at(partial, file):
                partial.unlink(missing_ok=True)
            file.close()
            raise
        return version


def _publish(file: FileIO, partial: Path, path: Path) -> None:
    if not is_file_at(partial, file):
        raise OSError(errno.EBUSY, "somebody else writes it at the same time")
    partial.replace(path)


@dataclass(frozen=True, slots=True)
class _Plan:
    """A version that is to be written."""

    #: How many cells are as in the version before; None if not even its beginning is.
    kept: int | None
    before: list[Piece]
    #: The cells that are not kept.
    cells: list[list[Piece]]
    after: list[Piece]


@dataclass(frozen=True, slots=True)
class _Span:
    """Bytes of a version."""

    start: int
    size: int


@dataclass(frozen=True, slots=True)
class _CellPlace:
    """Where a cell begins (with what separates it from the one before), and its long texts."""

    start: int
    texts: list[tuple[LongText, _Span]] = field(default_factory=list)


@dataclass(slots=True)
class _Version:
    """A file as it was written, and where things are in it."""

    file: FileIO
    before: list[Piece]
    cells: list[_CellPlace] = field(default_factory=list)
    #: Where the last cell ends.
    end: int = 0
    #: Its size, and the time of its last change, when it was whole.
    stamp: tuple[int, int] = (0, 0)

    def is_untouched(self) -> bool:
        return _stamp(self.file) == self.stamp

    def up_to(self, cell: int) -> _Span:
        return _Span(0, self.cells[cell].start if cell < len(self.cells) else self.end)

    def long_texts(self, first: int) -> "dict[tuple[int, int | None], _Span]":
        """Return where the long texts of cells from `first` on are.

        They are known by their identity, which is theirs for as long as this version is there.
        """
        places = (place for cell in self.cells[first:] for place in cell.texts)
        return {_identity(text): span for text, span in places}


def _spliced(file: FileIO, plan: _Plan, old: _Version | None) -> _Version:
    """Write a version to `file`."""
    writer = _Writer(file)
    version = _Version(file, plan.before)
    if old is None or plan.kept is None:
        writer.write(plan.before)
    else:
        version.cells = old.cells[: plan.kept]
        writer.copy(old.file, old.up_to(plan.kept))
    known = old.long_texts(plan.kept or 0) if old else {}
    for pieces in plan.cells:
        place = _CellPlace(writer.position)
        version.cells.append(place)
        for piece in pieces:
            start = writer.position
            if not isinstance(piece, LongText):
                writer.write([piece])
                continue
            if old and (span := known.get(_identity(piece))):
                writer.copy(old.file, span)
            else:
                writer.write([piece])
            place.texts.append((piece, _Span(start, writer.position - start)))
    version.end = writer.position
    writer.write(plan.after)
    writer.flush()
    version.stamp = _stamp(file)
    return version


class _Writer:
    """Writes to a file, in large steps."""

    def __init__(self, file: FileIO) -> None:
        #: How much has been written, or is gathered.
        self.position = 0
        self._file = file
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0

    def write(self, pieces: list[Piece]) -> None:
        for data in encoded(pieces):
            self._gathered.append(data)
            self._gathered_bytes += len(data)
            self.position += len(data)
            if self._gathered_bytes >= _BUFFER_BYTES:
                self.flush()

    def copy(self, source: FileIO, span: _Span) -> None:
        self.flush()
        done = 0
        while done < span.size:
            done += self._copied(source, span.start + done, span.size - done)
        self.position += span.size

    def flush(self) -> None:
        left = memoryview(b"".join(self._gathered))
        self._gathered, self._gathered_bytes = [], 0
        while left:
            left = left[self._file.write(left) :]

    def _copied(self, source: FileIO, start: int, size: int) -> int:
        """Copy as much as goes at a time, and return how much that was."""
        count = _copied_by_system(source, self._file, start, size)
        if count == 0:
            data = os.pread(source.fileno(), min(size, _BUFFER_BYTES), start)
            if not data:
                raise OSError(errno.EIO, "the version before has become shorter")
            count = self._file.write(data)
        return count


def _copied_by_system(source: FileIO, target: FileIO, start: int, size: int) -> int:
    """Let the operating system copy; return how much it has, 0 if it cannot."""
    if not hasattr(os, "copy_file_range"):
        return 0
    try:
        return os.copy_file_range(source.fileno(), target.fileno(), size, start)
    except OSError as error:
        if error.errno not in _CANNOT_COPY:
            raise
        return 0


def _identity(text: LongText) -> tuple[int, int | None]:
    return id(text.text), text.depth


def _stamp(file: FileIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns
