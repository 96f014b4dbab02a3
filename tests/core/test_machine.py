import pytest

from nbflow.core import events as ev
from nbflow.core import machine as m
from nbflow.core.fingerprints import Fingerprint
from nbflow.core.policies import Policy
from nbflow.core.spec import FlowSpec, FunctionCode, NodeSpec
from nbflow.core.states import (
    BLOCKED,
    ENDED,
    NODE_TRANSITIONS,
    RUN_TRANSITIONS,
    UNBLOCKED,
    NodeState,
    Reason,
    RunStatus,
)
from nbflow.core.values import Artifact, FromOutput, Inline, Text

NOTEBOOK = Artifact("notebook", "sha256:1", 10)
LOST = Reason("worker_lost", "gone")


# --- beginning, order, fences -----------------------------------------------------------------


def test_a_run_begins_with_its_sources_ready_and_owes_nothing_before_it_is_claimed(story, node):
    told = story(node("a"), node("b", after=["a"]), node("c", wants=["a", "b"]), claimed=False)
    assert [told.state(n) for n in "abc"] == [
        NodeState.READY,
        NodeState.WAITING,
        NodeState.WAITING,
    ]
    assert told.run["c"].missing == 2
    assert told.commands == m.obligations(told.run) == ()
    assert not m.still_owed(told.run, m.StartAttempt("a", 1))
    assert told.claim() == (m.StartAttempt("a", 1),)
    assert told.run.status is RunStatus.RUNNING


def test_two_edges_between_two_nodes_count_once(story, node):
    told = story(node("a"), node("b", after=["a"], wants=["a"]))
    assert told.run["b"].missing == 1
    assert told.succeed("a") == (m.StartAttempt("b", 1),)


def test_a_journal_begins_with_run_created_at_seq_1(story, node):
    created = story(node("a")).records[0].event
    for seq, event in ((1, ev.RunClaimed("d")), (2, created)):
        with pytest.raises(m.IllegalTransition, match=r"run r: the run is not created, which"):
            m.begin(ev.Record("r", seq, 0, 0.0, event))
    with pytest.raises(ValueError, match="without records"):
        m.replay([])


@pytest.mark.parametrize(
    ("run", "seq", "epoch"), [("r", 2, 1), ("r", 4, 1), ("other", 3, 1), ("r", 3, 0)]
)
def test_a_record_that_is_not_the_next_of_its_run_and_epoch_is_refused(
    story, node, run, seq, epoch
):
    told = story(node("a"))
    before = told.run
    record = ev.Record(run, seq, epoch, 0.0, ev.AttemptScheduled("a", 1))
    with pytest.raises(m.IllegalTransition, match="at seq 2 of epoch 1, which AttemptScheduled"):
        m.apply(told.run, record)
    assert told.run == before


def test_replay_gives_the_state_of_life(story, node):
    told = story(node("a", retries=1), node("b", wants=["a"]))
    told.fail("a")
    told.tell(ev.RetryScheduled("a", 1, 2000.0), ev.RetryDue("a", 1))
    told.succeed("a")
    told.succeed("b")
    told.tell(ev.RunEnded(RunStatus.SUCCEEDED))
    assert m.replay(told.records) == told.run


def test_an_empty_flow_succeeds_as_soon_as_it_is_claimed(story):
    told = story(claimed=False)
    assert told.claim() == (m.EndRun(RunStatus.SUCCEEDED),)
    assert told.tell(ev.RunEnded(RunStatus.SUCCEEDED)) == ()


# --- the life of a node -----------------------------------------------------------------------


def test_an_undisturbed_node(story, node):
    told = story(node("a"))
    assert told.schedule("a") == ()
    queued = told.run["a"]
    assert (queued.state, queued.attempt, queued.scheduled_at) == (NodeState.QUEUED, 1, 1003.0)
    told.tell(ev.AttemptStarted("a", 1, "w1", 5.0))
    running = told.run["a"]
    assert (running.state, running.worker, running.started_at) == (NodeState.RUNNING, "w1", 5.0)
    log = Artifact("text", "sha256:2", 3)
    commands = told.tell(ev.AttemptSucceeded("a", 1, 5.0, 6.0, {"y": Inline(2)}, NOTEBOOK, log))
    done = told.run["a"]
    assert (done.state, done.ended_at, done.outputs) == (NodeState.SUCCEEDED, 6.0, {"y": Inline(2)})
    assert (done.notebook, done.log) == (NOTEBOOK, log)
    assert commands == (m.EndRun(RunStatus.SUCCEEDED),)


def test_a_result_may_overtake_its_announcement(story, node):
    told = story(node("a"), node("b"))
    told.schedule("a")
    told.tell(told.success("a"))
    told.schedule("b")
    told.tell(ev.AttemptFailed("b", 1, Reason("error", "no")))
    assert (told.state("a"), told.state("b")) == (NodeState.SUCCEEDED, NodeState.FAILED)
    assert told.run["b"].started_at is None
    assert told.run["b"].ended_at is not None


def test_a_failed_node_is_retried_as_often_as_its_policy_says(story, node):
    told = story(node("a", retries=1))
    assert told.fail("a") == (m.ScheduleRetry("a", 1, 1),)
    assert (told.run.open, told.run.failed) == (1, 0)
    assert told.tell(ev.RetryScheduled("a", 1, 77.0)) == (m.WaitForRetry("a", 1, 77.0),)
    assert told.run["a"].due_at == 77.0
    assert told.tell(ev.RetryDue("a", 1)) == (m.StartAttempt("a", 2),)
    assert told.run["a"].due_at is None
    assert told.run["a"].error is not None, "what went wrong is shown until it is mended"
    assert told.fail("a") == (m.EndRun(RunStatus.FAILED),)
    assert (told.run["a"].failures, told.run.open, told.run.failed) == (2, 0, 1)


def test_a_success_after_a_retry_forgets_the_failure(story, node):
    told = story(node("a", retries=1))
    told.fail("a")
    told.tell(ev.RetryScheduled("a", 1, 77.0), ev.RetryDue("a", 1))
    assert told.succeed("a") == (m.EndRun(RunStatus.SUCCEEDED),)
    assert (told.run["a"].reason, told.run["a"].error) == (None, None)


def test_what_another_attempt_cannot_mend_is_not_retried(story, node):
    told = story(node("a", retries=3))
    assert told.fail("a", "invalid_input") == (m.EndRun(RunStatus.FAILED),)


def test_no_retry_beyond_the_policy_can_be_scheduled(story, node):
    told = story(node("a"), node("b"))
    told.fail("a")
    with pytest.raises(m.IllegalTransition, match="RetryScheduled of attempt 1"):
        told.tell(ev.RetryScheduled("a", 1, 77.0))


def test_a_lost_attempt_runs_again_and_nobody_counts_its_seconds(story, node):
    told = story(node("a"))
    told.start("a")
    assert told.lose("a") == (m.StartAttempt("a", 2),)
    lost = told.run["a"]
    assert (lost.state, lost.losses, lost.failures) == (NodeState.READY, 1, 0)
    assert (lost.reason, lost.started_at, lost.worker) == (Reason("worker_lost", "gone"), None, "")


def test_a_node_that_keeps_losing_its_worker_fails(story, node):
    told = story(node("a"))
    for _ in range(m.MAX_LOSSES - 1):
        told.start("a")
        event = m.after_loss(told.run, "a", "worker died")
        assert event == ev.AttemptLost(
            "a", told.run["a"].attempt, Reason("worker_lost", "worker died")
        )
        told.tell(event)
    told.start("a")
    event = m.after_loss(told.run, "a", "worker died")
    assert event.reason.message == "worker died (lost its worker 3 times in a row)"
    told.tell(event)
    assert (told.state("a"), told.run["a"].losses) == (NodeState.FAILED, 0)


def test_losses_that_are_not_the_workers_do_not_count_against_the_node(story, node):
    told = story(node("a"))
    for _ in range(m.MAX_LOSSES + 1):
        told.start("a")
        told.lose("a", "driver_lost")
    assert (told.run["a"].losses, told.state("a")) == (0, NodeState.READY)


def test_a_partial_notebook_survives_an_attempt_that_has_none(story, node):
    told = story(node("a", retries=1))
    told.start("a")
    told.tell(ev.AttemptLost("a", 1, LOST, NOTEBOOK))
    told.start("a")
    told.tell(ev.AttemptFailed("a", 2, Reason("kernel_died", "no")))
    assert told.run["a"].notebook == NOTEBOOK


# --- dependants -------------------------------------------------------------------------------


def test_a_failure_skips_its_dependants_at_once_and_everything_else_goes_on(story, node):
    told = story(
        node("a"), node("slow"), node("b", wants=["a", "slow"]), node("c", after=["b"]), node("d")
    )
    told.start("slow")
    reason = Reason("upstream_failed", "a failed: a broke")
    assert told.fail("a") == (m.SkipNode("b", reason),)
    assert told.tell(ev.NodeSkipped("b", reason)) == (m.SkipNode("c", reason),)
    told.tell(ev.NodeSkipped("c", reason))
    assert told.succeed("d") == ()
    assert told.tell(told.success("slow")) == (m.EndRun(RunStatus.FAILED),)
    assert told.run["c"].reason == reason


def test_continue_on_failure_lets_pass_who_merely_comes_after(story, node):
    told = story(
        node("a", continue_on_failure=True), node("order", after=["a"]), node("data", wants=["a"])
    )
    assert told.fail("a") == (
        m.StartAttempt("order", 1),
        m.SkipNode("data", Reason("upstream_failed", "a failed: a broke")),
    )


def test_continue_on_failure_waits_for_the_last_try(story, node):
    told = story(node("a", continue_on_failure=True, retries=1), node("b", after=["a"]))
    assert told.fail("a") == (m.ScheduleRetry("a", 1, 1),)
    assert told.state("b") is NodeState.WAITING


def test_continue_on_failure_holds_for_a_skipped_node_too(story, node):
    told = story(
        node("a"), node("b", wants=["a"], continue_on_failure=True), node("c", after=["b"])
    )
    (skip,) = told.fail("a")
    assert told.tell(ev.NodeSkipped("b", skip.reason)) == (m.StartAttempt("c", 1),)
    assert told.succeed("c") == (m.EndRun(RunStatus.FAILED),)


def test_a_route_not_taken_is_handed_down_as_such_and_fails_no_run(story, node):
    told = story(node("a"), node("b", after=["a"]), node("c", after=["b"]))
    reason = Reason("route_not_taken", "a chose another way")
    assert told.tell(ev.NodeSkipped("b", reason)) == (m.SkipNode("c", reason),)
    told.tell(ev.NodeSkipped("c", reason))
    assert told.succeed("a") == (m.EndRun(RunStatus.SUCCEEDED),)


def test_a_node_behind_a_cancelled_one_says_so(story, node):
    told = story(node("a"), node("b", after=["a"]))
    assert told.tell(ev.NodeCancelled("a")) == (
        m.SkipNode("b", Reason("upstream_failed", "a cancelled")),
    )
    told.tell(ev.NodeSkipped("b", Reason("upstream_failed", "a cancelled")))
    assert told.commands == (m.EndRun(RunStatus.FAILED),)


# --- the end ----------------------------------------------------------------------------------


def test_a_run_ends_only_as_it_has_earned(story, node):
    told = story(node("a"), node("b"))
    told.fail("a")
    for status in RunStatus:
        with pytest.raises(m.IllegalTransition, match=f"RunEnded as {status}"):
            told.tell(ev.RunEnded(status))
    told.succeed("b")
    with pytest.raises(
        m.IllegalTransition, match="running with 0 open and 1 failed nodes, which RunEnded as succ"
    ):
        told.tell(ev.RunEnded(RunStatus.SUCCEEDED))
    assert told.tell(ev.RunEnded(RunStatus.FAILED)) == ()
    assert told.run.ended_at == told.records[-1].at


def test_nothing_happens_to_the_nodes_of_a_run_that_has_ended(story, node):
    told = story(node("a"))
    told.fail("a")
    told.tell(ev.RunEnded(RunStatus.FAILED))
    with pytest.raises(m.IllegalTransition, match=r"node 'a' is failed \(attempt 1\) in a failed"):
        told.reset("a")


# --- cancelling -------------------------------------------------------------------------------


def test_a_cancelled_run_stops_what_runs_and_starts_nothing(story, node):
    told = story(node("a"), node("b"), node("c", after=["a"]), node("d"))
    told.start("a")
    told.succeed("d")
    assert told.tell(ev.CancelRequested("me")) == (
        m.CancelAttempt("a", 1),
        m.CancelNode("b"),
        m.CancelNode("c"),
    )
    with pytest.raises(m.IllegalTransition, match=r"node 'b' is ready .* in a cancelling run"):
        told.schedule("b")
    told.tell(ev.NodeCancelled("b"), ev.NodeCancelled("c"))
    assert told.tell(ev.NodeCancelled("a", 1, NOTEBOOK)) == (m.EndRun(RunStatus.CANCELLED),)
    assert told.run["a"].notebook == NOTEBOOK
    assert told.tell(ev.RunEnded(RunStatus.CANCELLED)) == ()
    assert told.state("d") is NodeState.SUCCEEDED


def test_what_ends_while_its_run_is_cancelled_ends_as_it_did(story, node):
    told = story(node("a"), node("b"), node("c"))
    for name in "abc":
        told.start(name)
    told.tell(ev.CancelRequested("me"))
    told.tell(told.success("a"))
    told.tell(ev.AttemptFailed("b", 1, Reason("error", "no")))
    assert told.lose("c") == (m.CancelNode("c"),)
    assert told.tell(ev.NodeCancelled("c")) == (m.EndRun(RunStatus.CANCELLED),)


def test_cancel_while_backing_off(story, node):
    told = story(node("a", retries=1))
    told.fail("a")
    told.tell(ev.RetryScheduled("a", 1, 77.0))
    assert told.tell(ev.CancelRequested("me")) == (m.CancelNode("a"),)
    assert not m.still_owed(told.run, m.WaitForRetry("a", 1, 77.0))
    assert told.tell(ev.NodeCancelled("a")) == (m.EndRun(RunStatus.CANCELLED),)
    assert (told.run["a"].due_at, told.run["a"].ended_at) == (None, 1002.0)


def test_a_timer_may_fire_while_its_run_is_cancelled(story, node):
    told = story(node("a", retries=1))
    told.fail("a")
    told.tell(ev.RetryScheduled("a", 1, 77.0), ev.CancelRequested("me"))
    assert told.tell(ev.RetryDue("a", 1)) == (m.CancelNode("a"),)


def test_cancel_while_a_retry_is_owed(story, node):
    told = story(node("a", retries=1))
    told.fail("a")
    assert told.tell(ev.CancelRequested("me")) == (m.CancelNode("a"),)
    with pytest.raises(m.IllegalTransition, match="cancelling"):
        told.tell(ev.RetryScheduled("a", 1, 77.0))
    assert told.tell(ev.NodeCancelled("a")) == (m.EndRun(RunStatus.CANCELLED),)
    assert told.run["a"].error is not None


def test_what_has_failed_for_good_is_not_cancelled(story, node):
    told = story(node("a"), node("b"))
    told.fail("a")
    assert told.tell(ev.CancelRequested("me")) == (m.CancelNode("b"),)
    with pytest.raises(m.IllegalTransition, match="node 'a' is failed"):
        told.tell(ev.NodeCancelled("a"))


# --- taking over, resuming --------------------------------------------------------------------


def test_whoever_takes_over_is_told_everything_that_is_owed(story, node):
    told = story(
        node("ready"),
        node("owed", retries=1),
        node("backing", retries=1),
        node("flying"),
        node("bad"),
        node("behind", after=["bad"]),
        node("waiting", after=["flying"]),
    )
    told.start("flying")
    told.fail("owed")
    told.fail("backing")
    told.tell(ev.RetryScheduled("backing", 1, 77.0))
    told.fail("bad")
    expected = (
        m.StartAttempt("ready", 1),
        m.ScheduleRetry("owed", 1, 1),
        m.WaitForRetry("backing", 1, 77.0),
        m.SkipNode("behind", Reason("upstream_failed", "bad failed: bad broke")),
    )
    assert told.claim() == expected == m.obligations(told.run)
    assert told.run.epoch == 2


def test_whoever_takes_over_a_finished_run_ends_it(story, node):
    told = story(node("a"))
    end = (m.EndRun(RunStatus.SUCCEEDED),)
    assert told.succeed("a") == end
    assert told.claim() == end


def test_a_resumed_run_tries_again_what_failed_and_what_was_skipped_for_that(story, node):
    told = story(node("ok"), node("a", after=["ok"]), node("b", wants=["a"]))
    told.succeed("ok")
    (skip,) = told.fail("a")
    told.tell(ev.NodeSkipped("b", skip.reason), ev.RunEnded(RunStatus.FAILED))
    assert told.reopen() == (m.EndRun(RunStatus.FAILED),)
    assert told.run.ended_at is None
    assert told.reset("a") == (m.StartAttempt("a", 2),)
    assert not m.still_owed(told.run, m.EndRun(RunStatus.FAILED))
    told.reset("b")
    fresh = told.run["a"]
    assert (fresh.failures, fresh.reason, fresh.error, fresh.started_at) == (0, None, None, None)
    assert told.succeed("a") == (m.StartAttempt("b", 1),)
    assert told.succeed("b") == (m.EndRun(RunStatus.SUCCEEDED),)
    assert told.state("ok") is NodeState.SUCCEEDED


def test_a_run_with_a_node_still_skipped_has_not_succeeded(story, node):
    told = story(node("a"), node("b", wants=["a"]))
    (skip,) = told.fail("a")
    told.tell(ev.NodeSkipped("b", skip.reason), ev.RunEnded(RunStatus.FAILED))
    told.reopen()
    told.reset("a")
    assert told.succeed("a") == (m.EndRun(RunStatus.FAILED),)


def test_a_run_with_a_node_still_cancelled_has_not_succeeded(story, node):
    told = story(node("a"))
    told.tell(ev.CancelRequested("me"), ev.NodeCancelled("a"))
    assert told.reopen() == (m.EndRun(RunStatus.FAILED),)


def test_a_cancelled_run_can_be_reopened_before_it_has_stopped(story, node):
    told = story(node("a"), node("b"))
    told.start("a")
    told.tell(ev.CancelRequested("me"), ev.NodeCancelled("b"))
    assert told.reopen() == ()
    assert told.reset("b") == (m.StartAttempt("b", 1),)
    told.tell(told.success("a"))
    assert told.succeed("b") == (m.EndRun(RunStatus.SUCCEEDED),)


def test_a_reset_holds_up_whoever_the_node_had_let_pass(story, node):
    told = story(node("a", continue_on_failure=True), node("b", after=["a"]))
    told.fail("a")
    assert told.state("b") is NodeState.READY
    assert told.reset("a") == (m.StartAttempt("a", 2),)
    assert (told.state("b"), told.run["b"].missing) == (NodeState.WAITING, 1)
    assert told.succeed("a") == (m.StartAttempt("b", 1),)


def test_a_node_of_several_sources_is_held_up_once_for_each(story, node):
    told = story(node("a"), node("b"), node("c"), node("d", after=["a", "b", "c"]))
    told.succeed("a")
    told.reset("a")
    assert told.run["d"].missing == 3
    for name in "abc":
        told.succeed(name)
    assert told.state("d") is NodeState.READY


@pytest.mark.parametrize("disturbance", ["lost", "retried"])
def test_what_was_in_flight_when_its_source_was_reset_starts_no_further_attempt_before_it(
    story, node, disturbance
):
    told = story(node("a"), node("b", after=["a"], retries=1))
    told.succeed("a")
    if disturbance == "lost":
        told.start("b")
        told.reset("a")
        told.lose("b")
    else:
        told.fail("b")
        told.reset("a")
        told.tell(ev.RetryScheduled("b", 1, 7.0))
        assert told.state("b") is NodeState.BACKING_OFF
        told.tell(ev.RetryDue("b", 1))
    assert told.state("b") is NodeState.WAITING
    assert told.succeed("a") == (m.StartAttempt("b", 2),)


def test_what_was_in_flight_when_its_source_was_reset_may_end_first(story, node):
    told = story(node("a"), node("b", after=["a"]))
    told.succeed("a")
    told.start("b")
    told.reset("a")
    told.tell(told.success("b"))
    assert told.succeed("a") == (m.EndRun(RunStatus.SUCCEEDED),)


def test_a_node_held_back_by_a_reset_is_skipped_if_that_source_fails(story, node):
    told = story(node("a"), node("b", after=["a"], retries=1))
    told.succeed("a")
    told.fail("b")
    told.reset("a")
    told.tell(ev.RetryScheduled("b", 1, 7.0), ev.RetryDue("b", 1))
    (skip,) = told.fail("a")
    assert told.tell(ev.NodeSkipped("b", skip.reason)) == (m.EndRun(RunStatus.FAILED),)
    assert told.run["b"].error is None


def test_a_node_that_is_reset_beside_another_failure_is_still_skipped(story, node):
    told = story(node("a"), node("b"), node("c", after=["a", "b"]))
    told.fail("a")
    told.fail("b")
    behind_b = m.SkipNode("c", Reason("upstream_failed", "b failed: b broke"))
    assert told.reset("a") == (m.StartAttempt("a", 2), behind_b)


def test_a_reset_node_keeps_its_notebook_and_gives_up_its_outputs(story, node):
    told = story(node("a"), node("z"))
    told.start("a")
    told.tell(ev.AttemptSucceeded("a", 1, 1.0, 2.0, {"y": Inline(1)}, NOTEBOOK))
    told.reset("a")
    assert (told.run["a"].outputs, told.run["a"].notebook) == ({}, NOTEBOOK)


# --- every cell of the tables -----------------------------------------------------------------

STATES = {
    NodeState.WAITING: lambda told: None,
    NodeState.READY: lambda told: told.succeed("up"),
    NodeState.QUEUED: lambda told: (told.succeed("up"), told.schedule("n")),
    NodeState.RUNNING: lambda told: (told.succeed("up"), told.start("n")),
    NodeState.BACKING_OFF: lambda told: (
        told.succeed("up"),
        told.fail("n"),
        told.tell(ev.RetryScheduled("n", 1, 9.0)),
    ),
    NodeState.IN_DOUBT: lambda told: (
        told.succeed("up"),
        told.start("n"),
        told.tell(ev.AttemptInDoubt("n", 1, LOST)),
    ),
    NodeState.SUCCEEDED: lambda told: (told.succeed("up"), told.succeed("n")),
    NodeState.FAILED: lambda told: (told.succeed("up"), told.fail("n")),
    NodeState.CANCELLED: lambda told: told.tell(ev.NodeCancelled("n")),
    NodeState.SKIPPED: lambda told: told.tell(
        ev.NodeSkipped("n", Reason("upstream_failed", "up failed"))
    ),
}
CHECKPOINT = ev.Checkpoint(2, "prefix", NOTEBOOK, NOTEBOOK, 1.0)


def triggers_for(told):
    """One event of each type that speaks of the right attempt of node ``n``."""
    attempt = told.run["n"].attempt
    reason = Reason("error", "no")
    return [
        ev.AttemptScheduled("n", attempt + 1),
        ev.AttemptStarted("n", attempt, "w", 1.0),
        ev.CheckpointStored("n", attempt, CHECKPOINT),
        ev.AttemptSucceeded("n", attempt, 1.0, 2.0, {"x": Inline(1)}),
        ev.AttemptFailed("n", attempt, reason),
        ev.AttemptLost("n", attempt, LOST),
        ev.RetryScheduled("n", attempt, 9.0),
        ev.RetryDue("n", attempt),
        ev.NodeSkipped("n", Reason("upstream_failed", "no")),
        ev.NodeCached("n", Fingerprint("code"), "other", 1.0, {"x": Inline(1)}),
        ev.NodeCancelled("n", attempt),
        ev.NodeReset("n", "resumed"),
    ]


#: What only happens to nodes that are declared at most once, and to none that is retried.
def careful_triggers_for(told):
    attempt = told.run["n"].attempt
    return [ev.AttemptInDoubt("n", attempt, LOST)]


CELLS = [
    *(
        pytest.param(state, position, "idempotent", triggers_for, id=f"{state}-{position}")
        for state in NodeState
        if state is not NodeState.IN_DOUBT
        for position in range(12)
    ),
    *(
        pytest.param(state, position, "at_most_once", triggers, id=f"careful-{state}-{position}")
        for state in (NodeState.WAITING, NodeState.QUEUED, NodeState.RUNNING, NodeState.IN_DOUBT)
        for triggers, count in ((triggers_for, 12), (careful_triggers_for, 1))
        for position in range(count)
    ),
]


@pytest.mark.parametrize(("state", "position", "effect", "triggers"), CELLS)
def test_every_cell_of_the_table_of_nodes(story, node, state, position, effect, triggers):
    told = story(
        node("up"), node("n", after=["up"], retries=1, effect=effect), node("z", wants=["n"])
    )
    STATES[state](told)
    assert told.state("n") is state
    before, snapshot = told.run, m.replay(told.records)
    event = triggers(told)[position]
    trigger = type(event).__name__
    expected = NODE_TRANSITIONS[state].get(trigger)
    if expected is None:
        with pytest.raises(m.IllegalTransition) as caught:
            told.tell(event)
        assert (caught.value.place, caught.value.state.split()[0]) == ("node 'n'", state)
        assert f"node 'n' is {state} (attempt " in str(caught.value)
        assert f"which {trigger}" in str(caught.value)
        assert told.run is before
        assert told.run.nodes == snapshot.nodes
        return
    told.tell(event)
    follow = NODE_TRANSITIONS[expected].get(UNBLOCKED) if told.run["n"].missing == 0 else None
    assert told.state("n") is (follow or expected)
    assert before.nodes == snapshot.nodes, "the state that was given is never changed"


@pytest.mark.parametrize("state", NodeState)
def test_an_event_of_another_attempt_is_refused_whatever_the_state(story, node, state):
    effect = "at_most_once" if state is NodeState.IN_DOUBT else "idempotent"
    told = story(node("up"), node("n", after=["up"], retries=1, effect=effect))
    STATES[state](told)
    attempt = told.run["n"].attempt
    wrong = [
        ev.AttemptScheduled("n", attempt),
        ev.AttemptScheduled("n", attempt + 2),
        ev.AttemptStarted("n", attempt + 1, "w", 1.0),
        ev.AttemptSucceeded("n", attempt + 1, 1.0, 2.0),
        ev.AttemptFailed("n", attempt - 1, Reason("error", "no")),
        ev.AttemptLost("n", attempt + 1, LOST),
        ev.RetryScheduled("n", attempt + 1, 9.0),
        ev.RetryDue("n", attempt + 1),
        ev.NodeCancelled("n", attempt + 1),
    ]
    for event in wrong:
        with pytest.raises(m.IllegalTransition, match=type(event).__name__):
            told.tell(event)
    assert told.state("n") is state


@pytest.mark.parametrize("status", [status for status in RunStatus if status in RUN_TRANSITIONS])
def test_every_cell_of_the_table_of_runs(story, node, status):
    cancelled = (ev.CancelRequested("me"), ev.NodeCancelled("n"))
    paths = {
        RunStatus.SUBMITTED: lambda told: None,
        RunStatus.RUNNING: lambda told: told.claim(),
        RunStatus.CANCELLING: lambda told: (told.claim(), told.tell(*cancelled)),
        RunStatus.SUCCEEDED: lambda told: (told.claim(), told.succeed("n"), end(told)),
        RunStatus.FAILED: lambda told: (told.claim(), told.fail("n"), end(told)),
        RunStatus.CANCELLED: lambda told: (told.claim(), told.tell(*cancelled), end(told)),
    }

    def end(told):
        (command,) = told.commands
        told.tell(ev.RunEnded(command.status))

    def at_status():
        told = story(node("n"), claimed=False)
        paths[status](told)
        assert told.run.status is status
        return told

    created = at_status().records[0].event
    for event in (
        created,
        ev.RunClaimed("d"),
        ev.RunReopened("d"),
        ev.CancelRequested("me"),
        ev.RunEnded(RunStatus.INTERRUPTED),
    ):
        told = at_status()
        before = told.run
        trigger = type(event).__name__
        targets = RUN_TRANSITIONS[status].get(trigger)
        if targets is None or trigger == "RunEnded":
            with pytest.raises(m.IllegalTransition, match=f"the run is {status}.*which {trigger}"):
                told.tell(event)
            assert told.run is before
        else:
            told.tell(event)
            assert {told.run.status} == set(targets)


@pytest.mark.parametrize("status", [RunStatus.SUBMITTED, RunStatus.SUCCEEDED])
def test_nodes_do_not_move_in_a_run_that_is_not_driven(story, node, status):
    told = story(node("n"), claimed=False)
    if status is RunStatus.SUCCEEDED:
        told.claim()
        told.succeed("n")
        told.tell(ev.RunEnded(status))
    for event in triggers_for(told):
        with pytest.raises(m.IllegalTransition, match=f"node 'n' is .* in a {status} run"):
            told.tell(event)


def test_a_node_that_is_not_in_the_flow_is_named(story, node):
    with pytest.raises(m.IllegalTransition, match="node 'ghost' is not in the flow"):
        story(node("a")).tell(ev.AttemptScheduled("ghost", 1))


def test_blocked_and_unblocked_are_no_events(story, node):
    assert not hasattr(ev, UNBLOCKED)
    assert not hasattr(ev, BLOCKED)


def test_settled_nodes_owe_nothing(story, node):
    for state in ENDED - {NodeState.FAILED}:
        told = story(node("up"), node("n", after=["up"], retries=1))
        STATES[state](told)
        assert all(getattr(c, "node", None) != "n" for c in m.obligations(told.run))


# --- parameters -------------------------------------------------------------------------------


def test_parameters_are_resolved_from_the_flow_and_from_outputs(story, node):
    params = {
        "x": FromOutput("a", "x"),
        "text": Text(("n=", FromOutput("a", "x"))),
        "plain": Inline([1]),
    }
    b = NodeSpec(name="b", code=FunctionCode("b"), params=params, policy=Policy())
    told = story(node("a"), b)
    with pytest.raises(KeyError) as caught:
        m.resolve_params(told.run, "b")
    assert caught.value.args == (FromOutput("a", "x"),)
    told.succeed("a")
    assert m.resolve_params(told.run, "b") == {
        "x": Inline(1),
        "text": Inline("n=1"),
        "plain": Inline([1]),
    }


def test_ten_thousand_nodes_in_a_chain_are_skipped_without_recursion(node):
    nodes = [node("n0")] + [node(f"n{i}", after=[f"n{i - 1}"]) for i in range(1, 10_000)]
    flow = FlowSpec(name="deep", nodes=tuple(nodes))
    run, _ = m.begin(ev.Record("r", 1, 0, 0.0, ev.RunCreated(flow, {}, "out")))
    events = [
        ev.RunClaimed("d"),
        ev.AttemptScheduled("n0", 1),
        ev.AttemptFailed("n0", 1, Reason("error", "broke")),
    ]
    for event in events:
        run, commands = m.apply(run, ev.Record("r", run.seq + 1, 1, 0.0, event))
    while not isinstance(commands[0], m.EndRun):
        (skip,) = commands
        event = ev.NodeSkipped(skip.node, skip.reason)
        run, commands = m.apply(run, ev.Record("r", run.seq + 1, 1, 0.0, event))
    assert run.open == 0
    assert run["n9999"].reason == Reason("upstream_failed", "n0 failed: broke")
