"""Which files the cells of a notebook have read and written, as far as Python sees it.

What a cell has written stays when its kernel ends, and later cells may have written more. So a
notebook goes on in another kernel only if every file that the cells before have touched is as it
was. An audit hook notes them. (It cannot be removed again; a kernel has it only where its notebook
has checkpoints.)
"""

import os
import sys
import threading
from collections.abc import Iterable, Mapping
from typing import Any

_ASKED = "nbflow.files"
_TOLD = "nbflow.files.more"
#: Says that forks of this thread are ours from now on, or not any more: ours leave nothing behind.
OWN_FORK = "nbflow.fork"
_SUBJECTS = {
    "open": 1,
    "os.remove": 1,
    "os.rename": 2,
    "os.mkdir": 1,
    "os.rmdir": 1,
    "os.truncate": 1,
    "os.link": 2,
    "os.symlink": 2,
    "shutil.copyfile": 2,
    "sqlite3.connect": 1,
}
PROGRAMS = frozenset({"os.system", "subprocess.Popen", "os.posix_spawn", "os.exec", "os.fork"})
#: Programs that libraries start to look at the system; they change nothing.
LOOKING = frozenset(
    {
        "uname",
        "ldconfig",
        "/sbin/ldconfig",
        "lscpu",
        "nvidia-smi",
        "fc-list",
        "gcc",
        "cc",
        "ld",
        "lsb_release",
    }
)
#: Loaded after the kernel began, these write files that Python does not see.
UNSEEN = frozenset(
    {
        "duckdb", "fastparquet", "h5py", "lmdb", "netCDF4", "polars", "pyarrow.csv",
        "pyarrow.dataset",
        "pyarrow.feather", "pyarrow.orc", "pyarrow.parquet", "rasterio", "tables", "tiledb", "zarr",
    }
)  # fmt: skip


def watch_files(ignored: tuple[str, ...]) -> None:
    """Note from now on what is opened, but for what lies in the folders `ignored`."""
    touched: dict[str, None] = {}
    programs: dict[str, None] = {}
    passed = (*ignored, *own_folders())
    forking: set[int] = set()

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _SUBJECTS:
            paths = map(_full, arguments[: _SUBJECTS[event]])
            touched.update(dict.fromkeys(path for path in paths if _is_noted(path, passed)))
        elif event in PROGRAMS and not (event == "os.fork" and threading.get_ident() in forking):
            name = program_name(event, arguments)
            if name not in LOOKING:
                programs[name] = None

    def answer(event: str, arguments: tuple[Any, ...]) -> None:
        if event == _ASKED:
            arguments[0]["files"] = list(touched)
            arguments[0]["programs"] = list(programs)
        elif event == _TOLD:
            touched.update(dict.fromkeys(arguments[0]))
        elif event == OWN_FORK:
            (forking.add if arguments[0] else forking.discard)(threading.get_ident())

    sys.addaudithook(watch)
    sys.addaudithook(answer)


def files_touched() -> tuple[dict[str, Any], list[str]]:
    """Return the state of each file that was touched, and the programs that were started."""
    seen: dict[str, list[str]] = {"files": [], "programs": []}
    sys.audit(_ASKED, seen)
    return {path: file_state(path) for path in seen["files"]}, seen["programs"]


def note_files(paths: Iterable[str]) -> None:
    """Count files as touched, since the kernel that this one goes on for had touched them."""
    sys.audit(_TOLD, list(paths))


def files_changed(states: Mapping[str, Any]) -> list[str]:
    """Return the files that are not as they were."""
    return [path for path, state in states.items() if file_state(path) != state]


def file_state(path: str) -> Any:
    """Return what tells whether a file has changed; None if there is none."""
    try:
        state = os.stat(path)  # noqa: PTH116 - no more than a system call
    except OSError:
        return None
    return [state.st_ino, state.st_size, state.st_mtime_ns] if not os.path.isdir(path) else "folder"  # noqa: PTH112


def _is_noted(path: str, passed: tuple[str, ...]) -> bool:
    return bool(path) and not path.startswith(passed) and "__pycache__" not in path


def _full(path: Any) -> str:
    """Return a path in full; empty for what is no path, such as a descriptor."""
    try:
        text = os.fsdecode(path)
    except TypeError:
        return ""
    return os.path.abspath(text) if text and text != ":memory:" else ""  # noqa: PTH100 - links stay


def program_name(event: str, arguments: tuple[Any, ...]) -> str:
    """Return the program that an audit event tells of."""
    if event == "os.fork":
        return "a copy of the kernel (fork)"
    command = arguments[1] if event == "subprocess.Popen" else arguments[:1]
    parts = [command] if isinstance(command, (str, bytes)) else list(command or ())
    return (
        " ".join(os.fsdecode(part) for part in parts[:3])
        if len(parts) > 1
        else os.fsdecode(parts[0])
    )


def own_folders() -> tuple[str, ...]:
    """Return where Python, its packages and the system lie."""
    places = {sys.prefix, sys.base_prefix, sys.exec_prefix, os.path.dirname(os.__file__)}  # noqa: PTH120
    home = os.path.expanduser("~")  # noqa: PTH111
    cached = [
        f"{home}/.{name}" for name in ("cache", "config", "ipython", "jupyter", "local/share")
    ]
    return (*places, "/dev", "/etc", "/proc", "/sys", "/usr", "/lib", *cached)
