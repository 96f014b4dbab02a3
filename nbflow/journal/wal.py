"""Damage in the middle of a write-ahead log, which SQLite takes for its end.

After a crash, SQLite takes up the log as far as its checksums fit, and drops the rest. That
repairs a torn tail: what was being written was acknowledged to nobody. But it would also drop
every transaction after a byte that was changed later, without a word. The two can be told
apart: each commit is synced before the next transaction begins. So where a transaction follows
one that does not fit, the latter was once whole.

(A change within the very last transaction cannot be told from a torn one.)

Layout (https://sqlite.org/fileformat2.html#walformat): a header of 32 bytes, and then frames, each
a header of 24 bytes and a page. All that belong together carry the header's two salts; checksums
go on from frame to frame.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from nbflow.core.errors import JournalError

_HEADER = struct.Struct(">8I")
_FRAME = struct.Struct(">6I")
#: The last bit of the magic number says in which order the bytes of summed numbers are.
_BIG_ENDIAN = 0x377F0683
#: Where the database's own header has the size of its pages.
_PAGE_SIZE = slice(16, 18)


class _Frame(NamedTuple):
    #: Whether it carries the salts of the header, or where that is damaged, of the first frame.
    is_ours: bool
    #: Whether a transaction ends here.
    commits: bool
    #: Whether it and all before it are as they were written.
    fits: bool


def refuse_damaged(path: Path) -> None:
    """Refuse a database whose log is damaged before its last transaction.

    Parameters
    ----------
    path
        The database, which nobody has open.

    Raises
    ------
    JournalError
        If it is damaged. SQLite has not seen it, so nothing is lost yet.
    """
    log = path.with_name(path.name + "-wal")
    try:
        data = log.read_bytes()
        with path.open("rb") as file:
            start = file.read(_PAGE_SIZE.stop)
    except OSError:
        return  # there is no log, or SQLite says what is wrong
    frames = list(_frames(data, start))
    sound = sum(frame.fits for frame in frames)
    # Frames of an earlier use of the file, which lie after those of this one, have other salts.
    ours = [frame for frame in frames[sound:] if frame.is_ours]
    commits = sum(frame.commits for frame in ours[:-1])
    if commits:
        raise JournalError(
            f"journal {path}: its log {log} is damaged at frame {sound + 1} of {len(frames)}, and "
            "SQLite would drop what was recorded after that. Keep a copy of both files. Then "
            f"restore a backup; or open it once with `sqlite3 {path} .tables`, which drops about "
            f"{commits} writes"
        )


def _frames(data: bytes, start: bytes) -> Iterator[_Frame]:
    if len(data) < _HEADER.size + _FRAME.size:
        return
    magic, _, size, _, *salts, first, second = _HEADER.unpack_from(data)
    order = ">" if magic == _BIG_ENDIAN else "<"
    sums = _summed(data[:24], order, (0, 0))
    fits = sums == (first, second)
    if not fits:
        # Its own page size cannot be trusted; 1 stands for what two bytes cannot hold.
        size = int.from_bytes(start[_PAGE_SIZE]) or 4096
        size = 1 << 16 if size == 1 else size
        salts = list(_FRAME.unpack_from(data, _HEADER.size)[2:4])
    step = _FRAME.size + size
    for at in range(_HEADER.size, len(data) - step + 1, step):
        _, pages, *own, first, second = _FRAME.unpack_from(data, at)
        if fits:
            sums = _summed(data[at : at + 8], order, sums)
            sums = _summed(data[at + _FRAME.size : at + step], order, sums)
            fits = own == salts and sums == (first, second)
        yield _Frame(own == salts, bool(pages), fits)


def _summed(data: bytes, order: str, sums: tuple[int, int]) -> tuple[int, int]:
    """Return SQLite's checksum of `data`, which goes on from `sums`."""
    first, second = sums
    for left, right in struct.iter_unpack(f"{order}II", data):
        first = (first + left + second) & 0xFFFFFFFF
        second = (second + right + first) & 0xFFFFFFFF
    return first, second
