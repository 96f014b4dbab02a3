"""The machine: events in, state and commands out.

`apply(run, record)` returns the next state and the commands that follow from
it. It is pure: the state it was given is never changed (node runs live in a
persistent map, so a step copies a few tree nodes and not ten thousand
entries), and neither clock nor chance is consulted. Replay of a journal uses
the same function as life does, and every snapshot may be handed to other threads.

Commands are not a second source of truth. Each is an *obligation* that can be
read off the state alone (`obligations`): a ready node must be started, a
failed one with tries left must be given a timer, and so on. `apply` returns
those of the nodes it touched; a driver that takes over a run asks for those of all
nodes and finds exactly what its predecessor still owed.

An illegal event raises `IllegalTransition` and leaves the state as it was.
"""

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import msgspec
from rpds import HashTrieMap

from nbflow.core import events as ev
from nbflow.core.graph import Graph
from nbflow.core.states import (
    BLOCKED,
    ENDED,
    IN_FLIGHT,
    NODE_TRANSITIONS,
    NOT_RETRIED,
    RUN_TRANSITIONS,
    UNBLOCKED,
    NodeState,
    Reason,
    RunStatus,
)
from nbflow.core.values import Artifact, FromOutput, Value, resolve

#: How often in a row a node may lose its worker before that counts as its failure:
#: a node that kills every worker it meets must not take the cluster down.
MAX_LOSSES = 3


class NodeRun(msgspec.Struct, frozen=True):
    """One node within one run."""

    state: NodeState
    #: Distinct upstream nodes that have not let this node pass yet.
    missing: int
    #: The number of the latest attempt; 0 before the first.
    attempt: int = 0
    #: Failed attempts since the node was last reset.
    failures: int = 0
    #: Workers lost in a row.
    losses: int = 0
    reason: Reason | None = None
    error: ev.ErrorInfo | None = None
    outputs: dict[str, Value] = {}
    notebook: Artifact | None = None
    log: Artifact | None = None
    worker: str = ""
    scheduled_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    #: When the next attempt may start, while backing off.
    due_at: float | None = None


class Run(msgspec.Struct, frozen=True):
    """The state of a run: a fold of its journal."""

    id: str
    graph: Graph
    params: dict[str, Value]
    status: RunStatus
    nodes: "HashTrieMap[str, NodeRun]"
    #: Nodes that are not settled: they, or the driver, have something left to do.
    open: int
    seq: int
    epoch: int
    created_at: float
    output_dir: str
    #: Nodes that are settled as failed.
    failed: int = 0
    ended_at: float | None = None

    def __getitem__(self, node: str) -> NodeRun:
        return self.nodes[node]


class StartAttempt(msgspec.Struct, frozen=True):
    """Schedule the attempt as soon as the limits allow, then hand it to the cluster."""

    node: str
    attempt: int


class CancelAttempt(msgspec.Struct, frozen=True):
    """Stop an attempt that is with the cluster."""

    node: str
    attempt: int


class CancelNode(msgspec.Struct, frozen=True):
    """Record that a node that is not with the cluster is cancelled."""

    node: str


class SkipNode(msgspec.Struct, frozen=True):
    """Record that a node cannot run."""

    node: str
    reason: Reason


class ScheduleRetry(msgspec.Struct, frozen=True):
    """Record when the next attempt of a failed node is due."""

    node: str
    attempt: int
    failures: int


class WaitForRetry(msgspec.Struct, frozen=True):
    """Set a timer, and record `RetryDue` when it fires."""

    node: str
    attempt: int
    due_at: float


class EndRun(msgspec.Struct, frozen=True):
    """Record that the run has ended."""

    status: RunStatus


Command: TypeAlias = (
    StartAttempt | CancelAttempt | CancelNode | SkipNode | ScheduleRetry | WaitForRetry | EndRun
)


class IllegalTransition(Exception):
    """An event does not fit the state. `place` is the node, or the run itself."""

    def __init__(self, run: str, place: str, state: str, trigger: str) -> None:
        super().__init__(f"run {run}: {place} is {state}, which {trigger} cannot change")
        self.place = place
        self.state = state
        self.trigger = trigger


def begin(record: ev.Record) -> tuple[Run, tuple[Command, ...]]:
    """Return the state after the first record of a journal, which must be `RunCreated`."""
    created = record.event
    if not isinstance(created, ev.RunCreated):
        raise IllegalTransition(record.run, "the run", "not created", record.type)
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
        run's sequence, or it speaks of another attempt than the current one.
    """
    if record.seq != run.seq + 1 or record.run != run.id:
        raise IllegalTransition(
            run.id, "the run", f"at seq {run.seq}", f"{record.type} of {record.run}#{record.seq}"
        )
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


def retry_owed(run: Run, name: str, node: NodeRun) -> bool:
    """Whether a failed node has tries left."""
    return (
        node.state is NodeState.FAILED
        and (node.reason is None or node.reason.kind not in NOT_RETRIED)
        and node.failures <= run.graph.nodes[name].policy.retries.times
    )


def settled(run: Run, name: str, node: NodeRun) -> bool:
    """Whether `node` has ended and nothing will start it again within this run."""
    return node.state in ENDED and not retry_owed(run, name, node)


def lets_pass(run: Run, source: str, target: str, node: NodeRun) -> bool:
    """Whether `source`, which stands as `node`, no longer holds up `target`.

    A success does. So does a failed or skipped node that is declared
    `continue_on_failure`, but only for nodes that merely come after it: whoever wants
    its output cannot have it.
    """
    if node.state is NodeState.SUCCEEDED:
        return True
    if node.state is NodeState.FAILED or node.state is NodeState.SKIPPED:
        return (
            run.graph.nodes[source].policy.continue_on_failure
            and (source, target) not in run.graph.data_pairs
            and settled(run, source, node)
        )
    return False


def after_loss(run: Run, name: str, message: str) -> ev.AttemptLost | ev.AttemptFailed:
    """Return the event for an attempt whose worker is gone: it runs again, up to `MAX_LOSSES`."""
    node = run[name]
    reason = Reason("worker_lost", message)
    if node.losses + 1 < MAX_LOSSES:
        return ev.AttemptLost(name, node.attempt, reason)
    message = f"{message} (lost its worker {MAX_LOSSES} times in a row)"
    return ev.AttemptFailed(
        name, node.attempt, Reason("worker_lost", message), started_at=node.started_at
    )


def resolve_params(run: Run, node: str) -> dict[str, Value]:
    """Return the parameters of `node` with every reference replaced by its value.

    Raises
    ------
    KeyError
        If an output that a parameter refers to does not exist (its key is the reference).
    nbflow.core.values.NotText
        If a text refers to something that is not a plain scalar.
    """

    def output(reference: FromOutput) -> Value:
        outputs = run[reference.node].outputs
        if reference.output not in outputs:
            raise KeyError(reference)
        return outputs[reference.output]

    bindings = run.graph.nodes[node].params
    return {name: resolve(binding, run.params, output) for name, binding in bindings.items()}


# --- runs -------------------------------------------------------------------------------------


def _apply_to_run(run: Run, record: ev.Record) -> Run:
    targets = RUN_TRANSITIONS[run.status].get(record.type)
    if targets is None:
        raise IllegalTransition(run.id, "the run", run.status, record.type)
    if isinstance(record.event, ev.RunEnded):
        status = record.event.status
        if status not in targets or run.open:
            raise IllegalTransition(
                run.id, "the run", f"{run.status} with {run.open} open nodes", f"end as {status}"
            )
        return msgspec.structs.replace(run, status=status, ended_at=record.at)
    (status,) = targets
    return msgspec.structs.replace(run, status=status, ended_at=None)


def _commands(run: Run, touched: Iterable[str]) -> Iterator[Command]:
    if run.status is not RunStatus.RUNNING and run.status is not RunStatus.CANCELLING:
        return
    for name in touched:
        command = _node_command(run, name, run.nodes[name])
        if command is not None:
            yield command
    if run.open == 0:
        if run.status is RunStatus.CANCELLING:
            yield EndRun(RunStatus.CANCELLED)
        else:
            yield EndRun(RunStatus.FAILED if run.failed else RunStatus.SUCCEEDED)


# --- nodes ------------------------------------------------------------------------------------


def _node_command(run: Run, name: str, node: NodeRun) -> Command | None:
    """Return what the node is owed in its present state, if anything."""
    state = node.state
    if retry_owed(run, name, node):
        return ScheduleRetry(name, node.attempt, node.failures)
    if run.status is RunStatus.CANCELLING:
        if state in IN_FLIGHT:
            return CancelAttempt(name, node.attempt)
        return None if state in ENDED else CancelNode(name)
    if state is NodeState.READY:
        return StartAttempt(name, node.attempt + 1)
    if state is NodeState.BACKING_OFF:
        return WaitForRetry(name, node.attempt, node.due_at or 0.0)
    if state is NodeState.WAITING:
        return _skip_command(run, name)
    return None


def _skip_command(run: Run, name: str) -> SkipNode | None:
    for source in run.graph.upstream[name]:
        node = run.nodes[source]
        if settled(run, source, node) and not lets_pass(run, source, name, node):
            return SkipNode(name, Reason("upstream_failed", _blame(source, node)))
    return None


def _blame(source: str, node: NodeRun) -> str:
    """Say in one line why a node that stands behind `source` cannot run."""
    if node.state is NodeState.SKIPPED and node.reason is not None:
        # Name the failure itself, however long the chain of skipped nodes has become.
        return node.reason.message
    cause = f": {node.reason.message}" if node.reason is not None else ""
    return f"{source} {node.state}{cause}"


def _apply_to_node(run: Run, record: ev.Record, event: ev.NodeEvent) -> tuple[Run, tuple[str, ...]]:
    name = event.node
    before = run.nodes.get(name)
    if before is None:
        raise IllegalTransition(run.id, f"node {name!r}", "not in the flow", record.type)
    state = NODE_TRANSITIONS[before.state].get(record.type)
    if state is None or not _speaks_of_current_attempt(before, event):
        held = f"{before.state} (attempt {before.attempt})"
        raise IllegalTransition(run.id, f"node {name!r}", held, _story_of(event))
    after = msgspec.structs.replace(before, state=state, **_changes(before, record, event))
    if isinstance(event, ev.NodeReset):
        return _reset(run, name, before, after)
    changed = _put(run, name, before, after)
    return _release_downstream(changed, name, after)


def _speaks_of_current_attempt(node: NodeRun, event: ev.NodeEvent) -> bool:
    match event:
        case ev.AttemptScheduled(attempt=attempt):
            return attempt == node.attempt + 1
        case ev.NodeCancelled(attempt=attempt):
            return attempt in (0, node.attempt)
        case ev.NodeSkipped() | ev.NodeReset():
            return True
        case _:
            return event.attempt == node.attempt


def _story_of(event: ev.NodeEvent) -> str:
    attempt = getattr(event, "attempt", None)
    return type(event).__name__ + (f" of attempt {attempt}" if attempt else "")


def _changes(node: NodeRun, record: ev.Record, event: ev.NodeEvent) -> dict[str, Any]:
    """Return the fields of the node run, besides its state, that `event` sets."""
    match event:
        case ev.AttemptScheduled():
            return {
                "attempt": event.attempt,
                "scheduled_at": record.at,
                "started_at": None,
                "ended_at": None,
                "due_at": None,
                "worker": "",
            }
        case ev.AttemptStarted():
            return {"started_at": event.started_at, "worker": event.worker}
        case ev.AttemptSucceeded():
            return {
                "started_at": event.started_at,
                "ended_at": event.ended_at,
                "outputs": event.outputs,
                "notebook": event.notebook,
                "log": event.log,
                "reason": None,
                "error": None,
                "losses": 0,
            }
        case ev.AttemptFailed():
            return {
                "started_at": event.started_at or node.started_at,
                "ended_at": event.ended_at or record.at,
                "outputs": event.outputs,
                "notebook": event.notebook or node.notebook,
                "log": event.log,
                "reason": event.reason,
                "error": event.error,
                "failures": node.failures + 1,
                "losses": 0,
            }
        case ev.AttemptLost():
            lost_worker = event.reason.kind == "worker_lost"
            return {
                "reason": event.reason,
                "notebook": event.notebook or node.notebook,
                "losses": node.losses + 1 if lost_worker else node.losses,
            }
        case ev.RetryScheduled():
            return {"due_at": event.due_at}
        case ev.RetryDue():
            return {"due_at": None}
        case ev.NodeSkipped():
            return {"reason": event.reason, "ended_at": record.at}
        case ev.NodeCancelled():
            return {"ended_at": record.at, "notebook": event.notebook or node.notebook}
        case ev.NodeReset():
            return {"failures": 0, "losses": 0, "reason": None, "error": None, "ended_at": None}


def _put(run: Run, name: str, before: NodeRun, after: NodeRun) -> Run:
    """Store `after`, and keep the two counters true."""
    was, now = settled(run, name, before), settled(run, name, after)
    failed_before = was and before.state is NodeState.FAILED
    failed_now = now and after.state is NodeState.FAILED
    return msgspec.structs.replace(
        run,
        nodes=run.nodes.insert(name, after),
        open=run.open + was - now,
        failed=run.failed - failed_before + failed_now,
    )


def _release_downstream(run: Run, name: str, node: NodeRun) -> tuple[Run, tuple[str, ...]]:
    """Let pass, or name for skipping, whoever waits for a node that has just changed."""
    if not settled(run, name, node):
        return run, (name,)
    touched = [name]
    for target in run.graph.downstream[name]:
        waiting = run.nodes[target]
        if waiting.state is not NodeState.WAITING:
            continue
        if not lets_pass(run, name, target, node):
            touched.append(target)
            continue
        after = msgspec.structs.replace(waiting, missing=waiting.missing - 1)
        if after.missing == 0:
            after = _unblocked(after)
            touched.append(target)
        run = _put(run, target, waiting, after)
    return run, tuple(touched)


def _unblocked(node: NodeRun) -> NodeRun:
    return msgspec.structs.replace(node, state=NODE_TRANSITIONS[node.state][UNBLOCKED])


def _reset(run: Run, name: str, before: NodeRun, after: NodeRun) -> tuple[Run, tuple[str, ...]]:
    """Put a node back to waiting; whoever it had let pass, and has not begun, waits again."""
    upstream = run.graph.upstream[name]
    missing = sum(not lets_pass(run, source, name, run.nodes[source]) for source in upstream)
    after = msgspec.structs.replace(after, missing=missing)
    if missing == 0:
        after = _unblocked(after)
    passed = [
        target
        for target in run.graph.downstream[name]
        if lets_pass(run, name, target, before)
        and run.nodes[target].state in (NodeState.WAITING, NodeState.READY)
    ]
    run = _put(run, name, before, after)
    for target in passed:
        held = run.nodes[target]
        state = NODE_TRANSITIONS[held.state].get(BLOCKED, held.state)
        blocked = msgspec.structs.replace(held, state=state, missing=held.missing + 1)
        run = _put(run, target, held, blocked)
    return run, (name,)
