"""What would have made a run faster: the run on paper again, with more of one thing at a time.

The durations are those that were measured. First the run is replayed as it was; what that gives is
compared with one more worker, twice the workers, or without a limit. The gain is the difference of
two runs on paper, so that what paper leaves out (starting kernels, moving values) is in neither.
"""

from collections.abc import Iterator, Mapping

import msgspec

from nbflow.core.diagnosis.facts import Facts
from nbflow.core.graph import Graph
from nbflow.core.policies import Limits
from nbflow.core.replaying import Cluster, replay
from nbflow.core.run import NodeRun
from nbflow.core.values import artifacts_in


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Something that could be other, and how long the run would have taken then."""

    #: What is short: ``slots``, ``pool``, or the name of a resource.
    short: str
    #: In words, and the option that does it.
    text: str
    option: str
    took_s: float


class Scaling(msgspec.Struct, frozen=True, kw_only=True):
    """How a run spent its time, and what would have changed that."""

    #: As it was, on paper.
    took_s: float
    #: All attempts together, and all waits for a place or a slot together.
    work_s: float
    queue_s: float
    #: Bytes that nodes received from others.
    received_bytes: int
    slots: int
    #: The best first.
    changes: tuple[Change, ...]


def scaling_of(facts: Facts) -> Scaling | None:
    """Return what `facts` show of how the run could have been faster; None if it has not run."""
    run = facts.run
    seconds = durations(facts)
    if not seconds:
        return None
    slots = facts.slots or most_at_once(run.nodes)
    cluster = Cluster(slots, _capacity(facts))
    as_it_was_s = replay(run.graph, seconds, cluster).end_s
    changes = [
        msgspec.structs.replace(change, took_s=replay(graph, seconds, other).end_s)
        for change, graph, other in _variants(facts, cluster)
    ]
    return Scaling(
        took_s=as_it_was_s,
        work_s=sum(seconds.values()),
        queue_s=sum(queueing_s(run.nodes[name]) for name in seconds),
        received_bytes=_received_bytes(facts, seconds),
        slots=slots,
        changes=tuple(sorted(changes, key=lambda change: change.took_s)),
    )


def durations(facts: Facts) -> dict[str, float]:
    """Return how long the latest attempt of each node that has run took, in seconds."""
    return {
        name: max(0.0, node.ended_at - node.started_at)
        for name, node in facts.run.nodes.items()
        if node.started_at is not None and node.ended_at is not None and not node.is_cached
    }


def queueing_s(node: NodeRun) -> float:
    """Return how long a node's latest attempt lay with the cluster before it began."""
    if node.started_at is None or node.scheduled_at is None:
        return 0.0
    return max(0.0, node.started_at - node.scheduled_at)


def most_at_once(nodes: Mapping[str, NodeRun]) -> int:
    """Return how many attempts ran at once at most: the slots that were used."""
    changes: list[tuple[float, int]] = []
    for node in nodes.values():
        if node.started_at is not None and node.ended_at is not None:
            changes += [(node.started_at, 1), (node.ended_at, -1)]
    most = running = 0
    for _, change in sorted(changes):
        running += change
        most = max(most, running)
    return max(1, most)


def _variants(facts: Facts, cluster: Cluster) -> Iterator[tuple[Change, Graph, Cluster]]:
    graph = facts.run.graph
    workers = len(facts.workers or ())
    each = max(1, cluster.slots // workers) if workers else 1
    for text, slots in (
        (f"one worker more ({cluster.slots + each} slots)", cluster.slots + each),
        (f"twice the workers ({2 * cluster.slots} slots)", 2 * cluster.slots),
    ):
        share = slots / cluster.slots
        grown = {name: amount * share for name, amount in cluster.resources.items()}
        option = f"--workers {round(workers * share)}" if workers else "--workers"
        yield _change("slots", text, f"`{option}`"), graph, Cluster(slots, grown)
    if graph.spec.limits != Limits():
        spec = msgspec.structs.replace(graph.spec, limits=Limits())
        option = "`max_concurrent` and `limits`"
        yield _change("pool", "no limits of nodes at once", option), Graph(spec), cluster
    for name, amount in cluster.resources.items():
        more = Cluster(cluster.slots, {**cluster.resources, name: 2 * amount})
        yield _change(name, f"twice as much {name}", "`--worker-resource`"), graph, more


def _change(short: str, text: str, option: str) -> Change:
    return Change(short=short, text=text, option=option, took_s=0.0)


def _capacity(facts: Facts) -> dict[str, float]:
    """Return how much of each resource that nodes ask for there is, as far as workers tell."""
    asked = {name for node in facts.run.graph.nodes.values() for name in node.policy.resources}
    workers = facts.workers or ()
    return {
        name: total
        for name in sorted(asked)
        if (total := sum(worker.resources.get(name, 0.0) for worker in workers))
    }


def _received_bytes(facts: Facts, seconds: Mapping[str, float]) -> int:
    """Return the bytes of all outputs that these nodes received, each as often as it was."""
    nodes = facts.run.nodes
    received = {
        (edge.source, edge.output, edge.target)
        for edge in facts.run.graph.edges
        if edge.output is not None and edge.target in seconds
    }
    return sum(
        artifact.size_bytes
        for source, output, _ in received
        if output in nodes[source].outputs
        for artifact in artifacts_in(nodes[source].outputs[output])
    )
