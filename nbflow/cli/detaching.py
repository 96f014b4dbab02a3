"""``--detach``: what it refuses, and what it says."""

from typing import TYPE_CHECKING

import click

from nbflow.cli.as_papermill import PapermillOptions
from nbflow.cli.paths import is_private, is_special, is_stream

if TYPE_CHECKING:
    from nbflow.session import Run

detach_option = click.option(
    "--detach",
    is_flag=True,
    help="Return once a process of its own drives the run, which goes on without this one.",
)


def refuse_detached(asked: PapermillOptions, output: str | None, *, to_stdout: bool) -> None:
    """Refuse what only a process that waits for the run could do.

    Parameters
    ----------
    asked
        papermill's options.
    output
        Where the executed notebook goes at the end of the run, if it is to be written then.
    to_stdout
        Whether it goes to standard output.

    Raises
    ------
    click.UsageError
        If there is any.
    """
    if to_stdout or (output is not None and is_private(output)):
        raise click.UsageError(
            "a detached run cannot write its notebook to a stream of this process. "
            "Name a file as OUTPUT"
        )
    if asked.log_output:
        raise click.UsageError(
            "--log-output shows what a run prints while one waits for it, and --detach does not "
            "wait. Look with: nbflow logs RUN NODE"
        )
    for option, path in (
        ("--stdout-file", asked.stdout_file),
        ("--stderr-file", asked.stderr_file),
    ):
        if path is not None and (is_stream(path) or is_special(path)):
            raise click.UsageError(
                f"{option} {path} needs this process, and --detach ends it. Name a plain file"
            )


def detached_lines(run: "Run") -> list[str]:
    """Return what there is to say of a run that goes on by itself."""
    from nbflow.cli.text import near_path
    from nbflow.session.detaching import log_of
    from nbflow.session.watching import command

    return [
        f"{run.id}: goes on by itself",
        f"  look:     {command(run, 'show')}",
        f"  follow:   {command(run, 'events')} --follow",
        f"  cancel:   {command(run, 'cancel')}",
        f"  continue: {command(run, 'resume')} (after a failure or a shutdown)",
        f"  log:      {near_path(log_of(run.home, run.id))}",
    ]
