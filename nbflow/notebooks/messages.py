"""Receive a kernel's messages, and unpack no more of them than is needed.

A message arrives as frames: a signature, two headers, metadata, content, buffers. An `Envelope` has
read the headers, which are small, and knows the size of the rest. What the caller drops is
never hashed, decoded or copied; what it keeps is checked against its signature, as
`jupyter_client.session.Session` does. (Replays are not looked for: this socket is connected to our
own kernel, and nobody else can write into it.)

The socket that kernels publish on drops messages for a reader that has fallen behind by its
high-water mark, the one that says "idle" among them, and then the cell would never end. So the mark
is taken off on this side: ZeroMQ's own thread takes in what comes, at any time, and memory is
bounded by dropping quickly, which is faster than any kernel can print.
"""

import asyncio
import json
import re
from datetime import datetime
from hmac import compare_digest
from typing import Any

import msgspec
import zmq
import zmq.asyncio
from jupyter_client.adapter import adapt
from jupyter_client.session import DELIM, Session

#: Seconds that messages may be taken one after the other before others have their turn.
_TURN_S = 0.01
#: The protocol's major version; messages of others are adapted.
_CURRENT = "5."
#: Frames of a message without buffers: signature, header, parent, metadata, content.
_FRAMES = 5
#: How stream messages begin: Python, R and C++ kernels all send the name first.
_STREAM = re.compile(rb'\s*\{\s*"name"\s*:\s*"(\w+)"\s*,\s*"text"\s*:\s*"')
_STREAM_PREFIX_BYTES = 100
#: A cut may fall into the last character, such as the escape ``\u0007``.
_LONGEST_CHARACTER = 6


class Envelope:
    """A message whose content is still packed.

    Parameters
    ----------
    frames
        From the signature on.
    session
        Checks it.
    """

    __slots__ = ("_frames", "_header", "_parent", "_session")

    def __init__(self, frames: list[zmq.Frame], session: Session) -> None:
        if len(frames) < _FRAMES:
            raise ValueError(f"a message of {len(frames)} frames is no message of a kernel")
        self._frames = frames
        self._session = session
        self._header: dict[str, Any] = self._unpacked(frames[1])
        self._parent: dict[str, Any] = self._unpacked(frames[2])

    @property
    def type(self) -> str:
        """What the message is: ``stream``, ``status``..."""
        return str(self._header["msg_type"])

    @property
    def parent_id(self) -> str | None:
        """Which request it belongs to."""
        return self._parent.get("msg_id")

    @property
    def size_bytes(self) -> int:
        """Size of the packed content and the buffers."""
        return sum(len(frame) for frame in self._frames[_FRAMES - 1 :])

    def message(self) -> dict[str, Any]:
        """Return the message as jupyter_client gives it.

        Raises
        ------
        ValueError
            If its signature is wrong.
        """
        self._check()
        return self._message(self._unpacked(self._frames[4]))

    def cut_stream(self, size_bytes: int) -> dict[str, Any]:
        """Return a stream message with no more than about `size_bytes` of its text."""
        self._check()
        packed = self._frames[4].buffer
        begin = _STREAM.match(packed[:_STREAM_PREFIX_BYTES])
        if begin is None:
            content = self._unpacked(self._frames[4])
            return self._message({**content, "text": content["text"][:size_bytes]})
        text = _text(packed[begin.end() : begin.end() + size_bytes])
        return self._message({"name": begin[1].decode(), "text": text})

    def _message(self, content: Any) -> dict[str, Any]:
        message = {
            "header": _dated(self._header),
            "msg_id": self._header["msg_id"],
            "msg_type": self._header["msg_type"],
            "parent_header": _dated(self._parent),
            "metadata": self._unpacked(self._frames[3]),
            "content": content,
            "buffers": [frame.buffer for frame in self._frames[_FRAMES:]],
        }
        if str(self._header.get("version")).startswith(_CURRENT):
            return message
        adapted: dict[str, Any] = adapt(message)
        return adapted

    def _check(self) -> None:
        if self._session.auth is not None:
            signed = self._session.sign([frame.buffer for frame in self._frames[1:_FRAMES]])
            if not compare_digest(self._frames[0].bytes, signed):
                raise ValueError("a message of the kernel has a wrong signature")

    def _unpacked(self, frame: zmq.Frame) -> Any:
        try:
            return msgspec.json.decode(frame.buffer)
        except (msgspec.DecodeError, UnicodeDecodeError):
            # NaN, half a character: no JSON, but jupyter_client takes it.
            return self._session.unpack(frame.bytes)


#: How long a message may lie there unnoticed.
_UNNOTICED_S = 0.2


class Inbox:
    """The messages of one channel, in their order. One reader at a time.

    Parameters
    ----------
    socket
        Connected.
    session
        Checks the messages.
    """

    def __init__(self, socket: zmq.asyncio.Socket, session: Session) -> None:
        # Takes effect on connections that exist, too.
        socket.set(zmq.RCVHWM, 0)
        self._socket = socket
        self._now: zmq.Socket[bytes] = zmq.Socket.shadow(socket)
        self._session = session
        self._loop = asyncio.get_running_loop()
        self._turn_began_at = self._loop.time()
        #: The event loop's time when the last message came.
        self.received_at = self._turn_began_at

    async def next(self) -> Envelope:
        """Wait for the next message."""
        if self._loop.time() > self._turn_began_at + _TURN_S:
            await asyncio.sleep(0)
            self._turn_began_at = self._loop.time()
        try:
            frames = self._now.recv_multipart(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            frames = await self._coming()
            self._turn_began_at = self._loop.time()
        self.received_at = self._loop.time()
        start = next(i for i, frame in enumerate(frames) if frame.bytes == DELIM)
        return Envelope(frames[start + 1 :], self._session)

    async def _coming(self) -> list[Any]:
        """Wait for a message, and look now and then whether one has come unnoticed.

        ZeroMQ tells once that there is news of a socket. A widget that sends on it meanwhile hears
        that in our place.
        """
        coming = asyncio.ensure_future(self._socket.recv_multipart(copy=False))
        # It has no public name; pyzmq calls it itself, after each send of its own.
        look: Any = self._socket._schedule_remaining_events  # noqa: SLF001
        try:
            while not coming.done():
                await asyncio.wait({coming}, timeout=_UNNOTICED_S)
                if not coming.done():
                    look()
        finally:
            coming.cancel()
        return list(coming.result())

    async def silence(self, seconds: float) -> None:
        """Wait until nothing has come for so many seconds, from now on."""
        rest_s = seconds
        began_at = self._loop.time()
        while rest_s > 0:
            await asyncio.sleep(rest_s)
            rest_s = max(began_at, self.received_at) + seconds - self._loop.time()


def _dated(header: dict[str, Any]) -> dict[str, Any]:
    """Give the date as a `datetime`, as jupyter_client does."""
    try:
        return {**header, "date": datetime.fromisoformat(header["date"])}
    except (KeyError, TypeError, ValueError):
        return header


def _text(packed: memoryview) -> str:
    """Decode a JSON string whose end is cut off."""
    whole = bytes(packed).decode(errors="ignore")
    for trimmed in range(_LONGEST_CHARACTER):
        try:
            text: str = json.loads(f'"{whole[: len(whole) - trimmed]}"', strict=False)
        except ValueError:
            continue  # Half an escape at the end.
        return text
    raise ValueError("a stream message of the kernel is no JSON")
