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

from collections.abc import Iterable

import msgspec
from rpds import HashTrieMap

from nbflow.core import events as ev
from nbflow.core.changes import changed
from nbflow.core.commands import (
    CancelAttempt,
    CancelNode,
    Command,
    EndRun,
    ScheduleRetry,
    SkipNode,
    StartAttempt,
    WaitForRetry,
)
from nbflow.core.graph import Graph
from nbflow.core.owing import (
    MAX_LOSSES,
    after_loss,
    commands_for,
    obligations,
    run_command,
    still_owed,
)
from nbflow.core.run import (
    NodeRun,
    Run,
    lets_pass,
    missing_upstream,
    must_not_repeat,
    resolve_params,
    retry_owed,
    settled,
    spoils,
)
from nbflow.core.states import (
    BLOCKED,
    ENDED,
    IN_FLIGHT,
    NODE_TRANSITIONS,
    RUN_TRANSITIONS,
    UNBLOCKED,
    NodeState,
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
    "continued",
    "lets_pass",
    "obligations",
    "replay",
    "resolve_params",
    "retry_owed",
    "settled",
    "still_owed",
]


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
    nodes = {name: _new(graph, name) for name in graph.nodes}
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
        given=created.given,
        forked_from=created.forked_from,
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
    after, touched = _advanced(run, record)
    return after, tuple(commands_for(after, touched))


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
    return continued(run, iterator)


def continued(run: Run, records: Iterable[ev.Record]) -> Run:
    """Fold more of its journal into the state of a run; what follows from them is not asked.

    Raises
    ------
    IllegalTransition
        As `apply` does.
    """
    for record in records:
        run, _ = _advanced(run, record)
    return run


def _advanced(run: Run, record: ev.Record) -> tuple[Run, Iterable[str]]:
    """Return the state after `record`, and the nodes that it touched."""
    if record.seq != run.seq + 1 or record.run != run.id or record.epoch < run.epoch:
        held = f"at seq {run.seq} of epoch {run.epoch}"
        told = f"{record.type} of {record.run}, seq {record.seq}, epoch {record.epoch},"
        raise IllegalTransition(run.id, "the run", held, told)
    event = record.event
    touched: Iterable[str]
    if isinstance(event, ev.RunEvent):
        # A new driver, or a request to cancel, changes what every node is owed.
        after = _apply_to_run(run, record)
        touched = after.graph.nodes
    else:
        after, touched = _apply_to_node(run, record, event)
    return msgspec.structs.replace(after, seq=record.seq, epoch=record.epoch), touched


# --- runs -------------------------------------------------------------------------------------


def _apply_to_run(run: Run, record: ev.Record) -> Run:
    targets = RUN_TRANSITIONS[run.status].get(record.type)
    if targets is None:
        raise IllegalTransition(run.id, "the run", run.status, record.type)
    if isinstance(record.event, ev.RunEnded):
        status = record.event.status
        # Only the end that the nodes have earned: a status is never better than the truth.
        if status not in targets or run_command(run) != EndRun(status):
            held = f"{run.status} with {run.open} open and {run.failed} failed nodes"
            raise IllegalTransition(run.id, "the run", held, f"RunEnded as {status}")
        return msgspec.structs.replace(run, status=status, ended_at=record.at)
    if isinstance(record.event, ev.FlowChanged):
        return _with_flow(run, record.event)
    (status,) = targets
    return msgspec.structs.replace(run, status=status, ended_at=None)


def _with_flow(run: Run, event: ev.FlowChanged) -> Run:
    """Return the run with another definition; nodes of the same name go on as they stand."""
    in_flight = [name for name, node in run.nodes.items() if node.state in IN_FLIGHT]
    if in_flight:
        held = f"at work on {', '.join(in_flight)}"
        raise IllegalTransition(run.id, "the run", held, "FlowChanged")
    graph = Graph(event.flow)
    nodes = {name: run.nodes.get(name) or _new(graph, name) for name in graph.nodes}
    after = msgspec.structs.replace(
        run, graph=graph, params=event.params, nodes=HashTrieMap(nodes), open=0, failed=0
    )
    for name, node in nodes.items():
        held_up = node
        if not settled(after, name, node):
            held_up = _placed(msgspec.structs.replace(node, missing=missing_upstream(after, name)))
        after = msgspec.structs.replace(
            after,
            nodes=after.nodes.insert(name, held_up),
            open=after.open + (not settled(after, name, held_up)),
            failed=after.failed + spoils(after, name, held_up),
        )
    return after


def _new(graph: Graph, name: str) -> NodeRun:
    missing = len(graph.upstream[name])
    return NodeRun(state=NodeState.WAITING if missing else NodeState.READY, missing=missing)


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
    after = changed(before, state, event, record)
    if isinstance(event, ev.NodeReset):
        after = msgspec.structs.replace(after, missing=missing_upstream(run, name))
        return _hold_downstream(_put(run, name, before, _placed(after)), name, before)
    after = _placed(after)
    return _release_downstream(_put(run, name, before, after), name, after)


#: Events that begin work: not in a run that is being cancelled.
_BEGINNINGS = (
    ev.AttemptScheduled,
    ev.RetryScheduled,
    ev.NodeReset,
    ev.NodeKept,
    ev.NodeCached,
)


def _fits(run: Run, node: NodeRun, event: ev.NodeEvent) -> bool:
    """Whether `event` may happen here and now, as far as the table of states cannot say it."""
    cancelling = run.status is RunStatus.CANCELLING and not isinstance(event, _BEGINNINGS)
    if run.status is not RunStatus.RUNNING and not cancelling:
        return False
    match event:
        case ev.AttemptScheduled(attempt=attempt):
            return attempt == node.attempt + 1 and not must_not_repeat(run, event.node)
        case ev.AttemptInDoubt(attempt=attempt):
            # Of an attempt in flight, its outcome; of a ready node, whether to begin again.
            return attempt == node.attempt and must_not_repeat(run, event.node)
        case ev.NodeKept():
            return node.earlier is not None
        case ev.RetryScheduled(attempt=attempt):
            return attempt == node.attempt and retry_owed(run, event.node, node)
        case ev.NodeCancelled(attempt=attempt):
            return attempt in (0, node.attempt) and not settled(run, event.node, node)
        case ev.NodeCached():
            return not node.forced
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
    if before.state not in ENDED and after.state not in ENDED:
        return msgspec.structs.replace(run, nodes=run.nodes.insert(name, after))
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
