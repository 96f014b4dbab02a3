import random

import pytest

from nbflow.core.cells import Analysis, CellFacts, Dependence, plan


def _analysis(count, *pairs, replayed=()):
    cells = tuple(
        CellFacts(number=number, index=number, first_line="", replayed=number in replayed)
        for number in range(1, count + 1)
    )
    kinds = (("replay" if source in replayed else "data") for source, _ in pairs)
    return Analysis(
        cells,
        tuple(
            Dependence(source, target, kind, f"x{source}", "")
            for (source, target), kind in zip(pairs, kinds, strict=True)
        ),
    )


def _cells(found):
    return [stage.cells for stage in found.stages]


def test_a_sequential_notebook_is_one_stage():
    found = plan(_analysis(4, (1, 2), (2, 3), (3, 4), (1, 3), (1, 4)))
    assert _cells(found) == [(1, 2, 3, 4)]
    assert found.edges == ()
    assert found.longest == 4


def test_a_fork_and_a_join():
    found = plan(_analysis(6, (1, 2), (2, 3), (2, 4), (4, 5), (3, 6), (5, 6)))
    assert _cells(found) == [(1, 2), (3,), (4, 5), (6,)]
    assert [(edge.source, edge.target, edge.names) for edge in found.edges] == [
        (0, 1, ("x2",)),
        (0, 2, ("x2",)),
        (1, 3, ("x3",)),
        (2, 3, ("x5",)),
    ]
    assert found.stage_of(5) == 2


def test_replayed_cells_join_nothing():
    found = plan(_analysis(4, (1, 2), (1, 3), (1, 4), replayed=[1]))
    assert _cells(found) == [(1, 2), (3,), (4,)]
    assert found.edges == ()
    assert found.replayed == (1,)


def test_a_replayed_cell_at_the_end_is_in_the_last_stage():
    assert _cells(plan(_analysis(3, (1, 2), replayed=[3]))) == [(1, 2, 3)]


def test_nothing_but_imports():
    assert _cells(plan(_analysis(2, replayed=[1, 2]))) == [(1, 2)]


def test_what_is_not_worth_a_kernel_stays_where_it_was():
    fork = _analysis(4, (1, 2), (1, 3), (1, 4))
    assert _cells(plan(fork, worth=lambda cells: 3 in cells)) == [(1, 2, 4), (3,)]
    assert _cells(plan(fork, worth=lambda cells: 1 in cells)) == [(1, 2, 3, 4)]


def test_a_join_that_is_not_worth_a_kernel_may_need_one():
    # Cell 4 needs both 2 and 3, which run beside each other: it cannot be in the stage of one.
    diamond = _analysis(4, (1, 2), (1, 3), (2, 4), (3, 4))
    found = plan(diamond, worth=lambda cells: cells != (4,))
    assert _cells(found) == [(1,), (2,), (3,), (4,)]


def test_no_cells_and_other_languages():
    assert plan(_analysis(0)).stages == ()
    other = Analysis(_analysis(3).cells, (), "r")
    assert _cells(plan(other)) == [(1, 2, 3)]


@pytest.mark.parametrize("seed", range(20))
def test_stages_run_in_their_order(seed):
    rng = random.Random(seed)
    pairs = [(a, b) for b in range(2, 20) for a in range(1, b) if rng.random() < 0.15]
    analysis = _analysis(20, *pairs, replayed=[1, 7])
    found = plan(analysis, worth=lambda cells: rng.random() < 0.5)
    assert sorted(cell for stage in found.stages for cell in stage.cells) == list(range(1, 21))
    before = {edge.target: set() for edge in found.edges}
    for edge in found.edges:
        assert edge.source < edge.target
        before[edge.target] |= {edge.source} | before.get(edge.source, set())
    for each in analysis.dependences:
        source, target = found.stage_of(each.source), found.stage_of(each.target)
        if each.kind != "replay" and source != target:
            assert source in before[target]


def test_a_variable_comes_from_where_its_parts_were_changed(analysed):
    analysis = analysed("a = []\nc = [a]", "a.append(1)", "w = len(a)", "u = 1", "print(w, u, c)")
    found = plan(analysis)
    handed = {
        (found.stages[edge.source].cells[-1], name) for edge in found.edges for name in edge.names
    }
    assert {each.source for each in analysis.dependences if each.name == "c"} >= {2}
    assert all(source != 1 for source, name in handed if name == "c")
