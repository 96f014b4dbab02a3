"""Files that libraries write without Python's knowing: Parquet, HDF5, DuckDB and their kin.

Python reports each file that it opens; native code opens files by itself. What is known of such
writers stands in the tables of the analysis. Who is not known is found by what is left behind: a
file of such a kind, below the working folder, that is younger than the stage. Other stages may have
written it, at the same time; so who is meant shows only when all are seen together.
"""

import os
from collections.abc import Iterator
from pathlib import Path

#: How native writers call their files.
SUFFIXES = frozenset(
    {
        ".arrow", ".avro", ".db", ".duckdb", ".feather", ".h5", ".hdf", ".hdf5", ".lance", ".nc",
        ".orc", ".parquet", ".pq", ".pt", ".pth", ".wal", ".zarr",
    }
)  # fmt: skip

#: No more is looked at: who works beside so many files writes to a place of its own.
_ENTRIES, _DEPTH = 20_000, 6


def native_files(folder: Path, since: float) -> tuple[str, ...]:
    """Return the files of native writers below `folder` that have changed. Blocks.

    Parameters
    ----------
    folder
        A working folder; hidden folders in it are passed by.
    since
        In seconds since the epoch.
    """
    since_ns = int(since * 1e9)
    found = (
        entry.path
        for entry in _entries(folder)
        if os.path.splitext(entry.name)[1].lower() in SUFFIXES  # noqa: PTH122 - thousands of names
        and _changed_ns(entry) >= since_ns
    )
    return tuple(sorted(found))


def _entries(folder: Path) -> Iterator["os.DirEntry[str]"]:
    waiting = [(str(folder), 0)]
    seen = 0
    while waiting:
        place, depth = waiting.pop()
        try:
            entries = list(os.scandir(place))
        except OSError:
            continue  # It is gone, or nobody may look into it.
        for entry in entries:
            seen += 1
            if seen > _ENTRIES:
                return
            if entry.is_dir(follow_symlinks=False):
                if depth < _DEPTH and not entry.name.startswith("."):
                    waiting.append((entry.path, depth + 1))
            else:
                yield entry


def _changed_ns(entry: "os.DirEntry[str]") -> int:
    try:
        return entry.stat().st_mtime_ns
    except OSError:
        return 0
