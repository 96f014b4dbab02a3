"""The cells that functions come from: tracebacks show their sources and their numbers.

IPython gives the code of a cell the name of a file that is not there, in a folder with the number
of the process. In a file of variables it has no folder, so that it is the same whoever writes it.
"""

import linecache
import os
import tempfile
import types
from typing import Any

from IPython.core.getipython import get_ipython

_PACKED = "<cell>/"


class Sources:
    """The sources of the cells that the functions in a file of variables come from."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        #: Code as it is here, and as it is written: two functions may have one.
        self._packed: dict[int, tuple[types.CodeType, types.CodeType]] = {}

    def packed(self, code: types.CodeType) -> types.CodeType:
        """Return the code of a function as it is to be written."""
        if not code.co_filename.startswith(_cell_folder()):
            return code
        if id(code) not in self._packed:
            name = _PACKED + code.co_filename.removeprefix(_cell_folder())
            self._names[name] = code.co_filename
            self._packed[id(code)] = code, renamed(code, name)
        return self._packed[id(code)][1]

    def told(self) -> dict[str, tuple[Any, Any]]:
        """Return the numbers and sources of the cells, by the names of their files."""
        numbers = _numbers_of_cells()
        return {packed: (numbers.get(name), _text_of(name)) for packed, name in self._names.items()}


def unpacked_code(code: types.CodeType) -> types.CodeType:
    """Return the code of a function as it would be, had its cell run here."""
    if not code.co_filename.startswith(_PACKED):
        return code
    return renamed(code, _unpacked_name(code.co_filename))


def show_sources(told: dict[str, tuple[Any, Any]]) -> None:
    """Let tracebacks and warnings show the cells that functions come from."""
    numbers = _numbers_of_cells()
    for packed, (number, text) in told.items():
        name = _unpacked_name(packed)
        if number is not None:
            numbers.setdefault(name, number)
        if text is not None:
            lines = text.splitlines(keepends=True)
            linecache.cache.setdefault(name, (len(text), None, lines, name))


def renamed(code: types.CodeType, name: str) -> types.CodeType:
    """Return code, and what code is in it, with the name of another file."""
    inner = tuple(
        renamed(it, name) if isinstance(it, types.CodeType) else it for it in code.co_consts
    )
    return code.replace(co_filename=name, co_consts=inner)


def _unpacked_name(packed: str) -> str:
    return _cell_folder() + packed.removeprefix(_PACKED)


def _cell_folder() -> str:
    return os.path.join(tempfile.gettempdir(), f"ipykernel_{os.getpid()}", "")  # noqa: PTH118 - a text


def _numbers_of_cells() -> dict[str, int]:
    """Return the numbers of cells by the names of their files, as tracebacks find them."""
    shell = get_ipython()
    if shell is None:
        return {}
    numbers: dict[str, int] = shell.compile._filename_map  # noqa: SLF001 - there is no other way
    return numbers


def _text_of(name: str) -> str | None:
    known = linecache.cache.get(name)
    return "".join(known[2]) if known is not None and len(known) > 1 else None
