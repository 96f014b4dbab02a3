from nbflow.core import events as ev
from nbflow.core.states import NodeState, Reason
from nbflow.core.view import RunView


def test_counts_name_only_states_that_occur_in_the_order_of_a_life(story, node):
    told = story(node("a"), node("b"), node("c", after=["a"]))
    told.succeed("b")
    counts = RunView(told.run).counts
    assert list(counts.items()) == [
        (NodeState.WAITING, 1),
        (NodeState.READY, 1),
        (NodeState.SUCCEEDED, 1),
    ]


def test_elapsed_time_is_that_of_the_latest_attempt_and_only_while_it_runs(story, node):
    told = story(node("a", retries=1))

    def elapsed_s(now=1_030.0):
        return RunView(told.run).elapsed_s("a", now)

    assert elapsed_s() is None
    told.schedule("a")
    assert elapsed_s() is None
    told.tell(ev.AttemptStarted("a", 1, "w", 1_000.0))
    assert elapsed_s() == 30.0
    assert elapsed_s(now=999.0) == 0.0, "clocks of two machines may differ"
    told.tell(ev.AttemptLost("a", 1, Reason("worker_lost", "gone")))
    assert elapsed_s() is None
    told.schedule("a")
    told.tell(ev.AttemptStarted("a", 2, "w", 1_010.0))
    told.tell(ev.AttemptFailed("a", 2, Reason("error", "no"), ended_at=1_015.0))
    told.tell(ev.RetryScheduled("a", 2, 1_020.0))
    assert elapsed_s() == 5.0
    told.tell(ev.CancelRequested("me"), ev.NodeCancelled("a"))
    assert elapsed_s() == 5.0, "waiting for a retry is not running"
    told.reopen()
    told.reset("a")
    assert elapsed_s() is None
