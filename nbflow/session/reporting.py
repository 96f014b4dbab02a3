"""A report on a run: all that it tells is gathered here, and drawn by `nbflow.drawing.report`.

What has to be read for it is bounded: of the failures, the first ones are told in detail; executed
notebooks that are very large are left alone.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from nbflow._version import __version__
from nbflow.core.errors import NbflowError
from nbflow.core.events import Record, RunCreated
from nbflow.core.findings import Diagnosis
from nbflow.core.run import resolve_params
from nbflow.core.states import RUN_ENDED, NodeState, RunStatus
from nbflow.core.values import NotText
from nbflow.core.view import RunView
from nbflow.drawing.report import Failure, Report, report_html
from nbflow.drawing.values import value_text
from nbflow.session.document import executed_notebook, status_of
from nbflow.session.log_files import LogLine
from nbflow.session.replacing import replace_file
from nbflow.session.results import NodeHandle
from nbflow.session.watching import home_option

#: Failures that are told in detail, and last lines of each.
_FAILURES, _LINES = 30, 30
#: Characters of a parameter's value.
_VALUE_LENGTH = 1_000
#: Largest executed notebook that is read, in bytes; and how many are asked for versions.
_NOTEBOOK_BYTES, _ASKED = 20_000_000, 20


class Reported(Protocol):
    """What is needed of a run's handle to report on it."""

    id: str

    @property
    def home(self) -> Path:
        """The folder of its home."""

    def view(self) -> RunView:
        """Return the run as it stands."""

    def events(self) -> list[Record]:
        """Return all that has happened, in order."""

    def diagnose(self) -> Diagnosis:
        """Say what is wrong with it."""

    def log_lines(self, node: str, last: int) -> tuple[LogLine, ...]:
        """Return the last lines that a node has printed."""

    def __getitem__(self, node: str) -> NodeHandle: ...


def write_report(run: Reported, path: Path, now: float | None = None) -> Path:
    """Write a report on `run` as it stands, one HTML file, and return its path.

    Parameters
    ----------
    run
        The handle of the run.
    path
        The file, which is replaced; its folder is made.
    now
        The present, in seconds since the epoch.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    page = report_html(gathered(run, time.time() if now is None else now))
    path.parent.mkdir(parents=True, exist_ok=True)
    # Replaced as a whole: whoever has the old one open in a browser may reload it at any time.
    replace_file(path, page.encode())
    return path


def gathered(run: Reported, now: float) -> Report:
    """Return all that a report on `run` tells at the time `now`."""
    # The diagnosis and the events come after the view: so nothing that it shows is missing in them.
    view = run.view()
    records, diagnosis, books = tuple(run.events()), run.diagnose(), _Books(run, view)
    nodes = view.run.nodes
    failed = [name for name in view.run.graph.nodes if nodes[name].state is NodeState.FAILED]
    steps = {finding.node: finding.suggestions for finding in reversed(diagnosis.findings)}
    return Report(
        view=view,
        records=records,
        diagnosis=diagnosis,
        failures=tuple(
            _failure(run, view, name, books.get(name), steps.get(name, ()))
            for name in failed[:_FAILURES]
        ),
        versions=tuple(_versions(view, records, books)),
        problems=tuple(books.problems.values()),
        next_step=_next_step(run, view),
        made_at=now,
        zone=time.strftime("%Z", time.localtime(now)),
    )


class _Books:
    """The executed notebooks that a report needs, each read once.

    Parameters
    ----------
    run, view
        Whose they are.
    """

    def __init__(self, run: Reported, view: RunView) -> None:
        self._run = run
        self._view = view
        self._read: dict[str, Any] = {}
        #: Why some cannot be read, by node: a report is wanted most when something is broken.
        self.problems: dict[str, str] = {}

    def get(self, name: str) -> Any:
        """Return the notebook of a node; None if there is none, or none that is to be read."""
        kept = self._view.run[name].notebook
        if kept is None or kept.size_bytes > _NOTEBOOK_BYTES:
            return None
        if name not in self._read:
            try:
                self._read[name] = self._run[name].notebook
            except (NbflowError, ValueError) as error:
                self.problems[name] = f"the executed notebook of {name} cannot be read: {error}"
                self._read[name] = None
        return self._read[name]


def _failure(
    run: Reported, view: RunView, name: str, notebook: Any, steps: tuple[str, ...]
) -> Failure:
    node = view.run[name]
    cell = node.error.cell if node.error is not None else None
    return Failure(
        node=name,
        reason=node.reason.message or node.reason.kind if node.reason is not None else "",
        attempts=node.attempt,
        error=node.error,
        source="" if cell is None else _source(notebook, cell),
        inputs=tuple(_inputs(view, name)),
        logs=_last_lines(run, name),
        suggestions=steps,
        notebook=executed_notebook(view, name) or "",
    )


def _inputs(view: RunView, name: str) -> Iterator[tuple[str, str]]:
    """Yield the node's parameters in words; a secret is its reference."""
    try:
        params = resolve_params(view.run, name)
    except (KeyError, NotText):
        # An output that it was to receive does not exist: its reason says so.
        return
    for param, value in params.items():
        yield param, value_text(value, _VALUE_LENGTH)


def _last_lines(run: Reported, name: str) -> tuple[str, ...]:
    lines = run.log_lines(name, _LINES)
    if lines:
        return tuple(line.text for line in lines)
    # A run that was imported, or whose folder is gone.
    kept = run.view().run[name].log
    if kept is None or kept.size_bytes > _NOTEBOOK_BYTES:
        return ()
    return tuple(run[name].logs.splitlines()[-_LINES:])


def _source(notebook: Any, cell: int) -> str:
    if notebook is None or not 0 <= cell < len(notebook.cells):
        return ""
    return str(notebook.cells[cell].source)


def _versions(
    view: RunView, records: tuple[Record, ...], books: _Books
) -> Iterator[tuple[str, str]]:
    """Yield what the run was made with, as far as it is recorded."""
    for record in records:
        if isinstance(record.event, RunCreated) and record.event.program:
            yield "nbflow, which created the run", record.event.program
    yield "nbflow, which made this report", __version__
    kernels: dict[str, str] = {}
    names = [name for name in view.run.graph.nodes if view.run[name].notebook is not None]
    for name in names[:_ASKED]:
        notebook = books.get(name)
        kernels.update(_kernel(notebook) if notebook is not None else ())
    yield from kernels.items()


def _kernel(notebook: Any) -> Iterator[tuple[str, str]]:
    about = notebook.metadata
    kernel = about.get("kernelspec", {}).get("name", "")
    language = about.get("language_info", {})
    if language.get("version"):
        named = f" (kernel {kernel})" if kernel else ""
        yield f"{language.get('name', 'language')}{named}", str(language["version"])
    if about.get("papermill", {}).get("version"):
        yield "papermill's format of metadata", str(about["papermill"]["version"])


def _next_step(run: Reported, view: RunView) -> str:
    status = status_of(view)
    if status is RunStatus.SUCCEEDED or (status not in RUN_ENDED and view.driven):
        return ""
    return f"Continue it with: nbflow resume {run.id}{home_option(run.home)}"
