import time

from nbflow.core.critical_path import critical_path
from nbflow.core.graph import Graph
from nbflow.core.policies import Limits, Policy
from nbflow.core.replaying import Cluster, replay
from nbflow.core.spec import FlowSpec, FunctionCode, NodeSpec


def node(name, *after, **policy):
    return NodeSpec(name=name, code=FunctionCode(name), after=after, policy=Policy(**policy))


def graph(*nodes, limits=None):
    return Graph(FlowSpec(name="f", nodes=nodes, limits=limits or Limits()))


def same(nodes, seconds=10.0):
    return {each.name: seconds for each in nodes}


FOUR = tuple(node(name) for name in "abcd")


def test_slots():
    for slots, end_s in ((1, 40), (2, 20), (3, 20), (4, 10), (9, 10)):
        assert replay(graph(*FOUR), same(FOUR), Cluster(slots)).end_s == end_s


def test_order_and_priority():
    nodes = (node("a"), node("b", "a"), node("c", priority=5), node("d"))
    replayed = replay(graph(*nodes), same(nodes), Cluster(1))
    assert sorted(replayed.ends_s, key=replayed.ends_s.get) == ["c", "a", "b", "d"]
    assert replayed.chain == ("c", "a", "b", "d")


def test_limits():
    limited = graph(*FOUR, limits=Limits(flow=2))
    assert replay(limited, same(FOUR), Cluster(4)).end_s == 20
    nodes = (node("g/a"), node("g/b"), node("c"))
    limited = graph(*nodes, limits=Limits(groups={"g": 1}))
    replayed = replay(limited, same(nodes), Cluster(4))
    assert replayed.end_s == 20
    assert replayed.ends_s["c"] == 10


def test_resources():
    nodes = (*(node(name, resources={"GPU": 1}) for name in "ab"), node("c"))
    replayed = replay(graph(*nodes), same(nodes), Cluster(4, {"GPU": 1}))
    assert replayed.ends_s == {"a": 10, "c": 10, "b": 20}
    assert replay(graph(*nodes), same(nodes), Cluster(4, {"GPU": 2})).end_s == 10


def test_what_has_begun_keeps_its_slot():
    seconds = {"c": 3.0, "d": 10.0}
    replayed = replay(graph(*FOUR), seconds, Cluster(1), ["d"])
    assert replayed.ends_s == {"d": 10, "c": 13}


def test_what_has_ended_holds_nobody_up():
    nodes = (node("a"), node("b", "a"), node("c", "b"))
    assert replay(graph(*nodes), {"c": 5.0}, Cluster(1)).end_s == 5


def test_nothing_is_left():
    assert replay(graph(*FOUR), {}, Cluster(2)).end_s == 0


def test_thousands_of_nodes_take_a_moment():
    nodes = [node(f"a{i}") for i in range(2500)] + [node(f"b{i}", f"a{i}") for i in range(2500)]
    flow = graph(*nodes, limits=Limits(flow=40))
    began = time.process_time()
    assert replay(flow, same(nodes), Cluster(50)).end_s == 1250
    assert time.process_time() - began < 1.0


def test_the_critical_path():
    nodes = (node("a"), node("b", "a"), node("c", "a"), node("d", "b", "c"), node("e"))
    seconds = {"a": 1, "b": 5, "c": 2, "d": 1, "e": 6}
    assert critical_path(graph(*nodes), seconds) == ("a", "b", "d")
    assert critical_path(graph(*nodes), {**seconds, "e": 60}) == ("e",)
    assert critical_path(graph(*nodes), {**seconds, "c": 50}) == ("a", "c", "d")
