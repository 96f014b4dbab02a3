"""The program of a detached driver: ``python -m nbflow.session.detached FD HOME RUN``.

`nbflow.session.detaching` starts it, in a new session, with an `Order` on its standard input. It
forks at once, prints the pid of its child, and ends: so the child, which goes on as the driver,
descends from no living process of the caller's, and can never again get a terminal. That comes
before all imports that may start threads.

The child does what ``nbflow resume`` does, with its log instead of a terminal, and tells on the
descriptor FD how that began. SIGTERM, with which machines shut down, and SIGINT mean the same to
it as Ctrl-C: let go of the run in good order, so that anyone may resume it.
"""

import logging
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbflow.session.detaching import Answer, Order
    from nbflow.session.run import Run

# All else is imported after the fork.

_log = logging.getLogger("nbflow.session.detached")

_STDIN, _STDOUT, _STDERR = 0, 1, 2


def leave() -> bytes:
    """Go on as a process that belongs to nobody; the one that was started prints its pid.

    Returns
    -------
    bytes
        What came on standard input, which is nobody's from here on.
    """
    order = sys.stdin.buffer.read()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, _STDIN)
    os.close(nothing)
    if pid := os.fork():
        os.write(_STDOUT, str(pid).encode())
        os._exit(0)
    # The caller reads that output to its end.
    os.dup2(_STDERR, _STDOUT)
    return order


def main(telling: int, folder: Path, run: str, order: bytes) -> int:
    """Drive a run; return the exit code.

    Parameters
    ----------
    telling
        The descriptor on which an `Answer` is expected.
    folder, run
        The home's folder, and the run.
    order
        An `Order` as JSON.
    """
    _answer_signals()
    os.set_inheritable(telling, False)
    _log_to_stderr()

    import msgspec

    from nbflow.core.errors import NbflowError
    from nbflow.session.detaching import Answer, Order

    try:
        begun = _begun(folder, run, msgspec.json.decode(order, type=Order))
    except NbflowError as error:
        _log.error("run %s is not driven: %s", run, error)
        _tell(telling, Answer.refusing(error))
        return error.exit_code
    _log.info("run %s is driven by process %d", run, os.getpid())
    _tell(telling, Answer())
    return _driven(begun)


def _begun(folder: Path, run: str, order: "Order") -> "Run":
    from nbflow.core.errors import NbflowError
    from nbflow.session import launching
    from nbflow.session.home import Home
    from nbflow.session.run import Run

    try:
        home = Home.open(folder)
        launch = launching.resume(home, run, order.cluster, None, order.resumption)
        launch.wait_begun()
    except KeyboardInterrupt:
        raise NbflowError("its driver was asked to end before it had begun") from None
    return Run(run, home, launch)


def _tell(telling: int, answer: "Answer") -> None:
    import msgspec

    # The caller may have ended since. The run was created, and goes on without it.
    with suppress(BrokenPipeError), os.fdopen(telling, "wb") as pipe:
        pipe.write(msgspec.json.encode(answer))


def _driven(run: "Run") -> int:
    """Wait for the end of `run`, and take what it has made to where it was to go."""
    from nbflow.core.errors import NbflowError, NotDelivered
    from nbflow.session.delivery import deliver

    code = 0
    try:
        run.join(progress=False)
    except KeyboardInterrupt:
        _log.info("run %s was let go: a signal asked for that", run.id)
        code = 130
    except NbflowError as error:
        _log.error("%s", error)
        code = error.exit_code
    try:
        deliver(run)
    except NotDelivered as error:
        _log.error("%s", error)
        code = code or error.exit_code
    _log.info("run %s: %s", run.id, run.status)
    return code


def _answer_signals() -> None:
    def let_go(number: int, frame: FrameType | None) -> None:
        del frame
        # Another one says nothing new.
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, _do_nothing)
        # There is no keyboard, whichever it was.
        raise KeyboardInterrupt(f"stopped by {signal.Signals(number).name}")

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, let_go)
    # Not ignored: programs that are started from here would inherit that.
    signal.signal(signal.SIGHUP, _do_nothing)


def _do_nothing(number: int, frame: FrameType | None) -> None:
    del number, frame


def _log_to_stderr() -> None:
    from nbflow import _logs

    # Asked for, the log has the form of all programs of nbflow, also in this file.
    ours = () if _logs.speak(os.environ) else ((_log, logging.INFO),)
    formatter = logging.Formatter("%(asctime)sZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    # Of libraries only what is wrong: Dask tells every connection.
    for logger, level in ((logging.getLogger(), logging.WARNING), *ours):
        handler = logging.StreamHandler()
        handler.setFormatter(formatter)
        handler.setLevel(level)
        logger.addHandler(handler)
    if ours:
        _log.setLevel(logging.INFO)
        _log.propagate = False


if __name__ == "__main__":
    what = leave()
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], what))
