"""Read what `faulthandler` has written: the threads of a process, and where each stands."""

import re
from typing import NamedTuple

#: ``Thread 0x00007f… [name] (most recent call first):``; newer versions of Python give names.
_HEAD = re.compile(
    r"(Current thread|Thread) 0x([0-9a-f]+)(?: \[(.*)\])? \(most recent call first\):"
)
_FRAME = re.compile(r'  File "(.*)", line (\d+|\?\?\?) in (.*)')


class DumpedFrame(NamedTuple):
    """One call, as it was written."""

    file: str
    line: int
    function: str


class DumpedThread(NamedTuple):
    """One thread; `handle` is what the C library knows it by, `asked` whether it got the signal."""

    handle: int
    asked: bool
    name: str
    frames: tuple[DumpedFrame, ...]


def parse_dump(text: str) -> tuple[DumpedThread, ...]:
    """Return the threads of a dump, in its order. What is not understood is left out."""
    threads: list[DumpedThread] = []
    for line in text.splitlines():
        if head := _HEAD.match(line):
            handle, name = int(head[2], 16), head[3] or ""
            threads.append(DumpedThread(handle, head[1] == "Current thread", name, ()))
        elif threads and (frame := _FRAME.match(line)):
            number = int(frame[2]) if frame[2].isdigit() else 0
            found = DumpedFrame(frame[1], number, frame[3])
            threads[-1] = threads[-1]._replace(frames=(*threads[-1].frames, found))
    return tuple(threads)
