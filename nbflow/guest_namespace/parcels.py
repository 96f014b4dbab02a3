"""A file with variables that share memory: a pickle, and beside it large pieces of memory.

=============  ==================================================================
header         magic, version, where the pickle begins and how long it is, where
               the index begins and how many pieces it has; 64 bytes
pickle         of a dictionary, by `carrying.Carrier`
pieces         each at a multiple of 64 bytes; large ones fill whole pages
index          where each piece begins and how long it is, in bytes
=============  ==================================================================

All numbers are little-endian. Who reads the file maps it: large arrays lie in the mapping, so they
are in memory once for all kernels of a machine, and are copied page by page when one writes to
them. What one kernel writes, no other sees.
"""

import mmap
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

from nbflow.guest_namespace.graph import Mapped

_MAGIC, _VERSION = b"NBFLOWNS", 1
_HEADER = struct.Struct("<8sIIQQQQ")
_PIECE = struct.Struct("<QQ")
_HEADER_BYTES = 64
#: Smaller pieces stay in the pickle.
_ASIDE_BYTES = 1 << 14
#: From this size on, an array lies in the file itself; smaller ones are copied out of it.
LARGE_BYTES = 1 << 20
_ALIGNED_BYTES, PAGE_BYTES = 64, 4096


class Parcel(NamedTuple):
    """What is in a file: who reads the pickle is given the pieces, which lie in `mapping`."""

    stream: BinaryIO
    pieces: list[memoryview]
    mapping: Mapped | None


class BadParcel(ValueError):
    """A file holds no variables, or those of another version of nbflow."""


def write_parcel(
    path: Path, write: Callable[[BinaryIO, Callable[[pickle.PickleBuffer], bool]], None]
) -> None:
    """Write a file; `write` is given a file for the pickle, and where to put large pieces."""
    pieces: list[memoryview] = []

    def aside(piece: pickle.PickleBuffer) -> bool:
        raw = piece.raw()
        if raw.nbytes < _ASIDE_BYTES:
            return True
        pieces.append(raw)
        return False

    with path.open("wb") as file:
        file.write(bytes(_HEADER_BYTES))
        write(file, aside)
        size_bytes = file.tell() - _HEADER_BYTES
        index = []
        for raw in pieces:
            alignment = PAGE_BYTES if raw.nbytes >= LARGE_BYTES else _ALIGNED_BYTES
            _fill(file, alignment)
            index.append(_PIECE.pack(file.tell(), raw.nbytes))
            file.write(raw)
            # So that whoever changes the next piece does not touch a page of this one.
            _fill(file, alignment)
        place = file.tell()
        file.writelines(index)
        file.seek(0)
        head = (_MAGIC, _VERSION, 0, _HEADER_BYTES, size_bytes, place, len(index))
        file.write(_HEADER.pack(*head))


def open_parcel(path: Path) -> Parcel:
    """Open a file; its stream, which is at the pickle, must be closed.

    Raises
    ------
    BadParcel
        If it is none.
    OSError
        If it cannot be read.
    """
    stream = path.open("rb")
    try:
        begin, place, count = _header(stream)
        pieces, mapping = _pieces(stream, place, count) if count else ([], None)
        stream.seek(begin)
    except BaseException:
        stream.close()
        raise
    return Parcel(stream, pieces, mapping)


def _header(stream: BinaryIO) -> tuple[int, int, int]:
    """Return where the pickle begins, where the index begins, and how many pieces there are."""
    head = stream.read(_HEADER.size)
    if len(head) < _HEADER.size or not head.startswith(_MAGIC):
        raise BadParcel(f"{stream.name} holds no variables")
    _, version, _, begin, _, place, count = _HEADER.unpack(head)
    if version != _VERSION:
        raise BadParcel(f"{stream.name} is of version {version}, and this is version {_VERSION}")
    return begin, place, count


def _pieces(stream: BinaryIO, place: int, count: int) -> tuple[list[memoryview], Mapped]:
    stream.seek(place)
    index = stream.read(count * _PIECE.size)
    if len(index) != count * _PIECE.size:
        raise BadParcel(f"{stream.name} is cut off")
    mapping = Mapped(stream.fileno(), 0, access=mmap.ACCESS_COPY)
    whole = memoryview(mapping)
    return [whole[begin : begin + size] for begin, size in _PIECE.iter_unpack(index)], mapping


def _fill(file: BinaryIO, alignment: int) -> None:
    file.write(bytes(-file.tell() % alignment))
