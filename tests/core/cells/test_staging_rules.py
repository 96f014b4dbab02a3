"""Where a notebook may be cut, and what each stage is told."""

import time

import pytest

from nbflow.core.cells import CellText, analyze
from nbflow.core.cells.staging import ALWAYS, Costs, Worth, stage_cells, worth_of

IMPORTS = "import time\nimport random"
NUMPY = "numpy's random generator"
PYTHON = "Python's random generator"


def _numbers(staging):
    return [stage.spec.numbers for stage in staging.stages]


def _home(staging, number):
    return next(at for at, stage in enumerate(staging.stages) if number in stage.spec.numbers)


def _cell(staging, number):
    spec = staging.stages[_home(staging, number)].spec
    return next(cell for cell in spec.cells if cell.number == number)


@pytest.fixture
def staged(analysed):
    """Stages cells that are given as plain Python, in as many stages as there can be."""

    def staged(*cells, worth=ALWAYS, pinned=()):
        return stage_cells(analysed(*cells), worth=worth, pinned=pinned)

    return staged


# --- what is worth a kernel -----------------------------------------------------------------------


def test_a_notebook_of_which_nothing_is_known_is_one_stage(staged):
    cells = [IMPORTS, *(f"x{i} = {i}" for i in range(60)), "print(x0, x59)"]
    assert len(staged(*cells, worth=worth_of({})).stages) == 1


def test_four_slow_cells_are_four_stages_beside_each_other(staged):
    cells = [f"x{i} = sum(range(10**{i}))" for i in range(4)]
    worth = worth_of(dict.fromkeys(range(2, 6), 5.0))
    staging = staged(IMPORTS, *cells, "print(x0, x1, x2, x3)", worth=worth)
    places = [_home(staging, number) for number in range(2, 6)]
    assert len(set(places)) == 4
    assert all(staging.before(place) == () for place in places)
    assert staging.before(_home(staging, 6)) == tuple(sorted(places))


def test_a_short_branch_stays_with_a_long_one(staged):
    cells = ("a = 1", "b = a + 1", "c = a + 2", "print(b, c)")
    worth = worth_of({2: 5.0, 3: 0.1})
    assert len(staged(*cells, worth=worth).stages) == 1


def test_no_more_stages_than_kernels_can_use(staged):
    cells = [f"x{i} = {i}" for i in range(12)]
    worth = worth_of(dict.fromkeys(range(1, 13), 5.0), Costs(), workers=2)
    assert len(staged(*cells, worth=worth).stages) <= 6


def test_costs_of_values_and_kernels_are_weighed(staged):
    cells = ("a = 1", "b = a + 1", "c = a + 2", "print(b, c)")
    worth = worth_of({2: 1.0, 3: 1.0}, Costs(kernel_s=2.0))
    assert len(staged(*cells, worth=worth).stages) == 1


# --- cells ----------------------------------------------------------------------------------------


def test_imports_are_repeated_where_something_follows(staged):
    staging = staged("import math", "x = math.pi", "import json", "y = json.dumps(1)")
    assert _numbers(staging) == [(1, 2), (3, 4)]
    second = staging.stages[1].spec.cells
    assert [(cell.number, cell.replayed) for cell in second] == [(1, True), (3, False), (4, False)]


def test_trailing_imports_belong_to_the_last_stage(staged):
    assert _numbers(staged("x = 1", "y = 2", "import math")) == [(1,), (2, 3)]


def test_nothing_but_imports(staged):
    assert _numbers(staged("import math", "import json")) == [(1, 2)]


def test_an_empty_notebook_has_no_stages(staged):
    assert staged().stages == ()


def test_other_languages_are_one_stage(analysed):
    import msgspec

    analysis = msgspec.structs.replace(analysed("x <- 1", "y <- 2"), language="R")
    staging = stage_cells(analysis, worth=ALWAYS)
    assert _numbers(staging) == [(1, 2)]
    assert staging.stages[0].spec.has_effects


def test_the_injected_cell_has_number_0():
    texts = [
        CellText(number=0, index=-1, text="a = None", tags=("injected-parameters",)),
        CellText(number=1, index=0, text="b = a"),
        CellText(number=2, index=1, text="c = a"),
    ]
    staging = stage_cells(analyze(texts), worth=ALWAYS)
    assert _numbers(staging) == [(0,), (1,), (2,)]
    assert [stage.sources for stage in staging.stages] == [{}, {"a": 0}, {"a": 0}]
    assert staging.stages[0].spec.cells[0].index == -1


# --- versions -------------------------------------------------------------------------------------


def test_a_variable_comes_from_who_touched_it_last(staged):
    staging = staged("x = [1]", "y = len(x)", "x.append(2)", "print(x, y)")
    assert _numbers(staging) == [(1,), (2,), (3,), (4,)]
    assert staging.stages[1].sources == {"x": 0}
    assert staging.stages[3].sources == {"x": 2, "y": 1}
    assert _cell(staging, 3).changes == ("x",)


def test_a_stage_ends_before_it_changes_what_others_need(staged):
    # 1 and 3 would be one chain, if cell 2 did not need `x` as it was.
    staging = staged("x = [1]", "y = len(x)", "x.append(2)", worth=Worth(heads=frozenset({2})))
    assert _home(staging, 1) != _home(staging, 3)


def test_what_is_bound_anew_elsewhere_is_hidden(staged):
    staging = staged("x = 1\ny = 2", "x = 3", "print(y)", worth=Worth(heads=frozenset({2})))
    assert _numbers(staging) == [(1, 3), (2,)]
    assert _cell(staging, 3).hides == ("x",)


def test_a_deleted_variable_is_hidden_and_never_taken(staged):
    staging = staged("x = 1\ny = 2", "del x", "y = 3", "print(y)")
    assert _home(staging, 2) != _home(staging, 4)
    assert staging.holder("x") is None


def test_a_conditional_definition_takes_what_was(staged):
    staging = staged("x = 1", "if x:\n    x = 2", "print(x)")
    assert staging.stages[0].spec.numbers[0] == 1
    assert (
        "x" in {name for stage in staging.stages for name in stage.sources}
        or len(staging.stages) == 1
    )


def test_an_import_that_is_repeated_is_nothing_new(staged):
    cells = ("import math\na = 1", "import math\nb = math.pi", "print(math.pi, b)")
    staging = staged(*cells)
    assert not any(cell.hides for stage in staging.stages for cell in stage.spec.cells)


def test_who_has_a_variable_in_the_end(staged):
    staging = staged("x = 1", "y = 2", "x = 3", "print(y)")
    assert staging.holder("x") == _home(staging, 3)
    assert staging.holder("y") == _home(staging, 2)
    assert staging.holder("z") is None


# --- memory ---------------------------------------------------------------------------------------


def test_names_of_one_memory_come_together(staged):
    staging = staged("a = [1]\nb = a", "n = len(a)", "a.append(2)", "print(a, b, n)")
    changing = _cell(staging, 3)
    assert changing.takes == ("a", "b")
    assert changing.changes == ("a", "b")
    last = staging.stages[_home(staging, 4)]
    assert last.sources["a"] == last.sources["b"] == _home(staging, 3)


def test_names_made_apart_of_one_memory_are_made_in_one_stage(staged):
    staging = staged("z = [1]", "x = z", "y = z", "x.append(y)", "print(x, y, z)")
    assert _home(staging, 2) == _home(staging, 3)


def test_a_container_gives_what_it_holds(staged):
    staging = staged("a = [1]", "b = [2]", "both = [a, b]", "a.append(3)", "print(both)")
    assert set(_cell(staging, 4).changes) == {"a", "both"}


def test_instances_of_a_class_that_nobody_changes_are_apart(staged):
    staging = staged("class C:\n    pass", "a = C()", "b = C()", "print(a, b)")
    assert _home(staging, 2) != _home(staging, 3)


def test_instances_of_a_class_that_changes_move_with_it(staged):
    staging = staged(
        "class C:\n    count = 0", "a = C()", "b = C()", "C.count += 1", "print(a.count, b.count)"
    )
    assert _home(staging, 2) == _home(staging, 3)


def test_what_a_function_hands_to_a_library_call_is_shared(staged):
    staging = staged("p = [1]", "f = lambda x: [p, x]", "s = list(map(f, [2]))", "p.pop()", "s")
    assert set(_cell(staging, 4).changes) == {"p", "s"}


# --- what stays -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        "g = (i for i in [1])",
        "g = iter([1])",
        "g = open('data.txt')",
        "import threading\ng = threading.Lock()",
        "import zoo\ng = zoo.Animal()",
    ],
)
def test_what_cannot_be_moved_stays(staged, make):
    staging = staged("x = 1", make, "y = 2", "print(g)")
    assert _home(staging, 2) == _home(staging, 4)


def test_an_array_that_must_own_its_memory_stays(staged):
    staging = staged("import numpy as np", "a = np.arange(6)", "b = 1", "a.resize((3,))")
    assert _home(staging, 2) == _home(staging, 4)


def test_generators_of_random_numbers_move(staged):
    cells = ("import random", "g = random.Random(1)", "a = g.random()", "b = 1", "print(g, a)")
    staging = staged(*cells, worth=Worth(heads=frozenset({3, 5})))
    assert _home(staging, 2) != _home(staging, 3)


def test_what_was_learned_to_stay(staged):
    cells = ("x = make()", "y = [x]", "z = 1", "print(y)")
    assert len(staged(*cells[2:]).stages) == 2
    cells = ("x = [1]", "y = 5", "print(x)", "x = [2]", "print(x)")
    staging = staged(*cells, pinned=[(1, "x")], worth=Worth(heads=frozenset({3, 4, 5})))
    assert _home(staging, 1) == _home(staging, 3)
    assert _home(staging, 4) != _home(staging, 1)
    assert staging.holder("x") is not None


def test_what_was_learned_to_stay_is_given_to_nobody(staged):
    assert staged("x = [1]", "y = 2", pinned=[(1, "x")]).holder("x") is None


# --- generators -----------------------------------------------------------------------------------


def test_the_state_of_a_generator_travels(staged):
    staging = staged(
        "import random", "random.seed(1)", "a = random.random()", "x = 1", "b = random.random()",
        worth=Worth(heads=frozenset({3, 5})),
    )  # fmt: skip
    assert staging.stages[_home(staging, 5)].sources == {PYTHON: _home(staging, 3)}
    assert _cell(staging, 5).takes == (PYTHON,)
    assert all(PYTHON in staging.stages[_home(staging, n)].spec.generators for n in (2, 3, 5))


def test_a_seed_begins_anew(staged):
    cells = ("import random", "a = random.random()", "random.seed(1)\nb = random.random()")
    staging = staged(*cells)
    assert staging.stages[_home(staging, 3)].sources == {}


def test_code_that_cannot_be_seen_may_draw_from_any(staged):
    staging = staged("import random\nrandom.seed(1)", "exec('1')", "print(random.random())")
    assert staging.stages[_home(staging, 2)].spec.generators == (PYTHON, NUMPY)


# --- effects and barriers -------------------------------------------------------------------------


def test_who_may_write_outside_begins_when_all_before_it_is_done(staged):
    staging = staged("a = 1", "b = 2", "open('x.txt', 'w').write('1')", "c = 3", "print(a, b, c)")
    effect = _home(staging, 3)
    assert staging.stages[effect].spec.numbers == (3,)
    assert staging.stages[effect].spec.writes_files == ("x.txt",)
    assert not staging.stages[effect].spec.writes_anything
    assert staging.before(effect) == (_home(staging, 1), _home(staging, 2))
    assert staging.before(_home(staging, 4)) == ()


def test_no_stage_is_on_both_sides_of_an_effect(staged):
    staging = staged(
        "a = 1", "open('x.txt', 'w').write('1')", "print(a)", worth=Worth(heads=frozenset())
    )
    assert len(staging.stages) == 1
    staging = staged(
        "a = 1", "open('x.txt', 'w').write('1')", "print(a)", worth=Worth(heads=frozenset({1}))
    )
    assert _numbers(staging) == [(1,), (2,), (3,)] or _home(staging, 1) != _home(staging, 3)


def test_effects_one_after_the_other_are_one_stage(staged):
    staging = staged("a = 1", "open('x', 'w').write('1')", "open('y', 'w').write('2')", "b = a")
    assert staging.stages[_home(staging, 2)].spec.numbers == (2, 3)


@pytest.mark.parametrize("text", ["print(1)", "import time\nt = time.time()", "open('x').read()"])
def test_what_only_shows_or_reads_is_no_effect(staged, text):
    assert not any(stage.spec.has_effects for stage in staged("a = 1", text).stages)


@pytest.mark.parametrize(
    "text", ["get_ipython().system('ls')", "exec('x')", "import zoo\nzoo.go()"]
)
def test_what_cannot_be_known_may_have_any_effect(staged, text):
    staging = staged("a = 1", text, "b = 2")
    assert staging.stages[_home(staging, 2)].spec.writes_anything


def test_what_stays_keeps_all_in_between_on_both_sides_of_an_effect(staged):
    staging = staged("f = open('x', 'w')", "a = 1", "f.write('1')", "b = 2")
    assert staging.stages[_home(staging, 1)].spec.numbers == (1, 2, 3)


def test_a_barrier_parts_the_notebook(staged):
    staging = staged("a = 1", "b = 2", "get_ipython().system('ls')", "c = a", "d = b")
    barrier = _home(staging, 3)
    assert staging.before(barrier) == (_home(staging, 1), _home(staging, 2))
    assert all(barrier in staging.before(_home(staging, number)) for number in (4, 5))
    assert _cell(staging, 3).takes == ()


def test_code_by_name_takes_and_gives_every_variable(staged):
    staging = staged("a = 1", "b = 2", "exec('c = a')", "d = c", "e = b")
    assert _cell(staging, 3).takes == ("a", "b")
    assert _cell(staging, 3).writes == ("*",)
    assert staging.stages[_home(staging, 4)].sources == {"c": _home(staging, 3)}
    assert staging.stages[_home(staging, 5)].sources == {"b": _home(staging, 3)}
    assert staging.holder("unheard_of") == _home(staging, 3)


def test_history_needs_all_before_it_in_one_kernel(staged):
    staging = staged("a = 1", "b = 2", "print(_)", "c = 3")
    assert {1, 2, 3} <= set(staging.stages[_home(staging, 3)].spec.numbers)


@pytest.mark.parametrize(
    "text",
    [
        "import warnings\nx = sorted(['ignore'])\nwarnings.simplefilter(x[0])",
        "import json\njson.dumps = print",
        "get_ipython().run_line_magic('unheard_of', '')",
        "import threading\nthreading.Thread(target=print).start()",
    ],
)
def test_what_is_left_in_the_kernel_keeps_all_that_follows(staged, text):
    staging = staged("a = 1", text, "b = 2", "c = 3")
    assert {2, 3, 4} <= set(staging.stages[_home(staging, 2)].spec.numbers)


def test_a_module_may_be_a_file_that_was_written_before(staged):
    staging = staged("open('zoo.py', 'w').write('x = 1')", "import json", "a = 1")
    assert _home(staging, 1) in staging.before(_home(staging, 3))


def test_invalid_python_is_a_barrier(staged):
    staging = staged("a = 1", "b = 2", "x = (", "c = 3", "d = 4")
    barrier = _home(staging, 3)
    assert staging.before(barrier) == (_home(staging, 1), _home(staging, 2))
    assert all(barrier in staging.before(_home(staging, number)) for number in (4, 5))


# --- size -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [{}, dict.fromkeys(range(5, 1000, 90), 5.0)])
def test_a_thousand_cells_in_a_moment(analysed, seconds):
    cells = ["import pandas as pd", "def f(df, n=3):\n    return df[df['x'] > n].dropna()"]
    for i in range(500):
        cells.append(f"d{i} = pd.read_csv('{i}.csv')\nd{i}['z'] = d{i}['x'] * 2")
        cells.append(f"r{i} = f(d{i})\nprint(r{i}.mean(), [v + 1 for v in range({i})])")
    analysis = analysed(*cells[:1000])
    began = time.process_time()
    staging = stage_cells(analysis, worth=worth_of(seconds))
    assert time.process_time() - began < 5
    assert sorted(n for stage in staging.stages for n in stage.spec.numbers) == [*range(1, 1001)]
