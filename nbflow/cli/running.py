"""Commands that change a run: ``run``, ``resume``, ``cancel``."""

import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nbflow.cli.as_papermill import GroupedCommand, PapermillOptions, papermill_options
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
)
from nbflow.cli.paths import STREAM, is_notebook, is_stdin_piped
from nbflow.core.errors import NbflowError, NotDelivered, RunCancelled, RunFailed

if TYPE_CHECKING:
    from nbflow.cli.listening import Listener
    from nbflow.session import Flow, Run

# The session is imported where a command runs: with it comes Dask, and help must not wait for that.


@dataclass(frozen=True, slots=True, kw_only=True)
class _Manner:
    """How a run is to be driven and told."""

    choice: ClusterChoice
    home: Path | None
    output_dir: Path | None = None
    run_id: str | None = None
    as_json: bool
    progress: bool
    #: Whether the executed notebook goes to standard output, and all else away from it.
    to_stdout: bool = False


@click.command(
    cls=GroupedCommand,
    epilog=examples(
        "nbflow run flow.yaml -o out -p date 2026-02-01",
        "nbflow run analysis.ipynb result.ipynb -f params.yaml",
        "nbflow run flow.py:flow --cluster tcp://scheduler:8786 --json",
    ),
)
@click.argument("target", metavar="TARGET", required=False)
@click.argument("output", metavar="[OUTPUT]", required=False)
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
@papermill_options
@click.pass_context
def run(  # noqa: PLR0913 - one for each option or group of them
    ctx: click.Context,
    *,
    target: str | None,
    output: str | None,
    params: dict[str, Any],
    asked: PapermillOptions,
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

    A notebook as TARGET may have an OUTPUT, the file for the executed notebook. Both may be an
    address such as s3://…, have {parameters} in it, or be - for standard input and output.
    """
    manner = _Manner(
        choice=choice,
        home=home,
        output_dir=output_dir,
        run_id=run_id,
        as_json=as_json,
        progress=asked.shows_progress(quiet=quiet),
    )
    if target is None:
        if not is_stdin_piped():
            raise click.UsageError("Missing argument 'TARGET'.", ctx)
        target = STREAM
    if is_notebook(target, has_output=output is not None):
        ctx.exit(_run_notebook(ctx, target, output, params, asked, manner))
    asked.refuse_for_flow()
    if output is not None:
        raise click.UsageError(
            f"OUTPUT is for a notebook, and {target} is a flow. Its executed notebooks go into the "
            f"folder that -o names"
        )
    from nbflow.session import load

    ctx.exit(_drive(load(target), params, manner))


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
        handle.resume(cluster=choice.target(), wait=False)
        code = _joined(handle, progress=not quiet)
    manner = _Manner(choice=choice, home=home, as_json=as_json, progress=not quiet)
    ctx.exit(_told(handle, code, manner))


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


def _run_notebook(
    ctx: click.Context,
    target: str,
    output: str | None,
    params: dict[str, Any],
    asked: PapermillOptions,
    manner: _Manner,
) -> int:
    """Do what the words about one notebook ask for, and return the exit code."""
    from nbflow.cli import single as singles
    from nbflow.cli.listening import listening
    from nbflow.cli.print_files import PrintFiles

    single = singles.planned(target, output, params, asked, manner.output_dir)
    if asked.help_notebook:
        singles.show_help(ctx, single)
        return 0
    if asked.prepare_only:
        singles.write_prepared(single, manner.output_dir)
        return 0
    if single.to_stdout and manner.as_json:
        raise click.UsageError("--json and the executed notebook both go to standard output")
    manner = replace(manner, to_stdout=single.to_stdout)
    flow = single.flow()
    files = PrintFiles(asked)
    try:
        flow = single.printing_to(files.plain).flow() if files.plain else flow
        with listening(asked, files.own) as listener:
            return _drive(flow, single.params, manner, listener)
    finally:
        files.close()


def _drive(
    flow: "Flow",
    params: Mapping[str, Any],
    manner: _Manner,
    listener: "Listener | None" = None,
) -> int:
    """Run a flow to its end, print its result, and return the exit code."""
    with stopping_in_good_order():
        with _warnings_for_people():
            started = flow.start(
                params=params,
                cluster=manner.choice.target(),
                home=manner.home,
                output_dir=manner.output_dir,
                run_id=manner.run_id,
                listen=None if listener is None else listener.hear,
            )
        code = _joined(started, progress=manner.progress)
    return _told(started, code, manner)


def _joined(run: "Run", *, progress: bool) -> int:
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


def _told(run: "Run", code: int, manner: _Manner) -> int:
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
