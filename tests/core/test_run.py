import pytest

from nbflow.core import events as ev
from nbflow.core import run as r
from nbflow.core.states import NodeState, Reason

STATES = [NodeState.SUCCEEDED, NodeState.FAILED, NodeState.SKIPPED, NodeState.CANCELLED]


def node_run(state, kind="error", failures=1):
    return r.NodeRun(state, 0, attempt=1, failures=failures, reason=Reason(kind, "why"))


@pytest.mark.parametrize(
    ("failures", "kind", "owed"),
    [
        (1, "error", True),
        (2, "error", True),
        (3, "error", False),
        (1, "worker_lost", True),
        (1, "invalid_input", False),
    ],
)
def test_a_retry_is_owed_while_tries_are_left(story, node, failures, kind, owed):
    run = story(node("a", retries=2)).run
    failed = node_run(NodeState.FAILED, kind, failures)
    assert r.retry_owed(run, "a", failed) is owed
    assert r.settled(run, "a", failed) is not owed
    assert r.spoils(run, "a", failed) is not owed


@pytest.mark.parametrize("state", NodeState)
def test_only_a_failure_is_owed_a_retry(story, node, state):
    run = story(node("a", retries=2)).run
    assert r.retry_owed(run, "a", node_run(state)) is (state is NodeState.FAILED)


@pytest.mark.parametrize(
    ("state", "kind", "spoils"),
    [
        (NodeState.SUCCEEDED, "error", False),
        (NodeState.FAILED, "error", True),
        (NodeState.CANCELLED, "error", True),
        (NodeState.SKIPPED, "upstream_failed", True),
        (NodeState.SKIPPED, "route_not_taken", False),
        (NodeState.RUNNING, "error", False),
    ],
)
def test_what_keeps_a_run_from_being_a_success(story, node, state, kind, spoils):
    assert r.spoils(story(node("a")).run, "a", node_run(state, kind)) is spoils


@pytest.mark.parametrize(
    ("edge", "continues", "passing"),
    [
        ("after", False, {NodeState.SUCCEEDED}),
        ("after", True, {NodeState.SUCCEEDED, NodeState.FAILED, NodeState.SKIPPED}),
        ("wants", False, {NodeState.SUCCEEDED}),
        ("wants", True, {NodeState.SUCCEEDED}),
    ],
)
def test_who_lets_pass(story, node, edge, continues, passing):
    run = story(node("a", continue_on_failure=continues), node("b", **{edge: ["a"]})).run
    assert {s for s in NodeState if r.lets_pass(run, "a", "b", node_run(s))} == passing


def test_missing_counts_distinct_sources_that_hold_up(story, node):
    told = story(node("a"), node("b"), node("c", after=["a", "b"], wants=["a"]))
    assert r.missing_upstream(told.run, "c") == 2
    told.succeed("a")
    assert r.missing_upstream(told.run, "c") == 1
    told.tell(ev.NodeReset("a", "again"))
    assert r.missing_upstream(told.run, "c") == 2
