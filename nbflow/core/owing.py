"""What is owed: the commands that follow from a state.

Each function only looks at the state, so that the driver of a moment ago and the one that
takes over a run find the same.
"""

from collections.abc import Iterable, Iterator

from nbflow.core import events as ev
from nbflow.core.commands import (
    CancelAttempt,
    CancelNode,
    Command,
    EndRun,
    NodeCommand,
    ScheduleRetry,
    SkipNode,
    StartAttempt,
    WaitForRetry,
)
from nbflow.core.run import NodeRun, Run, lets_pass, retry_owed, settled
from nbflow.core.states import IN_FLIGHT, LossKind, NodeState, Reason, RunStatus

#: How often in a row a node may lose its worker before that counts as its failure:
#: a node that kills every worker it meets must not take the cluster down.
MAX_LOSSES = 3


def obligations(run: Run) -> tuple[Command, ...]:
    """Return everything that `run` is owed, whoever promised it."""
    return tuple(commands_for(run, run.graph.nodes))


def still_owed(run: Run, command: Command) -> bool:
    """Whether `command` follows from the present state; events may have overtaken it."""
    if isinstance(command, EndRun):
        return command == run_command(run)
    # A change of the flow may have taken the node away.
    return command.node in run.nodes and command == _node_command(run, command.node)


def commands_for(run: Run, touched: Iterable[str]) -> Iterator[Command]:
    """Yield what `run` is owed for the nodes in `touched`, and its end if it has come."""
    for name in touched:
        owed = _node_command(run, name)
        if owed is not None:
            yield owed
    end = run_command(run)
    if end is not None:
        yield end


def run_command(run: Run) -> EndRun | None:
    """Return the end that the run has come to, once no node is open."""
    if run.open:
        return None
    if run.status is RunStatus.CANCELLING:
        return EndRun(RunStatus.CANCELLED)
    if run.status is RunStatus.RUNNING:
        return EndRun(RunStatus.FAILED if run.failed else RunStatus.SUCCEEDED)
    return None


def _node_command(run: Run, name: str) -> NodeCommand | None:
    """Return what the node is owed in its present state, if anything."""
    node = run.nodes[name]
    if run.status is RunStatus.CANCELLING:
        return _cancelling_command(run, name, node)
    if run.status is not RunStatus.RUNNING:
        return None
    match node.state:
        case NodeState.READY:
            return StartAttempt(name, node.attempt + 1)
        case NodeState.WAITING:
            return _skip_command(run, name)
        case NodeState.BACKING_OFF:
            return WaitForRetry(name, node.attempt, node.due_at or 0.0)
        case NodeState.FAILED if retry_owed(run, name, node):
            return ScheduleRetry(name, node.attempt, node.failures)
    return None


def _cancelling_command(run: Run, name: str, node: NodeRun) -> NodeCommand | None:
    if node.state in IN_FLIGHT:
        return CancelAttempt(name, node.attempt)
    return None if settled(run, name, node) else CancelNode(name)


def _skip_command(run: Run, name: str) -> SkipNode | None:
    for source in run.graph.upstream[name]:
        node = run.nodes[source]
        if settled(run, source, node) and not lets_pass(run, source, name, node):
            return SkipNode(name, _blame(source, node))
    return None


def _blame(source: str, node: NodeRun) -> Reason:
    """Say in one line why a node that stands behind `source` cannot run."""
    if node.state is NodeState.SKIPPED and node.reason is not None:
        # Name the failure itself, however long the chain of skipped nodes has become.
        return node.reason
    cause = f": {node.reason.message}" if node.reason is not None else ""
    return Reason("upstream_failed", f"{source} {node.state}{cause}")


def after_loss(
    run: Run, name: str, message: str, kind: LossKind = "worker_lost"
) -> ev.AttemptLost | ev.AttemptFailed | ev.AttemptInDoubt:
    """Return the event for an attempt that the cluster has lost.

    It runs again, unless it must not be repeated, or has lost `MAX_LOSSES` workers in a row: that
    may be its own doing, as the loss of a scheduler is not.
    """
    node = run[name]
    if run.graph.nodes[name].policy.effect == "at_most_once":
        return ev.AttemptInDoubt(name, node.attempt, Reason(kind, message))
    if kind != "worker_lost" or node.losses + 1 < MAX_LOSSES:
        return ev.AttemptLost(name, node.attempt, Reason(kind, message))
    message = f"{message} (lost its worker {MAX_LOSSES} times in a row)"
    return ev.AttemptFailed(
        name, node.attempt, Reason("worker_lost", message), started_at=node.started_at
    )
