"""What nbflow cannot set again in another kernel, and so must be there as it was.

Some of it keeps a kernel from being left at all (`held`): a program or thread that still runs, an
open connection, a widget. The rest is compared when variables have been taken over (`facts_of`).
All of it is plain JSON.
"""

import asyncio
import atexit
import enum
import gc
import importlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from nbflow.guest_namespace.files import own_folders

#: Libraries with a state of their own, in other processes, devices or memory, that is not known.
_UNKNOWN = frozenset(
    {
        "cupy", "dask", "h5py", "jax", "mxnet", "netCDF4", "numba", "paddle", "pycuda", "pyspark",
        "ray",
        "rpy2", "tables", "tensorflow", "torch", "jpype", "juliacall", "vaex", "distributed",
    }
)  # fmt: skip

#: What the kernel itself opens at any time.
_OWN_FILES = ("/dev/", "/proc/", "anon_inode:", "pipe:", "/memfd:")


def facts_of(shell: Any) -> dict[str, Any]:
    """Return what must be the same in the kernel that goes on."""
    return {
        "Python": sys.version,
        "hashes of texts (PYTHONHASHSEED)": hash("nbflow"),
        "signal handlers": {
            number.name: _name(signal.getsignal(number)) for number in signal.Signals
        },
        "exit hooks": atexit._ncallbacks(),  # noqa: SLF001 - there is no other way to ask
        "hooks": [
            _name(getattr(sys, name)) for name in ("displayhook", "excepthook", "unraisablehook")
        ],
        "streams": [_name(type(stream)) for stream in (sys.stdin, sys.stdout, sys.stderr)],
        "tracing": [_name(sys.gettrace()), _name(sys.getprofile())],
        "garbage collection": [gc.isenabled(), *gc.get_threshold()],
        "socket timeout": socket.getdefaulttimeout(),
        "importers": [_name(it) for it in (*sys.meta_path, *sys.path_hooks)],
        **_shell_facts(shell),
    }


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return the names of facts that differ."""
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))


def holdings(shell: Any) -> dict[str, list[str]]:
    """Return what the process holds, to be compared with what it held when it was young."""
    return {
        "threads": [f"{thread.name}" for thread in threading.enumerate()],
        "programs": _children(),
        "files": _open_files(),
        "extensions": sorted(shell.extension_manager.loaded),
        "magics": sorted(
            f"{kind}:{name}"
            for kind, names in shell.magics_manager.magics.items()
            for name in names
        ),
        "handlers": [f"{n.name}={_name(signal.getsignal(n))}" for n in signal.Signals],
        "tasks": _tasks(),
        "process": _process(),
    }


_WORDS = {
    "threads": "a thread that a cell has started still runs",
    "programs": "a program that a cell has started still runs",
    "files": "a file or connection that a cell has opened is still open",
    "extensions": "a cell has loaded an extension of IPython",
    "magics": "a cell has added a magic command",
    "handlers": "a cell has set a signal handler",
    "tasks": "an asynchronous task that a cell has started still runs",
    "process": "a cell has set something of the process",
}


def held(shell: Any, young: dict[str, list[str]]) -> list[str]:
    """Return, in words, what the kernel holds that another one cannot be given."""
    problems = []
    for what, now in holdings(shell).items():
        new = _beyond(now, young[what])
        if new:
            problems.append(f"{_WORDS[what]} ({', '.join(new[:3])})")
    loaded = sorted(name for name in _UNKNOWN if name in sys.modules)
    if loaded:
        problems.append(f"{loaded[0]} is loaded, and nobody knows its whole state")
    return problems + _displays()


def _displays() -> list[str]:
    problems = []
    comms = getattr(sys.modules.get("comm"), "get_comm_manager", None)
    if comms is not None and getattr(comms(), "comms", None):
        problems.append("a widget is alive")
    figures = getattr(sys.modules.get("matplotlib._pylab_helpers"), "Gcf", None)
    if figures is not None and figures.figs:
        problems.append("a figure of pyplot is open")
    return problems


def _beyond(now: Iterable[str], young: Iterable[str]) -> list[str]:
    known = list(young)
    new = []
    for each in now:
        if each in known:
            known.remove(each)
        else:
            new.append(each)
    return new


def _children() -> list[str]:
    found: list[str] = []
    for task in Path("/proc/self/task").glob("*/children"):
        found += (f"process {number}" for number in task.read_text().split())
    return found


def _open_files() -> list[str]:
    passed = (*_OWN_FILES, *own_folders())
    return [name for name in _descriptors() if not name.startswith(passed)]


def _process() -> list[str]:
    """Return what the system, or compiled code, keeps of this process, and what can be set."""
    if os.name != "posix":
        return []
    found = [f"niceness {os.getpriority(os.PRIO_PROCESS, 0)}"]
    if hasattr(os, "sched_getaffinity"):
        found.append(f"processors {sorted(os.sched_getaffinity(0))}")
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    found += [line for line in lines if line.startswith("Umask:")]
    limits = importlib.import_module("resource")
    names = sorted(name for name in vars(limits) if name.startswith("RLIMIT_"))
    found += [f"{name} {limits.getrlimit(getattr(limits, name))}" for name in names]
    dialects = sys.modules["csv"].list_dialects() if "csv" in sys.modules else []
    return found + [f"csv dialect {name}" for name in dialects if name not in _DIALECTS]


#: Those that csv itself registers.
_DIALECTS = frozenset({"excel", "excel-tab", "unix"})


def _descriptors() -> Iterator[str]:
    folder = Path("/proc/self/fd")
    for entry in list(folder.iterdir()) if folder.is_dir() else ():
        try:
            name = str(entry.readlink())
        except OSError:
            continue  # It was the one that has listed the folder.
        # Sockets of the kernel's own come and go with its threads; theirs are nameless.
        yield name.partition(":")[0] if name.startswith("socket:") else name


def _tasks() -> list[str]:
    try:
        tasks = asyncio.all_tasks()
    except RuntimeError:
        return []
    return sorted(getattr(task.get_coro(), "__qualname__", "task") for task in tasks)


def _shell_facts(shell: Any) -> dict[str, Any]:
    formatters = shell.display_formatter.formatters
    return {
        "callbacks of IPython": {
            event: sorted(map(_name, callbacks))
            for event, callbacks in shell.events.callbacks.items()
        },
        "formatters of IPython": {
            mime: sorted(map(_name, form.type_printers)) + sorted(map(str, form.deferred_printers))
            for mime, form in formatters.items()
        },
        "transformers of IPython": [
            _name(it) for it in (*shell.input_transformers_cleanup, *shell.input_transformers_post)
        ]
        + [_name(it) for it in shell.ast_transformers],
        "extensions of IPython": sorted(shell.extension_manager.loaded),
        "options of IPython": [
            _traits(it)
            for it in (shell, *shell.configurables)
            if not hasattr(it, "connection_file")
        ],
        "compiler flags": shell.compile.flags,
        "last names of magics": sorted(shell.magics_manager.magics["line"]),
    }


def _traits(configurable: Any) -> dict[str, Any]:
    values = {
        name: getattr(configurable, name, None) for name in configurable.trait_names(config=True)
    }
    plain = (bool, int, float, str, type(None))
    return {name: value for name, value in sorted(values.items()) if isinstance(value, plain)}


def _name(thing: Any) -> str:
    if isinstance(thing, enum.Enum):
        return str(thing)
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{getattr(named, '__module__', '')}.{getattr(named, '__qualname__', '')}"
