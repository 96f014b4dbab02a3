"""Choose and run benchmarks: ``python -m benchmarks [NAME] [options]``; all without a name."""

import click

from benchmarks.analysis import analysis
from benchmarks.caching import caching
from benchmarks.cells import cells
from benchmarks.durable import durable
from benchmarks.graph import graph
from benchmarks.kernels import kernels
from benchmarks.notebooks import notebooks
from benchmarks.panel import panel
from benchmarks.pixel import pixel
from benchmarks.probe import probe
from benchmarks.seeing import seeing
from benchmarks.stalls import stalls
from benchmarks.startup import startup
from benchmarks.swapping import swapping

_ALL = (
    startup,
    kernels,
    notebooks,
    graph,
    analysis,
    cells,
    caching,
    durable,
    probe,
    seeing,
    stalls,
    panel,
    pixel,
)


@click.group(invoke_without_command=True)
@click.pass_context
def main(context: click.Context) -> None:
    """Measure nbflow against its peers."""
    if context.invoked_subcommand is None:
        for command in _ALL:
            context.invoke(command)


for each in (*_ALL, swapping):
    main.add_command(each)

if __name__ == "__main__":
    main()
