"""The state diagrams, drawn from the very tables that the machine obeys."""

from collections.abc import Iterable

from nbflow.core.states import (
    ENDED,
    NODE_TRANSITIONS,
    RUN_ENDED,
    RUN_TRANSITIONS,
    NodeState,
    RunStatus,
)


def state_diagram() -> str:
    """Return a Mermaid ``stateDiagram-v2`` with the states of a node run and of a run."""
    node_arrows = (
        (f"node_{state}", trigger, f"node_{target}")
        for state, row in NODE_TRANSITIONS.items()
        for trigger, target in row.items()
    )
    run_arrows = (
        (f"run_{status}", trigger, f"run_{target}")
        for status, row in RUN_TRANSITIONS.items()
        for trigger, targets in row.items()
        for target in sorted(targets)
    )
    lines = ["stateDiagram-v2"]
    lines += _machine("node", NODE_TRANSITIONS, node_arrows, ENDED)
    lines += _machine("run", RUN_TRANSITIONS, run_arrows, RUN_ENDED)
    return "\n".join(lines) + "\n"


def _machine(
    prefix: str,
    states: Iterable[NodeState | RunStatus],
    arrows: Iterable[tuple[str, str, str]],
    ended: Iterable[NodeState | RunStatus],
) -> list[str]:
    # Both machines have a "running": ids carry a prefix, and what is shown is the state's own word.
    names = list(states)
    lines = [f"    state {prefix} {{"]
    lines += [f'        state "{state}" as {prefix}_{state}' for state in names]
    lines.append(f"        [*] --> {prefix}_{names[0]}")
    lines += [
        f"        {source} --> {target}: {', '.join(triggers)}"
        for (source, target), triggers in _merged(arrows).items()
    ]
    lines += [f"        {prefix}_{state} --> [*]" for state in names if state in ended]
    return [*lines, "    }"]


def _merged(arrows: Iterable[tuple[str, str, str]]) -> dict[tuple[str, str], list[str]]:
    """Put the triggers that lead from one state to the same other on one arrow."""
    merged: dict[tuple[str, str], list[str]] = {}
    for source, trigger, target in arrows:
        merged.setdefault((source, target), []).append(trigger)
    return merged
