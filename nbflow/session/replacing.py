"""Replacing a file as a whole, for whoever reads it at that moment.

Nothing is synced: this is for files that may be lost, and that nobody asks for after a crash.
"""

import os
from pathlib import Path


def replace_file(path: Path, data: bytes) -> None:
    """Let `path` have `data`, in one step; the last of several processes wins.

    Raises
    ------
    OSError
        If it cannot be written, with the name of `path`; then what was there before still is, and
        nothing besides.
    """
    # Each process writes a file of its own, so that none renames what another has half written.
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        new.write_bytes(data)
        new.replace(path)
    except OSError as error:
        # What a full disk refuses has no name, and the new file's would mean nothing to anybody.
        error.filename, error.filename2 = str(path), None
        raise
    finally:
        new.unlink(missing_ok=True)
