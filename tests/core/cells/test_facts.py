"""What is said of each cell, and what hinders it."""

import time

import pytest

from nbflow.core.cells import hindrances


def _names(uses):
    return sorted(use.name for use in uses)


def test_a_cell_in_words(analysed):
    analysis = analysed(
        "import math",
        "a = [1]\nb = 2\nhelper = 3",
        "c = a\na.append(math.pi)\ndel b",
        "print(a, c)",
    )
    first, second, third, fourth = analysis.cells
    assert first.replayed
    assert first.first_line == "import math"
    assert _names(second.writes) == ["a", "b", "helper"]
    assert second.local == ("helper",)
    assert _names(third.reads) == ["a", "b"]
    assert _names(third.writes) == ["c"]
    assert _names(third.changes) == ["a"]
    assert _names(third.deletes) == ["b"]
    assert [use.line for use in third.changes] == [2]
    assert not any((fourth.writes, fourth.changes, fourth.touches, fourth.barriers))


def test_all_names_of_what_is_changed(analysed):
    changed = analysed("a = []\nb = a", "b.append(1)").cells[1].changes
    assert _names(changed) == ["a", "b"]


def test_what_is_not_the_same_each_time(analysed):
    (cell,) = analysed("import uuid, random\nuuid.uuid4()\nrandom.seed()").cells
    assert [reason.words for reason in cell.unsure] == [
        "Python's random generator, which nothing has seeded",
        "the system's chance",
    ]


@pytest.mark.parametrize(
    ("text", "what", "fix"),
    [
        ("exec('1')", "by name at run time", "dictionary"),
        ("import subprocess\nsubprocess.run('ls')", "runs another program", ""),
        ("import random\nrandom.random()", "draws from Python's random generator", "default_rng"),
        ("open(str(id), 'w')", "may write any file", "nbflow:writes=PATH"),
        ("import zoo\nzoo.go()", "code that is not known", "nbflow:pure"),
        (
            "import warnings\nx = sorted(['ignore'])[0]\nwarnings.simplefilter(x)",
            "beside other work",
            "own",
        ),
        ("from math import *", "imports whatever", "Import the names"),
        ("x = (", "not valid Python", "Mend"),
    ],
)
def test_what_hinders_a_cell_and_how_to_free_it(analysed, text, what, fix):
    found = hindrances(analysed("1", text))
    assert {each.cell for each in found} == {2}
    assert any(what in each.what and fix in each.fix for each in found), found


def test_plain_cells_are_not_hindered(analysed):
    assert hindrances(analysed("import math\nimport pandas as pd", "x = 1", "print(x)")) == ()


def test_the_same_reasons_each_time(analysed):
    cells = ("a = []\nb = {'a': a}\nc = [a, b]", "c[1]['a'].append(1)", "print(a, b, c)")
    assert analysed(*cells) == analysed(*cells)


def test_functions_that_call_each_other_end(analysed):
    names = [f"f{i}" for i in range(12)]
    bodies = [
        f"def {name}(x):\n    return [{', '.join(f'{n}(x)' for n in names)}]" for name in names
    ]
    analysis = analysed("k = []\n" + "\n".join(bodies), "f0(k)", "k")
    assert analysis.between(2, 3)


def test_deep_nesting_ends(analysed):
    analysis = analysed("x = 1", "y = " + "-" * 5000 + "x", "z = 1")
    assert analysis.between(1, 2)


def test_nested_loops_end(analysed):
    loop = "".join(f"{' ' * depth}for i{depth} in x:\n" for depth in range(9))
    analysis = analysed("x = [1]", loop + " " * 9 + "x.append(i3)", "x")
    assert analysis.between(2, 3)


def test_a_thousand_cells_in_a_moment(analysed):
    cells = ["import pandas as pd", "def f(df, n=3):\n    return df[df['x'] > n].dropna()"]
    for i in range(500):
        cells.append(f"d{i} = pd.read_csv('{i}.csv')\nd{i}['z'] = d{i}['x'] * 2")
        cells.append(f"r{i} = f(d{i})\nprint(r{i}.mean(), [v + 1 for v in range({i})])")
    began = time.process_time()
    analysis = analysed(*cells[:1000])
    # A second on an idle machine; here others may be at work.
    assert time.process_time() - began < 5
    assert len(analysis.cells) == 1000
