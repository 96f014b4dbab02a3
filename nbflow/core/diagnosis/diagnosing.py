"""The table of rules, and the diagnosis that it gives."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TypeAlias

import msgspec

from nbflow.core.diagnosis import endings, placement, running, runs
from nbflow.core.diagnosis.activities import activities, resources
from nbflow.core.diagnosis.facts import Facts, NodeFacts
from nbflow.core.diagnosis.forecasts import path, remaining
from nbflow.core.findings import Diagnosis, Finding, FindingKind, Severity
from nbflow.core.states import NodeState

NodeRule: TypeAlias = Callable[[NodeFacts], Finding | None]
RunRule: TypeAlias = Callable[[Facts], Finding | None]

#: Rules for a node in a state that only a live driver keeps true, in their order.
LIVE_RULES: Mapping[NodeState, tuple[NodeRule, ...]] = MappingProxyType(
    {
        NodeState.READY: (placement.no_worker, placement.waiting_for_pool),
        NodeState.QUEUED: (
            placement.no_worker,
            placement.resources_unsatisfiable,
            placement.paused,
            placement.queued,
        ),
        NodeState.BACKING_OFF: (placement.backing_off,),
        NodeState.RUNNING: (
            running.worker_gone,
            running.worker_lost,
            running.kernel_dead,
            running.stopped,
            running.waiting_for_input,
            running.memory_at_limit,
            running.swapping,
            running.worker_out_of_memory,
            running.deadlock,
            running.fifo_without_partner,
            running.overdue,
        ),
    }
)

#: Rules for a node in a state that lasts, whoever drives the run.
LASTING_RULES: Mapping[NodeState, tuple[NodeRule, ...]] = MappingProxyType(
    {
        NodeState.IN_DOUBT: (placement.in_doubt,),
        NodeState.FAILED: (endings.failed,),
        NodeState.SUCCEEDED: (endings.was_slow,),
    }
)

#: Rules for the run as a whole; each may speak.
RUN_RULES: tuple[RunRule, ...] = (runs.driver_lost, runs.slow_run)

#: How many findings there are at most, of one kind and of nodes in one state. Of nodes in a queue,
#: the first tells all.
_MOST: Mapping[FindingKind, int] = MappingProxyType({FindingKind.QUEUED: 1})
_MOST_OTHERS = 50

_URGENCY: Mapping[Severity, int] = MappingProxyType(
    {"stuck": 0, "failed": 1, "waiting": 2, "slow": 3}
)


def diagnose(facts: Facts) -> Diagnosis:
    """Return all that `facts` tell: findings, activities, and when the run will end."""
    findings = sorted(_findings(facts), key=lambda finding: _URGENCY[finding.severity])
    is_live = facts.view.driven
    is_stuck = any(finding.severity == "stuck" for finding in findings)
    return Diagnosis(
        run_id=facts.run.id,
        status=str(facts.status),
        findings=tuple(_bounded(findings)),
        activities=activities(facts) if is_live else (),
        resources=resources(facts),
        # What will not get on by itself has no end that could be told.
        remaining=None if is_stuck else remaining(facts),
        critical_path=path(facts),
    )


def with_logs(diagnosis: Diagnosis, logs: Mapping[str, Iterable[str]]) -> Diagnosis:
    """Return `diagnosis` with the last lines of nodes, by their names, in its findings."""
    findings = tuple(
        msgspec.structs.replace(finding, logs=tuple(logs.get(finding.node, ())))
        for finding in diagnosis.findings
    )
    return msgspec.structs.replace(diagnosis, findings=findings)


def _findings(facts: Facts) -> Iterator[Finding]:
    for run_rule in RUN_RULES:
        about_run = run_rule(facts)
        if about_run is not None:
            yield about_run
    for state, rules in _rules(facts).items():
        found = (_first(rules, NodeFacts(facts, name)) for name in facts.in_state(state))
        spoken = (finding for finding in found if finding is not None)
        # Thousands may wait for the same thing. Who has listened to so many need not hear the rest.
        yield from itertools.islice(spoken, _MOST_OTHERS)


def _rules(facts: Facts) -> Mapping[NodeState, tuple[NodeRule, ...]]:
    return {**LASTING_RULES, **LIVE_RULES} if facts.view.driven else LASTING_RULES


def _first(rules: Iterable[NodeRule], node: NodeFacts) -> Finding | None:
    found = (rule(node) for rule in rules)
    return next((each for each in found if each is not None), None)


def _bounded(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield so many findings of each kind that a person can read them."""
    seen: Counter[FindingKind] = Counter()
    for finding in findings:
        seen[finding.kind] += 1
        if seen[finding.kind] <= _MOST.get(finding.kind, _MOST_OTHERS):
            yield finding
