"""When a run will end, and which chain of nodes decides that.

What is left is replayed on paper with what is expected of each node: once with the likely figures,
once with the low and once with the high ends of their ranges. All nodes at the same end of their
ranges is not four times in five, so the range is drawn in by the root of the number of nodes
that follow each other: their deviations cancel out as far as they are independent.
"""

import math
from collections.abc import Callable
from statistics import median

from nbflow.core.critical_path import critical_path
from nbflow.core.diagnosis.facts import Facts
from nbflow.core.diagnosis.scaling import durations
from nbflow.core.expecting import Expectation
from nbflow.core.findings import Remaining
from nbflow.core.replaying import Cluster, replay
from nbflow.core.states import NodeState, RunStatus

#: States of nodes that are yet to end by themselves.
_AHEAD = (
    NodeState.WAITING,
    NodeState.READY,
    NodeState.QUEUED,
    NodeState.RUNNING,
    NodeState.BACKING_OFF,
)

#: Nodes up to which all three are replayed. Of more, the ends of the range are in proportion.
_REPLAYED_THRICE = 500

#: What a node that is beyond its range may still take, as shares of what it has taken.
_LATE_LIKELY, _LATE_HIGH = 0.25, 1.0


def remaining(facts: Facts) -> Remaining | None:
    """Return the time to the end; None if it has ended, nobody drives it, or little is known."""
    if facts.run.status is not RunStatus.RUNNING or not facts.view.driven:
        return None
    if facts.in_state(NodeState.IN_DOUBT):
        return None  # It waits for a person.
    ahead = facts.in_state(*_AHEAD)
    expected = _with_guesses(facts, ahead)
    if expected is None:
        return None
    running = facts.in_state(NodeState.RUNNING)
    cluster = Cluster(facts.slots or max(1, len(running)))

    def left_s(of: Callable[[Expectation, float], float]) -> dict[str, float]:
        return {name: _left_s(facts, name, expected[name], of) for name in ahead}

    likely = left_s(_likely)
    replayed = replay(facts.run.graph, likely, cluster, running)
    likely_s = replayed.end_s

    def end_s(seconds: dict[str, float]) -> float:
        if len(ahead) > _REPLAYED_THRICE:
            return likely_s * sum(seconds.values()) / max(1e-3, sum(likely.values()))
        return replay(facts.run.graph, seconds, cluster, running).end_s

    low_s, high_s = end_s(left_s(_low)), end_s(left_s(_high))
    drawn_in = math.sqrt(max(1, len(replayed.chain)))
    return Remaining(
        likely_s=round(likely_s, 3),
        low_s=round(likely_s - (likely_s - min(low_s, likely_s)) / drawn_in, 3),
        high_s=round(likely_s + (max(high_s, likely_s) - likely_s) / drawn_in, 3),
    )


def gain_s(facts: Facts, times: int) -> float | None:
    """Return how much sooner the run would end with so many times its slots; None if unknown."""
    ahead = facts.in_state(*_AHEAD)
    expected, slots = _with_guesses(facts, ahead), facts.slots
    if expected is None or not slots or len(ahead) > _REPLAYED_THRICE:
        return None
    seconds = {name: _left_s(facts, name, expected[name], _likely) for name in ahead}
    running = facts.in_state(NodeState.RUNNING)
    now_s, then_s = (
        replay(facts.run.graph, seconds, Cluster(count), running).end_s
        for count in (slots, times * slots)
    )
    return now_s - then_s


def path(facts: Facts) -> tuple[str, ...]:
    """Return the critical path: by real durations where nodes have ended, else by expected ones."""
    seconds = durations(facts)
    for name in facts.in_state(*_AHEAD):
        expectation = facts.expected.get(name)
        likely_s = 0.0 if expectation is None else expectation.likely_s
        seconds[name] = max(
            likely_s, NodeState.RUNNING is facts.run[name].state and _elapsed_s(facts, name)
        )
    return critical_path(facts.run.graph, seconds)


def _with_guesses(facts: Facts, ahead: list[str]) -> dict[str, Expectation] | None:
    """Return what is expected of each node ahead; the middle of all others where nothing is."""
    known = {name: facts.expected[name] for name in ahead if name in facts.expected}
    ended = list(durations(facts).values())
    likely = ended + [each.likely_s for each in facts.expected.values()]
    if not likely:
        return None
    middle = median(likely)
    guess = Expectation(
        basis="cells", expected_s=middle, likely_s=middle, low_s=middle / 3, high_s=middle * 3
    )
    return {name: known.get(name, guess) for name in ahead}


def _left_s(
    facts: Facts,
    name: str,
    expectation: Expectation,
    of: Callable[[Expectation, float], float],
) -> float:
    node = facts.run[name]
    if node.state is NodeState.RUNNING:
        return of(expectation, _elapsed_s(facts, name))
    delay_s = 0.0
    if node.state is NodeState.BACKING_OFF and node.due_at is not None:
        delay_s = max(0.0, node.due_at - facts.now)
    return delay_s + of(expectation, 0.0)


def _likely(expectation: Expectation, elapsed_s: float) -> float:
    if elapsed_s < expectation.likely_s:
        return expectation.likely_s - elapsed_s
    if elapsed_s < expectation.high_s:
        return (expectation.high_s - elapsed_s) / 2
    return _LATE_LIKELY * elapsed_s


def _low(expectation: Expectation, elapsed_s: float) -> float:
    return max(0.0, expectation.low_s - elapsed_s)


def _high(expectation: Expectation, elapsed_s: float) -> float:
    return max(expectation.high_s - elapsed_s, 0.0) or _LATE_HIGH * elapsed_s


def _elapsed_s(facts: Facts, name: str) -> float:
    return facts.view.elapsed_s(name, facts.now) or 0.0
