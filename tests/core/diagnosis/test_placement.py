import pytest
from facts_of import Scene, node, worker

from nbflow.core import events as ev
from nbflow.core.policies import Expected, Limits
from nbflow.core.states import Reason


def test_a_cluster_without_workers():
    scene = Scene().queue().after(4)
    scene.workers = ()
    (found,) = scene.findings()
    assert (found.kind, found.severity, found.since_s) == ("no_worker", "stuck", 4.0)
    assert any("dask worker" in text for text in found.suggestions)


@pytest.mark.parametrize(
    ("workers", "waited_s"),
    [(None, 100.0), ((), 2.0), ((worker(),), 4.0)],
    ids=["nobody has told", "a moment", "there is one"],
)
def test_a_cluster_that_may_have_workers(workers, waited_s):
    scene = Scene().queue().after(waited_s)
    scene.workers = workers
    assert scene.findings() == []


def test_resources_that_no_worker_offers():
    scene = Scene(node("a", resources={"GPU": 2})).queue().after(1)
    scene.workers = (worker("x", resources={"GPU": 1}), worker("y"))
    (found,) = scene.findings()
    assert (found.kind, found.severity) == ("resources_unsatisfiable", "stuck")
    assert found.evidence["offered"] == {"GPU": 1.0}
    assert "GPU=2" in found.summary
    assert any('--resources "GPU=2"' in text for text in found.suggestions)


def test_resources_that_no_worker_offers_together():
    scene = Scene(node("a", resources={"GPU": 1, "MEM": 1})).queue().after(1)
    scene.workers = (worker("x", resources={"GPU": 1}), worker("y", resources={"MEM": 1}))
    (found,) = scene.findings()
    assert found.kind == "resources_unsatisfiable"
    assert "at once" in found.summary


def test_resources_that_a_worker_offers():
    scene = Scene(node("a", resources={"GPU": 1})).queue().after(4)
    scene.workers = (worker("x", resources={"GPU": 1}), worker("y"))
    assert scene.findings() == []


def test_a_full_flow():
    scene = Scene(node("a"), node("b"), node("c"), limits=Limits(flow=1)).start("a").after(2)
    first, second = scene.findings()
    assert (first.node, first.kind, first.severity) == ("b", "waiting_for_pool", "waiting")
    assert first.evidence["holders"] == ["a"]
    assert "max_concurrent" in first.suggestions[0]
    assert second.node == "c"


def test_a_full_group():
    nodes = (node("g/a"), node("g/b"), node("c"))
    scene = Scene(*nodes, limits=Limits(groups={"g": 1})).start("g/a").start("c").after(2)
    (found,) = scene.findings()
    assert (found.node, found.kind) == ("g/b", "waiting_for_pool")
    assert "'g'" in found.suggestions[0]


def test_a_place_under_a_limit_is_free():
    nodes = (node("g/a"), node("g/b"))
    scene = Scene(*nodes, limits=Limits(groups={"g": 2})).start("g/a").after(2)
    assert scene.findings() == []


def test_a_node_that_lost_its_worker_waits_for_another_such():
    scene = Scene(node("a"), node("b"))
    lost = Reason("worker_lost", "gone")
    for name in "ab":
        scene.start(name).tell(ev.AttemptLost(name, 1, lost))
    scene.start("a").after(2)
    (found,) = scene.findings()
    assert (found.node, found.kind) == ("b", "waiting_for_pool")


def test_all_slots_are_taken():
    scene = Scene(*(node(name) for name in "abcde")).start("a").start("b")
    for name in "cde":
        scene.queue(name)
    scene.after(12)
    (found,) = scene.findings()  # the first in the queue speaks for all
    assert (found.node, found.kind, found.severity) == ("c", "queued", "waiting")
    assert (found.evidence["queue"], found.evidence["slots"]) == (3, 2)
    assert "--workers" in found.suggestions[0]
    assert found.evidence["gain_s"] is None  # nothing is known of how long nodes take


def test_what_more_slots_would_gain():
    scene = Scene(*(node(name, expected=Expected(60)) for name in "abcdef")).start("a").start("b")
    for name in "cdef":
        scene.queue(name)
    (found,) = scene.after(20).findings()
    # As it is, two each end after 40 s, 100 s and 160 s; with four slots, the last after 100 s.
    assert found.evidence["gain_s"] == 60.0
    assert "twice as many would end the run 60 s sooner" in found.suggestions[0]


def test_a_queue_that_moves_is_no_finding():
    scene = Scene(*(node(name) for name in "abc")).start("a").start("b").queue("c").after(9)
    assert scene.findings() == []


def test_slots_that_others_take():
    scene = Scene().queue().after(12)
    scene.workers = (worker(tasks=2),)
    (found,) = scene.findings()
    assert found.kind == "queued"
    assert "not of this run" in found.summary


def test_a_free_slot_that_is_not_used():
    scene = Scene(node("a"), node("b")).start("a").queue("b").after(11)
    (found,) = scene.findings()
    assert (found.node, found.kind) == ("b", "queued")
    assert "free" in found.summary


def test_workers_that_are_all_paused():
    scene = Scene().queue().after(3)
    scene.workers = (worker(paused=True, memory_bytes=10**9, spilled_bytes=10**8),)
    (found,) = scene.findings()
    assert (found.kind, found.severity) == ("memory_pressure", "stuck")
    scene.workers = (worker(paused=True), worker("y"))
    assert scene.findings() == []


def test_backing_off_holds_up_what_is_behind():
    scene = Scene(node("a", retries=2), node("b", "a"), node("c", "b")).fail()
    scene.tell(ev.RetryScheduled("a", 1, scene.now + 60)).after(10)
    (found,) = scene.findings()
    assert (found.node, found.kind, found.severity) == ("a", "backing_off", "waiting")
    assert found.evidence["left_s"] == 50.0
    assert found.evidence["holds_up"] == ["b", "c"]
    assert found.evidence["message"] == "ValueError: no rows"


def test_a_node_in_doubt():
    scene = Scene(node("a", effect="at_most_once"), node("b", after=("a",))).start()
    scene.tell(ev.AttemptInDoubt("a", 1, Reason("worker_lost", "gone"))).after(1)
    (found,) = scene.findings()
    assert (found.kind, found.severity) == ("in_doubt", "stuck")
    assert "nbflow resolve r a --as succeeded" in found.suggestions[0]
    scene.driven = False  # its driver lets go: that is no loss
    assert scene.kinds() == ["in_doubt"]


def test_waiting_for_another_node_is_no_finding():
    scene = Scene(node("a"), node("b", "a")).start("a").after(10_000)
    assert scene.findings() == []


def test_so_many_findings_as_a_person_reads():
    scene = Scene(*(node(f"n{i}") for i in range(200)), limits=Limits(flow=1)).start("n0").after(2)
    assert len(scene.findings()) == 50
