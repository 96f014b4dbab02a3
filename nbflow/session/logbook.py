"""The log book of a run: what its nodes print, line by line, while they print it.

Pieces arrive in the thread that drives the run, which must wait for nobody: `hear` puts them into
a queue and returns. A thread of the book's own makes lines of them, keeps the last ones of each
node in memory, and appends them to the files of `nbflow.session.log_files`, where other processes
read them. If that thread falls behind, because the disk is slow, what comes meanwhile is left out,
and a note stands in its place.

A line that has no end yet is kept back, at most `_PATIENCE_S`; then it is told as far as it has
got, and what follows is a line of its own. Of what a carriage return has overwritten (a progress
bar), only the last is told.

This is telemetry. A disk that is full or broken ends the files with one warning; the memory, and
the run, go on.
"""

import asyncio
import logging
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from nbflow.core.attempts import Printed
from nbflow.drawing.words import plural
from nbflow.session.log_files import (
    FOLDER,
    ROTATE_BYTES,
    Follower,
    LogLine,
    current_file,
    encoded,
    old_file,
    read_lines,
)

__all__ = ["FOLDER", "Follower", "LogBook", "LogLine", "read_lines"]

_log = logging.getLogger(__name__)

#: Characters that may wait; and what a piece counts for besides its text.
_WAITING, _PIECE = 4_000_000, 100
#: How long a line may stay without an end, in seconds.
_PATIENCE_S = 1.0
#: Characters after which a line is told, whether or not it has ended.
_LINE_LENGTH = 16_000
#: What is kept in memory: lines of a node, characters of a node, nodes.
_LINES, _CHARACTERS, _NODES = 500, 200_000, 200
#: How long `close` waits for a disk, in seconds.
_CLOSE_S = 5.0


class LogBook:
    """Keeps what is printed. `close` ends its thread.

    Parameters
    ----------
    folder
        Where the files are; it is made when there is something to write.
    clock
        Seconds since the epoch, for pieces that do not say when they were printed.
    """

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        self._folder = folder
        self._clock = clock
        self._queue: list[Printed] = []
        self._waiting = 0
        self._left_out: Counter[str] = Counter()
        self._closing = False
        #: Guards the four above.
        self._wake = threading.Condition()
        self._pages: OrderedDict[str, _Page] = OrderedDict()
        #: Guards the pages, which any thread may read.
        self._lock = threading.Lock()
        #: Files that this book has written to; None after a failure.
        self._written: set[str] | None = set()
        self._thread = threading.Thread(target=self._keep, name="nbflow-logbook", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # In a thread, as it may wait for a disk: the loop has a cluster to keep alive.
        await asyncio.to_thread(self.close)

    def hear(self, printed: Printed) -> None:
        """Take a piece; returns at once, and never raises."""
        with self._wake:
            if self._closing:
                return
            if self._waiting < _WAITING:
                self._queue.append(printed)
                self._waiting += len(printed.text) + _PIECE
                self._wake.notify()
            else:
                self._left_out[printed.id.node] += 1

    def last(self, node: str, count: int) -> tuple[LogLine, ...]:
        """Return the last lines of `node`, at most `count`, its earlier attempts included.

        The last may be a line that has not ended yet.
        """
        with self._lock:
            page = self._pages.get(node)
            lines = () if page is None else page.shown
            has_more = page is None or page.has_dropped
        if has_more and len(lines) < count:
            stored = read_lines(self._folder, node, count)
            lines = max(lines, stored, key=len)
        return lines[-count:] if count > 0 else ()

    def close(self) -> None:
        """Write what is left, and end; a disk that does not answer is not waited for long."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(_CLOSE_S)

    # --- in the thread ------------------------------------------------------------------------

    def _keep(self) -> None:
        """Take down what is heard, until the book is closed and nothing is left."""
        closing = False
        while not closing:
            pieces, left_out, closing = self._next()
            with self._lock:
                lines = list(self._made(pieces, left_out, closing=closing))
            self._write(lines)

    def _next(self) -> tuple[list[Printed], Counter[str], bool]:
        """Wait for something to do; an open line is looked at again soon."""
        with self._wake:
            self._wake.wait_for(
                lambda: self._queue or self._closing,
                _PATIENCE_S / 2 if self._has_open_lines() else None,
            )
            pieces, left_out = self._queue, self._left_out
            self._queue, self._waiting, self._left_out = [], 0, Counter()
            return pieces, left_out, self._closing

    def _has_open_lines(self) -> bool:
        # Only this thread changes the pages, so it may look without their lock.
        return any(page.open for page in self._pages.values())

    def _made(
        self, pieces: Iterable[Printed], left_out: Counter[str], *, closing: bool
    ) -> Iterator[LogLine]:
        """Yield the lines that are whole by now, and keep them in memory."""
        now = self._clock()
        for piece in pieces:
            yield from self._page(piece.id.node).taken(piece, now)
        for node, count in left_out.items():
            yield from self._page(node).noted(f"[… {plural(count, 'piece')} left out]", now)
        for page in self._pages.values():
            if page.open and (closing or now - page.open_since >= _PATIENCE_S):
                yield from page.closed()

    def _page(self, node: str) -> "_Page":
        if node not in self._pages:
            try:
                earlier = read_lines(self._folder, node, _LINES)
            except OSError as error:
                self._give_up(error)
                earlier = ()
            self._pages[node] = _Page(node, earlier)
            while len(self._pages) > _NODES and not next(iter(self._pages.values())).open:
                self._pages.popitem(last=False)
        self._pages.move_to_end(node)
        return self._pages[node]

    def _write(self, lines: Iterable[LogLine]) -> None:
        by_node: dict[str, list[LogLine]] = {}
        for line in lines:
            by_node.setdefault(line.node, []).append(line)
        for node, its_lines in by_node.items():
            if self._written is None:
                return
            try:
                self._append(node, its_lines, self._written)
            except OSError as error:
                self._give_up(error)

    def _append(self, node: str, lines: list[LogLine], written: set[str]) -> None:
        path = current_file(self._folder, node)
        data = encoded(lines)
        if node not in written:
            self._folder.mkdir(parents=True, exist_ok=True)
            # Whoever wrote before may have been killed in the midst of a line.
            data = b"\n" + data
            written.add(node)
        with path.open("ab", buffering=0) as file:
            file.write(data)
            size = file.tell()
        if size >= ROTATE_BYTES:
            path.replace(old_file(self._folder, node))

    def _give_up(self, error: OSError) -> None:
        if self._written is not None:
            self._written = None
            _log.warning(
                "what the nodes print is not kept in %s any more (%s): nbflow logs shows less of "
                "this run. The executed notebooks have everything",
                self._folder,
                error.strerror or error,
            )


class _Page:
    """The last lines of one node, and the one that has not ended."""

    def __init__(self, node: str, earlier: Iterable[LogLine]) -> None:
        self._node = node
        self._lines: deque[LogLine] = deque(maxlen=_LINES)
        self._characters = 0
        #: Whether there were more lines than there is room for.
        self.has_dropped = False
        #: The line that has no end yet.
        self._unended: LogLine | None = None
        #: When that was begun by the book's own clock, in seconds since the epoch.
        self.open_since = 0.0
        self._kept(earlier)
        # That is as many as were asked for; there may be more.
        self.has_dropped |= len(self._lines) == _LINES

    @property
    def open(self) -> bool:
        """Whether there is a line without an end."""
        return self._unended is not None

    @property
    def shown(self) -> tuple[LogLine, ...]:
        """All lines, the open one included."""
        unended = () if self._unended is None else (_overwritten(self._unended),)
        return (*self._lines, *unended)

    def taken(self, piece: Printed, now: float) -> list[LogLine]:
        """Return the lines that end with `piece`."""
        kept: list[LogLine] = []
        if self._unended is not None and not _goes_on(self._unended, piece):
            kept += self.closed()
        at, begun = piece.at or now, self._unended
        self._unended = None
        # A cell may print half a character, which no file takes.
        text = piece.text.encode("utf-8", "backslashreplace").decode()
        *ended, rest = (("" if begun is None else begun.text) + text).split("\n")
        lines = [self._line(piece, line, at) for line in ended]
        if begun is not None and lines:
            lines[0] = msgspec.structs.replace(lines[0], at=begun.at)
        kept += self._kept(map(_overwritten, lines))
        if rest:
            # What was overwritten is gone, but for a return that may be the first half of an end.
            rest = rest[rest.rfind("\r", 0, -1) + 1 :]
            if begun is None or lines:
                self.open_since = now
            else:
                at = begun.at
            self._unended = self._line(piece, rest, at)
        if len(rest) > _LINE_LENGTH:
            kept += self.closed()
        return kept

    def noted(self, text: str, at: float) -> list[LogLine]:
        """Return a note that stands between the lines, after the one that has not ended."""
        closed = self.closed()
        attempt, cell = (self._lines[-1].attempt, self._lines[-1].cell) if self._lines else (1, -1)
        return [*closed, *self._kept([LogLine(at, self._node, attempt, cell, "note", text)])]

    def closed(self) -> list[LogLine]:
        """Return the line that has not ended, as far as it has got."""
        if self._unended is None:
            return []
        line = _overwritten(self._unended)
        self._unended = None
        return self._kept([line])

    def _line(self, piece: Printed, text: str, at: float) -> LogLine:
        return LogLine(at, self._node, piece.id.number, piece.cell, piece.stream, text)

    def _kept(self, lines: Iterable[LogLine]) -> list[LogLine]:
        kept = list(lines)
        for line in kept:
            if len(self._lines) == _LINES:
                self._drop_first()
            self._lines.append(line)
            self._characters += len(line.text)
        while self._characters > _CHARACTERS and len(self._lines) > 1:
            self._drop_first()
        return kept

    def _drop_first(self) -> None:
        self.has_dropped = True
        self._characters -= len(self._lines.popleft().text)


def _goes_on(line: LogLine, piece: Printed) -> bool:
    """Whether `piece` can be the rest of `line`."""
    return (line.attempt, line.cell, line.stream) == (piece.id.number, piece.cell, piece.stream)


def _overwritten(line: LogLine) -> LogLine:
    """Return a line as a terminal would show it after its carriage returns, cut if it is long."""
    text = line.text.rstrip("\r").rpartition("\r")[2]
    if len(text) > _LINE_LENGTH:
        text = text[: _LINE_LENGTH - 1] + "…"
    return line if text == line.text else msgspec.structs.replace(line, text=text)
