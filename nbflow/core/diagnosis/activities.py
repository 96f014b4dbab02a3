"""What nodes do now, in words, whether or not anything is wrong; and what they use all together."""

from collections.abc import Iterable

from nbflow.core.diagnosis import waits
from nbflow.core.diagnosis.facts import Facts, NodeFacts
from nbflow.core.expecting import Expectation, from_cells
from nbflow.core.findings import Activity, Resources
from nbflow.core.states import NodeState
from nbflow.core.usage import Usage


def activities(facts: Facts) -> tuple[Activity, ...]:
    """Return what every node that runs does now."""
    return tuple(_activity(NodeFacts(facts, name)) for name in facts.in_state(NodeState.RUNNING))


def resources(facts: Facts) -> Resources:
    """Return what all nodes that run use at present."""
    running = (NodeFacts(facts, name) for name in facts.in_state(NodeState.RUNNING))
    latest = [node.usage for node in running if node.usage is not None]
    return Resources(
        cpu_percent=round(sum(usage.cpu_percent for usage in latest), 1),
        memory_bytes=sum(usage.memory_bytes for usage in latest),
        io_wait_percent=round(max((usage.io_wait_percent for usage in latest), default=0.0), 1),
        network_bytes_per_s=_sum(usage.network_bytes_per_s for usage in latest),
        read_bytes_per_s=round(sum(usage.read_bytes_per_s for usage in latest)),
        written_bytes_per_s=round(sum(usage.written_bytes_per_s for usage in latest)),
        gpu_percent=_sum(usage.gpu_percent for usage in latest),
    )


def _activity(node: NodeFacts) -> Activity:
    expectation = _expectation(node)
    return Activity(
        node=node.name,
        text=_text(node),
        elapsed_s=round(node.elapsed_s, 3),
        cell=node.cell,
        line=None if node.frame is None else node.frame.line,
        expected_s=None if expectation is None else round(expectation.likely_s, 3),
        expected_low_s=None if expectation is None else round(expectation.low_s, 3),
        expected_high_s=None if expectation is None else round(expectation.high_s, 3),
        basis="" if expectation is None else expectation.basis,
    )


def _expectation(node: NodeFacts) -> Expectation | None:
    progress = node.progress
    if node.expectation is not None or progress is None:
        return node.expectation
    return from_cells(progress.done, progress.total, node.elapsed_s)


def _text(node: NodeFacts) -> str:
    usage: Usage | None = node.usage
    at = f" in {node.place}" if node.place else ""
    if usage is None:
        return f"runs{at}" if at else "runs"
    if usage.doing.state == "stopped":
        return f"is stopped{at}"
    if usage.doing.state == "zombie":
        return f"its kernel has ended{at}"
    return f"{waits.wait_of(node).text}{at}"


def _sum(figures: Iterable[float | None]) -> float | None:
    """Return the sum of what is known; None if nothing is."""
    known = [figure for figure in figures if figure is not None]
    return round(sum(known), 1) if known else None
