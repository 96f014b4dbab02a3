import random
from itertools import pairwise

import pytest
from growth import growth
from staged_run import DIAMOND, flow, node

from nbflow.core.graph import Graph
from nbflow.drawing.layout import lay_out, layers_of


def laid_out(*nodes, breadth=100.0, gap=20.0):
    graph = Graph(flow(*nodes))
    return lay_out(graph, dict.fromkeys(graph.nodes, breadth), gap)


def crossings(layout, pairs):
    """Crossings of edges between neighbouring layers."""
    lines = [
        (layout.layer[s], layout.across[s], layout.across[t])
        for s, t in pairs
        if layout.layer[t] == layout.layer[s] + 1
    ]
    return sum(
        a[0] == b[0] and (a[1] - b[1]) * (a[2] - b[2]) < 0
        for i, a in enumerate(lines)
        for b in lines[i + 1 :]
    )


def test_a_node_stands_behind_the_last_that_it_waits_for():
    nodes = (node("a"), node("b", "a.x"), node("c", "a.x", "b.x"), node("d", after=["a"]))
    assert layers_of(Graph(flow(*nodes))) == {"a": 0, "b": 1, "c": 2, "d": 1}


def test_a_cycle_is_an_error_that_names_it():
    graph = Graph(flow(node("a", "b.x"), node("b", "a.x")))
    with pytest.raises(ValueError, match=r"a -> b -> a|b -> a -> b"):
        layers_of(graph)


def test_an_empty_flow_has_no_layers():
    layout = laid_out()
    assert (layout.layers, layout.extent) == ((), 0.0)


def test_a_diamond_is_symmetric():
    layout = laid_out(*DIAMOND)
    assert layout.layers == (("load",), ("left", "right"), ("join",), ("report",))
    middle = layout.extent / 2
    assert layout.across["load"] == pytest.approx(middle)
    assert layout.across["join"] == pytest.approx(middle)
    assert layout.across["left"] == pytest.approx(50)
    assert layout.across["right"] == pytest.approx(layout.extent - 50)


def test_order_within_layers_removes_crossings():
    # Written so that each child stands on the wrong side of its sibling.
    nodes = [node(f"a{i}") for i in range(6)]
    nodes += [node(f"b{i}", f"a{5 - i}.x") for i in range(6)]
    layout = laid_out(*nodes)
    assert crossings(layout, [(f"a{5 - i}", f"b{i}") for i in range(6)]) == 0


def test_a_long_edge_bends_around_the_layers_between():
    nodes = (node("a"), node("b", "a.x"), node("c", "b.x"), node("d", "c.x", "a.y"))
    layout = laid_out(*nodes)
    bends = layout.bends["a", "d"]
    assert len(bends) == 2
    for name, bend in zip("bc", bends, strict=True):
        assert abs(layout.across[name] - bend) >= 50 + 20 - 1e-6
    assert layout.bends["a", "b"] == ()


@pytest.mark.parametrize("seed", range(5))
def test_boxes_never_overlap_and_stay_inside(seed):
    rng = random.Random(seed)
    nodes = [
        node(f"n{i}", *{f"n{rng.randrange(i)}.x" for _ in range(rng.randrange(3)) if i})
        for i in range(80)
    ]
    graph = Graph(flow(*nodes))
    breadth = {name: rng.uniform(20, 200) for name in graph.nodes}
    layout = lay_out(graph, breadth, 10.0)
    assert sorted(name for layer in layout.layers for name in layer) == sorted(graph.nodes)
    for layer in layout.layers:
        for a, b in pairwise(layer):
            room = layout.across[b] - layout.across[a]
            assert room >= (breadth[a] + breadth[b]) / 2 + 10.0 - 1e-6
    for name, across in layout.across.items():
        half = breadth[name] / 2
        assert half - 1e-6 <= across <= layout.extent - half + 1e-6


def shape(kind, size):
    rng = random.Random(1)
    if kind == "chain":
        return [node(f"n{i}", *([f"n{i - 1}.x"] if i else [])) for i in range(size)]
    if kind == "fan":
        middle = [node(f"n{i}", "first.x") for i in range(size - 2)]
        return [node("first"), *middle, node("last", *(f"n{i}.x" for i in range(size - 2)))]
    return [
        node(f"n{i}", *([f"n{rng.randrange(max(0, i - 200), i)}.x" for _ in "ab"] if i else []))
        for i in range(size)
    ]


@pytest.mark.parametrize("kind", ["chain", "fan", "random"])
def test_a_layout_costs_about_the_same_for_each_of_many_nodes(kind):
    graphs = {size: Graph(flow(*shape(kind, size))) for size in (2_500, 10_000)}

    def laid_out(size):
        return lay_out(graphs[size], dict.fromkeys(graphs[size].nodes, 100.0), 20.0)

    assert len(laid_out(10_000).across) == 10_000
    assert growth(laid_out, 2_500) < 2
