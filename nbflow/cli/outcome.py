"""What `run` and `resume` print at their end, for people: short, and what to do next."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nbflow.cli.paths import is_stream
from nbflow.cli.text import near_path, wrapped
from nbflow.core.reuse import cache_statistics
from nbflow.core.run import NodeRun
from nbflow.core.spec import NotebookCode
from nbflow.core.states import NodeState, RunStatus
from nbflow.core.view import RunView
from nbflow.drawing.look import NODE_LOOKS, RUN_LOOKS
from nbflow.drawing.values import value_text
from nbflow.drawing.words import duration, one_line, plural, size
from nbflow.session.document import status_of
from nbflow.session.watching import how_to_resume, left_undone

if TYPE_CHECKING:
    from nbflow.session import Run

#: Most failures and most outputs that are listed; `show` has them all.
_FAILURES, _OUTPUTS = 10, 8
#: Characters of a reason: what to do about it comes last, after names, paths and causes.
_REASON_LENGTH = 1000
_INDENT = "    "


def result_lines(run: "Run", now: float) -> list[str]:
    """Return the result of `run` as it stands at `now` (seconds since the epoch)."""
    view = run.view()
    lines = [headline(view, now), *_failures(view)]
    if status_of(view) is RunStatus.FAILED and (undone := left_undone(view.run)):
        lines.append(undone)
    lines += _notebook_line(view, run)
    lines += cache_lines(view)
    if status_of(view) is RunStatus.SUCCEEDED:
        lines += _outputs(view)
    else:
        lines.append(how_to_resume(run))
    return lines


def headline(view: RunView, now: float) -> str:
    """Return one line about a whole run."""
    status = status_of(view)
    took = duration((view.run.ended_at or now) - view.run.created_at)
    counts = ", ".join(f"{n:,} {NODE_LOOKS[state].word}" for state, n in view.counts.items())
    about = (
        f"{RUN_LOOKS[status].word} after {took}" if view.run.ended_at else RUN_LOOKS[status].word
    )
    return f"{view.run.id}: {about} ({counts})"


def cache_lines(view: RunView) -> Iterator[str]:
    """Say in a line what results of other runs have spared this one, if it was to look for any."""
    found = cache_statistics(view.run)
    if found is None:
        return
    misses = f"{found.misses:,} {'miss' if found.misses == 1 else 'misses'}"
    line = f"cache: {plural(found.hits, 'hit')}, {misses}"
    if found.hits:
        line += f"; {duration(found.saved_s)} saved, {size(found.size_bytes)} reused"
    yield line


def reason_text(node: NodeRun) -> str:
    """Say why `node` stands where it does, to its end; empty if there is no reason."""
    if node.reason is None:
        return ""
    return one_line(node.reason.message or node.reason.kind, _REASON_LENGTH)


def _notebook_line(view: RunView, run: "Run") -> Iterator[str]:
    codes = [node.code for node in view.run.graph.nodes.values() if not node.is_stage]
    forms = [code.papermill for code in codes if isinstance(code, NotebookCode)]
    if len(forms) == 1 and forms[0].output_path is not None:
        place = forms[0].output_path
        yield f"notebook: {'standard output' if is_stream(place) else place}"
    elif forms:
        yield f"notebooks: {near_path(run.output_dir)}"


def _failures(view: RunView) -> Iterator[str]:
    nodes = view.run.nodes
    # Of stages, the node that puts their notebook together says what it has come to.
    failed = [
        name
        for name, spec in view.run.graph.nodes.items()
        if nodes[name].state is NodeState.FAILED and not spec.is_stage
    ]
    glyph = NODE_LOOKS[NodeState.FAILED].glyph
    for name in failed[:_FAILURES]:
        yield f"  {glyph} {one_line(name)}"
        yield from wrapped(reason_text(nodes[name]), _INDENT)
    if len(failed) > _FAILURES:
        yield f"  … and {len(failed) - _FAILURES:,} more; see: nbflow show {view.run.id}"


def _outputs(view: RunView) -> list[str]:
    """Return the outputs of the nodes that no other node waits for: what the flow was for."""
    graph = view.run.graph
    lines = [
        f"  {one_line(name)}.{output}: {value_text(value)}"
        for name in graph.nodes
        if not graph.downstream[name]
        for output, value in view.run[name].outputs.items()
    ]
    shown = lines[:_OUTPUTS]
    if len(lines) > len(shown):
        shown.append(f"  … and {len(lines) - len(shown):,} more; see: nbflow show {view.run.id}")
    return ["outputs:", *shown] if shown else []
