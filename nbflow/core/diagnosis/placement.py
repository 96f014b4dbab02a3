"""Nodes that have not begun: what holds them up, and who could change that.

Waiting for other nodes is no finding, and neither is a short wait in a queue that moves.
"""

from collections.abc import Iterator

from nbflow.core.attempts import WorkerState
from nbflow.core.diagnosis.facts import SUSPECTS, NodeFacts
from nbflow.core.diagnosis.forecasts import gain_s
from nbflow.core.diagnosis.words import counted, span
from nbflow.core.findings import Finding, FindingKind
from nbflow.core.ids import groups_of
from nbflow.core.states import NodeState

#: A wait that is shorter is between two turns of the driver, or of the scheduler, in seconds.
_MOMENT_S = 1.0
#: A worker process that has died is replaced within this, in seconds.
_REPLACED_S = 3.0
#: A wait for a slot that is shorter is nothing to speak of, in seconds.
_QUEUE_S = 10.0
#: A node that waits so long while slots are free waits for something else, in seconds.
_FREE_SLOT_S = 10.0
#: How many names a finding lists.
_NAMES = 20


def no_worker(node: NodeFacts) -> Finding | None:
    """The cluster has no worker at all."""
    workers, since_s = node.facts.workers, _waiting_s(node)
    if workers is None or workers or since_s < _REPLACED_S:
        return None
    return node.finding(
        FindingKind.NO_WORKER,
        "stuck",
        f"{node.name} waits for a worker, and the cluster has none",
        "start a worker: dask worker ADDRESS (the scheduler's), or with the cluster's own means",
        f"stop here and go on with an embedded cluster: {node.facts.command('cancel')}, then "
        f"{node.facts.command('resume', '--workers 2')}",
        since_s=since_s,
        workers=0,
    )


def resources_unsatisfiable(node: NodeFacts) -> Finding | None:
    """No single worker offers the resources that the node asks for."""
    workers, wanted = node.facts.workers, node.spec.policy.resources
    if not workers or not wanted or any(_offers(worker, wanted) for worker in workers):
        return None
    offered = {name: max(worker.resources.get(name, 0.0) for worker in workers) for name in wanted}
    lacking = [name for name in wanted if offered[name] < wanted[name]]
    asked = ", ".join(f"{name}={amount:g}" for name, amount in wanted.items())
    most = ", ".join(f"{name}={amount:g}" for name, amount in offered.items())
    return node.finding(
        FindingKind.RESOURCES_UNSATISFIABLE,
        "stuck",
        f"{node.name} asks for {asked}, which none of {counted(len(workers), 'worker')} offers"
        + ("" if lacking else " at once"),
        f'start a worker that has it: dask worker ADDRESS --resources "{asked}"',
        "ask for less: `resources` of the node",
        "on an embedded cluster: "
        + " ".join(f"--worker-resource {name} {amount:g}" for name, amount in wanted.items()),
        since_s=_waiting_s(node),
        asked=wanted,
        offered=offered,
        most=most,
        workers=len(workers),
    )


def waiting_for_pool(node: NodeFacts) -> Finding | None:
    """A limit of the flow or of a group is taken up by other nodes."""
    since_s = _waiting_s(node)
    if since_s < _MOMENT_S:
        return None
    for pool, label, option, limit in _limits(node):
        holders = node.facts.holders.get(pool, [])
        if len(holders) >= limit:
            return node.finding(
                FindingKind.WAITING_FOR_POOL,
                "waiting",
                f"{node.name} waits for a place: {label} lets {counted(limit, 'node')} run at "
                f"once, which {_named(holders)} {'does' if len(holders) == 1 else 'do'} now",
                option and f"allow more at once: {option}",
                f"let it go first: `priority` of {node.name}",
                since_s=since_s,
                limit=limit,
                pool=label,
                holders=holders[:_NAMES],
            )
    return None


def paused(node: NodeFacts) -> Finding | None:
    """All workers have stopped to take tasks: mostly because their memory is full."""
    workers, since_s = node.facts.workers, _waiting_s(node)
    if not workers or since_s < _MOMENT_S or not all(worker.paused for worker in workers):
        return None
    return node.finding(
        FindingKind.MEMORY_PRESSURE,
        "stuck",
        f"{node.name} waits, and every worker is paused: Dask pauses one whose memory is full",
        "give workers more memory (dask worker --memory-limit), or more of them: `--workers`",
        since_s=since_s,
        workers=len(workers),
        memory_bytes=sum(worker.memory_bytes for worker in workers),
        memory_limit_bytes=sum(worker.memory_limit_bytes for worker in workers),
        spilled_bytes=sum(worker.spilled_bytes for worker in workers),
    )


def queued(node: NodeFacts) -> Finding | None:
    """All slots are taken; or one is free, and the cluster does not use it."""
    slots, since_s = node.facts.slots, _waiting_s(node)
    if not slots:
        return None
    running = len(node.facts.in_state(NodeState.RUNNING))
    tasks = sum(worker.tasks for worker in node.facts.workers or ())
    if max(running, tasks) >= slots and since_s >= _QUEUE_S:
        queue = node.facts.in_state(NodeState.QUEUED)
        # One answer for all that wait: the first gives it.
        gain = gain_s(node.facts, 2) if node.name == queue[0] else None
        sooner = f"; twice as many would end the run {span(gain)} sooner" if gain else ""
        others = "" if running >= slots else ", some by work that is not of this run"
        return node.finding(
            FindingKind.QUEUED,
            "waiting",
            f"{node.name} waits for one of {counted(slots, 'slot')}, which are all taken{others}; "
            f"{counted(len(queue), 'node')} in the queue",
            f"more workers: `--workers` of an embedded cluster, or start some on your own{sooner}",
            f"let it go first: `priority` of {node.name}",
            since_s=since_s,
            slots=slots,
            running=running,
            queue=len(queue),
            gain_s=None if gain is None else round(gain, 3),
        )
    if max(running, tasks) < slots and since_s >= _FREE_SLOT_S:
        return _passed_over(node, slots, running, since_s)
    return None


def backing_off(node: NodeFacts) -> Finding:
    """The node has failed, and is tried again after a delay."""
    left_s = max(0.0, (node.node.due_at or node.facts.now) - node.facts.now)
    reason = node.node.reason
    behind = _behind(node)
    return node.finding(
        FindingKind.BACKING_OFF,
        "waiting",
        f"{node.name} has failed {counted(node.node.failures, 'time')} and begins again in "
        f"{span(left_s)}" + (f"; {counted(len(behind), 'node')} behind it wait" if behind else ""),
        f"see why it failed: {node.facts.command('logs', node.name)}",
        "shorter delays: `retries` (backoff, factor, max_backoff)",
        "do not wait: "
        f"{node.facts.command('cancel')}, then {node.facts.command('resume', '--from', node.name)}",
        since_s=max(0.0, node.facts.now - (node.node.ended_at or node.facts.now)),
        left_s=round(left_s, 3),
        failures=node.node.failures,
        retries=node.spec.policy.retries.times,
        reason=None if reason is None else reason.kind,
        message="" if reason is None else reason.message,
        holds_up=behind[:_NAMES],
    )


def in_doubt(node: NodeFacts) -> Finding:
    """Only a person can say what became of the node's last attempt."""
    reason = node.node.reason
    return node.finding(
        FindingKind.IN_DOUBT,
        "stuck",
        f"{node.name} runs at most once, and nobody knows whether it did its work: it waits for "
        "your decision",
        f"look whether it did, then: {node.facts.command('resolve', node.name, '--as succeeded')} "
        "(or failed, or retry)",
        message="" if reason is None else reason.message,
        holds_up=_behind(node)[:_NAMES],
    )


def _passed_over(node: NodeFacts, slots: int, running: int, since_s: float) -> Finding:
    wanted = node.spec.policy.resources
    why = "no worker has taken it"
    if wanted:
        why = f"what it asks for is taken ({', '.join(wanted)})"
    return node.finding(
        FindingKind.QUEUED,
        "waiting",
        f"{node.name} has been with the cluster for {span(since_s)} though "
        f"{counted(slots - running, 'slot')} of {slots} are free: {why}",
        "more workers with that resource (dask worker --resources), or `resources` that ask for "
        "less"
        if wanted
        else "look at the cluster's dashboard: workers may be closing or not answer",
        since_s=since_s,
        slots=slots,
        running=running,
        resources=wanted,
    )


def _waiting_s(node: NodeFacts) -> float:
    """Return for how long the node could have run."""
    since = node.node.scheduled_at
    if node.node.state is NodeState.READY or since is None:
        run = node.facts.run
        ends = [run[source].ended_at for source in run.graph.upstream[node.name]]
        since = max([run.created_at, *(end for end in ends if end is not None)])
    return max(0.0, node.facts.now - since)


def _offers(worker: WorkerState, wanted: dict[str, float]) -> bool:
    return all(worker.resources.get(name, 0.0) >= amount for name, amount in wanted.items())


def _limits(node: NodeFacts) -> Iterator[tuple[str | None, str, str, int]]:
    """Yield the limits that hold for the node: whose, in words, the option, and the number."""
    limits = node.facts.run.graph.spec.limits
    if limits.flow is not None:
        yield None, "the flow's limit", "`max_concurrent` (limits: flow)", limits.flow
    for group in groups_of(node.name):
        if group in limits.groups:
            option = f"`limits` of the group {group!r}"
            yield group, f"the limit of group {group!r}", option, limits.groups[group]
    if node.node.losses:
        yield SUSPECTS, "caution with nodes whose worker was lost", "", 1


def _behind(node: NodeFacts) -> list[str]:
    """Return the open nodes that cannot begin before this one has succeeded."""
    graph, nodes = node.facts.run.graph, node.facts.run.nodes
    found: dict[str, None] = {}
    left = [node.name]
    while left:
        for name in graph.downstream[left.pop()]:
            if name not in found and nodes[name].state is NodeState.WAITING:
                found[name] = None
                left.append(name)
    return list(found)


def _named(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"  # noqa: PLR2004 - so many are read at a glance
