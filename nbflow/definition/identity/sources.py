"""Source files, each read and looked through once."""

# A Path for each name of a large folder costs more than the listing.
# ruff: noqa: PTH208

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from nbflow.definition.code_cells import code_cells
from nbflow.definition.identity.cells import scan_cell
from nbflow.definition.identity.scanning import Scan, Unseen, joined, parsed, scanned

_DIGEST_BYTES = 16

_UNREADABLE = Unseen("cannot be read as Python", "Mend it")


@dataclass(frozen=True, slots=True)
class Source:
    """A file, as what it is for whoever runs it."""

    digest: bytes
    scan: Scan


class Sources:
    """The source files that nodes reach, each read once."""

    def __init__(self) -> None:
        self._known: dict[str, Source | None] = {}
        self._names: dict[str, frozenset[str]] = {}

    def read(self, path: str) -> Source | None:
        """Return what lies at `path`; None if there is no file that can be read."""
        if path not in self._known:
            self._known[path] = _read(path)
        return self._known[path]

    def names_in(self, folder: str) -> frozenset[str]:
        """Return what lies in `folder`; nothing if it is no folder that can be looked into."""
        if folder not in self._names:
            try:
                self._names[folder] = frozenset(os.listdir(folder))
            except OSError:
                self._names[folder] = frozenset()
        return self._names[folder]


def _read(path: str) -> Source | None:
    file = Path(path)
    try:
        if not file.is_file():
            return None
        data = file.read_bytes()
    except OSError:
        return None
    if path.endswith(".ipynb"):
        return _notebook(data)
    scan = Scan()
    if path.endswith(".py"):
        tree = parsed(data.decode(errors="replace"))
        scan = scanned(tree, path) if tree else Scan(unseen=(_UNREADABLE,))
    return Source(_digest(data), scan)


def _notebook(data: bytes) -> Source:
    """Return a notebook that is run by another one: its code alone counts, not its outputs."""
    try:
        cells = code_cells(json.loads(data))
    except (ValueError, AttributeError, TypeError):
        return Source(_digest(data), Scan(unseen=(_UNREADABLE,)))
    scan = joined(*(scan_cell(cell.source) for cell in cells))
    return Source(_digest("\0".join(cell.source for cell in cells).encode()), scan)


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).digest()
