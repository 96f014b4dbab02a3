"""What is said about one node of a run, whatever the screen: `NodeLine`.

The terminal and the panel differ in how they paint, not in what they say. A line never
claims more than the journal does: state, attempt and times are facts of the run; progress in
cells is telemetry, and is shown only if it speaks of the node's present attempt.
"""

from collections.abc import Iterator

import msgspec

from nbflow.core.attempts import Progress
from nbflow.core.run import NodeRun, Run
from nbflow.core.states import RUN_ENDED, NodeState, RunStatus
from nbflow.core.view import RunView
from nbflow.drawing.words import duration, one_line

#: Characters of a failure's reason where there is room to tell it to its end: what to do about
#: it comes last, after names, paths and causes.
REASON_LENGTH = 1000

#: Most names that a waiting node lists.
_NAMED_SOURCES = 3

#: What a person looks for first: what went wrong, then what is going on, then the rest.
URGENCY = (
    NodeState.FAILED,
    NodeState.IN_DOUBT,
    NodeState.BACKING_OFF,
    NodeState.RUNNING,
    NodeState.QUEUED,
    NodeState.READY,
    NodeState.WAITING,
    NodeState.CANCELLED,
    NodeState.SKIPPED,
    NodeState.SUCCEEDED,
)


class NodeLine(msgspec.Struct, frozen=True):
    """One node, as it is shown. All texts are one line and free of control characters."""

    name: str
    state: NodeState
    attempt: int
    #: Code cells that have run, of how many; None while nothing is known.
    done: int | None
    total: int | None
    #: What it does now, why it waits, or why it failed or was skipped.
    note: str
    #: Seconds that the latest attempt has run, or ran.
    elapsed_s: float | None
    worker: str


def node_line(view: RunView, name: str, now: float, reason_length: int = 200) -> NodeLine:
    """Return what is to be shown of the node `name` at the time `now` (seconds since the epoch).

    The reason of a failed node is cut after `reason_length` characters.
    """
    node = view.run[name]
    progress = _current_progress(view, name, node)
    done, total = (None, None) if progress is None else (progress.done, progress.total)
    if node.state is NodeState.SUCCEEDED:
        # The last telemetry of a node is often lost or late. That it succeeded is a fact.
        done = total
    return NodeLine(
        name=one_line(name),
        state=node.state,
        attempt=node.attempt,
        done=done,
        total=total,
        note=(
            failure_text(node, reason_length)
            if node.state is NodeState.FAILED
            else _note(view.run, name, node, progress, now)
        ),
        elapsed_s=view.elapsed_s(name, now),
        worker=one_line(node.worker) if node.attempt else "",
    )


def shown_status(view: RunView) -> RunStatus:
    """Return the run's status; ``interrupted`` if it should be driven and is not."""
    if not view.driven and view.run.status not in RUN_ENDED:
        return RunStatus.INTERRUPTED
    return view.run.status


def by_urgency(view: RunView, limit: int) -> list[str]:
    """Return at most `limit` nodes: all in the order of the flow, if there is room for them.

    Else the most urgent, the most urgent first: failures, then what runs, then what waits.
    """
    nodes = view.run.nodes
    names = list(view.run.graph.nodes)
    if len(names) <= limit:
        return names
    buckets: dict[NodeState, list[int]] = {state: [] for state in URGENCY}
    for index, name in enumerate(names):
        buckets[nodes[name].state].append(index)
    ranked = [index for state in URGENCY for index in buckets[state]]
    return [names[index] for index in ranked[:limit]]


def finished(view: RunView) -> int:
    """Return how many nodes need nothing more."""
    return len(view.run.graph.nodes) - view.run.open


def done_earlier(view: RunView) -> int:
    """Return how many nodes a run that goes on from here has not to do again.

    Those are fewer than the `finished` ones: a resumed run tries again what failed.
    """
    return sum(node.has_result for node in view.run.nodes.values())


def failure_text(node: NodeRun, limit: int = 200) -> str:
    """Say why the node failed, and in which cell where that is known and not yet said.

    The reason is cut after `limit` characters.
    """
    if node.reason is None:
        return ""
    text = node.reason.message or node.reason.kind.replace("_", " ")
    cell = node.error.cell if node.error is not None else None
    if cell is None or "cell" in text.lower():
        return one_line(text, limit)
    return f"{one_line(text, limit)} (cell {cell})"


def _current_progress(view: RunView, name: str, node: NodeRun) -> Progress | None:
    progress = view.progress.get(name)
    return progress if progress is not None and progress.id.number == node.attempt else None


def _note(run: Run, name: str, node: NodeRun, progress: Progress | None, now: float) -> str:
    match node.state:
        case NodeState.RUNNING:
            return _cell_text(progress)
        case NodeState.BACKING_OFF:
            wait_s = (node.due_at or now) - now
            due = f"next try in {duration(wait_s)}" if wait_s > 0 else "next try is due"
            return f"{due}, after: {failure_text(node)}"
        case NodeState.IN_DOUBT:
            return f"waits for a decision (resolve), after: {failure_text(node)}"
        case NodeState.SKIPPED:
            return one_line(node.reason.message) if node.reason is not None else ""
        case NodeState.WAITING:
            return _waits_for(run, name)
        case NodeState.QUEUED:
            return "waits for a worker" + _after_loss(node)
        case NodeState.READY:
            return "waits for its turn" + _after_loss(node)
        case NodeState.SUCCEEDED | NodeState.CANCELLED | NodeState.FAILED:
            return ""


def _cell_text(progress: Progress | None) -> str:
    if progress is None or progress.cell is None:
        return ""
    description = one_line(progress.description)
    return f"cell {progress.cell}" + (f": {description}" if description else "")


def _after_loss(node: NodeRun) -> str:
    if node.reason is None or not node.attempt:
        return ""
    return f", after: {one_line(node.reason.message)}"


def _waits_for(run: Run, name: str) -> str:
    sources = list(_unfinished(run, name))
    more = len(sources) - _NAMED_SOURCES
    names = ", ".join(sources[:_NAMED_SOURCES]) + (f" and {more:,} more" if more > 0 else "")
    return f"waits for {names}" if names else ""


def _unfinished(run: Run, name: str) -> Iterator[str]:
    for source in run.graph.upstream[name]:
        if not run[source].has_result:
            yield source
