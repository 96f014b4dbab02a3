"""Encode JSON as `json.dumps` does with an indent of 1 and sorted keys, but several times faster.

Python's encoder has no C code for an indent. msgspec's is all C, but knows no such layout, and
writes some floats otherwise. So the layout is made here, numbers with a fraction are Python's, and
msgspec writes what most of a notebook is: texts.

A value becomes a row of *pieces*. Most are bytes. A text that is long is not encoded at once:
`LongText` stands for it. A text never changes, so another thread may encode it while the notebook
goes on changing. It comes in chunks, so an output of any size takes little memory on its way into
a file. And it has the same bytes as long as it is the same object, which lets
`nbflow.notebooks.splicing` write it once.
"""

import functools
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from json.encoder import encode_basestring
from typing import Any

import msgspec

#: From how many characters on a text is long; to encode fewer takes some 0.05 ms.
LONG_TEXT = 1 << 15
#: About how many characters of a long text are encoded at a time.
_CHUNK = 1 << 20

_in_c = msgspec.json.Encoder().encode
#: What msgspec writes as Python does, but for half characters and very large numbers.
_SIMPLE = frozenset({str, int, bool, type(None)})
_NUMBERS = frozenset({int, float, bool, type(None)})
_BYTES = frozenset({bytes})


class Lines(msgspec.Struct, frozen=True):
    """A text to be written as a list of its lines."""

    text: str


class Gap(msgspec.Struct, frozen=True):
    """Stands where something will be that is encoded by itself; comes out as it is."""


class LongText(msgspec.Struct, frozen=True, eq=False):
    """A long text that is yet to be encoded.

    Parameters
    ----------
    text
        As it is in the notebook.
    depth
        To be written as a list of lines, indented so deep; None: as one text.
    """

    text: str
    depth: int | None

    def chunks(self) -> Iterator[bytes]:
        """Yield the encoded text."""
        return self._one_text() if self.depth is None else self._list_of_lines(self.depth)

    def _one_text(self) -> Iterator[bytes]:
        yield b'"'
        for start in range(0, len(self.text), _CHUNK):
            yield _quoted(self.text[start : start + _CHUNK])[1:-1]
        yield b'"'

    def _list_of_lines(self, depth: int) -> Iterator[bytes]:
        yield b"[" + line_break(depth + 1)
        start = 0
        while start < len(self.text):
            # Behind a newline there begins a line, whatever else may end one.
            end = self.text.find("\n", start + _CHUNK) + 1 or len(self.text)
            if start:
                yield b"," + line_break(depth + 1)
            yield _quoted_lines(self.text[start:end], depth + 1)
            start = end
        yield line_break(depth) + b"]"


Piece = bytes | LongText


def encode(value: Any, depth: int, pieces: list[Any]) -> None:
    """Append the pieces of `value`, which begins in a line that is indented `depth` deep.

    Raises
    ------
    TypeError
        If something in it has no form in JSON.
    """
    if type(value) in _SIMPLE or isinstance(value, (str, float)):
        long = isinstance(value, str) and len(value) >= LONG_TEXT
        pieces.append(LongText(value, None) if long else _scalar(value))
    elif isinstance(value, dict):
        _encode_mapping(value, depth, pieces)
    elif isinstance(value, (list, tuple)):
        _encode_sequence(value, depth, pieces)
    elif isinstance(value, Lines):
        _encode_lines(value.text, depth, pieces)
    elif isinstance(value, Gap):
        pieces.append(value)
    else:
        pieces.append(_scalar(value))


def joined(pieces: Collection[Any]) -> list[Any]:
    """Return `pieces` with neighbouring bytes in one."""
    if _BYTES.issuperset(map(type, pieces)):
        return [b"".join(pieces)]
    whole: list[Any] = []
    run: list[bytes] = []
    for piece in pieces:
        if isinstance(piece, bytes):
            run.append(piece)
        else:
            whole += (b"".join(run), piece)
            run = []
    return [*whole, b"".join(run)]


@functools.cache
def line_break(depth: int) -> bytes:
    """Return a new line that is indented `depth` deep."""
    return b"\n" + b" " * depth


def _encode_mapping(value: Mapping[Any, Any], depth: int, pieces: list[Any]) -> None:
    if not value:
        pieces.append(b"{}")
        return
    begin = b"{" + line_break(depth + 1)
    for key in sorted(value):
        pieces.append(begin + _key(key) + b": ")
        encode(value[key], depth + 1, pieces)
        begin = b"," + line_break(depth + 1)
    pieces.append(line_break(depth) + b"}")


def _encode_sequence(value: Sequence[Any], depth: int, pieces: list[Any]) -> None:
    if not value:
        pieces.append(b"[]")
        return
    begin = b"[" + line_break(depth + 1)
    if _NUMBERS.issuperset(map(type, value)):
        pieces += (begin, _pythons(depth + 1)(value)[1:-1].encode())
    else:
        for item in value:
            pieces.append(begin)
            encode(item, depth + 1, pieces)
            begin = b"," + line_break(depth + 1)
    pieces.append(line_break(depth) + b"]")


def _encode_lines(text: str, depth: int, pieces: list[Any]) -> None:
    if len(text) >= LONG_TEXT:
        pieces.append(LongText(text, depth))
    elif text:
        begin, end = b"[" + line_break(depth + 1), line_break(depth) + b"]"
        pieces += (begin, _quoted_lines(text, depth + 1), end)
    else:
        pieces.append(b"[]")


def _quoted_lines(text: str, depth: int) -> bytes:
    return (b"," + line_break(depth)).join(map(_quoted, text.splitlines(keepends=True)))


def _quoted(text: str) -> bytes:
    try:
        return _in_c(text)
    except (UnicodeEncodeError, TypeError):
        # Half a character, as a kernel may send it, is no UTF-8; escaped, it is JSON.
        return encode_basestring(text).encode(errors="backslashreplace")


def _scalar(value: object) -> bytes:
    if type(value) in _SIMPLE:
        try:
            return _in_c(value)
        except (UnicodeEncodeError, OverflowError):
            pass  # Python can.
    return _pythons(0)(value).encode(errors="backslashreplace")


def _key(key: object) -> bytes:
    if isinstance(key, str):
        return _quoted(key)
    if isinstance(key, (int, float)) or key is None:
        return _quoted(json.dumps(key))
    raise TypeError(f"keys must be str, int, float, bool or None, not {type(key).__name__}")


@functools.cache
def _pythons(depth: int) -> Callable[[Any], str]:
    """Return Python's own encoder, for lists of numbers that are indented `depth` deep."""
    separators = ("," + line_break(depth).decode(), ": ")
    return json.JSONEncoder(ensure_ascii=False, separators=separators, default=_ascii).encode


def _ascii(value: object) -> str:
    """Take base64 that nobody has decoded, as nbformat does."""
    if isinstance(value, bytes):
        return value.decode("ascii")
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
