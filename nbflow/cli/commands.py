"""The commands, each known by name and one line of help until it is invoked."""

import difflib
import importlib
import keyword

import click

from nbflow._version import __version__
from nbflow.cli.options import examples

#: command -> the module that defines it, and its line in ``nbflow --help``, in that order.
COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("nbflow.cli.running", "Run a flow, and wait for its end."),
    "resume": (
        "nbflow.cli.continuing",
        "Continue a run that failed, was stopped, or has changed.",
    ),
    "resolve": ("nbflow.cli.continuing", "Decide what became of a node that is in doubt."),
    "fork": ("nbflow.cli.continuing", "Start another run from what it shares with an earlier one."),
    "cancel": ("nbflow.cli.continuing", "Stop a run, whoever drives it."),
    "runs": ("nbflow.cli.looking", "List the runs of a home, newest first."),
    "show": ("nbflow.cli.looking", "Show how a run and its nodes stand."),
    "events": ("nbflow.cli.looking", "Tell what has happened in a run, one event a line."),
    "logs": ("nbflow.cli.following", "Print what a node of a run has printed, cell by cell."),
    "diagnose": ("nbflow.cli.diagnosing", "Say why a run is stuck, slow or failed."),
    "top": ("nbflow.cli.top", "Show live what the nodes of a run do, use and wait for."),
    "report": ("nbflow.cli.reporting", "Write a report on a run: one HTML file."),
    "check": ("nbflow.cli.planning", "Look for faults in a flow; run nothing."),
    "graph": ("nbflow.cli.planning", "Draw a flow; run nothing."),
    "why": (
        "nbflow.cli.cell_dependencies",
        "Say why one cell of a notebook depends on another.",
    ),
    "bench": (
        "nbflow.cli.bench_notebook",
        "Time a notebook in order and by cells.",
    ),
    "schema": ("nbflow.cli.planning", "Print the JSON Schema of flow files, for editors."),
    "gc": ("nbflow.cli.housekeeping", "Drop what nothing refers to."),
    "verify": ("nbflow.cli.housekeeping", "Compare what is stored with its hashes."),
    "export": ("nbflow.cli.housekeeping", "Write a run to one file."),
    "import": ("nbflow.cli.housekeeping", "Add the run in a file to a home."),
    "install-kernel": (
        "nbflow.cli.kernels",
        "Install a kernel that starts warm, for other programs.",
    ),
}


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is looked up."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in the order of the help."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, out of its module; None if there is none of that name."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        if keyword.iskeyword(name):
            name += "_"
        command = getattr(importlib.import_module(COMMANDS[cmd_name][0]), name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the first word names; a misspelt one gets a hint."""
        word = args[0]
        if word not in COMMANDS and not word.startswith("-"):
            near = difflib.get_close_matches(word, COMMANDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"there is no command {word!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any of them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    epilog=examples(
        "nbflow run flow.yaml -o out -p date 2026-02-01", "nbflow runs", "nbflow resume RUN"
    ),
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="nbflow")
def root() -> None:
    """Run notebooks as a durable graph on Dask, without changing the notebooks.

    TARGET, in the commands below, is a flow file (flow.yaml), a notebook (note.ipynb), or a flow
    in Python (path.py:flow or module:flow). RUN is a run's id, or as much of its beginning
    as is unambiguous.

    Exit codes: 0 succeeded; 1 a node failed; 2 bad usage or definition, nothing was run;
    3 another driver holds the run; 130 cancelled or interrupted, can be resumed.
    """
