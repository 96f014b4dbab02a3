"""Digests of the files that a node is declared to read.

``data/2026.csv`` is one file, ``data`` all files below that folder, ``data/*.csv`` whatever fits
when the digest is made. Files count by content, and by their names below the fixed part of a
pattern, so that a project may be moved. A file that is missing is part of the digest: when it
comes, the digest is another one.

Nothing here is heavy to import: drivers do.
"""

# Paths are looked at by the thousand here, and a Path costs ten times more.
# ruff: noqa: PTH112, PTH116, PTH118, PTH120, PTH123, PTH207

import glob
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

_DIGEST_BYTES = 16
_CHUNK_BYTES = 1 << 20

#: A file may change twice within one tick of its clock, which says nothing then: what is younger
#: than this when it has been read is read again next time. In nanoseconds.
_RACY_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class InputDigest:
    """What declared files are like now."""

    #: Of all of them; empty if none is declared.
    digest: str
    #: Those that are not there, or cannot be read, as absolute paths or patterns.
    missing: tuple[str, ...] = ()


@dataclass(slots=True)
class FileMemo:
    """Digests of files that have been read, for as long as the system says they are the same."""

    #: Nanoseconds since the epoch.
    clock_ns: Callable[[], int] = time.time_ns
    known: dict[str, tuple[tuple[int, ...], bytes]] = field(default_factory=dict)


def input_digest(patterns: Sequence[str], memo: FileMemo) -> InputDigest:
    """Return the digest of all files that `patterns` name, each read in constant memory.

    Parameters
    ----------
    patterns
        Absolute paths of files, folders, or with ``*``, ``?``, ``[…]`` and ``**``.
    memo
        What earlier calls have read.
    """
    if not patterns:
        return InputDigest("")
    total = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    missing: list[str] = []
    for pattern in patterns:
        base = fixed_part(pattern)
        found = list(_files(pattern))
        for path in found:
            content = _content(path, memo)
            if content is None:
                missing.append(path)
            _add(total, os.path.relpath(path, base).encode(errors="surrogateescape"))
            _add(total, content or b"")
        if not found:
            missing.append(pattern)
        _add(total, b"")  # the end of a pattern
    return InputDigest(total.hexdigest(), tuple(missing))


def fixed_part(pattern: str) -> str:
    """Return the folder beneath which `pattern` looks; of a plain path, the one that it is in."""
    folder = os.path.dirname(pattern)
    while not os.path.lexists(pattern) and glob.has_magic(folder):
        folder = os.path.dirname(folder)
    return folder


def _files(pattern: str) -> Iterator[str]:
    """Yield the files of a pattern, sorted, each once."""
    # A name may have a bracket in it and mean just that.
    plain = os.path.lexists(pattern) or not glob.has_magic(pattern)
    places = [pattern] if plain else sorted(glob.glob(pattern, recursive=True))
    seen: set[str] = set()
    for place in places:
        for path in _below(place):
            if path not in seen:
                seen.add(path)
                yield path


def _below(place: str) -> Iterator[str]:
    if not os.path.isdir(place):
        if os.path.lexists(place):
            yield place
        return
    for folder, folders, names in os.walk(place):
        folders.sort()
        yield from (os.path.join(folder, name) for name in sorted(names))


def _content(path: str, memo: FileMemo) -> bytes | None:
    """Return the digest of one file; None if there is none that could be read."""
    try:
        before = os.stat(path)
        # Whoever opens a named pipe waits until somebody writes to it.
        if not stat.S_ISREG(before.st_mode):
            return None
        known = memo.known.get(path)
        if known is not None and known[0] == _signature(before):
            return known[1]
        content = _hashed(path)
        after = os.stat(path)
    except OSError:
        return None
    settled = memo.clock_ns() - after.st_mtime_ns > _RACY_NS
    if settled and _signature(after) == _signature(before):
        memo.known[path] = (_signature(before), content)
    return content


def _hashed(path: str) -> bytes:
    total = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            total.update(chunk)
    return total.digest()


def _signature(status: os.stat_result) -> tuple[int, ...]:
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _add(total: "hashlib.blake2b", piece: bytes) -> None:
    total.update(len(piece).to_bytes(8))
    total.update(piece)
