import random
import time

from staged_run import DIAMOND, flow, node

from nbflow.core.graph import Graph
from nbflow.panels.picture import MAX_BOXES, picture_of


def test_a_small_graph_is_drawn_node_by_node():
    picture = picture_of(Graph(flow(*DIAMOND)))
    assert [box.label for box in picture.boxes] == ["load", "left", "right", "join", "report"]
    assert [box.members for box in picture.boxes] == [[0], [1], [2], [3], [4]]
    assert [(link.source, link.target, link.data) for link in picture.links][-1] == (3, 4, False)
    assert picture.layers == 4


def large(count, groups=True):
    rng = random.Random(0)
    name = (lambda i: f"step{i % 7}/n{i}") if groups else (lambda i: f"n{i}")
    return Graph(
        flow(
            *[
                node(
                    name(i),
                    after=[
                        name(j) for j in sorted(rng.sample(range(max(0, i - 50), i), min(i, 2)))
                    ],
                )
                for i in range(count)
            ]
        )
    )


def members(picture):
    return sorted(number for box in picture.boxes for number in box.members)


def test_a_large_graph_is_drawn_as_groups_quickly():
    for groups in (True, False):
        graph = large(5_000, groups)
        began = time.process_time()
        picture = picture_of(graph)
        assert time.process_time() - began < 2.0
        assert len(picture.boxes) <= MAX_BOXES
        assert members(picture) == list(range(5_000))


def test_a_long_chain_is_drawn_as_pieces():
    chain = [node(f"n{i}", after=[f"n{i - 1}"] if i else []) for i in range(2_000)]
    picture = picture_of(Graph(flow(*chain)))
    assert 10 <= len(picture.boxes) <= MAX_BOXES
    assert members(picture) == list(range(2_000))


def test_an_opened_group_shows_its_nodes():
    nodes = [
        node(f"part{i % 6}/n{i}", after=[f"part{(i - 1) % 6}/n{i - 1}"] if i % 6 else [])
        for i in range(600)
    ]
    graph = Graph(flow(*nodes))
    closed = picture_of(graph)
    assert len(closed.boxes) == 6
    key = closed.boxes[2].key
    picture = picture_of(graph, [key])
    single = [box for box in picture.boxes if len(box.members) == 1]
    assert len(single) == 100
    assert all(box.opened for box in single)
    assert members(picture) == list(range(600))


def test_a_very_large_group_opens_into_smaller_ones():
    graph = Graph(flow(node("first"), *[node(f"n{i}", after=["first"]) for i in range(5_000)]))
    [first, rest] = picture_of(graph).boxes
    assert (first.label, rest.label) == ("first", "n# × 5,000")  # noqa: RUF001
    parts = [box for box in picture_of(graph, [rest.key]).boxes if box.opened]
    assert len(parts) == 50
    opened = picture_of(graph, [rest.key, parts[3].key])
    assert len(opened.boxes) == 1 + 49 + 100
    assert members(opened) == list(range(5_001))


def test_opening_a_group_never_makes_a_cycle():
    for groups in (True, False):
        graph = large(5_000, groups)
        for box in picture_of(graph).boxes[:5]:
            assert members(picture_of(graph, [box.key])) == list(range(5_000))
