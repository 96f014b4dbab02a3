"""The machine: events in, state and commands out.

`apply(run, record)` returns the next state and the commands that follow from
it. It is pure: the state it was given is never changed, and neither clock nor chance is
consulted. Replay of a journal uses the same function as life does.

Commands are not a second source of truth. Each is an *obligation* that can be
read off the state alone (`obligations`): a ready node must be started, a
failed one with tries left must be given a timer, and so on. `apply` returns
those of the nodes it touched; a driver that takes over a run asks for those of all
nodes and finds exactly what its predecessor still owed.

Legality is the table in `states`, and what no table can say (`_fits`): an event must speak
of the current attempt, a retry needs tries left, work begins only in a running run.
An illegal event raises `IllegalTransition` and leaves the state as it was.
"""

from collections.abc import Iterable, Iterator

import msgspec
from rpds import HashTrieMap

from nbflow.core import events as ev
from nbflow.core.changes import changed
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
from nbflow.core.graph import Graph
from nbflow.core.run import (
    NodeRun,
    Run,
    lets_pass,
    missing_upstream,
    resolve_params,
    retry_owed,
    settled,
    spoils,
)
from nbflow.core.states import (
    BLOCKED,
    IN_FLIGHT,
    NODE_TRANSITIONS,
    RUN_TRANSITIONS,
    UNBLOCKED,
    NodeState,
    Reason,
    RunStatus,
)

__all__ = [
    "MAX_LOSSES",
    "CancelAttempt",
    "CancelNode",
    "Command",
    "EndRun",
    "IllegalTransition",
    "NodeRun",
    "Run",
    "ScheduleRetry",
    "SkipNode",
    "StartAttempt",
    "WaitForRetry",
    "after_loss",
    "apply",
    "begin",
    "lets_pass",
    "obligations",
    "replay",
    "resolve_params",
    "retry_owed",
    "settled",
    "still_owed",
]

#: How often in a row a node may lose its worker before that counts as its failure:
#: a node that kills every worker it meets must not take the cluster down.
MAX_LOSSES = 3


class IllegalTransition(Exception):
    """An event does not fit the state. `place` is the node, or the run itself."""

    def __init__(self, run: str, place: str, state: str, trigger: str) -> None:
        super().__init__(f"run {run}: {place} is {state}, which {trigger} cannot change")
        self.place = place
        self.state = state
        self.trigger = trigger


def begin(record: ev.Record) -> tuple[Run, tuple[Command, ...]]:
    """Return the state after the first record of a journal.

    Raises
    ------
    IllegalTransition
        If it is not `RunCreated`, or not the first of its sequence.
    """
    created = record.event
    if not isinstance(created, ev.RunCreated) or record.seq != 1:
        trigger = f"{record.type} at seq {record.seq}"
        raise IllegalTransition(record.run, "the run", "not created", trigger)
    graph = Graph(created.flow)
    nodes = {
        name: NodeRun(
            state=NodeState.WAITING if sources else NodeState.READY,
            missing=len(sources),
        )
        for name, sources in graph.upstream.items()
    }
    run = Run(
        id=record.run,
        graph=graph,
        params=created.params,
        status=RunStatus.SUBMITTED,
        nodes=HashTrieMap(nodes),
        open=len(nodes),
        seq=record.seq,
        epoch=record.epoch,
        created_at=record.at,
        output_dir=created.output_dir,
    )
    return run, ()


def apply(run: Run, record: ev.Record) -> tuple[Run, tuple[Command, ...]]:
    """Return the state after `record`, and the commands for the nodes that it touched.

    Raises
    ------
    IllegalTransition
        If the table has no such transition, the record is not the next of the
        run's sequence, its driver has been replaced, or it speaks of another
        attempt than the current one.
    """
    if record.seq != run.seq + 1 or record.run != run.id or record.epoch < run.epoch:
        held = f"at seq {run.seq} of epoch {run.epoch}"
        told = f"{record.type} of {record.run}, seq {record.seq}, epoch {record.epoch},"
        raise IllegalTransition(run.id, "the run", held, told)
    event = record.event
    touched: Iterable[str]
    if isinstance(event, ev.RunEvent):
        # A new driver, or a request to cancel, changes what every node is owed.
        after, touched = _apply_to_run(run, record), run.graph.nodes
    else:
        after, touched = _apply_to_node(run, record, event)
    after = msgspec.structs.replace(after, seq=record.seq, epoch=record.epoch)
    return after, tuple(_commands(after, touched))


def replay(records: Iterable[ev.Record]) -> Run:
    """Fold a whole journal into its state.

    Raises
    ------
    IllegalTransition
        As `apply` does; ``ValueError`` if there are no records.
    """
    iterator = iter(records)
    first = next(iterator, None)
    if first is None:
        raise ValueError("a journal without records has no state")
    run, _ = begin(first)
    for record in iterator:
        run, _ = apply(run, record)
    return run


def obligations(run: Run) -> tuple[Command, ...]:
    """Return everything that `run` is owed, whoever promised it."""
    return tuple(_commands(run, run.graph.nodes))


def still_owed(run: Run, command: Command) -> bool:
    """Whether `command` follows from the present state; events may have overtaken it."""
    if isinstance(command, EndRun):
        return command == _run_command(run)
    return command == _node_command(run, command.node)


def after_loss(run: Run, name: str, message: str) -> ev.AttemptLost | ev.AttemptFailed:
    """Return the event for an attempt whose worker is gone: it runs again, up to `MAX_LOSSES`."""
    node = run[name]
    if node.losses + 1 < MAX_LOSSES:
        return ev.AttemptLost(name, node.attempt, Reason("worker_lost", message))
    message = f"{message} (lost its worker {MAX_LOSSES} times in a row)"
    return ev.AttemptFailed(
        name, node.attempt, Reason("worker_lost", message), started_at=node.started_at
    )


# --- what is owed -----------------------------------------------------------------------------


def _commands(run: Run, touched: Iterable[str]) -> Iterator[Command]:
    for name in touched:
        owed = _node_command(run, name)
        if owed is not None:
            yield owed
    end = _run_command(run)
    if end is not None:
        yield end


def _run_command(run: Run) -> EndRun | None:
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


# --- runs -------------------------------------------------------------------------------------


def _apply_to_run(run: Run, record: ev.Record) -> Run:
    targets = RUN_TRANSITIONS[run.status].get(record.type)
    if targets is None:
        raise IllegalTransition(run.id, "the run", run.status, record.type)
    if isinstance(record.event, ev.RunEnded):
        status = record.event.status
        # Only the end that the nodes have earned: a status is never better than the truth.
        if status not in targets or _run_command(run) != EndRun(status):
            held = f"{run.status} with {run.open} open and {run.failed} failed nodes"
            raise IllegalTransition(run.id, "the run", held, f"RunEnded as {status}")
        return msgspec.structs.replace(run, status=status, ended_at=record.at)
    (status,) = targets
    return msgspec.structs.replace(run, status=status, ended_at=None)


# --- nodes ------------------------------------------------------------------------------------


def _apply_to_node(run: Run, record: ev.Record, event: ev.NodeEvent) -> tuple[Run, tuple[str, ...]]:
    name = event.node
    before = run.nodes.get(name)
    if before is None:
        raise IllegalTransition(run.id, f"node {name!r}", "not in the flow", record.type)
    state = NODE_TRANSITIONS[before.state].get(record.type)
    if state is None or not _fits(run, before, event):
        held = f"{before.state} (attempt {before.attempt}) in a {run.status} run"
        raise IllegalTransition(run.id, f"node {name!r}", held, _story_of(event))
    after = changed(before, state, event, record.at)
    if isinstance(event, ev.NodeReset):
        after = msgspec.structs.replace(after, missing=missing_upstream(run, name))
        return _hold_downstream(_put(run, name, before, _placed(after)), name, before)
    after = _placed(after)
    return _release_downstream(_put(run, name, before, after), name, after)


#: Events that begin work: not in a run that is being cancelled.
_BEGINNINGS = (ev.AttemptScheduled, ev.RetryScheduled, ev.NodeReset)


def _fits(run: Run, node: NodeRun, event: ev.NodeEvent) -> bool:
    """Whether `event` may happen here and now, as far as the table of states cannot say it."""
    cancelling = run.status is RunStatus.CANCELLING and not isinstance(event, _BEGINNINGS)
    if run.status is not RunStatus.RUNNING and not cancelling:
        return False
    match event:
        case ev.AttemptScheduled(attempt=attempt):
            return attempt == node.attempt + 1
        case ev.RetryScheduled(attempt=attempt):
            return attempt == node.attempt and retry_owed(run, event.node, node)
        case ev.NodeCancelled(attempt=attempt):
            return attempt in (0, node.attempt) and not settled(run, event.node, node)
        case ev.NodeSkipped() | ev.NodeReset():
            return True
    return event.attempt == node.attempt


def _story_of(event: ev.NodeEvent) -> str:
    attempt = getattr(event, "attempt", None)
    return type(event).__name__ + (f" of attempt {attempt}" if attempt else "")


def _placed(node: NodeRun) -> NodeRun:
    """Make a node that holds no attempt ready if nothing holds it up, and waiting otherwise.

    Whatever brings a node back (a reset, a loss, a due retry), it does not
    start before those it waits for: one of them may have been reset meanwhile.
    """
    if node.state is NodeState.WAITING and not node.missing:
        trigger = UNBLOCKED
    elif node.state is NodeState.READY and node.missing:
        trigger = BLOCKED
    else:
        return node
    return msgspec.structs.replace(node, state=NODE_TRANSITIONS[node.state][trigger])


def _put(run: Run, name: str, before: NodeRun, after: NodeRun) -> Run:
    """Store `after`, and keep the two counters true."""
    was_open, is_open = not settled(run, name, before), not settled(run, name, after)
    return msgspec.structs.replace(
        run,
        nodes=run.nodes.insert(name, after),
        open=run.open + is_open - was_open,
        failed=run.failed + spoils(run, name, after) - spoils(run, name, before),
    )


def _release_downstream(run: Run, name: str, node: NodeRun) -> tuple[Run, tuple[str, ...]]:
    """Let pass, or name for skipping, whoever waits for a node that has just changed."""
    if not settled(run, name, node):
        return run, (name,)
    touched = [name]
    for target in run.graph.downstream[name]:
        held = run.nodes[target]
        if settled(run, target, held):
            continue
        if not lets_pass(run, name, target, node):
            touched.append(target)
            continue
        run = _put_missing(run, target, held, held.missing - 1)
        # Who still waits is not looked at: a node behind thousands would be, thousands of times.
        if run.nodes[target].state is not held.state:
            touched.append(target)
    return run, tuple(touched)


def _hold_downstream(run: Run, name: str, before: NodeRun) -> tuple[Run, tuple[str, ...]]:
    """Hold up again whoever a node had let pass that has just been reset."""
    touched = [name]
    for target in run.graph.downstream[name]:
        held = run.nodes[target]
        if settled(run, target, held):
            continue
        if lets_pass(run, name, target, before):
            run = _put_missing(run, target, held, held.missing + 1)
        else:
            # It may have been about to be skipped for this node, and now for another one.
            touched.append(target)
    return run, tuple(touched)


def _put_missing(run: Run, name: str, before: NodeRun, missing: int) -> Run:
    return _put(run, name, before, _placed(msgspec.structs.replace(before, missing=missing)))
