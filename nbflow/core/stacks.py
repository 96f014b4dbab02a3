"""Where the threads of a silent kernel stand: read from outside, without its cooperation."""

from typing import Literal

import msgspec

from nbflow.core.ids import AttemptId


class StackFrame(msgspec.Struct, frozen=True, omit_defaults=True):
    """One call that has not returned."""

    #: A path, or ``<frozen importlib>`` and the like.
    file: str
    line: int
    function: str
    #: Index of the notebook's cell that this line belongs to; None in any other file.
    cell: int | None = None
    #: The line itself, stripped, where it is known.
    text: str = ""


class ThreadStack(msgspec.Struct, frozen=True, omit_defaults=True):
    """The calls of one thread, the innermost first."""

    frames: tuple[StackFrame, ...]
    name: str = ""
    #: Whether it is the thread that runs cells.
    main: bool = False
    #: Whether it belongs to the kernel itself, not to the notebook's code.
    service: bool = False
    #: The system call that it waits in, and whether that ends by itself; as of `Doing`.
    call: str = ""
    timed: bool = False


class Stack(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """All threads of an attempt's kernel, at one moment. Telemetry."""

    id: AttemptId
    #: Seconds since the epoch.
    at: float
    threads: tuple[ThreadStack, ...]
    #: How it was read.
    source: Literal["faulthandler", "py-spy"] = "faulthandler"
    #: Why there is no stack, or less of it than there should be; empty if all is there.
    problem: str = ""

    @property
    def main(self) -> ThreadStack | None:
        """The thread that runs cells."""
        return next((thread for thread in self.threads if thread.main), None)

    @property
    def cell_frame(self) -> StackFrame | None:
        """The innermost line of the notebook that runs now."""
        frames = self.main.frames if self.main is not None else ()
        return next((frame for frame in frames if frame.cell is not None), None)
