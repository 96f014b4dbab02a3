"""Commands that go on with a run, or end it: ``resume``, ``resolve``, ``fork``, ``cancel``."""

from pathlib import Path
from typing import Any, Literal

import click

from nbflow.cli.detaching import detach_option
from nbflow.cli.driving import Manner, joined, left, told, warnings_for_people
from nbflow.cli.interrupts import stopping_in_good_order
from nbflow.cli.observing import logs_instead, observing_options
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
from nbflow.cli.parameters import collected

# The session is imported where a command runs: with it comes Dask, and help must not wait for that.


@click.command(
    epilog=examples(
        "nbflow resume sales-20260201",
        "nbflow resume sales-20260201 --from clean",
        "nbflow resume sales-20260201 --only report --force",
    )
)
@run_argument
@click.option(
    "--from",
    "begin_at",
    multiple=True,
    metavar="NODE",
    help="Run this node again even if it is unchanged, and what changes by that. May be repeated.",
)
@click.option(
    "--only", multiple=True, metavar="NODE", help="Run nothing but this node. May be repeated."
)
@click.option(
    "--force",
    is_flag=True,
    help="Keep nothing of the nodes of --only, or of --from and what is behind them, or of all.",
)
@click.option(
    "--as-recorded", is_flag=True, help="Go on with the flow as it was when the run began."
)
@cluster_options
@observing_options
@home_option
@detach_option
@json_option
@quiet_option
@click.pass_context
def resume(  # noqa: PLR0913 - one for each option or group of them
    ctx: click.Context,
    *,
    run: str,
    begin_at: tuple[str, ...],
    only: tuple[str, ...],
    force: bool,
    as_recorded: bool,
    choice: ClusterChoice,
    home: Path | None,
    detach: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Continue a run that failed, was stopped, or has changed.

    What has succeeded and is unchanged is kept; everything else runs. The flow and its notebooks
    are read again, and what has changed is said before anything starts.
    """
    from nbflow.session import attach

    handle = attach(run, home=home)
    manner = Manner(
        choice=choice, home=home, as_json=as_json, progress=not (quiet or logs_instead())
    )
    with stopping_in_good_order():
        with warnings_for_people():
            handle.resume(
                cluster=choice.target(),
                wait=False,
                detach=detach,
                begin_at=begin_at,
                only=only,
                force=force,
                as_recorded=as_recorded,
            )
        if detach:
            ctx.exit(left(handle, manner))
        code = joined(handle, progress=not (quiet or logs_instead()))
    ctx.exit(told(handle, code, manner))


@click.command(
    epilog=examples(
        "nbflow resolve sales-20260201 mail --as succeeded",
        "nbflow resolve sales-20260201 load --as succeeded --output rows 1200",
    )
)
@run_argument
@click.argument("node", metavar="NODE")
@click.option(
    "--as",
    "verdict",
    type=click.Choice(["succeeded", "failed", "retry"]),
    required=True,
    help="What became of it; retry lets it begin once more.",
)
@click.option(
    "--output",
    nargs=2,
    multiple=True,
    metavar="NAME VALUE",
    help="What it had brought, typed as by -p, with --as succeeded. May be repeated.",
)
@home_option
def resolve(
    *,
    run: str,
    node: str,
    verdict: Literal["succeeded", "failed", "retry"],
    output: tuple[tuple[str, str], ...],
    home: Path | None,
) -> None:
    """Decide what became of a node that is in doubt.

    A node with effect: at_most_once is in doubt when nobody knows how its attempt ended, or when it
    would have to be repeated. The run waits for this decision; resume continues it.
    """
    from nbflow.core.states import RunStatus
    from nbflow.session import attach
    from nbflow.session.watching import command

    if output and verdict != "succeeded":
        message = f"it belongs to --as succeeded, not to --as {verdict}"
        raise click.BadParameter(message, param_hint="--output")
    handle = attach(run, home=home)
    outputs = collected(encoded=(), files=(), texts=(), pairs=output, raw=())
    handle.resolve(node, verdict, outputs=outputs)
    print(f"{handle.id}: {node} is decided: {verdict}")
    view = handle.view()
    if view.run.status is RunStatus.SUCCEEDED:
        print("  that was all: the run has succeeded")
    elif not view.driven:
        print(f"  continue: {command(handle, 'resume')}")


@click.command(
    epilog=examples("nbflow fork sales-20260201 -p date 2026-02-02", "nbflow fork sales-20260201")
)
@run_argument
@parameter_options
@click.option(
    "-o",
    "--output-dir",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder of the executed notebooks. By default in the home.",
)
@cluster_options
@observing_options
@home_option
@click.option("--run-id", metavar="ID", help="The new run's id. By default one is made.")
@json_option
@quiet_option
@click.pass_context
def fork(
    ctx: click.Context,
    *,
    run: str,
    params: dict[str, Any],
    output_dir: Path | None,
    choice: ClusterChoice,
    home: Path | None,
    run_id: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Start another run from what it shares with an earlier one.

    Other parameters, or notebooks that have changed since, make another run; nodes that are
    the same take their results from RUN, which stays as it is.
    """
    from nbflow.session import attach

    source = attach(run, home=home)
    manner = Manner(
        choice=choice, home=home, as_json=as_json, progress=not (quiet or logs_instead())
    )
    with stopping_in_good_order():
        with warnings_for_people():
            forked = source.fork(
                params=params,
                cluster=choice.target(),
                output_dir=output_dir,
                run_id=run_id,
                wait=False,
            )
        code = joined(forked, progress=not (quiet or logs_instead()))
    ctx.exit(told(forked, code, manner))


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
