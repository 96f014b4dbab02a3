"""What has happened in a run since one last looked, as lines for a log.

A reader polls, and many things may happen between two looks: a node may start, fail, wait
and start again. `News` therefore does not print differences of states. It keeps, for each
node, what has been told of which attempt, and derives from the node's present standing what
must have happened since. So each end of an attempt is told exactly once, however late (and so
is each start, but for attempts that came and went between two looks).

Lines are ordered by the times in the journal; as those come from several machines' clocks, a
node's lines never come before those of the nodes that it waited for.
"""

from collections.abc import Iterator

import msgspec

from nbflow.core.run import NodeRun, Run
from nbflow.core.states import ENDED, IN_FLIGHT, NodeState
from nbflow.core.view import RunView
from nbflow.drawing.lines import REASON_LENGTH, failure_text
from nbflow.drawing.words import duration, one_line

#: States in which an attempt is over, though its node is not.
_OVER_FOR_NOW = frozenset({NodeState.BACKING_OFF, NodeState.IN_DOUBT})


class _Told(msgspec.Struct, frozen=True):
    """What has been told of a node."""

    #: As it was when it was last looked at.
    node: NodeRun
    #: Whether the start, and the end, of attempt `node.attempt` have been told.
    start: bool
    end: bool


class _Line(msgspec.Struct, frozen=True):
    at: float
    text: str


class News:
    """Tells what is new in each view of a run.

    Parameters
    ----------
    view
        The first look. What has ended by then is old; it is never told.
    """

    def __init__(self, view: RunView) -> None:
        self._graph = view.run.graph
        self._order = self._graph.topological_order()
        self._notes = 0
        live = view.driven and not view.is_taking_over
        self._told = {name: _first_look(node, live) for name, node in view.run.nodes.items()}

    def since(self, view: RunView, now: float) -> list[str]:
        """Return what has happened since the last look, oldest first.

        Parameters
        ----------
        view
            The present look.
        now
            The time, in seconds since the epoch.
        """
        if view.run.graph is not self._graph:
            self._change_flow(view.run)
        lines: list[_Line] = []
        latest: dict[str, float] = {}
        for name in self._order:
            node = view.run.nodes[name]
            if node is self._told[name].node:
                continue
            # Never before what it waited for, whatever the clocks of two machines say.
            floor = max((latest.get(s, 0.0) for s in view.run.graph.upstream[name]), default=0.0)
            for line in self._news_of(name, node, now):
                floor = max(floor, line.at)
                lines.append(_Line(floor, f"{one_line(name)}: {line.text}"))
                latest[name] = floor
        lines.sort(key=lambda line: line.at)
        notes = [f"cluster: {one_line(note)}" for note in view.notes[self._notes :]]
        self._notes = len(view.notes)
        return [*notes, *(line.text for line in lines)]

    def _change_flow(self, run: Run) -> None:
        """Go on with the nodes of a definition that a resume has changed."""
        self._graph = run.graph
        self._order = self._graph.topological_order()
        for name in self._order:
            self._told.setdefault(name, _first_look(NodeRun(NodeState.WAITING, missing=0), True))

    def _news_of(self, name: str, node: NodeRun, now: float) -> Iterator[_Line]:
        told = self._told[name]
        if node.attempt > told.node.attempt:
            yield from _missed_attempts(told, node)
            fresh = msgspec.structs.replace(node, state=NodeState.QUEUED, due_at=None)
            told = _Told(fresh, start=False, end=False)
        if node.started_at is not None and not told.start:
            again = f" (attempt {node.attempt})" if node.attempt > 1 else ""
            yield _Line(node.started_at, f"started{again}")
            told = msgspec.structs.replace(told, start=True)
        if _is_kept(told.node, node):
            yield _Line(now, "unchanged: its earlier result stands")
        else:
            yield from _end(told, node, now)
        self._told[name] = _Told(node, start=told.start, end=_has_end(node) or told.end)


def _first_look(node: NodeRun, live: bool) -> _Told:
    if node.state in IN_FLIGHT and not live:
        # It began under a driver that is gone: only what becomes of it is news.
        return _Told(node, start=True, end=False)
    if node.state in IN_FLIGHT:
        # The attempt that is under way is news; those before it are not.
        earlier = msgspec.structs.replace(
            node, state=NodeState.READY, attempt=node.attempt - 1, started_at=None
        )
        return _Told(earlier, start=True, end=True)
    return _Told(node, start=True, end=_has_end(node))


def _missed_attempts(told: _Told, node: NodeRun) -> Iterator[_Line]:
    """Tell the ends of attempts that are over, and were not over at the last look.

    One that nobody saw end may have succeeded: its receipt was found, and the node reset for a
    change. Only those that the node has counted since its last reset are known to be none.
    """
    first = told.node.attempt + (1 if told.end or told.node.attempt == 0 else 0)
    at = node.scheduled_at or 0.0
    for attempt in range(first, node.attempt):
        # Only the latest failure is known, and only until a success has replaced it.
        known = attempt == node.attempt - 1 and node.reason is not None and not _has_end(node)
        why = f": {failure_text(node, REASON_LENGTH)}" if known else ""
        counted = attempt >= node.attempt - _counted_before(node)
        yield _Line(at, f"attempt {attempt} ended{' without success' * (known or counted)}{why}")


def _counted_before(node: NodeRun) -> int:
    """Return how many attempts right before the present one surely were no success."""
    present = _has_end(node) and node.state is not NodeState.SUCCEEDED
    return node.failures + node.losses - present


def _has_end(node: NodeRun) -> bool:
    """Whether the present attempt, or a node without one, has come to an end."""
    lost = node.state is NodeState.READY and node.attempt > 0
    return node.state in ENDED or node.state in _OVER_FOR_NOW or lost


def _is_kept(before: NodeRun, node: NodeRun) -> bool:
    """Whether a node that was reset has its result back, without another attempt."""
    return (
        node.state is NodeState.SUCCEEDED
        and node.attempt == before.attempt
        and before.state in (NodeState.WAITING, NodeState.READY)
    )


def _end(told: _Told, node: NodeRun, now: float) -> Iterator[_Line]:
    at = node.ended_at if node.ended_at is not None else now
    if not told.end or (node.state in ENDED and node.state is not told.node.state):
        yield from _ending(node, at)
    if node.state is NodeState.BACKING_OFF and told.node.due_at != node.due_at:
        wait = duration(max(0.0, (node.due_at or now) - now))
        yield _Line(at, f"retry in {wait} (attempt {node.attempt + 1})")


def _ending(node: NodeRun, at: float) -> Iterator[_Line]:
    took = "" if node.started_at is None else f" in {duration(at - node.started_at)}"
    match node.state:
        case NodeState.SUCCEEDED:
            yield _Line(at, f"succeeded{took}")
        case NodeState.SKIPPED if node.reason is not None:
            yield _Line(at, f"skipped: {one_line(node.reason.message or node.reason.kind)}")
        case NodeState.CANCELLED:
            yield _Line(at, "cancelled")
        case NodeState.READY if node.attempt and node.reason is not None and node.ended_at is None:
            # A lost attempt has no end; one without a reason was reset, which is no news.
            yield _Line(
                at, f"attempt {node.attempt} lost, runs again: {failure_text(node, REASON_LENGTH)}"
            )
        case NodeState.IN_DOUBT:
            yield _Line(at, f"in doubt, waits for a decision: {failure_text(node, REASON_LENGTH)}")
        case NodeState.FAILED | NodeState.BACKING_OFF | NodeState.READY if node.reason is not None:
            yield _Line(at, f"failed{took}: {failure_text(node, REASON_LENGTH)}")
        case _:
            pass
