"""What stands in a process besides variables, to find out whether a cell has changed it.

It is read before and after the cells of a stage, and compared setting by setting. What libraries
set by themselves, when they are loaded or first used, does not count.
"""

import asyncio
import decimal
import gc
import locale
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nbflow.guest_namespace.settings import pandas_options, state_of_loggers

#: Variables of the environment that libraries set when they are loaded.
_BY_LIBRARIES = ("KMP_", "OMP_", "MPLBACKEND", "TF_", "TORCH", "QT_", "TQDM_", "JPY_", "NBFLOW_")
#: What the inline backend sets with the first figure.
_BY_FIGURES = frozenset({"backend", "backend_fallback", "interactive", "toolbar"})


def read_surroundings(shell: Any) -> dict[str, Any]:
    """Return everything that is set, by names that people understand."""
    return {
        name: value
        for library, read in _READERS
        if library in sys.modules
        for name, value in read(shell)
    }


def changed_surroundings(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the names of what was set meanwhile, but for what came with a library."""
    names = [name for name in before if name in now and not _is_same(before[name], now[name])]
    names += (name for name in before.keys() ^ now.keys() if name.startswith(_ENVIRONMENT))
    return sorted(names)


def _is_same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001 - options may hold anything
        return False


_ENVIRONMENT = "the environment variable "


def _seen_process(_: Any) -> Iterator[tuple[str, Any]]:
    yield "the working directory", os.getcwd()  # noqa: PTH109 - the text itself is the setting
    yield "sys.path", list(sys.path)
    yield "the limit of recursion", sys.getrecursionlimit()
    yield "the switching interval", sys.getswitchinterval()
    yield "garbage collection", (gc.isenabled(), gc.get_threshold())
    yield "tracing", (sys.gettrace(), sys.getprofile())
    yield "sys.excepthook", sys.excepthook
    for name, text in os.environ.items():
        if not name.startswith(_BY_LIBRARIES):
            yield f"{_ENVIRONMENT}{name}", text
    for number in signal.Signals:
        yield f"the handler of {number.name}", signal.getsignal(number)


def _seen_filters(_: Any) -> Iterator[tuple[str, Any]]:
    # Libraries add filters for their own modules and categories.
    yield (
        "filters of warnings",
        [
            (action, category)
            for action, message, category, module, _ in warnings.filters
            if message is None and module is None and category.__module__ == "builtins"
        ],
    )


def _seen_decimals(_: Any) -> Iterator[tuple[str, Any]]:
    context = decimal.getcontext()
    fields = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")
    yield "decimal's context", [getattr(context, name) for name in fields]
    yield "decimal's traps", {kind.__name__: bool(on) for kind, on in context.traps.items()}


def _seen_loggers(_: Any) -> Iterator[tuple[str, Any]]:
    for name, state in state_of_loggers().items():
        yield f"the logger {name!r}", state


def _seen_numpy(_: Any) -> Iterator[tuple[str, Any]]:
    numpy = sys.modules["numpy"]
    yield "numpy's handling of errors", numpy.geterr()
    for name, value in numpy.get_printoptions().items():
        yield f"numpy's option {name}", value


def _seen_pandas(_: Any) -> Iterator[tuple[str, Any]]:
    for name, value in pandas_options().items():
        yield f"pandas' option {name}", value


def _seen_sklearn(_: Any) -> Iterator[tuple[str, Any]]:
    yield "scikit-learn's options", sys.modules["sklearn"].get_config()


def _seen_matplotlib(_: Any) -> Iterator[tuple[str, Any]]:
    params = sys.modules["matplotlib"].rcParams
    for name in params:
        if name not in _BY_FIGURES:
            value = dict.__getitem__(params, name)
            yield f"matplotlib's {name}", list(value) if isinstance(value, list) else value


def _seen_shell(shell: Any) -> Iterator[tuple[str, Any]]:
    yield "extensions of IPython", sorted(shell.extension_manager.loaded)
    yield "transformers of code", list(shell.ast_transformers)


_READERS: tuple[tuple[str, Callable[[Any], Iterator[tuple[str, Any]]]], ...] = (
    ("os", _seen_process),
    ("warnings", _seen_filters),
    ("locale", lambda _: iter([("the locale", locale.setlocale(locale.LC_ALL))])),
    ("socket", lambda _: iter([("the timeout of sockets", socket.getdefaulttimeout())])),
    ("decimal", _seen_decimals),
    ("logging", _seen_loggers),
    ("numpy", _seen_numpy),
    ("pandas._config.config", _seen_pandas),
    ("sklearn", _seen_sklearn),
    ("matplotlib", _seen_matplotlib),
    ("IPython", _seen_shell),
)


def told_once() -> set[str]:
    """Return the warnings of modules that have been shown, and will not be shown again."""
    found: set[str] = set()
    for name, module in sys.modules.copy().items():
        told = getattr(module, "__dict__", {}).get("__warningregistry__")
        if name != "__main__" and isinstance(told, dict):
            found.update(f"{name}: {key[0]}" for key in told if isinstance(key, tuple))
    return found


class Background:
    """What runs by itself in the process, to find out what cells have left running.

    Made before the first cell.
    """

    def __init__(self) -> None:
        self._threads = {thread.ident for thread in threading.enumerate()}
        self._programs = set(_running_programs())
        self._tasks = set(_running_tasks())

    def left(self) -> list[str]:
        """Return, in words, what runs now and did not then."""
        problems = [
            f"the thread {thread.name!r} still runs"
            for thread in threading.enumerate()
            if thread.ident not in self._threads and not _is_idle_thread(thread)
        ]
        problems += (
            f"the program {name!r} still runs"
            for number, name in _running_programs().items()
            if number not in self._programs
        )
        if any(task not in self._tasks for task in _running_tasks()):
            problems.append("an asynchronous task still runs")
        figures = getattr(sys.modules.get("matplotlib._pylab_helpers"), "Gcf", None)
        if figures is not None and figures.figs:
            problems.append("a figure of pyplot is still open")
        return problems


def _is_idle_thread(thread: threading.Thread) -> bool:
    """Whether a thread waits for work that nobody has given it."""
    if type(thread).__module__.startswith("zmq"):
        return True  # It tidies up after long messages of the kernel.
    loop = getattr(getattr(thread, "_target", None), "__self__", None)
    if isinstance(loop, asyncio.AbstractEventLoop) and not asyncio.all_tasks(loop):
        return True  # IPython keeps one for the programs of ``%%bash`` and its like.
    if thread.name.startswith(("tqdm", "asyncio", "QueueManagerThread", "ExecutorManagerThread")):
        return True
    frame = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001 - there is no other way
    if frame is None:
        return True
    return frame.f_code.co_filename.endswith(("concurrent/futures/thread.py", "tqdm/_monitor.py"))


def _running_programs() -> dict[int, str]:
    """Return the programs that this process has started, and that still run."""
    found = {}
    for task in Path("/proc/self/task").glob("*/children"):
        for number in task.read_text().split():
            try:
                words = Path("/proc", number, "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue  # It has just ended.
            line = b" ".join(words).decode(errors="replace").strip()
            # One that has ended has no words; helpers of libraries wait for work.
            if line and not any(it in line for it in ("resource_tracker", "loky", "joblib")):
                found[int(number)] = line[:80]
    return found


def _running_tasks() -> list[Any]:
    """Return the tasks that are not the kernel's own."""
    try:
        tasks = asyncio.all_tasks()
    except RuntimeError:
        return []
    return [task for task in tasks if not _maker_of(task).startswith(_KERNEL)]


def _maker_of(task: Any) -> str:
    """Return the name of the module whose coroutine a task runs."""
    frame = getattr(task.get_coro(), "cr_frame", None)
    return "" if frame is None else str(frame.f_globals.get("__name__"))


_KERNEL = ("ipykernel", "IPython", "tornado", "zmq", "jupyter_client", "anyio")
