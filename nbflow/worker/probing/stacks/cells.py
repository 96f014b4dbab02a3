"""Recognise the cells of a notebook among the files of a kernel's stack.

ipykernel names a cell's "file" by a hash of its source, in a folder that is never made, so that
debuggers can tell cells apart: ``/tmp/ipykernel_4711/1234567890.py``. The hash is computed here
from the notebook. Where a version of ipykernel names files otherwise, the outermost of them is
still that of the cell that runs.
"""

import re
import struct
from collections.abc import Iterable, Mapping
from typing import NamedTuple

_CELL_FILE = re.compile(r".*[/\\]ipykernel_\d+[/\\](\d+)\.py")
_OLDER_CELL_FILE = re.compile(r"<ipython-input-\d+-[0-9a-f]+>")
#: Of magics that run the rest of their cell: ``%%time``, ``%%timeit``.
_TIMED = frozenset({"<timed exec>", "<timed eval>", "<magic-timeit>"})
_SEED = 0xC70F6907
_MULTIPLIER, _SHIFT, _WORD = 0x5BD1E995, 24, 0xFFFFFFFF


class CellLine(NamedTuple):
    """A line of a cell; `line` counts from 1, in the cell as the notebook has it."""

    cell: int
    line: int
    text: str


class CellFiles:
    """The cells of one notebook, by the names that their kernel gives them.

    Parameters
    ----------
    sources
        The source of each code cell, by its index.
    """

    def __init__(self, sources: Mapping[int, str]) -> None:
        self._lines = {index: source.splitlines() for index, source in sources.items()}
        #: By hash, the cells that have this source, and which of their lines it begins with.
        self._by_hash: dict[int, list[tuple[int, int]]] = {}
        for index, source in sources.items():
            self._by_hash.setdefault(source_hash(source), []).append((index, 0))
            if source.startswith("%%"):
                # A magic that runs its cell's body has that named, as IPython has ended it.
                body = source.partition("\n")[2].removesuffix("\n") + "\n"
                self._by_hash.setdefault(source_hash(body), []).append((index, 1))

    def is_cell(self, file: str) -> bool:
        """Whether a file of a stack stands for a cell."""
        return file in _TIMED or bool(_CELL_FILE.fullmatch(file) or _OLDER_CELL_FILE.match(file))

    def find(self, file: str, line: int, running: int | None) -> CellLine | None:
        """Return what a line of a stack is in the notebook; None for anything but a cell.

        Parameters
        ----------
        file, line
            As the stack has them.
        running
            The index of the cell that runs: of several with the same source, it is meant.
        """
        if file in _TIMED and running is not None:
            return self._line(running, line + 1)
        match = _CELL_FILE.fullmatch(file)
        if match is None:
            return None
        places = self._by_hash.get(int(match[1]), [])
        if not places:
            return None
        index, offset = _chosen(places, running)
        return self._line(index, line + offset)

    def _line(self, index: int, line: int) -> CellLine:
        lines = self._lines.get(index, [])
        text = lines[line - 1].strip() if 0 < line <= len(lines) else ""
        return CellLine(index, line, text)


def _chosen(places: Iterable[tuple[int, int]], running: int | None) -> tuple[int, int]:
    """Return the cell that runs, or else the last one before it: it was run last."""
    ordered = sorted(places)
    if running is None:
        return ordered[0]
    return ([it for it in ordered if it[0] <= running] or ordered[:1])[-1]


def source_hash(source: str) -> int:
    """Return the number by which ipykernel names the file of a cell (MurmurHash2, on its bytes)."""
    data = source.encode(errors="replace")
    whole = len(data) & ~3
    value = _SEED ^ len(data)
    for (word,) in struct.iter_unpack("<I", data[:whole]):
        mixed = word * _MULTIPLIER & _WORD
        mixed = (mixed ^ mixed >> _SHIFT) * _MULTIPLIER & _WORD
        value = (value * _MULTIPLIER & _WORD) ^ mixed
    rest = data[whole:]
    if rest:
        value = (value ^ int.from_bytes(rest, "little")) * _MULTIPLIER & _WORD
    value = (value ^ value >> 13) * _MULTIPLIER & _WORD
    return value ^ value >> 15
