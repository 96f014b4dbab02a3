"""The options of ``nbflow run`` that are papermill's, for a notebook as TARGET.

They have papermill's names and meanings. A flow has its own words for what they say, beside each
node, so with a flow as TARGET each of them is bad usage that names those words.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from nbflow.cli.options import Command

#: papermill's levels of ``--log-level``, as `logging` numbers them.
LEVELS = {"NOTSET": 0, "DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}
_TITLE = "As in papermill, for a notebook"


@dataclass(frozen=True, kw_only=True, slots=True)
class PapermillOptions:
    """What was asked for by papermill's options; None and False where nothing was."""

    inject_input_path: bool = False
    inject_output_path: bool = False
    inject_paths: bool = False
    kernel: str | None = None
    language: str | None = None
    cwd: Path | None = None
    prepare_only: bool = False
    report_mode: bool = False
    stdout_file: str | None = None
    stderr_file: str | None = None
    log_output: bool = False
    log_level: str = "INFO"
    progress_bar: bool | None = None
    start_timeout: float | None = None
    execution_timeout: float | None = None
    autosave_cell_every: int | None = None
    request_save_on_cell_execute: bool = True
    help_notebook: bool = False
    #: The options that were written on the command line.
    written: tuple[str, ...] = ()

    def refuse_for_flow(self) -> None:
        """Refuse what says nothing about a flow.

        Raises
        ------
        click.UsageError
            If there is any; it says what does the same in a flow.
        """
        for name in self.written:
            if name in _IN_A_FLOW:
                option = f"--{name.replace('_', '-')}"
                raise click.UsageError(f"{option} is for a notebook. {_IN_A_FLOW[name]}")

    def shows_progress(self, *, quiet: bool) -> bool:
        """Whether progress is shown: papermill shows none beside the cells' own output."""
        if quiet or self.progress_bar is not None:
            return bool(self.progress_bar) and not quiet
        return not self.log_output


class PapermillOption(click.Option):
    """An option in the help's group of papermill's."""


class GroupedCommand(click.Command):
    """A command whose help lists papermill's options in a group of their own."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, papermill's last."""
        own: list[tuple[str, str]] = []
        theirs: list[tuple[str, str]] = []
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):
                (theirs if isinstance(param, PapermillOption) else own).append(record)
        for title, records in (("Options", own), (_TITLE, theirs)):
            with formatter.section(title):
                formatter.write_dl(records)


def papermill_options(command: Command) -> Command:
    """Add papermill's options; the command gets them as ``asked``, a `PapermillOptions`."""

    @functools.wraps(command)
    def with_options(**given: Any) -> Any:
        # The default of each is None, so that what was written is told from what was not.
        asked = {name: given.pop(name) for name in _OPTIONS}
        written = {name: value for name, value in asked.items() if value is not None}
        return command(asked=PapermillOptions(**written, written=tuple(written)), **given)

    decorated: Command = with_options
    for names, attributes in reversed(list(_OPTIONS.values())):
        decorated = click.option(*names, cls=PapermillOption, default=None, **attributes)(decorated)
    return decorated


def _flag(help_text: str) -> dict[str, Any]:
    return {"is_flag": True, "help": help_text}


def _seconds(help_text: str) -> dict[str, Any]:
    return {"type": click.FloatRange(min=0), "metavar": "SECONDS", "help": help_text}


#: Parameter of `PapermillOptions` -> the option's names and attributes, in the order of the help.
_OPTIONS: Mapping[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "kernel": (("-k", "--kernel"), {"metavar": "NAME", "help": "Kernel to run it in."}),
    "language": (
        ("-l", "--language"),
        {"metavar": "NAME", "help": "Language in which its parameters are written."},
    ),
    "cwd": (
        ("--cwd",),
        {
            "type": click.Path(file_okay=False, path_type=Path),
            "metavar": "DIR",
            "help": "Its working directory. By default the current one if OUTPUT is given, else "
            "the notebook's folder.",
        },
    ),
    "start_timeout": (
        ("--start-timeout", "--start_timeout"),
        _seconds("How long its kernel may take to start. By default 60."),
    ),
    "execution_timeout": (
        ("--execution-timeout",),
        _seconds("How long each cell may run. By default as long as it takes."),
    ),
    "prepare_only": (
        ("--prepare-only/--prepare-execute",),
        {"help": "Write OUTPUT with the parameters in it, and run nothing."},
    ),
    "report_mode": (("--report-mode/--no-report-mode",), {"help": "Hide the code in OUTPUT."}),
    "inject_input_path": (
        ("--inject-input-path",),
        _flag("Pass TARGET as the parameter PAPERMILL_INPUT_PATH."),
    ),
    "inject_output_path": (
        ("--inject-output-path",),
        _flag("Pass OUTPUT as the parameter PAPERMILL_OUTPUT_PATH."),
    ),
    "inject_paths": (("--inject-paths",), _flag("Pass both paths as parameters.")),
    "log_output": (
        ("--log-output/--no-log-output",),
        {"help": "Show what cells print on standard error, while they run."},
    ),
    "log_level": (
        ("--log-level",),
        {
            "type": click.Choice(list(LEVELS), case_sensitive=False),
            "metavar": "LEVEL",
            "help": "What --log-output shows: all at INFO (the default), what goes to a cell's "
            "standard error at WARNING, nothing above.",
        },
    ),
    "stdout_file": (
        ("--stdout-file",),
        {"metavar": "FILE", "help": "File for what cells print to standard output."},
    ),
    "stderr_file": (
        ("--stderr-file",),
        {"metavar": "FILE", "help": "The same for standard error."},
    ),
    "progress_bar": (
        ("--progress-bar/--no-progress-bar",),
        {"help": "Show progress; by default unless --log-output."},
    ),
    "request_save_on_cell_execute": (
        ("--request-save-on-cell-execute/--no-request-save-on-cell-execute",),
        {"help": "Save OUTPUT while it runs (the default), or only at the end."},
    ),
    "autosave_cell_every": (
        ("--autosave-cell-every",),
        {
            "type": click.IntRange(min=0),
            "metavar": "SECONDS",
            "help": "Accepted, and without effect: OUTPUT is saved when something has changed, "
            "about once a second, also inside a long cell.",
        },
    ),
    "help_notebook": (("--help-notebook",), _flag("Show the notebook's parameters; run nothing.")),
}

_PARAMS = "In a flow, write it as a parameter of the node: params: {NAME: VALUE}"
_LOGS = "Of a flow, nbflow logs RUN NODE prints what the cells of a node have printed"
_SAVED = "The notebooks of a flow are saved about once a second while they run"

#: What does the same in a flow. ``--progress-bar`` is not here: it means the same there.
_IN_A_FLOW = {
    "kernel": "In a flow, write kernel: NAME beside the node",
    "language": "In a flow, write kernel: NAME beside the node; its language is the kernel's",
    "cwd": "In a flow, write cwd: DIR beside the node",
    "start_timeout": "In a flow, write start_timeout: SECONDS beside the node",
    "execution_timeout": "In a flow, write timeout: {cell_hard: SECONDS} beside the node",
    "prepare_only": "Of a flow, nbflow check says whether it can run, and runs nothing",
    "report_mode": "Hide the code of a flow's executed notebooks by jupyter nbconvert --no-input",
    "inject_input_path": _PARAMS,
    "inject_output_path": _PARAMS,
    "inject_paths": _PARAMS,
    "log_output": _LOGS,
    "log_level": _LOGS,
    "stdout_file": _LOGS,
    "stderr_file": _LOGS,
    "request_save_on_cell_execute": _SAVED,
    "autosave_cell_every": _SAVED,
    "help_notebook": "nbflow graph shows the nodes of a flow, and its file its parameters",
}
