"""Nodes that have ended: why badly, where, with what in hand, and what to change; or why late."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from nbflow.core.diagnosis.facts import NodeFacts
from nbflow.core.diagnosis.words import amount, counted, span
from nbflow.core.findings import Finding, FindingKind
from nbflow.core.run import resolve_params, settled
from nbflow.core.states import NodeState
from nbflow.core.values import (
    Artifact,
    Binding,
    Fields,
    Inline,
    Items,
    NotText,
    Secret,
    SecretText,
)

#: Last lines of a traceback that evidence has, and characters of an input's value.
_TRACEBACK_LINES, _VALUE_LENGTH = 20, 200
#: Names that a finding lists.
_NAMES = 20

#: Reasons that have a kind of their own.
_KINDS: Mapping[str, FindingKind] = MappingProxyType(
    {
        "kernel_died": FindingKind.KERNEL_DEAD,
        "worker_lost": FindingKind.WORKER_LOST,
        "lost_lease": FindingKind.WORKER_LOST,
    }
)


def failed(node: NodeFacts) -> Finding | None:
    """The node has failed for good. Of a stage, the node that puts its notebook together tells."""
    if node.spec.is_stage or not settled(node.facts.run, node.name, node.node):
        return None
    reason, error = node.node.reason, node.node.error
    kind = reason.kind if reason is not None else "error"
    cell = None if error is None else error.cell
    where = f"{node.name}, cell {cell}," if cell is not None else node.name
    # A reason begins with its error in most cases; both would be told twice.
    told = reason.message if reason is not None else "it failed"
    skipped = _skipped(node)
    behind = f"; {counted(len(skipped), 'node')} behind it will not run" if skipped else ""
    ended_at = node.node.ended_at
    return node.finding(
        _KINDS.get(kind, FindingKind.FAILED),
        "failed",
        f"{where} failed: {told}{behind}",
        *_ADVICE.get(kind, _mend)(node),
        f"then go on: {node.facts.command('resume')}",
        since_s=None if ended_at is None else max(0.0, node.facts.now - ended_at),
        reason=kind,
        message=told,
        attempts=node.node.attempt,
        cell=cell,
        error=None if error is None else {"type": error.type, "message": error.message},
        traceback=[] if error is None else error.traceback.splitlines()[-_TRACEBACK_LINES:],
        inputs=_inputs(node),
        usage=_used(node),
        skipped=skipped[:_NAMES],
    )


def was_slow(node: NodeFacts) -> Finding | None:
    """The node has succeeded, and took far longer than was expected."""
    expectation, ended_at = node.expectation, node.node.ended_at
    if expectation is None or expectation.limit_s is None or ended_at is None:
        return None
    if node.node.started_at is None or node.elapsed_s <= expectation.limit_s:
        return None
    return node.finding(
        FindingKind.SLOWER_THAN_EXPECTED,
        "slow",
        f"{node.name} took {span(node.elapsed_s)}; {span(expectation.expected_s)} were expected"
        + _use(node),
        f"see what it printed, and when: {node.facts.command('logs', node.name, '--last 100')}",
        f"if it may take so long: `expected` of {node.name}",
        took_s=round(node.elapsed_s, 3),
        limit_s=round(expectation.limit_s, 3),
        basis=expectation.basis,
        usage=_used(node),
    )


def _skipped(node: NodeFacts) -> list[str]:
    """Return the nodes that will not run because of this one."""
    graph, nodes = node.facts.run.graph, node.facts.run.nodes
    found: dict[str, None] = {}
    left = [node.name]
    while left:
        for name in graph.downstream[left.pop()]:
            reason = nodes[name].reason
            is_hit = nodes[name].state is NodeState.SKIPPED and reason is not None
            if name not in found and is_hit and reason.kind == "upstream_failed":  # type: ignore[union-attr]
                found[name] = None
                left.append(name)
    return list(found)


def _inputs(node: NodeFacts) -> dict[str, Any]:
    """Return the parameters that the attempt had, in short; secrets stay references."""
    try:
        params = resolve_params(node.facts.run, node.name)
    except (KeyError, NotText):
        # That is why it failed, and its message says so.
        return {}
    return {name: _shown(value) for name, value in params.items()}


def _shown(value: Binding) -> Any:
    match value:
        case Inline(plain):
            is_long = isinstance(plain, str | list | dict) and len(str(plain)) > _VALUE_LENGTH
            return f"{str(plain)[:_VALUE_LENGTH]}…" if is_long else plain
        case Artifact():
            about = " ".join(part for part in (value.type_name, value.preview) if part)
            return f"{about or value.kind} ({amount(value.size_bytes)})"
        case Secret() | SecretText():
            return str(value)
        case Items(items):
            return [_shown(item) for item in items[:_NAMES]]
        case Fields(fields):
            return {key: _shown(item) for key, item in list(fields.items())[:_NAMES]}
        case _:
            return str(value)


def _used(node: NodeFacts) -> dict[str, Any]:
    used = node.node.usage
    if used is None:
        return {}
    return {
        "cpu_s": round(used.cpu_s, 3),
        "cpu_percent_peak": round(used.cpu_percent_peak, 1),
        "memory_bytes_peak": used.memory_bytes_peak,
        "io_wait_s": round(used.io_wait_s, 3),
        "read_bytes": used.read_bytes,
        "written_bytes": used.written_bytes,
    }


def _use(node: NodeFacts) -> str:
    """Return what tells whether it computed or waited, in words."""
    used = node.node.usage
    if used is None:
        return ""
    disks = f" and waited {span(used.io_wait_s)} for disks" if used.io_wait_s >= 1 else ""
    memory = f"; memory {amount(used.memory_bytes_peak)}" if used.memory_bytes_peak else ""
    return f". It computed for {span(used.cpu_s)}{disks}{memory}"


def _mend(node: NodeFacts) -> tuple[str, ...]:
    return (
        f"see all that it printed: {node.facts.command('logs', node.name)}",
        "mend the code or its input; what has succeeded is kept",
    )


def _timed_out(node: NodeFacts) -> tuple[str, ...]:
    return (
        f"allow more time: `timeout` of {node.name}",
        f"see how far it got: {node.facts.command('logs', node.name)}",
    )


def _out_of_memory(node: NodeFacts) -> tuple[str, ...]:
    limit = node.spec.policy.memory_bytes
    allow = f"allow more than {amount(limit)}: `memory` of {node.name}" if limit else ""
    return (
        allow,
        "fewer nodes at once: `max_concurrent`, `limits`, or fewer slots (`--workers`)",
        f"see where it was: {node.facts.command('logs', node.name)}",
    )


def _kernel_died(node: NodeFacts) -> tuple[str, ...]:
    return (
        f"see what it printed last: {node.facts.command('logs', node.name)}",
        "a crash in native code: which library was in use in that cell?",
        f"let it begin again by itself: `retries` of {node.name}",
        f"keep what long cells have brought: `checkpoint` of {node.name}",
    )


def _worker_lost(node: NodeFacts) -> tuple[str, ...]:
    return (
        "did the node end its worker (memory, a crash)? Look at the worker's log",
        f"bound it: `memory` of {node.name}",
    )


def _invalid_input(node: NodeFacts) -> tuple[str, ...]:
    return (f"mend what {node.name} receives: `params`, or the output of the node before it",)


_ADVICE: Mapping[str, Callable[[NodeFacts], tuple[str, ...]]] = MappingProxyType(
    {
        "timed_out": _timed_out,
        "out_of_memory": _out_of_memory,
        "kernel_died": _kernel_died,
        "worker_lost": _worker_lost,
        "lost_lease": _worker_lost,
        "invalid_input": _invalid_input,
    }
)
