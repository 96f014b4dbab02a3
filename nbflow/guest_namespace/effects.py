"""What the cells of a stage have done outside of their kernel, as far as Python sees it.

An audit hook notes which files are opened, how, and which programs are started. (It cannot be
removed again; the kernel of a stage ends with it.) Libraries that write by themselves, in C, are
not seen; which of their functions write is a matter of the tables of `nbflow.core.cells`.
"""

import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from nbflow.guest_namespace.files import LOOKING, PROGRAMS, file_state, own_folders, program_name

#: Larger files are not kept.
_KEPT_BYTES = 1_000_000_000
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC
#: Of which arguments paths are written by these, each with the argument that is its folder.
_WRITERS: dict[str, tuple[tuple[int, int], ...]] = {
    "os.remove": ((0, 1),),
    "os.rename": ((0, 2), (1, 3)),
    "os.mkdir": ((0, 2),),
    "os.rmdir": ((0, 1),),
    "os.truncate": ((0, -1),),
    "os.link": ((1, 3),),
    "os.symlink": ((1, 2),),
    "os.chmod": ((0, 2),),
    "os.utime": ((0, 3),),
    "os.chown": ((0, 3),),
}


class Effects:
    """Notes what is read, written and started from now on.

    Parameters
    ----------
    ignored
        Folders whose files do not count.
    place
        Says which cell runs now.
    keeping
        Folder in which files are kept as they are before they are written.
    """

    def __init__(self, ignored: Iterable[str], place: Callable[[], int], keeping: str) -> None:
        self._place = place
        self._keeping = keeping
        #: Path -> where it is kept, or None if there was nothing; without those that cannot be.
        self._kept: dict[str, str | None] = {}
        self._ignored = tuple(
            os.path.join(os.path.abspath(each), "")  # noqa: PTH100, PTH118 - links stay
            for each in (*ignored, *own_folders(), *_caches())
        )
        self._read: dict[str, None] = {}
        #: Each with what it was before, and the first cell that has done it.
        self._written: dict[str, tuple[Any, int]] = {}
        #: Whether something was written there is seen at the end.
        self._databases: dict[str, tuple[Any, int]] = {}
        self._programs: dict[str, int] = {}
        self._unheard: int | None = None
        sys.addaudithook(self._hear)

    @contextmanager
    def unheard(self) -> Iterator[None]:
        """Do not count what this thread does meanwhile."""
        self._unheard = threading.get_ident()
        try:
            yield
        finally:
            self._unheard = None

    def read(self) -> list[str]:
        """Return the files that were read, and are there."""
        return [path for path in self._read if file_state(path) not in (None, "folder")]

    def written(self) -> dict[str, int]:
        """Return what was written, but for what came and went again, each with its first cell."""
        found = {
            path: place
            for path, (before, place) in self._databases.items()
            if file_state(path) != before
        }
        for path, (before, place) in self._written.items():
            if not (before is None and file_state(path) is None):
                found.setdefault(path, place)
        return found

    def kept(self) -> dict[str, str | None]:
        """Return what was written, each with its copy of before; None is for what was not there."""
        return {path: self._kept[path] for path in self.written() if path in self._kept}

    def programs(self) -> dict[str, int]:
        """Return the programs that were started, each with its first cell."""
        return dict(self._programs)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            self._opened(*arguments)
        elif event in _WRITERS:
            for place, folder in _WRITERS[event]:
                in_folder = arguments[folder] if 0 <= folder < len(arguments) else -1
                self._writes(_full_path(arguments[place], in_folder))
        elif event == "sqlite3.connect":
            path = _full_path(arguments[0])
            if self._counts(path):
                self._keep(path)
                self._read[path] = None
                self._databases.setdefault(path, (file_state(path), self._place()))
        elif event in PROGRAMS and not self._is_unheard():
            name = program_name(event, arguments)
            if name not in LOOKING:
                self._programs.setdefault(name, self._place())

    def _opened(self, path: Any, mode: Any, flags: Any) -> None:
        full = _full_path(path)
        by_mode = isinstance(mode, str) and set(mode) & set("wax+")
        if by_mode or (isinstance(flags, int) and flags & _WRITING):
            self._writes(full)
        else:
            self._reads(full)

    def _reads(self, path: str) -> None:
        if self._counts(path) and path not in self._written:
            self._read[path] = None

    def _writes(self, path: str) -> None:
        if self._counts(path) and path not in self._written:
            self._keep(path)
            self._written[path] = file_state(path), self._place()

    def _keep(self, path: str) -> None:
        """Copy a file that is about to be written: Python tells of it before it happens."""
        state = file_state(path)
        if path in self._kept or state == "folder":
            return
        if state is None:
            self._kept[path] = None
            return
        before, self._unheard = self._unheard, threading.get_ident()
        try:
            if os.path.isfile(path) and os.path.getsize(path) <= _KEPT_BYTES:  # noqa: PTH113, PTH202
                copy = os.path.join(self._keeping, f"kept-{len(self._kept)}")  # noqa: PTH118
                shutil.copyfile(path, copy)
                self._kept[path] = copy
        except OSError:
            # It cannot be read, or there is no room: then it cannot be put back, either.
            self._kept.pop(path, None)
        finally:
            self._unheard = before

    def _counts(self, path: str) -> bool:
        return bool(path) and not (
            path.startswith(self._ignored) or "__pycache__" in path or self._is_unheard()
        )

    def _is_unheard(self) -> bool:
        return self._unheard is not None and self._unheard == threading.get_ident()


def unexpected_files(
    written: Iterable[str], expected: Iterable[str], folders: Collection[str]
) -> list[str]:
    """Return which files were written that were not to be; `folders` are where paths begin."""
    allowed = {
        os.path.abspath(os.path.join(folder, path))  # noqa: PTH100, PTH118 - links stay
        for path in expected
        for folder in folders
    }
    return [path for path in written if not _is_allowed(path, allowed)]


def _is_allowed(path: str, allowed: Collection[str]) -> bool:
    if path in allowed:
        return True
    if os.path.isdir(path):  # noqa: PTH112 - no more than a system call
        return any(each.startswith(os.path.join(path, "")) for each in allowed)  # noqa: PTH118
    # What was in a folder that was to be removed.
    gone = file_state(path) is None
    return gone and any(path.startswith(os.path.join(each, "")) for each in allowed)  # noqa: PTH118


def _full_path(path: Any, folder: Any = -1) -> str:
    """Return a path in full; empty for what is no path, such as a descriptor."""
    try:
        text = os.fsdecode(path)
        if isinstance(folder, int) and folder >= 0 and not os.path.isabs(text):  # noqa: PTH117
            text = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), text)  # noqa: PTH115, PTH118
    except (TypeError, OSError):
        return ""
    return os.path.abspath(text) if text and text != ":memory:" else ""  # noqa: PTH100 - links stay


def _caches() -> Iterator[str]:
    """Yield where libraries keep what they can make again."""
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR", "IPYTHONDIR"):
        if os.environ.get(name):
            yield os.environ[name]
    # Where the sources of cells would lie, for debuggers.
    yield os.path.join(tempfile.gettempdir(), f"ipykernel_{os.getpid()}")  # noqa: PTH118
