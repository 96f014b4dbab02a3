"""The command line: ``nbflow COMMAND``.

Results go to standard output, everything else (progress, warnings, errors) to standard error.
A command is one function in `running`, `looking` or `planning`; it parses its options with
click, calls the session, and prints. It raises what goes wrong: `errors` alone turns that
into words and an exit code.

Whoever types ``nbflow --help`` waits for it. So nothing here imports the session, and with it
Dask, at the top of a module: a command does so when it runs.
"""

import io
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from nbflow._logs import speak
from nbflow.cli.commands import root
from nbflow.cli.errors import guarded

__all__ = ["main"]


def main(args: Sequence[str] | None = None) -> int:
    """Run one command of nbflow and return the exit code; the entry point of ``nbflow``.

    Parameters
    ----------
    args
        The words after ``nbflow``; by default those of this process.
    """
    _open_closed_streams()
    speak(os.environ)
    # Whoever asks this process to end means the same as somebody at its keyboard.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What notebooks print and authors write is theirs; no encoding of ours may refuse it.
        sys.stdout.reconfigure(errors="backslashreplace")
    words = list(sys.argv[1:] if args is None else args)
    return guarded(lambda: _invoke(words))


def _open_closed_streams() -> None:
    """Let standard streams that were closed lead nowhere.

    Otherwise the next file to be opened, the journal for one, would get the number of such a
    stream, and what a library or a child process prints would go into it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # In this order, each gets its own number: the lowest that is free.
            nowhere = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 - for good
            setattr(sys, name, nowhere)


def _invoke(words: list[str]) -> None:
    # Not `root.main`: it has its own way with broken pipes and interrupts, which we shape.
    with root.make_context("nbflow", words) as context:
        root.invoke(context)
