"""What `show` tells of a run, for people: everything about every node, in the flow's order."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nbflow.cli.outcome import cache_lines, headline, reason_text
from nbflow.cli.text import ago, near_path, wrapped
from nbflow.core.states import RUN_ENDED, NodeState, RunStatus
from nbflow.core.view import RunView
from nbflow.drawing.lines import NodeLine, node_line
from nbflow.drawing.look import NODE_LOOKS
from nbflow.drawing.values import value_text
from nbflow.drawing.words import duration, local_time, one_line
from nbflow.session.document import executed_notebook, status_of
from nbflow.session.watching import how_to_resume

if TYPE_CHECKING:
    from nbflow.session import Run

_INDENT = "    "
#: What a node's reason says all of, and its note in a list only the beginning.
_SHORT_OF_SUCCESS = (NodeState.FAILED, NodeState.SKIPPED)


def portrait_lines(run: "Run", now: float) -> list[str]:
    """Return everything about `run` as it stands at `now` (seconds since the epoch)."""
    view = run.view()
    started = f"{local_time(view.run.created_at)}, {ago(view.run.created_at, now)}"
    lines = [
        headline(view, now),
        f"flow {one_line(view.run.graph.spec.name)}, started {started}",
        f"notebooks: {near_path(run.output_dir)}",
        *cache_lines(view),
    ]
    for params in _params(view):
        lines += wrapped(params)
    lines.append("")
    shown = [node_line(view, name, now) for name in view.run.graph.nodes]
    width = max((len(line.name) for line in shown), default=0)
    for name, line in zip(view.run.graph.nodes, shown, strict=True):
        lines.append(_summary(line, width))
        for detail in _details(view, name, line):
            lines += wrapped(detail, _INDENT)
    if _is_resumable(view):
        lines += ["", how_to_resume(run)]
    return lines


def _params(view: RunView) -> Iterator[str]:
    params = view.run.params
    if params:
        told = ", ".join(f"{name} = {value_text(value)}" for name, value in params.items())
        yield f"parameters: {told}"


def _summary(line: NodeLine, width: int) -> str:
    look = NODE_LOOKS[line.state]
    took = "" if line.elapsed_s is None else duration(line.elapsed_s)
    again = f"attempt {line.attempt}" if line.attempt > 1 else ""
    text = f"{look.glyph} {line.name:<{width}}  {look.word:<11}  {took:>10}  {again}"
    return text.rstrip()


def _details(view: RunView, name: str, line: NodeLine) -> Iterator[str]:
    node = view.run[name]
    note = reason_text(node) if node.state in _SHORT_OF_SUCCESS else line.note
    if note:
        yield note
    error = node.error
    if error is not None and one_line(error.message).rstrip("…") not in note:
        yield f"{one_line(error.type)}: {one_line(error.message)}"
    notebook = executed_notebook(view, name)
    if notebook is not None:
        cell = "" if error is None or error.cell is None else f", cell {error.cell}"
        yield f"notebook: {near_path(notebook)}{cell}"
    for output, value in node.outputs.items():
        yield f"{one_line(output)}: {value_text(value)}"


def _is_resumable(view: RunView) -> bool:
    status = status_of(view)
    if status is RunStatus.SUCCEEDED:
        return False
    return status in RUN_ENDED or status is RunStatus.INTERRUPTED
