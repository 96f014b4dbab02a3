"""Choose and run benchmarks: ``python -m benchmarks [startup|graph|all] [options]``."""

import click

from benchmarks import graph, startup


@click.group(invoke_without_command=True)
@click.pass_context
def main(context: click.Context) -> None:
    """Measure nbflow against its peers."""
    if context.invoked_subcommand is None:
        context.invoke(startup.startup)
        context.invoke(graph.graph)


main.add_command(startup.startup)
main.add_command(graph.graph)

if __name__ == "__main__":
    main()
