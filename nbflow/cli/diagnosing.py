"""The command that says why a run is stuck, slow or failed: ``diagnose``."""

from pathlib import Path

import click

from nbflow.cli.options import examples, home_option, json_option, run_argument


@click.command(
    epilog=examples(
        "nbflow diagnose sales-20260201", "nbflow diagnose sales-20260201 --json | jq .findings"
    )
)
@run_argument
@click.option(
    "--stuck-after",
    type=click.FloatRange(min=1),
    metavar="FACTOR",
    help="A node counts as stuck beyond so many times the duration that is expected of it. By "
    "default what the node says, else 2.",
)
@home_option
@json_option
def diagnose(*, run: str, stuck_after: float | None, home: Path | None, as_json: bool) -> None:
    """Say why a run is stuck, slow or failed.

    Each finding names a node, what is wrong with it, the evidence, and the option or command that
    helps. What nodes do now stands below.
    """
    # The session is imported where a command runs: with it comes Dask.
    import msgspec

    from nbflow.cli.text import print_json
    from nbflow.drawing.diagnosis import diagnosis_lines
    from nbflow.session import attach

    found = attach(run, home=home).diagnose(stuck_after=stuck_after)
    if as_json:
        print_json(msgspec.to_builtins(found))
        return
    for line in diagnosis_lines(found):
        print(line)
