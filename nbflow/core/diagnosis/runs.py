"""Findings about a run as a whole: nobody drives it; or it could have been faster."""

from nbflow.core.critical_path import critical_path
from nbflow.core.diagnosis.facts import Facts
from nbflow.core.diagnosis.scaling import Scaling, durations, scaling_of
from nbflow.core.diagnosis.words import amount, counted, span
from nbflow.core.findings import Finding, FindingKind
from nbflow.core.states import RUN_ENDED, NodeState

#: A run that takes less is fast enough, in seconds.
_LONG_S = 10.0
#: What a change must gain to be spoken of: that share of the run, and so many seconds.
_GAIN_SHARE, _GAIN_S = 0.2, 3.0
#: Bytes a second that values travel at least, between a store and a worker.
_TRANSFER_BYTES_PER_S = 200e6
#: Share of all work that transfer must have to be spoken of.
_TRANSFER_SHARE = 0.3


def driver_lost(facts: Facts) -> Finding | None:
    """The run has not ended, and nobody drives it."""
    run = facts.run
    if facts.view.driven or run.status in RUN_ENDED:
        return None
    doubtful = facts.in_state(NodeState.IN_DOUBT)
    open_now = facts.in_state(
        NodeState.READY, NodeState.QUEUED, NodeState.RUNNING, NodeState.BACKING_OFF
    )
    if doubtful and not open_now:
        # Its driver has let go in good order; it waits for a decision, and that finding says so.
        return None
    in_flight = facts.in_state(NodeState.QUEUED, NodeState.RUNNING)
    return Finding(
        node="",
        kind=FindingKind.DRIVER_LOST,
        severity="stuck",
        summary="nobody drives the run: the process that did has ended, hangs, or let go of it; "
        + (
            f"{counted(len(in_flight), 'node')} that ran then will begin again"
            if in_flight
            else "nothing that has succeeded is lost"
        ),
        evidence={"epoch": run.epoch, "open": run.open, "in_flight": in_flight[:20]},
        suggestions=(
            f"go on: {facts.command('resume')}",
            f"go on in a process of its own: {facts.command('resume', '--detach')}",
            f"or give it up: {facts.command('cancel')}",
        ),
    )


def slow_run(facts: Facts) -> Finding | None:
    """More of one thing would have made the run faster, by so much."""
    run = facts.run
    if run.status not in RUN_ENDED or run.ended_at is None or _wall_s(facts) < _LONG_S:
        return None
    scaling = scaling_of(facts)
    if scaling is None:
        return None
    worth = [change for change in scaling.changes if _is_worth(scaling, change.took_s)]
    if worth:
        return _short_of(facts, scaling)
    transfer_s = scaling.received_bytes / _TRANSFER_BYTES_PER_S
    if transfer_s >= _TRANSFER_SHARE * scaling.work_s and transfer_s >= _GAIN_S:
        return _much_transfer(facts, scaling)
    return None


def _short_of(facts: Facts, scaling: Scaling) -> Finding:
    worth = [change for change in scaling.changes if _is_worth(scaling, change.took_s)]
    best = worth[0]
    what = {"slots": "slots", "pool": "places under a limit"}.get(best.short, best.short)
    gains = [
        f"{change.option}: {change.text} would have taken {span(scaling.took_s - change.took_s)} "
        f"less of {span(scaling.took_s)}"
        for change in worth
    ]
    return Finding(
        node="",
        kind=FindingKind.SLOW_RUN,
        severity="slow",
        summary=f"the run was short of {what}: its nodes waited {span(scaling.queue_s)} in all for "
        f"{span(scaling.work_s)} of work",
        evidence={
            **_common(facts, scaling),
            "short": best.short,
            "gains": {
                change.text: round(scaling.took_s - change.took_s, 3) for change in scaling.changes
            },
        },
        suggestions=tuple(gains),
    )


def _much_transfer(facts: Facts, scaling: Scaling) -> Finding:
    return Finding(
        node="",
        kind=FindingKind.SLOW_RUN,
        severity="slow",
        summary=f"the run moved {amount(scaling.received_bytes)} between its nodes, for "
        f"{span(scaling.work_s)} of work",
        evidence={**_common(facts, scaling), "short": "transfer"},
        suggestions=(
            "hand on less: only what the next node needs, or paths of files",
            "join nodes that hand on much into one notebook",
        ),
    )


def _common(facts: Facts, scaling: Scaling) -> dict[str, object]:
    return {
        "wall_s": round(_wall_s(facts), 3),
        "work_s": round(scaling.work_s, 3),
        "queue_s": round(scaling.queue_s, 3),
        "received_bytes": scaling.received_bytes,
        "slots": scaling.slots,
        "replayed_s": round(scaling.took_s, 3),
        "critical_path": list(critical_path(facts.run.graph, durations(facts)))[:20],
    }


def _is_worth(scaling: Scaling, took_s: float) -> bool:
    gain_s = scaling.took_s - took_s
    return gain_s >= max(_GAIN_S, _GAIN_SHARE * scaling.took_s)


def _wall_s(facts: Facts) -> float:
    return (facts.run.ended_at or facts.now) - facts.run.created_at
