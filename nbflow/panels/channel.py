"""Messages to the browser, in order and never more than somebody takes.

Each message has a number, so that the browser notices a lost one and asks for everything anew. It
acknowledges what it has received. Where acknowledgements can arrive while a cell is busy, there is
a window: beyond it nothing is sent until somebody answers, so that nothing piles up for a browser
that is slow or gone. Where they cannot (see `nbflow.panels.subshell`), messages only become rare.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

#: Messages without an answer; and beyond that, seconds between two where no answer can come.
_WINDOW, _RARE_S = 40, 0.5


class Send(Protocol):
    """Sends one message with binary attachments; callable from any thread."""

    def __call__(self, content: dict[str, Any], buffers: Sequence[bytes]) -> None:
        """Send it."""


class Channel:
    """Numbered messages to all front ends that show a widget.

    Parameters
    ----------
    send
        Sends one message.
    monotonic
        Seconds of a clock that does not jump.
    """

    def __init__(self, send: Send, monotonic: Callable[[], float]) -> None:
        self._send = send
        self._monotonic = monotonic
        # Held while sending: numbers must go out in order.
        self._lock = threading.Lock()
        self._seq = 0
        self._answered = 0
        self._sent_at = 0.0
        #: Whether an answer can arrive at any time.
        self.answers_come = False
        #: Messages and bytes so far, for measurements.
        self.messages, self.size_bytes = 0, 0

    @property
    def seq(self) -> int:
        """Number of the latest message."""
        return self._seq

    @property
    def open(self) -> bool:
        """Whether a message may be sent now."""
        if self._seq - self._answered < _WINDOW:
            return True
        return not self.answers_come and self._monotonic() - self._sent_at >= _RARE_S

    @property
    def quiet_s(self) -> float:
        """Seconds since the latest message."""
        return self._monotonic() - self._sent_at

    def heard(self, seq: int | None = None) -> None:
        """Take note that a front end is there, and which message it has received."""
        with self._lock:
            self._answered = self._seq if seq is None else max(self._answered, min(seq, self._seq))

    def send(self, kind: str, data: Any = None, buffers: Sequence[bytes] = ()) -> None:
        """Send a message; `data` is anything that msgspec can encode."""
        # One text passes Jupyter's own walks over content faster than a tree does.
        text = "" if data is None else msgspec.json.encode(data).decode()
        with self._lock:
            self._seq += 1
            self._sent_at = self._monotonic()
            self.messages += 1
            self.size_bytes += len(text) + sum(map(len, buffers))
            self._send({"t": kind, "seq": self._seq, "j": text}, buffers)
