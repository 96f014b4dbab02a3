"""How a run that this process drives answers to Ctrl-C and SIGTERM.

The first of either asks the run to stop in good order: `KeyboardInterrupt` is raised in the
main thread, and whoever waits there lets go of the run. That takes as long as kernels need to
be interrupted and notebooks to be saved. Another Ctrl-C ends the process at once: its
workers die with it, and the journal can take that. Another SIGTERM says nothing new.

What the first signal says is printed by a thread, to `sys.stderr`: a live display that has
taken that over then shows it above itself, instead of being torn. The handler cannot print it
itself, since the main thread may just be inside of that very stream.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from types import FrameType

from nbflow.cli.errors import INTERRUPTED

_FIRST = "\nStopping in good order. Ctrl-C once more ends everything at once."
_SECOND = b"\nEnded at once. What is recorded is safe; nbflow runs lists the run.\n"
#: A live display hides the cursor, and an end at once gives it no time to show it again.
_SHOW_CURSOR = b"\x1b[?25h"
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
            said.put(_FIRST)
            # A keyboard sends no SIGTERM; the journal is not to say that one did.
            why = () if number == signal.SIGINT else ("stopped by SIGTERM",)
            raise KeyboardInterrupt(*why)
        if number == signal.SIGINT:
            _write_at_once(_SECOND)
            os._exit(INTERRUPTED)

    with _said_by_a_thread() as said:
        before = {
            number: signal.signal(number, answer) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def _said_by_a_thread() -> "Iterator[SimpleQueue[str | None]]":
    """Print what is put into the queue; of all queues, only this one takes a signal handler's."""
    said: SimpleQueue[str | None] = SimpleQueue()

    def say() -> None:
        while (text := said.get()) is not None:
            # Nobody reads it, or it has no room; the signal counts all the same.
            with suppress(OSError, ValueError):
                print(text, file=sys.stderr, flush=True)

    speaker = threading.Thread(target=say, name="nbflow-signals", daemon=True)
    speaker.start()
    try:
        yield said
    finally:
        said.put(None)
        speaker.join()


def _write_at_once(text: bytes) -> None:
    """Write to standard error, past Python's buffer: the main thread may be inside of it."""
    try:
        os.write(_STDERR, (_SHOW_CURSOR if os.isatty(_STDERR) else b"") + text)
    except OSError:
        # Nobody reads it; the process ends all the same.
        return
