"""``nbflow run NOTEBOOK [OUTPUT]``: one notebook, as papermill runs it.

Paths have papermill's forms (see `nbflow.cli.paths`), and come to be one of three things. A plain
file is saved by the worker while the notebook runs. An address, a device, or a file of which no
half-finished state is wanted, is written when the run has ended (`nbflow.session.delivery`).
Standard output is written here, and then all that is for people goes to standard error.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from nbflow.cli.as_papermill import PapermillOptions
from nbflow.cli.paths import STREAM, formatted, is_private, is_special, is_stream, path_values
from nbflow.core.errors import OutputFolderError
from nbflow.core.spec import PapermillForm

if TYPE_CHECKING:
    from nbflow.definition import BareNotebook
    from nbflow.session import Flow, Run


@dataclass(frozen=True, kw_only=True, slots=True)
class Single:
    """A notebook that is to run by itself."""

    notebook: "BareNotebook"
    #: Its parameters, injected paths among them.
    params: Mapping[str, Any]
    #: Whether the executed notebook goes to standard output.
    to_stdout: bool = False

    def flow(self) -> "Flow":
        """Return the flow of this one notebook.

        Raises
        ------
        nbflow.core.errors.DefinitionError
            If there is no such file.
        """
        from nbflow.session.loading import load_notebook

        return load_notebook(self.notebook)

    def printing_to(self, paths: Mapping[str, str]) -> "Single":
        """Return the same, with files for workers to write what is printed to, by stream."""
        form = msgspec.structs.replace(
            self.notebook.form,
            stdout_file=paths.get("stdout"),
            stderr_file=paths.get("stderr"),
        )
        return replace(self, notebook=replace(self.notebook, form=form))


def planned(
    target: str,
    output: str | None,
    params: Mapping[str, Any],
    asked: PapermillOptions,
    output_dir: Path | None,
) -> Single:
    """Return what is to run, with every path understood; nothing has been written by then.

    Parameters
    ----------
    target, output
        As they were typed.
    params
        Parameters of the other options.
    asked
        papermill's options.
    output_dir
        The folder of ``-o``, which OUTPUT excludes.

    Raises
    ------
    click.UsageError
        If the words do not fit together.
    nbflow.core.errors.NbflowError
        If the notebook is at an address that cannot be read, or OUTPUT cannot be written.
    """
    from nbflow.definition import BareNotebook
    from nbflow.definition.options import NodeOptions

    if output is not None and output_dir is not None:
        raise click.UsageError("OUTPUT and -o both say where the executed notebook goes. Use one")
    if output is None and output_dir is None and is_stream(target):
        output = STREAM
    params = {**_injected(target, output, asked), **params}
    values = path_values(params)
    source = formatted(target, values)
    place = None if output is None else formatted(output, values)
    form = _form(source, place, asked)
    options = NodeOptions(
        kernel=asked.kernel,
        cwd=None if asked.cwd is None else str(asked.cwd.absolute()),
        start_timeout=asked.start_timeout or None,
        timeout={"cell_hard": asked.execution_timeout} if asked.execution_timeout else None,
    )
    bare = BareNotebook(
        path="<stdin>" if is_stream(source) else source,
        name="stdin" if is_stream(source) else "notebook" if is_private(source) else None,
        data=_content(source) if _is_elsewhere(source) else None,
        options=options,
        form=form,
    )
    return Single(notebook=bare, params=params, to_stdout=place is not None and is_stream(place))


def write_prepared(single: Single, output_dir: Path | None) -> None:
    """Write the notebook with its parameters, and run nothing.

    Raises
    ------
    nbflow.core.errors.NbflowError
        If it is not fit to run, or cannot be written.
    """
    from nbflow.session.delivery import write_notebook
    from nbflow.session.preparing import prepared_notebook

    form = single.notebook.form
    target = form.saved_to or form.delivered_to
    flow = single.flow()
    if target is None and output_dir is not None:
        target = str(output_dir / f"{flow.name}.ipynb")
    if target is None and not single.to_stdout:
        raise click.UsageError("--prepare-only needs to know where to write: name OUTPUT")
    data, warnings = prepared_notebook(flow, single.params)
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if target is None:
        write_stdout(data)
        return
    try:
        write_notebook(data, target)
    except OSError as error:
        raise OutputFolderError(f"{target} cannot be written: {error.strerror}") from error


def show_help(ctx: click.Context, single: Single) -> None:
    """Print the usage, and what parameters the notebook has."""
    from nbflow.notebooks.inspecting import parameter_lines

    path = single.notebook.path
    contents = single.flow().draft.contents
    data = contents[path] if path in contents else Path(path).read_bytes()
    print(ctx.get_usage())
    print(f"\nParameters inferred for notebook {path!r}:")
    for line in parameter_lines(data, path):
        print(f"  {line}")


def write_stdout(data: bytes) -> None:
    """Write an executed notebook to standard output."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def print_run(run: "Run") -> None:
    """Write the executed notebook of a run of one node to standard output, if there is one."""
    (name,) = run
    data = run[name].notebook_bytes
    if data is not None:
        write_stdout(data)


def _injected(target: str, output: str | None, asked: PapermillOptions) -> dict[str, str]:
    injected: dict[str, str] = {}
    if asked.inject_input_path or asked.inject_paths:
        injected["PAPERMILL_INPUT_PATH"] = target
    if asked.inject_output_path or asked.inject_paths:
        if output is None:
            raise click.UsageError("a path can only be injected if it is named: name OUTPUT")
        injected["PAPERMILL_OUTPUT_PATH"] = output
    return injected


def _is_elsewhere(source: str) -> bool:
    """Whether a notebook is no local file, so that workers cannot know it by its path."""
    return is_stream(source) or "://" in source or is_private(source)


def _content(source: str) -> bytes:
    """Return the notebook that is no local file."""
    if is_stream(source):
        return sys.stdin.buffer.read()
    if "://" in source:
        from nbflow.notebooks.elsewhere import read_elsewhere  # lazy: papermill is slow to import

        return read_elsewhere(source)
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise click.UsageError(f"{source} cannot be read: {error.strerror}") from error


def _form(source: str, place: str | None, asked: PapermillOptions) -> PapermillForm:
    """Return what is to be known of the notebook wherever it runs."""
    saved_to = delivered_to = None
    if place is not None and not is_stream(place):
        if "://" in place:
            delivered_to = place
        elif is_special(place):
            delivered_to = str(_writable(Path(place)).absolute())
        else:
            # A link stays a link: what it leads to is replaced.
            path = os.path.realpath(_writable(Path(place)))
            saves = asked.request_save_on_cell_execute
            saved_to, delivered_to = (path, None) if saves else (None, path)
    # As typed, and from here, unless it is a notebook of nbflow's own kind: NOTEBOOK alone.
    is_theirs = place is not None or _is_elsewhere(source)
    return PapermillForm(
        language=asked.language,
        report_mode=asked.report_mode,
        folder=str(Path.cwd()) if is_theirs else None,
        input_path=source if is_theirs else None,
        output_path=place,
        saved_to=saved_to,
        delivered_to=delivered_to,
    )


def _writable(path: Path) -> Path:
    """Return `path`, to which a notebook is to be written.

    Raises
    ------
    OutputFolderError
        If that is impossible, as far as can be seen beforehand.
    """
    if path.is_dir():
        raise OutputFolderError(f"{path} is a folder. Name a file in it, or use -o {path}")
    folder = path.absolute()
    while not folder.exists():
        folder = folder.parent
    if path.exists():
        may_write = os.access(path, os.W_OK)
    else:
        may_write = folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
    if not may_write:
        what = f"{folder} is no folder that can be written" if folder != path else "no permission"
        raise OutputFolderError(f"{path} cannot be written: {what}. Choose another OUTPUT")
    return path
