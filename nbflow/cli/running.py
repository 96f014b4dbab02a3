"""Commands that change a run: ``run``, ``resume``, ``cancel``."""

import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nbflow.cli.errors import INTERRUPTED, USAGE, tell
from nbflow.cli.interrupts import stopping_in_good_order
from nbflow.cli.options import (
    ClusterChoice,
    cluster_options,
    examples,
    home_option,
    json_option,
    parameter_options,
    quiet_option,
    run_argument,
    target_argument,
)
from nbflow.core.errors import NbflowError, RunCancelled, RunFailed

if TYPE_CHECKING:
    from nbflow.session import Run

# The session is imported where a command runs: with it comes Dask, and help must not wait for that.


@click.command(
    epilog=examples(
        "nbflow run flow.yaml -o out -p date 2026-02-01",
        "nbflow run analysis.ipynb -f params.yaml",
        "nbflow run flow.py:flow --cluster tcp://scheduler:8786 --json",
    )
)
@target_argument
@parameter_options
@click.option(
    "-o",
    "--output-dir",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder of the executed notebooks, DIR/NODE.ipynb. By default in the home.",
)
@cluster_options
@home_option
@click.option("--run-id", metavar="ID", help="The run's id. By default a new one is made.")
@json_option
@quiet_option
@click.pass_context
def run(
    ctx: click.Context,
    *,
    target: str,
    params: dict[str, Any],
    output_dir: Path | None,
    choice: ClusterChoice,
    home: Path | None,
    run_id: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Run a flow, and wait for its end.

    The flow is checked whole before anything runs. Progress goes to standard error, the result
    to standard output. Ctrl-C stops the run in good order, and resume continues it; a second
    Ctrl-C does not wait for that.
    """
    from nbflow.session import load

    flow = load(target)
    with stopping_in_good_order():
        with _warnings_for_people():
            started = flow.start(
                params=params,
                cluster=choice.target(len(flow.nodes)),
                home=home,
                output_dir=output_dir,
                run_id=run_id,
            )
        code = _conclude(started, as_json=as_json, quiet=quiet)
    ctx.exit(code)


@click.command(epilog=examples("nbflow resume sales-20260201"))
@run_argument
@cluster_options
@home_option
@json_option
@quiet_option
@click.pass_context
def resume(
    ctx: click.Context,
    *,
    run: str,
    choice: ClusterChoice,
    home: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Continue a run that failed or was stopped.

    What has succeeded is kept; everything else is tried again, with the notebooks as they were when
    the run began.
    """
    from nbflow.session import attach

    handle = attach(run, home=home)
    with stopping_in_good_order():
        handle.resume(cluster=choice.target(len(list(handle))), wait=False)
        code = _conclude(handle, as_json=as_json, quiet=quiet)
    ctx.exit(code)


@click.command(epilog=examples("nbflow cancel sales-20260201"))
@run_argument
@home_option
def cancel(*, run: str, home: Path | None) -> None:
    """Stop a run, whoever drives it.

    What has succeeded is kept, and resume continues the run. This command does not
    wait until the run has stopped.
    """
    from nbflow.core.states import RUN_ENDED
    from nbflow.session import attach

    handle = attach(run, home=home)
    view = handle.view()
    if view.run.status in RUN_ENDED:
        print(f"{handle.id} has ended already: {view.run.status}")
        return
    handle.cancel()
    if view.driven:
        print(f"{handle.id}: its driver was asked to cancel it")
    else:
        print(f"{handle.id} is cancelled")


def _conclude(run: "Run", *, as_json: bool, quiet: bool) -> int:
    """Wait for the end of `run`, print its result, and return the exit code."""
    code = 0
    try:
        run.join(progress=not quiet)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except NbflowError as error:
        code = error.exit_code
        if not isinstance(error, (RunFailed, RunCancelled)):
            # The driver could not go on; of the other two, the result itself tells.
            tell(error)
            # Usage would claim that nothing was run.
            code = INTERRUPTED if code == USAGE else code
    _print_result(run, as_json=as_json)
    return code


def _print_result(run: "Run", *, as_json: bool) -> None:
    from nbflow.cli.outcome import result_lines
    from nbflow.cli.text import print_json

    if as_json:
        print_json(run.document())
        return
    for line in result_lines(run, time.time()):
        print(line)


@contextmanager
def _warnings_for_people() -> Iterator[None]:
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
