from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbflow.core.graph import Edge, Graph, edges_of, find_cycle, find_cycles
from nbflow.core.spec import FlowSpec, FunctionCode, NodeSpec
from nbflow.core.values import Fields, FromOutput, FromParam, Inline, Items, Text


def flow_of(*nodes):
    return FlowSpec(name="f", nodes=nodes)


def task(name, params=None, after=(), outputs=()):
    return NodeSpec(
        name=name, code=FunctionCode("f"), params=params or {}, after=after, outputs=outputs
    )


def flow_after(upstream):
    """A flow of order edges alone."""
    return flow_of(*(task(name, after=tuple(sources)) for name, sources in upstream.items()))


def test_edges_come_from_references_wherever_they_are_and_from_after():
    flow = flow_of(
        task("a"),
        task("b"),
        task(
            "c",
            {
                "plain": Inline(1),
                "param": FromParam("p"),
                "whole": FromOutput("a", "x"),
                "text": Text(("n=", FromOutput("a", "y"), FromOutput("a", "y"))),
                "nested": Fields({"k": Items((FromOutput("b", "z"),))}),
            },
            after=("b",),
        ),
    )
    graph = Graph(flow)
    assert graph.edges == (
        Edge("a", "c", "data", "x", "whole"),
        Edge("a", "c", "data", "y", "text"),
        Edge("b", "c", "data", "z", "nested"),
        Edge("b", "c", "order"),
    )
    assert len(list(edges_of(flow))) == 5, "the text refers to one output twice"
    assert graph.upstream == {"a": (), "b": (), "c": ("a", "b")}
    assert graph.downstream == {"a": ("c",), "b": ("c",), "c": ()}
    assert graph.data_pairs == {("a", "c"), ("b", "c")}


def test_wanted_outputs_are_those_that_are_declared_or_fed_into_something():
    graph = Graph(
        flow_of(
            task("a", outputs=("kept", "x")),
            task("b", {"p": FromOutput("a", "x"), "q": FromOutput("a", "y")}),
        )
    )
    assert graph.wanted_outputs("a") == ("kept", "x", "y")
    assert graph.wanted_outputs("b") == ()


def test_ties_are_broken_in_flow_order():
    graph = Graph(flow_after({"late": ["a"], "a": [], "z": [], "b": []}))
    assert graph.topological_order() == ("a", "late", "z", "b")


def test_graphs_of_one_specification_are_equal():
    flow, other = flow_after({"a": [], "b": ["a"]}), flow_after({"a": [], "b": []})
    assert Graph(flow) == Graph(flow)
    assert Graph(flow) != Graph(other)
    assert Graph(flow) != flow


def test_a_cycle_is_named():
    flow = flow_after({"a": [], "b": ["a", "d"], "c": ["b"], "d": ["c"]})
    with pytest.raises(ValueError, match="the graph has a cycle: ") as caught:
        Graph(flow).topological_order()
    cycle = str(caught.value).removeprefix("the graph has a cycle: ").split(" -> ")
    assert cycle[0] == cycle[-1]
    assert set(cycle) == {"b", "c", "d"}


def test_a_node_that_waits_for_itself_is_a_cycle():
    assert find_cycle({"a": ["a"]}) == ("a", "a")


def test_each_of_a_cycle_waits_for_the_one_before():
    assert find_cycle({"a": ["c"], "b": ["a"], "c": ["b"]}) == ("a", "b", "c", "a")


def test_every_knot_is_named_once():
    apart = {"a": ["b"], "b": ["a"], "c": ["c"], "d": ["a", "c"]}
    assert [set(cycle) for cycle in find_cycles(apart)] == [{"a", "b"}, {"c"}]
    everyone = dict.fromkeys("abcdefgh", "abcdefgh")
    assert 1 <= len(list(find_cycles(everyone))) <= 8


def test_unknown_nodes_are_no_cycle():
    assert find_cycle({"a": ["ghost"]}) == ()


def test_a_chain_of_ten_thousand_is_walked_without_recursion():
    names = [f"n{i}" for i in range(10_000)]
    upstream = {name: [names[i - 1]] if i else [] for i, name in enumerate(names)}
    assert find_cycle(upstream) == ()
    assert Graph(flow_after(upstream)).topological_order() == tuple(names)
    closed = {**upstream, "n0": ["n9999"]}
    assert len(find_cycle(closed)) == 10_001


# --- laws -------------------------------------------------------------------------------------

NAMES = [f"n{i}" for i in range(8)]
digraphs = st.fixed_dictionaries(
    {name: st.lists(st.sampled_from(NAMES), max_size=2, unique=True) for name in NAMES}
)


@given(digraphs)
@settings(max_examples=300, deadline=None)
def test_a_graph_has_an_order_that_respects_its_edges_or_a_cycle_that_is_real(upstream):
    cycle = find_cycle(upstream)
    if cycle:
        assert cycle[0] == cycle[-1]
        assert len(set(cycle)) == len(cycle) - 1
        for before, after in pairwise(cycle):
            assert before in upstream[after]
        with pytest.raises(ValueError, match="cycle"):
            Graph(flow_after(upstream)).topological_order()
        return
    graph = Graph(flow_after(upstream))
    order = graph.topological_order()
    assert sorted(order) == sorted(graph.nodes)
    place = {name: i for i, name in enumerate(order)}
    assert all(place[edge.source] < place[edge.target] for edge in graph.edges)
    assert {(s, t) for t, sources in graph.upstream.items() for s in sources} == {
        (s, t) for s, targets in graph.downstream.items() for t in targets
    }
