"""Driving a run from the command line: start, wait, say what came of it.

What the commands that start something (``run``, ``resume``, ``fork``) have in common.
"""

import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbflow.cli.detaching import detached_lines
from nbflow.cli.errors import INTERRUPTED, USAGE, tell
from nbflow.cli.interrupts import stopping_in_good_order
from nbflow.cli.options import ClusterChoice
from nbflow.core.errors import NbflowError, NotDelivered, RunCancelled, RunFailed

if TYPE_CHECKING:
    from nbflow.cli.listening import Listener
    from nbflow.core.attempts import Printed
    from nbflow.session import Flow, Run

# The session is imported where a command runs: with it comes Dask, and help must not wait for that.


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a run is to be driven and told."""

    choice: ClusterChoice
    home: Path | None
    output_dir: Path | None = None
    run_id: str | None = None
    #: As of `Flow.run`.
    cache: bool | float | str | None = None
    cells: bool | None = None
    as_json: bool
    progress: bool
    #: Whether a process of its own drives the run, for which nobody waits here.
    detach: bool = False
    #: Whether the executed notebook goes to standard output, and all else away from it.
    to_stdout: bool = False


def drive(
    flow: "Flow",
    params: Mapping[str, Any],
    manner: Manner,
    listener: "Listener | None" = None,
) -> int:
    """Run a flow to its end, print its result, and return the exit code."""
    if manner.detach:
        return left(_started(flow, params, manner, detach=True), manner)
    with stopping_in_good_order():
        heard = None if listener is None else listener.hear
        started = _started(flow, params, manner, listen=heard)
        code = joined(started, progress=manner.progress)
    return told(started, code, manner)


def _started(
    flow: "Flow",
    params: Mapping[str, Any],
    manner: Manner,
    *,
    detach: bool = False,
    listen: "Callable[[Printed], None] | None" = None,
) -> "Run":
    with warnings_for_people():
        return flow.start(
            params=params,
            cluster=manner.choice.target(),
            home=manner.home,
            output_dir=manner.output_dir,
            run_id=manner.run_id,
            cache=manner.cache,
            cells=manner.cells,
            detach=detach,
            listen=listen,
        )


def left(run: "Run", manner: Manner) -> int:
    """Say how to find `run` again, which goes on by itself, and return the exit code."""
    from nbflow.cli.outcome import result_lines
    from nbflow.cli.text import print_json

    if manner.as_json:
        print_json(run.document())
        return 0
    # It may have ended by now, or there was nothing to do.
    lines = detached_lines(run) if run.view().driven else result_lines(run, time.time())
    for line in lines:
        print(line)
    return 0


def joined(run: "Run", *, progress: bool) -> int:
    """Wait for the end of `run`, and return the exit code."""
    try:
        run.join(progress=progress)
    except KeyboardInterrupt:
        return INTERRUPTED
    except NbflowError as error:
        if not isinstance(error, (RunFailed, RunCancelled)):
            # The driver could not go on; of the other two, the result itself tells.
            tell(error)
        # Usage would claim that nothing was run.
        return INTERRUPTED if error.exit_code == USAGE else error.exit_code
    return 0


def told(run: "Run", code: int, manner: Manner) -> int:
    """Take the results of `run` to where they go, and return the exit code."""
    from nbflow.cli.outcome import result_lines
    from nbflow.cli.text import print_json
    from nbflow.session.delivery import deliver

    try:
        deliver(run)
    except NotDelivered as error:
        tell(error)
        code = code or error.exit_code
    if manner.to_stdout:
        from nbflow.cli.single import print_run

        print_run(run)
    if manner.as_json:
        print_json(run.document())
    else:
        for line in result_lines(run, time.time()):
            print(line, file=sys.stderr if manner.to_stdout else sys.stdout)
    return code


@contextmanager
def warnings_for_people() -> Iterator[None]:
    """Print the warnings of a definition as ``warning: …`` instead of as Python does."""
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(
            message: Warning | str, category: type[Warning], *place: Any, **options: Any
        ) -> None:
            if category is UserWarning:
                print(f"warning: {message}", file=sys.stderr)
            else:
                usual(message, category, *place, **options)

        warnings.showwarning = show
        yield
