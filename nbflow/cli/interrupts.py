"""How a run that this process drives answers to Ctrl-C and SIGTERM.

The first of either asks the run to stop in good order: `KeyboardInterrupt` is raised in the
main thread, and whoever waits there lets go of the run. That takes as long as kernels need to
be interrupted and notebooks to be saved. Another Ctrl-C ends the process at once: its
workers die with it, and the journal can take that. Another SIGTERM says nothing new.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from nbflow.cli.errors import INTERRUPTED

_FIRST = b"\nStopping in good order. Ctrl-C once more ends everything at once.\n"
_SECOND = b"\nEnded at once. What is recorded is safe; nbflow runs lists the run.\n"
_STDERR = 2


@contextmanager
def stopping_in_good_order() -> Iterator[None]:
    """Answer signals as the module says, for as long as a run is driven."""
    asked = False

    def answer(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        del frame
        if not asked:
            asked = True
            _write(_FIRST)
            raise KeyboardInterrupt
        if number == signal.SIGINT:
            _write(_SECOND)
            os._exit(INTERRUPTED)

    before = {number: signal.signal(number, answer) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _write(text: bytes) -> None:
    """Write to standard error, past Python's buffer: the main thread may be inside of it."""
    try:
        os.write(_STDERR, text)
    except OSError:
        # Nobody reads it; the signal counts all the same.
        return
