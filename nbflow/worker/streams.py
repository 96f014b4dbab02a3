"""What a function prints, kept for each attempt apart.

Functions of several attempts run in one process at once, and they all print to ``sys.stdout``. So a
router stands in its place while any of them runs, and sends what is written to the log of
the attempt whose context the writer is in; all else goes where it would have gone.

``sys.stdout`` belongs to the process, and so the routers do, too: they are the one thing
here that is shared by all attempts, under a lock and counted.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, TextIO, TypeAlias

from nbflow.notebooks.masking import NO_SECRETS, Mask

Stream: TypeAlias = Literal["stdout", "stderr"]

#: Longest log of one attempt, in characters.
LOG_LIMIT = 1 << 20


class Log:
    """What one attempt has printed, up to a limit. Written by one or more threads.

    Parameters
    ----------
    mask
        Hides secrets, also those that are printed in pieces.
    limit
        Characters that are kept.
    heard
        Called with each piece as it is kept or dropped, masked, in the thread that writes it.
    """

    def __init__(
        self,
        mask: Mask = NO_SECRETS,
        limit: int = LOG_LIMIT,
        heard: Callable[[Stream, str], None] | None = None,
    ) -> None:
        self._parts: list[str] = []
        self._room = limit
        self._dropped = 0
        self._masked = mask.stream()
        self._heard = heard
        #: To which stream was written last.
        self._stream: Stream = "stdout"
        # Pieces from two threads must not mix in what the mask holds back.
        self._lock = threading.Lock()

    def write(self, text: str, stream: Stream = "stdout") -> int:
        """Take `text`, as far as there is room."""
        with self._lock:
            self._stream = stream
            self._keep(self._masked.feed(text))
        return len(text)

    def text(self) -> str:
        """Return all that was kept, with a note if there was more."""
        with self._lock:
            self._keep(self._masked.rest())
        note = f"\n[{self._dropped} more characters were not kept]\n" if self._dropped else ""
        return "".join(self._parts) + note

    def _keep(self, text: str) -> None:
        if text and self._heard is not None:
            self._heard(self._stream, text)
        kept = text[: self._room]
        if kept:
            self._parts.append(kept)
            self._room -= len(kept)
        self._dropped += len(text) - len(kept)


_current: ContextVar[Log | None] = ContextVar("nbflow_log", default=None)


@contextmanager
def printing_to(log: Log) -> Iterator[None]:
    """Send what this context prints to `log`."""
    _installation.enter()
    token = _current.set(log)
    try:
        yield
    finally:
        _current.reset(token)
        _installation.leave()


class _Router:
    """Stands in for a standard stream."""

    def __init__(self, stream: TextIO, name: Stream) -> None:
        self.stream = stream
        self._name: Stream = name

    def write(self, text: str) -> int:
        log = _current.get()
        return self.stream.write(text) if log is None else log.write(text, self._name)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        if _current.get() is None:
            self.stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class _Installation:
    """Puts routers in place for the first who needs them, and takes them away after the last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0

    def enter(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1:
                sys.stdout = _Router(sys.stdout, "stdout")
                sys.stderr = _Router(sys.stderr, "stderr")

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                # Someone else may have put a stream of their own there meanwhile: that one stays.
                if isinstance(sys.stdout, _Router):
                    sys.stdout = sys.stdout.stream
                if isinstance(sys.stderr, _Router):
                    sys.stderr = sys.stderr.stream


_installation = _Installation()
