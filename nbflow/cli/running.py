"""The command ``run``."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from nbflow.cli.as_papermill import PapermillOptions, papermill_options
from nbflow.cli.caching import CachingCommand, cache_options
from nbflow.cli.detaching import detach_option, refuse_detached
from nbflow.cli.driving import Manner, drive
from nbflow.cli.observing import logs_instead, observing_options
from nbflow.cli.options import (
    ClusterChoice,
    cluster_options,
    examples,
    home_option,
    json_option,
    parameter_options,
    quiet_option,
)
from nbflow.cli.paths import STREAM, is_notebook, is_stdin_piped
from nbflow.cli.verifying_cells import verify_notebook, verify_options


@click.command(
    cls=CachingCommand,
    epilog=examples(
        "nbflow run flow.yaml -o out -p date 2026-02-01",
        "nbflow run analysis.ipynb result.ipynb -f params.yaml",
        "nbflow run analysis.ipynb --cells",
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
@verify_options
@click.option(
    "--cells/--no-cells",
    default=None,
    help="Run the cells of a notebook side by side where that is worth it, with the same answer; "
    "of a flow, those of all notebooks that do not say. --no-cells: of none.",
)
@cache_options
@cluster_options
@observing_options
@home_option
@click.option("--run-id", metavar="ID", help="The run's id. By default a new one is made.")
@detach_option
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
    cells: bool | None,
    cache: bool | float | str | None,
    choice: ClusterChoice,
    home: Path | None,
    run_id: str | None,
    verify: tuple[str, ...] | None,
    detach: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Run a flow, and wait for its end.

    The flow is checked whole before anything runs. Progress goes to standard error, the result
    to standard output. Ctrl-C stops the run in good order, and resume continues it; a second
    Ctrl-C does not wait for that. With --detach, the run goes on by itself.

    A notebook as TARGET may have an OUTPUT, the file for the executed notebook. Both may be an
    address such as s3://…, have {parameters} in it, or be - for standard input and output.
    """
    manner = Manner(
        choice=choice,
        home=home,
        output_dir=output_dir,
        run_id=run_id,
        cache=cache,
        cells=cells,
        as_json=as_json,
        progress=asked.shows_progress(quiet=quiet or logs_instead()),
        detach=detach,
    )
    if target is None:
        if not is_stdin_piped():
            raise click.UsageError("Missing argument 'TARGET'.", ctx)
        target = STREAM
    if is_notebook(target, has_output=output is not None):
        ctx.exit(_run_notebook(ctx, target, output, params, asked, manner, verify))
    asked.refuse_for_flow()
    if verify is not None:
        raise click.UsageError(f"--verify is for a notebook, and {target} is a flow")
    if output is not None:
        raise click.UsageError(
            f"OUTPUT is for a notebook, and {target} is a flow. Its executed notebooks go into the "
            f"folder that -o names"
        )
    from nbflow.session import load

    ctx.exit(drive(load(target), params, manner))


def _run_notebook(
    ctx: click.Context,
    target: str,
    output: str | None,
    params: dict[str, Any],
    asked: PapermillOptions,
    manner: Manner,
    verify: tuple[str, ...] | None = None,
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
    if manner.detach:
        form = single.notebook.form
        refuse_detached(asked, form.delivered_to, to_stdout=single.to_stdout)
    manner = replace(manner, to_stdout=single.to_stdout)
    if verify is not None:
        return verify_notebook(single, verify, manner)
    flow = single.flow()
    files = PrintFiles(asked)
    try:
        flow = single.printing_to(files.plain).flow() if files.plain else flow
        with listening(asked, files.own) as listener:
            return drive(flow, single.params, manner, listener)
    finally:
        files.close()
