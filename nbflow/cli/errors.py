"""From an exception to words and an exit code: the one place.

What a user can mend (`NbflowError`, bad usage) is told without a traceback. Anything else is a
bug of nbflow's, and says so. The exit codes 0 to 3 and 130 are part of the interface; those
that are added here do not collide with them.
"""

import errno
import os
import select
import sys
import traceback
from collections.abc import Callable
from typing import TextIO

import click

from nbflow._version import __version__
from nbflow.core.errors import DefinitionError, NbflowError, Problem

#: Bad usage; the same as click's.
USAGE = 2
#: Cancelled or interrupted.
INTERRUPTED = 130
#: Nobody reads standard output any more: as a program that SIGPIPE has ended.
BROKEN_PIPE = 141
#: A bug of nbflow's own (EX_SOFTWARE of sysexits.h): 1 would claim that a node failed.
BUG = 70
#: What was to be said found no room (EX_IOERR of sysexits.h).
NO_ROOM = 74

#: Errors of a full disk.
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def guarded(body: Callable[[], object]) -> int:
    """Run `body` and return the exit code of what became of it."""
    try:
        return _told(body)
    except OSError as error:
        if error.errno not in FULL:
            raise
        # Not even standard error can be written.
        _close_full_streams()
        return NO_ROOM


def _told(body: Callable[[], object]) -> int:
    try:
        body()
        sys.stdout.flush()
    except click.exceptions.Exit as leave:
        return _flushed(leave.exit_code)
    except click.ClickException as error:
        error.show()
        return USAGE
    except (KeyboardInterrupt, click.Abort):
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except NbflowError as error:
        tell(error)
        return error.exit_code
    except BrokenPipeError:
        if _hush_broken_streams():
            return BROKEN_PIPE
        return _bug()
    except OSError as error:
        return _no_room(error) if error.errno in FULL else _bug()
    except Exception:  # noqa: BLE001 - whatever it is, it is told in full
        return _bug()
    return 0


def tell(error: NbflowError) -> None:
    """Print an error for people to standard error."""
    if isinstance(error, DefinitionError):
        for line in problem_lines(error.problems):
            print(line, file=sys.stderr)
        count = sum(problem.severity == "error" for problem in error.problems)
        summary = f"{count} fault{'' if count == 1 else 's'} found; nothing was run"
        print(f"error: {summary}", file=sys.stderr)
    else:
        print(f"error: {error}", file=sys.stderr)


def problem_lines(problems: tuple[Problem, ...]) -> list[str]:
    """Return one line a problem: errors as editors find them, then warnings under their name."""
    errors = [str(problem) for problem in problems if problem.severity == "error"]
    warnings = [f"warning: {problem}" for problem in problems if problem.severity != "error"]
    return [*errors, *warnings]


def _no_room(error: OSError) -> int:
    place = f" to {error.filename}" if error.filename else ""
    print(
        f"error: the output cannot be written{place} ({error.strerror}). Free some space, and "
        "repeat the command (nbflow show, if this was a run)",
        file=sys.stderr,
    )
    _close_full_streams()
    return NO_ROOM


def _flushed(exit_code: int) -> int:
    """Write out what is buffered, for as long as somebody reads it."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _hush_broken_streams()
    return exit_code


def _hush_broken_streams() -> bool:
    """Send what is left in streams that nobody reads nowhere; False if all are being read.

    The interpreter flushes both streams once more at its end, and would complain.
    """
    hushed = [_hushed(stream) for stream in (sys.stdout, sys.stderr)]
    return any(hushed)


def _hushed(stream: TextIO) -> bool:
    look = select.poll()
    # An error is reported without being asked for: that the reading end is closed.
    look.register(stream.fileno(), 0)
    if not look.poll(0):
        return False
    _lead_nowhere(stream)
    return True


def _close_full_streams() -> None:
    """Send what is left in streams without room nowhere, for the interpreter's last flush."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            _lead_nowhere(stream)


def _lead_nowhere(stream: TextIO) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _bug() -> int:
    print(
        f"this is a bug in nbflow {__version__}; please report it with everything below",
        file=sys.stderr,
    )
    traceback.print_exc()
    return BUG
