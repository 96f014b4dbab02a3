import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbflow.core.frontier import ROOM_BYTES, Cargo, Frontier
from nbflow.core.graph import Graph
from nbflow.core.ids import groups_of
from nbflow.core.policies import Limits, Policy
from nbflow.core.spec import FlowSpec, FunctionCode, NodeSpec


def graph_of(names, *, priorities=None, flow=None, groups=None):
    nodes = tuple(
        NodeSpec(
            name=name,
            code=FunctionCode("f"),
            policy=Policy(priority=(priorities or {}).get(name, 0)),
        )
        for name in names
    )
    return Graph(FlowSpec(name="f", nodes=nodes, limits=Limits(flow, groups or {})))


def offered(graph, *names):
    frontier = Frontier(graph)
    for name in names:
        frontier.offer(name)
    return frontier


def test_without_limits_all_start_by_priority_and_then_in_the_order_of_the_flow():
    frontier = offered(graph_of("abcd", priorities={"c": 5, "a": -1}), *"dabc")
    assert frontier.admit() == ["c", "b", "d", "a"]
    assert frontier.held_back() == frozenset()


def test_a_limit_on_the_flow_holds_the_rest_back_until_a_place_is_free():
    frontier = offered(graph_of("abc", flow=2), *"abc")
    assert frontier.admit() == ["a", "b"]
    assert frontier.held_back() == {"c"}
    assert frontier.admit() == []
    frontier.release("a")
    assert frontier.admit() == ["c"]


def test_a_full_group_does_not_hold_back_others():
    frontier = offered(graph_of(["m/a", "m/b", "z"], groups={"m": 1}), "m/a", "m/b", "z")
    assert frontier.admit() == ["m/a", "z"]
    frontier.release("z")
    assert frontier.admit() == []
    frontier.release("m/a")
    assert frontier.admit() == ["m/b"]


def test_releasing_what_holds_no_place_changes_nothing():
    frontier = offered(graph_of("ab", flow=1), "a")
    frontier.release("a")
    assert frontier.admit() == ["a"]
    frontier.offer("b")
    frontier.release("b")
    assert frontier.admit() == []


def test_a_withdrawn_node_does_not_start_and_leaves_its_turn_to_the_next():
    frontier = offered(graph_of(["m/a", "m/b", "m/c"], groups={"m": 1}), "m/a", "m/b", "m/c")
    assert frontier.admit() == ["m/a"]
    frontier.withdraw("m/b")
    assert frontier.held_back() == {"m/c"}
    frontier.release("m/a")
    assert frontier.admit() == ["m/c"]


def test_a_node_that_is_offered_twice_starts_once():
    frontier = offered(graph_of("ab"), "a", "a")
    frontier.withdraw("a")
    frontier.offer("a")
    assert frontier.admit() == ["a"]
    assert frontier.admit() == []


NAMES = ["a", "g/a", "g/b", "g/h/a", "g/h/b", "k/a", "k/b"]
GROUPS = st.dictionaries(st.sampled_from(["g", "g/h", "k"]), st.integers(1, 3))
SIZES = st.lists(st.integers(0, 3), min_size=len(NAMES), max_size=len(NAMES))
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["offer", "withdraw", "admit", "begun", "release"]),
        st.sampled_from(NAMES),
    ),
    max_size=60,
)
ROOM = "/heavy"


class Search:
    """A frontier that looks at all ready nodes each time."""

    def __init__(self, flow, groups, halves):
        self.flow, self.groups, self.halves = flow, groups, halves
        self.ready, self.placed, self.travelling = set(), set(), set()

    def fits(self, name):
        if self.flow is not None and len(self.placed) >= self.flow:
            return False
        if self.halves[name] and sum(self.halves[other] for other in self.travelling) >= 2:
            return False
        return all(
            sum(group in groups_of(other) for other in self.placed) < limit
            for group, limit in self.groups.items()
            if group in groups_of(name)
        )

    def offer(self, name):
        self.ready.add(name)

    def withdraw(self, name):
        self.ready.discard(name)

    def begun(self, name):
        self.travelling.discard(name)

    def release(self, name):
        self.travelling.discard(name)
        self.placed.discard(name)

    def admit(self):
        admitted = []
        for name in NAMES:
            if name in self.ready and self.fits(name):
                self.placed.add(name)
                self.travelling.add(name)
                admitted.append(name)
        self.ready.difference_update(admitted)
        return admitted


@given(flow=st.none() | st.integers(1, 4), groups=GROUPS, sizes=SIZES, steps=STEPS)
@settings(max_examples=300, deadline=None)
def test_it_admits_whom_a_search_of_all_ready_nodes_would_admit(flow, groups, sizes, steps):
    frontier = Frontier(graph_of(NAMES, flow=flow, groups=groups))
    search = Search(flow, groups, dict(zip(NAMES, sizes, strict=True)))
    for step, name in [*steps, ("admit", "")]:
        if step == "admit":
            assert frontier.admit() == search.admit()
        elif step == "offer" and name not in search.placed:
            cargo = Cargo(ROOM, search.halves[name] * ROOM_BYTES // 2)
            frontier.offer(name, cargo=cargo if cargo.size_bytes else None)
            search.offer(name)
        elif step != "offer":
            getattr(frontier, step)(name)
            getattr(search, step)(name)
        assert frontier.held_back() == search.ready


def laden(graph, **sizes):
    """A frontier whose nodes bring so many halves of what has room."""
    frontier = Frontier(graph)
    for name, halves in sizes.items():
        frontier.offer(name, cargo=Cargo(ROOM, halves * ROOM_BYTES // 2) if halves else None)
    return frontier


def test_nodes_with_cargo_wait_until_that_of_others_has_arrived():
    frontier = laden(graph_of("abcde"), a=1, b=1, c=1, d=0, e=1)
    assert frontier.admit() == ["a", "b", "d"]
    assert frontier.held_back() == {"c", "e"}
    frontier.begun("a")
    assert frontier.admit() == ["c"]
    frontier.begun("a")
    frontier.release("a")
    assert frontier.admit() == []
    frontier.release("b")
    assert frontier.admit() == ["e"]


def test_cargo_that_is_larger_than_the_room_fits_and_makes_room_for_many():
    frontier = laden(graph_of("abcd"), a=9, b=1, c=1, d=1)
    assert frontier.admit() == ["a"]
    frontier.begun("a")
    assert frontier.admit() == ["b", "c"]


def test_no_cargo_waits_for_that_of_another_room():
    frontier = laden(graph_of("abc"), a=2, b=1)
    frontier.offer("c", cargo=Cargo("/light", 10))
    assert frontier.admit() == ["a", "c"]


def test_a_node_that_is_withdrawn_while_it_waits_leaves_its_room_to_the_next():
    frontier = laden(graph_of("abc"), a=2, b=2, c=2)
    assert frontier.admit() == ["a"]
    frontier.withdraw("b")
    frontier.begun("a")
    assert frontier.admit() == ["c"]


@pytest.mark.timeout(30)
def test_thousands_behind_a_small_limit_pass_one_by_one():
    names = [f"g/n{i}" for i in range(5000)]
    frontier = offered(graph_of(names, groups={"g": 2}), *names)
    passed = []
    running = frontier.admit()
    while running:
        passed.append(running.pop(0))
        frontier.release(passed[-1])
        running += frontier.admit()
    assert passed == names


def test_suspects_run_one_at_a_time_and_hold_back_nobody_else() -> None:
    frontier = Frontier(graph_of("abcd"))
    for name in "abc":
        frontier.offer(name, suspect=True)
    frontier.offer("d")

    assert frontier.admit() == ["a", "d"]
    frontier.release("d")
    assert frontier.admit() == []
    frontier.release("a")
    assert frontier.admit() == ["b"]
    frontier.withdraw("c")
    frontier.release("b")
    assert frontier.admit() == []


def test_a_suspect_that_has_ended_is_none_any_more() -> None:
    frontier = Frontier(graph_of("ab"))
    frontier.offer("a", suspect=True)
    frontier.admit()
    frontier.release("a")
    frontier.offer("a")
    frontier.offer("b", suspect=True)

    assert frontier.admit() == ["a", "b"]
