"""Where something was written: ``file:line``, as messages show it.

A `Where` answers for a part of what was written: a flow file knows the line of every
key, so ``where("params", "date")`` is more precise there than ``where()``. Python code is
known by the line of its call alone.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import FrameType
from typing import TypeAlias

Where: TypeAlias = Callable[..., str]

_WORKING_FOLDER: ContextVar[Path | None] = ContextVar("nbflow_working_folder", default=None)


@contextmanager
def working_in(folder: str | Path) -> Iterator[None]:
    """Let flows that are made meanwhile take `folder` for the current one."""
    token = _WORKING_FOLDER.set(Path(folder))
    try:
        yield
    finally:
        _WORKING_FOLDER.reset(token)


def working_folder() -> Path:
    """Return the folder to which relative paths refer: the current one, as a rule."""
    return _WORKING_FOLDER.get() or Path.cwd()


def everywhere(place: str) -> Where:
    """Return a `Where` that knows nothing more precise than `place`."""
    return lambda *_path: place


def caller_place() -> str:
    """Return where the nearest code outside nbflow stands: ``flow.py:12`` or ``In[3]:2``."""
    frame = _caller()
    return f"{_shown(frame.f_code.co_filename)}:{frame.f_lineno}"


def caller_folder() -> str | None:
    """Return the folder of the file in which the nearest code outside nbflow stands, if any."""
    file = Path(_caller().f_code.co_filename)
    return str(file.absolute().parent) if file.is_file() else None


def _caller() -> FrameType:
    """Return the nearest frame outside nbflow, or the outermost one."""
    frame = sys._getframe(1)  # noqa: SLF001 - a stack of FrameInfo would cost milliseconds
    while _is_own(frame.f_globals.get("__name__", "")) and frame.f_back is not None:
        frame = frame.f_back
    return frame


def _is_own(module: str) -> bool:
    return module == "nbflow" or module.startswith("nbflow.")


def _shown(file: str) -> str:
    """Return `file` as a person knows it: a notebook's cell by number, a near file by its name."""
    cell = _cell(file)
    if cell is not None:
        return cell
    here = os.getcwd() + os.sep  # noqa: PTH109 - called for every node; a Path costs ten times more
    return file.removeprefix(here)


def _cell(file: str) -> str | None:
    """Return ``In[3]`` if `file` is what IPython calls the code of that cell."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None:
        return None
    label = shell.compile.format_code_name(file)
    return label[1] if label is not None else None
