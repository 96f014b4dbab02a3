"""Whether a thread that waits may be sent a signal, without who waits noticing.

A signal's handler may ask that the system call which it breaks off be begun again (``SA_RESTART``,
as faulthandler does), but for some calls the system does not do that: sleeping, waiting for several
descriptors, sockets with a time limit, ``pause`` (``signal(7)``). Python begins such a call again
by itself, for as long as is left (PEP 475). Compiled code that has been written with no signal in
mind may not: its wait is cut short, or ends in an error.

Which of them it is can be told from outside: the return addresses on the thread's stack, from where
it waits outwards, lead out of the C library into the caller, and the process's map says whose code
that is. An address that was left over from an earlier call can mislead this, so it is not certain;
it is asked only for calls that are broken off.
"""

import os
import struct

from nbflow.worker.probing.calls import Waiting
from nbflow.worker.probing.targets import UNREADABLE, read_memory

_STACK_BYTES = 4096
#: Beginnings of the names of libraries between a system call and who wanted it.
_BETWEEN = ("libc.", "libc-", "libpthread", "ld-linux", "ld-musl", "[vdso]")
#: Python's own modules in C.
_PYTHONS_MODULES = "/lib-dynload/"
_PYTHONS_LIBRARY = "libpython"
#: Python gives up this wait at any signal.
_NEVER = frozenset({"pause", "rt_sigsuspend"})


def may_be_signalled(pid: int, waiting: Waiting) -> bool:
    """Whether a thread of process `pid` goes on as if nothing had happened, after a signal."""
    call = waiting.call
    if call is None or not call.is_broken_off(waiting.arguments):
        return True
    # aarch64 has no `pause`: the C library waits for no descriptor without end.
    endless = call.name == "ppoll" and waiting.arguments[1] == 0 and not waiting.is_timed
    if call.name in _NEVER or endless:
        return False
    try:
        return _is_python(pid, _caller(pid, waiting.stack_pointer))
    except (*UNREADABLE, struct.error):
        return False


def _is_python(pid: int, file: str) -> bool:
    name = os.path.basename(file)  # noqa: PTH119 - as the map has it
    return (
        name.startswith(_PYTHONS_LIBRARY)
        or _PYTHONS_MODULES in file
        or (bool(file) and file == os.readlink(f"/proc/{pid}/exe"))  # noqa: PTH115 - pathlib is slower
    )


def _caller(pid: int, stack_pointer: int) -> str:
    """Return the file of the code that has called the C library; empty if it is not found."""
    code = _code(pid)
    data = read_memory(pid, stack_pointer, _STACK_BYTES)
    for (word,) in struct.iter_unpack("=Q", data[: len(data) & ~7]):
        for begin, end, file in code:
            if begin <= word < end:
                if os.path.basename(file).startswith(_BETWEEN):  # noqa: PTH119
                    break
                return file
    return ""


def _code(pid: int) -> list[tuple[int, int, str]]:
    """Return where a process has code: from, to, and of which file."""
    found: list[tuple[int, int, str]] = []
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
        for line in file:
            words = line.split(maxsplit=5)
            if "x" in words[1]:
                begin, _, end = words[0].partition("-")
                name = words[5].strip() if len(words) > 5 else ""  # noqa: PLR2004
                found.append((int(begin, 16), int(end, 16), name))
    return found
