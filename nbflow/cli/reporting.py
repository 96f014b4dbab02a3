"""``nbflow report``: a run as one HTML file, to be kept, sent and printed."""

import sys
import time
from pathlib import Path

import click

from nbflow.cli.errors import FULL
from nbflow.cli.options import examples, home_option, run_argument
from nbflow.core.errors import NbflowError

# The session is imported where a command runs: with it comes Dask, and help must not wait for that.


@click.command(
    epilog=examples("nbflow report sales-20260201", "nbflow report sales-20260201 -o sales.html")
)
@run_argument
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    metavar="FILE",
    help="The file, which is replaced; - is standard output. By default report-RUN.html in the "
    "folder of the executed notebooks.",
)
@home_option
def report(*, run: str, output: Path | None, home: Path | None) -> None:
    """Write a report on a run: one HTML file.

    It needs nothing else to be read, and has the graph, the timeline, what each node used,
    failures with their cells, tracebacks and inputs, parameters, versions, and all that has
    happened.
    """
    from nbflow.cli.text import near_path
    from nbflow.session import attach

    handle = attach(run, home=home)
    if output is not None and str(output) == "-":
        from nbflow.drawing.report import report_html
        from nbflow.session.reporting import gathered

        sys.stdout.write(report_html(gathered(handle, time.time())))
        return
    try:
        print(near_path(handle.report(output)))
    except OSError as error:
        if error.errno in FULL:
            raise  # told as of any other output
        raise NbflowError(
            f"the report cannot be written to {error.filename or output} ({error.strerror}). "
            "Name another file by -o"
        ) from error
