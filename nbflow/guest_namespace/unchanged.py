"""Whether a variable's value is what it was, found out by what it would be pickled as.

Content that lies in a file of variables is not read for that: the system copies a page of it when
somebody writes there, and says which pages are copies.
"""

import array
import hashlib
import importlib
import io
import pickle
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from nbflow.guest_namespace.carrying import Carrier, Tracks, map_array
from nbflow.guest_namespace.graph import Mapped
from nbflow.guest_namespace.moving import make_cached, make_lock
from nbflow.guest_namespace.parcels import LARGE_BYTES, PAGE_BYTES
from nbflow.guest_namespace.rules import CACHED, LOCKS

_ENTRY_BYTES = 8
_CHUNK_BYTES = 1 << 20
#: An entry of the page map: in memory, swapped out, of a file.
_HERE, _SWAPPED, _OF_FILE = 1 << 63, 1 << 62, 1 << 61


class Mappings:
    """The files of variables that lie in memory."""

    def __init__(self) -> None:
        self._known: list[tuple[int, int, Path, Mapped]] = []

    def add(self, path: Path, mapping: Mapped) -> None:
        """Note that a file lies in memory, and keep it there."""
        begin = _address(memoryview(mapping))
        self._known.append((begin, begin + len(mapping), path, mapping))

    def mark(self, piece: memoryview) -> bytes | None:
        """Return by what an unchanged piece of a file is known; None if it is nothing such."""
        if not self._known or piece.nbytes < LARGE_BYTES:
            return None
        begin = _address(piece)
        for number, (first, last, path, _) in enumerate(self._known):
            if first <= begin and begin + piece.nbytes <= last:
                place = begin - first
                if _is_clean(begin, piece.nbytes) or _is_content(path, place, piece):
                    return b"%d:%d:%d" % (number, place, piece.nbytes)
        return None


def _address(piece: memoryview) -> int:
    numpy = importlib.import_module("numpy")
    begin: int = numpy.frombuffer(piece, numpy.uint8).__array_interface__["data"][0]
    return begin


def _is_clean(begin: int, size_bytes: int) -> bool:
    """Whether no page of a file in memory is a copy; False where the system does not say."""
    first, last = begin // PAGE_BYTES, (begin + size_bytes - 1) // PAGE_BYTES
    try:
        with Path("/proc/self/pagemap").open("rb") as file:
            file.seek(first * _ENTRY_BYTES)
            entries = array.array("Q", file.read((last - first + 1) * _ENTRY_BYTES))
    except (OSError, ValueError):
        return False
    if len(entries) != last - first + 1:
        return False
    numpy = importlib.import_module("numpy")
    pages = numpy.frombuffer(entries, numpy.uint64)
    there = pages & numpy.uint64(_HERE | _SWAPPED) != 0
    of_file = pages & numpy.uint64(_OF_FILE) != 0
    return not bool((there & ~of_file).any())


def _is_content(path: Path, place: int, piece: memoryview) -> bool:
    with path.open("rb") as file:
        file.seek(place)
        for begin in range(0, piece.nbytes, _CHUNK_BYTES):
            part = piece[begin : begin + _CHUNK_BYTES]
            if file.read(part.nbytes) != part:
                return False
    return True


class Marks:
    """Makes marks of values: as long as a value is not changed, so is its mark.

    Parameters
    ----------
    namespace, names, tracks
        See `carrying.Carrier`.
    mappings
        Where content may lie that need not be read.
    """

    def __init__(
        self,
        namespace: dict[str, Any],
        names: Mapping[int, tuple[str, ...]],
        tracks: Tracks,
        mappings: Mappings,
    ) -> None:
        self._namespace = namespace
        self._names = names
        self._tracks = tracks
        self._mappings = mappings
        self._new_digest = _digest_maker()

    def of(self, value: Any) -> bytes | None:
        """Return the mark of a value; None if it has none, since it cannot be moved at all."""
        sink = _Sink(self._mappings, self._new_digest)
        marker = _Marker(
            sink, self._namespace, {}, names=self._names, tracks=self._tracks, aside=sink.piece
        )
        try:
            marker.dump(value)
        except Exception:  # noqa: BLE001 - foreign reducers raise what they like
            return None
        return sink.digest()


def _without_cache(made: Any) -> Any:
    """Return how an array of pandas is made again, without what it has only looked up."""
    if isinstance(made, str) or len(made) <= _STATE or not isinstance(made[_STATE], tuple):
        return made
    parts = (
        {name: it for name, it in part.items() if name != "_cache"} if type(part) is dict else part
        for part in made[_STATE]
    )
    return (
        *made[:_STATE],
        tuple(part for part in parts if type(part) is not dict or part),
        *made[_STATE + 1 :],
    )


#: Where the state of an object stands among what makes it again.
_STATE = 2


class _Marker(Carrier):
    """Writes what cannot be moved, too, as long as it can be written at all."""

    def reducer_override(self, thing: Any) -> Any:
        """Return what tells one state of `thing` from another."""
        kind = type(thing)
        if kind in LOCKS:
            return make_lock, (kind is LOCKS[1],)
        if kind is CACHED:
            # What it remembers is no part of it.
            return make_cached, (thing.__wrapped__, 0, False)
        if kind.__module__.startswith("pandas.core.arrays"):
            return _without_cache(thing.__reduce_ex__(5))
        if isinstance(thing, (type, types.FunctionType, types.CellType)):
            return super().reducer_override(thing)
        return self._array(thing) if kind.__module__ == "numpy" else NotImplemented

    def _array(self, thing: Any) -> Any:
        made = super()._array(thing)
        if not isinstance(made, tuple) or made[1][0] is thing:
            return made
        numpy = sys.modules["numpy"]
        root = made[1][0]
        if not isinstance(root, numpy.ndarray):
            return made
        # What lies around a view may have changed; that is a matter of other variables.
        if thing.dtype.kind == "O":
            return map_array, (thing.ravel().tolist(), thing.shape, thing.dtype, *made[1][2:])
        content = pickle.PickleBuffer(numpy.ascontiguousarray(thing).view(numpy.uint8))
        return map_array, (content, thing.shape, thing.dtype, *made[1][2:])


class _Sink(io.RawIOBase, BinaryIO):
    """A file that keeps a digest of what is written to it."""

    def __init__(self, mappings: Mappings, new_digest: Callable[[], Any]) -> None:
        super().__init__()
        self._mappings = mappings
        self._stream, self._pieces = new_digest(), new_digest()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self._stream.update(view)
        return view.nbytes

    def piece(self, piece: pickle.PickleBuffer) -> bool:
        raw = piece.raw()
        self._pieces.update(b"%d:" % raw.nbytes)
        self._pieces.update(self._mappings.mark(raw) or raw)
        return False

    def digest(self) -> bytes:
        return bytes(self._stream.digest() + self._pieces.digest())


def _digest_maker() -> Callable[[], Any]:
    try:
        import xxhash  # type: ignore[import-not-found]  # lazy: ten times faster, where it is
    except ImportError:
        return lambda: hashlib.blake2b(digest_size=16)
    maker: Callable[[], Any] = xxhash.xxh3_128
    return maker
