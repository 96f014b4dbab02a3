"""The files in which it stands what the nodes of a run have printed.

One file for each node, in the folder ``logs`` of the run's folder of the home: JSON, one line of it
for each line that was printed. A file that has grown to `ROTATE_BYTES` becomes the node's *old*
one, in place of an earlier old one; so a node has twice that much room, and what goes is what it
printed first.

Only the process that drives the run writes (`nbflow.session.logbook`). It appends whole lines, but
a disk that fills up, or a kill, may leave a torn one, and a reader may come in the midst of a
write. So a reader takes nothing beyond the last line break, and leaves out what is no line; whoever
goes on writing a file begins on a new line.

All of this is telemetry: nothing depends on it, and no record of the run refers to it.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, TypeAlias
from urllib.parse import quote

import msgspec

#: Name of the folder in the run's folder of the home.
FOLDER = "logs"

#: A file of this size becomes the node's old one.
ROTATE_BYTES = 2_000_000

#: Besides the streams of cells: a ``note`` is the log book's own, about what it has left out.
LogStream: TypeAlias = Literal["stdout", "stderr", "result", "note"]

_SUFFIX = ".jsonl"
#: No quoted name ends so: after a percent sign come two hexadecimal digits.
_OLD_SUFFIX = "%old" + _SUFFIX
#: Longest name that stands in a file's name as it is; file systems allow 255 bytes.
_NAME_LENGTH = 150
#: Bytes that are read first to find the last lines, and by how much that grows.
_WINDOW, _GROWTH = 32_768, 4
#: What says that nothing was printed yet.
_ABSENT = (FileNotFoundError, NotADirectoryError)


class LogLine(msgspec.Struct, frozen=True):
    """One line that a node has printed, without its line break; secrets are masked.

    Parameters
    ----------
    at
        When, in seconds since the epoch.
    node, attempt
        Who: the node, and the number of its attempt.
    cell
        Index of the cell in the executed notebook; -1 of a function, which has none.
    stream
        Where to; a ``result`` is the plain text of a value or a display.
    text
        The line, as it was printed: it may hold the escape sequences of a terminal.
    """

    at: float
    node: str
    attempt: int
    cell: int
    stream: LogStream
    text: str


def current_file(folder: Path, node: str) -> Path:
    """Return the file that grows with what `node` prints."""
    return folder / f"{_stem(node)}{_SUFFIX}"


def old_file(folder: Path, node: str) -> Path:
    """Return the file with what `node` had printed before that."""
    return folder / f"{_stem(node)}{_OLD_SUFFIX}"


def encoded(lines: Iterable[LogLine]) -> bytes:
    """Return `lines` as they stand in a file."""
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


def read_lines(folder: Path, node: str, last: int) -> tuple[LogLine, ...]:
    """Return the last lines of `node`, the oldest first; none if there is no file of it.

    Parameters
    ----------
    folder
        The folder ``logs`` of the run.
    node
        Its name.
    last
        How many at most.
    """
    with ExitStack() as opened:
        return tuple(_last_of(_opened(folder, _stem(node), opened), last))


class Follower:
    """Reads what is printed as it comes, from another process than the one that writes.

    Parameters
    ----------
    folder
        The folder ``logs`` of the run; it need not be there yet.
    node
        Whose lines; None for those of all nodes.
    last
        How many lines of each node, at most, of what is there already; None for all.
    """

    def __init__(self, folder: Path, node: str | None = None, last: int | None = None) -> None:
        self._folder = folder
        self._stem = None if node is None else _stem(node)
        self._last = last
        self._places: dict[str, _Place] = {}
        self._begun = False

    def fresh(self) -> list[LogLine]:
        """Return what has come since the last call; at the first, what is there already."""
        lines = [line for stem in self._stems() for line in self._fresh_of(stem)]
        self._begun = True
        # The lines of one node stand in their order; a clock that was set back does not undo it.
        return lines if self._stem is not None else sorted(lines, key=lambda line: line.at)

    def _stems(self) -> Iterable[str]:
        if self._stem is not None:
            return [self._stem]
        try:
            names = os.listdir(self._folder)  # noqa: PTH208 - several times a second
        except _ABSENT:
            return []
        return sorted(
            {
                name.removesuffix(_OLD_SUFFIX).removesuffix(_SUFFIX)
                for name in names
                if name.endswith(_SUFFIX)
            }
        )

    def _fresh_of(self, stem: str) -> Iterator[LogLine]:
        if self._is_told(stem):
            return
        with ExitStack() as opened:
            files = _opened(self._folder, stem, opened)
            if not files:
                return
            place = self._places.get(stem)
            if place is None and self._last is not None and not self._begun:
                yield from _last_of(files, self._last)
            else:
                for file in _behind(files, place):
                    yield from _whole_lines(file)
            latest = files[-1]
            self._places[stem] = _Place(_inode(latest), latest.tell())

    def _is_told(self, stem: str) -> bool:
        """Whether a node's file is as it was; of a large run's, most are."""
        place = self._places.get(stem)
        if place is None:
            return False
        try:
            found = os.stat(self._folder / f"{stem}{_SUFFIX}")  # noqa: PTH116 - as above
        except _ABSENT:
            return False
        return found.st_ino == place.inode and found.st_size <= place.offset


class _Place(NamedTuple):
    """How far a file has been read, and which file that was."""

    inode: int
    offset: int


def _stem(node: str) -> str:
    """Return the beginning of the names of a node's files; no two nodes have the same."""
    name = quote(node, safe="")
    if len(name) <= _NAME_LENGTH:
        return name
    # No quoted name has this sign before a letter beyond F.
    return f"{name[:_NAME_LENGTH]}%x{sha256(node.encode()).hexdigest()[:16]}"


def _opened(folder: Path, stem: str, opened: ExitStack) -> list[BinaryIO]:
    """Open the files of a node that there are, the old one first."""
    files: list[BinaryIO] = []
    # In this order: should the first become the old one meanwhile, it is met again, and not missed.
    for suffix in (_SUFFIX, _OLD_SUFFIX):
        try:
            file = opened.enter_context((folder / f"{stem}{suffix}").open("rb"))
        except _ABSENT:
            continue
        if not files or _inode(file) != _inode(files[0]):
            files.insert(0, file)
    return files


def _inode(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_ino


def _behind(files: list[BinaryIO], place: _Place | None) -> list[BinaryIO]:
    """Return the files that have something behind `place`, each at where that begins."""
    inodes = [_inode(file) for file in files]
    if place is None or place.inode not in inodes:
        # Nothing was read yet; or what was read is gone, after two rotations.
        return files
    first = inodes.index(place.inode)
    files[first].seek(place.offset)
    return files[first:]


def _whole_lines(file: BinaryIO) -> Iterator[LogLine]:
    """Yield what stands from here on, and leave the file behind the last whole line."""
    start = file.tell()
    data = file.read()
    end = data.rfind(b"\n") + 1
    file.seek(start + end)
    return _decoded(data[:end].split(b"\n"))


def _last_of(files: list[BinaryIO], count: int) -> list[LogLine]:
    """Return the last `count` lines of all files, and leave each behind its last whole line."""
    lines: list[LogLine] = []
    for file in reversed(files):
        lines = [*_last_in(file, count - len(lines)), *lines]
    return lines


def _last_in(file: BinaryIO, count: int) -> list[LogLine]:
    size = file.seek(0, os.SEEK_END)
    window = min(_WINDOW, size)
    while True:
        file.seek(size - window)
        data = file.read(window)
        end = data.rfind(b"\n") + 1
        rows = data[:end].split(b"\n")
        # The first row may have lost its beginning, unless it is the file's.
        lines = list(_decoded(rows if window == size else rows[1:]))
        if len(lines) >= count or window == size:
            file.seek(size - window + end)
            return lines[-count:] if count > 0 else []
        window = min(window * _GROWTH, size)


def _decoded(rows: Iterable[bytes]) -> Iterator[LogLine]:
    for row in rows:
        if not row:
            continue
        try:
            yield msgspec.json.decode(row, type=LogLine)
        except msgspec.MsgspecError:
            # Torn by a disk that was full, or by a kill.
            continue
