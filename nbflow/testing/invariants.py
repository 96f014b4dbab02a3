"""What holds of every run at every moment, whatever happened to it.

`validate` recounts what the machine only keeps up to date, and checks what each
state implies. Tests call it after every event; it is linear in nodes and edges.
"""

from collections.abc import Callable, Iterator
from typing import get_args

from nbflow.core.machine import obligations
from nbflow.core.run import NodeRun, Run, missing_upstream, must_not_repeat, settled, spoils
from nbflow.core.states import (
    ENDED,
    IN_FLIGHT,
    NOT_RETRIED,
    RUN_ENDED,
    FailureKind,
    LossKind,
    NodeState,
    RunStatus,
    SkipKind,
)


def validate(run: Run) -> None:
    """Check every invariant of `run`.

    Raises
    ------
    AssertionError
        At the first that does not hold; it names the run, the node and the invariant.
    """
    for broken in _broken(run):
        raise AssertionError(f"run {run.id} ({run.status}, seq {run.seq}): {broken}")


def _broken(run: Run) -> Iterator[str]:
    """Yield every invariant that does not hold."""
    if sorted(run.nodes) != sorted(run.graph.nodes):
        yield "it must have exactly the nodes of its graph"
        return
    yield from _broken_of_run(run)
    for name in run.graph.nodes:
        node = run.nodes[name]
        checks = (_broken_of_node, _broken_of_progress, _BY_STATE[node.state])
        for check in checks:
            for broken in check(run, name, node):
                yield f"node {name!r} ({node.state}): {broken}"
    yield from _stuck(run)


def _broken_of_run(run: Run) -> Iterator[str]:
    nodes = list(run.nodes.items())
    is_open = sum(not settled(run, name, node) for name, node in nodes)
    if run.open != is_open:
        yield f"open says {run.open}, a recount {is_open}"
    failed = sum(spoils(run, name, node) for name, node in nodes)
    if run.failed != failed:
        yield f"failed says {run.failed}, a recount {failed}"
    ended = run.status in RUN_ENDED
    if ended and run.open:
        yield "an ended run must have no open node"
    if ended == (run.ended_at is None):
        yield "ended_at must be set while the run has ended, and only then"
    if run.status is RunStatus.SUCCEEDED and run.failed:
        yield "a run with failed nodes must not have succeeded"
    if run.status is RunStatus.FAILED and not run.failed:
        yield "a failed run must have a node that failed"
    if run.status is RunStatus.SUBMITTED and any(node.attempt for _, node in nodes):
        yield "a run that no driver has held must have no attempts"
    if run.status is RunStatus.INTERRUPTED:
        yield "interrupted is what observers see, never a journaled status"


def _broken_of_node(run: Run, name: str, node: NodeRun) -> Iterator[str]:
    """Yield what is wrong with the node's place in the graph."""
    if not settled(run, name, node):
        missing = missing_upstream(run, name)
        if node.missing != missing:
            yield f"missing says {node.missing}, a recount {missing}"
    if node.state is NodeState.WAITING and node.missing == 0:
        yield "what waits must miss something"
    if node.state is NodeState.READY and node.missing != 0:
        yield "what is ready must miss nothing"


def _broken_of_progress(_run: Run, _name: str, node: NodeRun) -> Iterator[str]:
    """Yield what is wrong with the node's counts and times."""
    if not 0 <= node.failures <= node.attempt or not 0 <= node.losses <= node.attempt:
        yield "failures and losses must not outnumber attempts"
    if (node.due_at is not None) != (node.state is NodeState.BACKING_OFF):
        yield "due_at must be set while backing off, and only then"
    if node.state in ENDED and node.ended_at is None:
        yield "an ended node must say when it ended"
    if node.forced and (node.has_result or node.earlier is not None):
        yield "what somebody wants to see run must have nothing that stands for its attempt"
    if node.may_repeat and node.has_result:
        yield "what has a result must not be allowed to repeat"


def _broken_in_flight(_run: Run, _name: str, node: NodeRun) -> Iterator[str]:
    if node.attempt == 0 or node.scheduled_at is None:
        yield "an attempt in flight must have a number and a time at which it was scheduled"
    if node.ended_at is not None:
        yield "an attempt in flight must not have ended"
    announced = node.started_at is not None
    if announced != (node.state is NodeState.RUNNING):
        yield "an attempt has started when it runs, and only then"


def _broken_backing_off(run: Run, name: str, node: NodeRun) -> Iterator[str]:
    if node.failures == 0 or node.reason is None:
        yield "a retry must follow a failure with a reason"
    if node.reason is not None and node.reason.kind in NOT_RETRIED:
        yield f"{node.reason.kind} must not be retried"
    if node.failures > run.graph.nodes[name].policy.retries.times:
        yield "there must be tries left"


def _broken_success(run: Run, name: str, node: NodeRun) -> Iterator[str]:
    if node.attempt == 0 or node.started_at is None:
        yield "a success must have been attempted"
    if node.reason is not None or node.error is not None:
        yield "a success must carry neither reason nor error"
    absent = [output for output in run.graph.wanted_outputs(name) if output not in node.outputs]
    # A variable that a stage binds only sometimes may not be there.
    if absent and not run.graph.nodes[name].is_stage:
        yield f"a success must have the outputs that were asked for, {absent} too"


def _broken_failure(_run: Run, _name: str, node: NodeRun) -> Iterator[str]:
    if node.reason is None or node.reason.kind not in get_args(FailureKind):
        yield "a failure must carry a reason of failure"
    if node.failures == 0:
        yield "a failure must have been counted"


def _broken_skip(_run: Run, _name: str, node: NodeRun) -> Iterator[str]:
    if node.reason is None or node.reason.kind not in get_args(SkipKind):
        yield "a skipped node must carry a reason for skipping"
    is_cached = node.reason is not None and node.reason.kind == "cached"
    if node.is_cached != is_cached:
        yield "a result of another run must be told as cached, and nothing else"
    if node.error is not None:
        yield "a skipped node must not carry an error: its reason names whose it was"


def _broken_doubt(run: Run, name: str, node: NodeRun) -> Iterator[str]:
    if not must_not_repeat(run, name):
        yield "only what must not be repeated can be in doubt"
    if node.reason is None or node.reason.kind not in get_args(LossKind):
        yield "a node in doubt must carry the reason"


def _nothing_more(_run: Run, _name: str, _node: NodeRun) -> Iterator[str]:
    return iter(())


#: What each state implies besides what holds of all.
_BY_STATE: dict[NodeState, Callable[[Run, str, NodeRun], Iterator[str]]] = {
    NodeState.WAITING: _nothing_more,
    NodeState.READY: _nothing_more,
    NodeState.QUEUED: _broken_in_flight,
    NodeState.RUNNING: _broken_in_flight,
    NodeState.BACKING_OFF: _broken_backing_off,
    NodeState.IN_DOUBT: _broken_doubt,
    NodeState.SUCCEEDED: _broken_success,
    NodeState.FAILED: _broken_failure,
    NodeState.CANCELLED: _nothing_more,
    NodeState.SKIPPED: _broken_skip,
}


def _stuck(run: Run) -> Iterator[str]:
    """Yield what would never move: a live run owes a command, or awaits a report, for each node."""
    if run.status not in (RunStatus.RUNNING, RunStatus.CANCELLING):
        if obligations(run):
            yield "a run that nobody drives must owe nothing"
        return
    owed = {getattr(command, "node", None) for command in obligations(run)}
    for name, node in run.nodes.items():
        # Of a node in doubt a person owes a decision.
        moved = node.state in IN_FLIGHT or node.state is NodeState.IN_DOUBT or name in owed
        if settled(run, name, node) or moved:
            continue
        upstream = run.graph.upstream[name]
        comes = any(not settled(run, source, run.nodes[source]) for source in upstream)
        if node.state is not NodeState.WAITING or not comes:
            yield f"node {name!r} ({node.state}): nothing will ever move it"
    if run.open == 0 and owed != {None}:
        yield "a live run without open nodes must be owed its end, and nothing else"
