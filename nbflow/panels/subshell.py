"""Clicks that arrive while a cell is busy.

The kernel handles a widget's messages between cells. Since version 7 ipykernel has *subshells*,
threads that handle messages beside the main one, but which of them gets a widget's messages
depends: up to 7.3 the front end chooses, and JupyterLab chooses a subshell; from 7.4 on they go
where the widget's own messages came from, which is the main shell. There, a widget is given a
subshell of the kernel's own making, to which its messages are routed.

That uses what ipykernel does not promise. So all of it is guarded: whatever is missing or refuses,
a click takes effect after the cell, as it does with any other widget, and the panel says so.
"""

import logging
import threading
import weakref
from typing import Any, Literal, TypeAlias

from IPython.core.getipython import get_ipython

_log = logging.getLogger(__name__)

#: ``own``: on a subshell of ours. ``frontend``: where the front end sends them. ``main``: between
#: cells.
Route: TypeAlias = Literal["own", "frontend", "main"]

_TIMEOUT_S = 5.0
#: The subshell of each kernel object; there is one kernel in a process, and tests make more.
_subshells: "weakref.WeakKeyDictionary[Any, str]" = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def route_clicks(comm: Any) -> Route:
    """Have the messages for `comm` handled beside the cells, if that can be.

    Parameters
    ----------
    comm
        Of a widget; None if it is closed.
    """
    kernel = getattr(get_ipython(), "kernel", None)
    thread = getattr(kernel, "shell_channel_thread", None)
    if comm is None or thread is None or not getattr(kernel, "_supports_kernel_subshells", True):
        return "main"
    if not hasattr(comm, "_reply_subshell_for"):
        return "frontend"
    try:
        subshell = _own_subshell(kernel, thread)
        if subshell is None:
            return "main"
        comm._reply_subshell_for = lambda _data, _default: subshell  # noqa: SLF001 - see above
    except Exception as error:  # noqa: BLE001 - of a private interface anything may be missing
        _log.debug("clicks are handled between cells: %s", error)
        return "main"
    return "own"


def _own_subshell(kernel: Any, thread: Any) -> str | None:
    with _lock:
        if kernel not in _subshells:
            made = _make(thread)
            if made is None:
                return None
            _subshells[kernel] = made
        return _subshells[kernel]


def _make(thread: Any) -> str | None:
    """Make a subshell in the thread that owns the shell channel, as the kernel itself would."""
    manager, ready, made = thread.manager, threading.Event(), []

    def make() -> None:
        try:
            made.append(manager._create_subshell())  # noqa: SLF001 - see above
        finally:
            ready.set()

    manager._shell_channel_io_loop.add_callback(make)  # noqa: SLF001 - see above
    ready.wait(_TIMEOUT_S)
    return str(made[0]) if made else None
