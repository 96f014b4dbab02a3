"""Stages in real kernels: what they hand on, what they take, and what they must not do."""

import ast
import re

import pytest
from stage_cases import CONFLICTS, ERRORS, ORDINARY
from stage_kernels import StageKernels, stage_pool

from nbflow.guest_namespace import STAGE_MODULES
from nbflow.notebooks.guest_text import joined_modules

IMPORTS = (
    "import numpy as np, pandas as pd, random, os, sys, warnings",
    {"replayed": True, "writes": ("np", "pd", "random", "os", "sys", "warnings")},
)


LIBRARIES = ("numpy", "pandas", "matplotlib.pyplot", "sklearn.linear_model")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("stages")


@pytest.fixture(scope="module")
def pool(folder, temporary_folder):
    """What forks the kernels; its sockets are in `temporary_folder`."""
    with stage_pool(folder, LIBRARIES) as made:
        yield made


@pytest.fixture
def stages(tmp_path, pool):
    return StageKernels(tmp_path, pool, LIBRARIES)


def writes(source, *names, **fields):
    return source, {"writes": names, **fields}


def fine(end):
    assert end.problems == ()
    return end


def test_what_is_shared_stays_shared(stages):
    first = fine(
        stages.run(
            IMPORTS,
            writes(
                "a = [1]; b = a; held = {'df': pd.DataFrame({'x': [1, 2]})}; df = held['df']\n"
                "arr = np.arange(10.0); view = arr[2:]; other = arr.copy(); n = 5\n"
                "sentinel = np.nan; out = sys.stdout.__class__",
                *["a", "b", "held", "df", "arr", "view", "other", "n", "sentinel", "out"],
            ),
            wanted=[
                "a",
                "b",
                "held",
                "df",
                "arr",
                "view",
                "other",
                "n",
                "sentinel",
                "out",
                "never",
            ],
        )
    )
    assert "never" not in first.given
    assert first.given["a"] == first.given["b"]
    assert first.given["held"] == first.given["df"]
    assert first.given["arr"] == first.given["view"] != first.given["other"]
    assert first.types["df"] == "pandas.DataFrame"
    second = stages.run(
        IMPORTS,
        (
            (
                "b.append(2); df['y'] = 3; view[0] = 99\n"
                "assert a is b and a == [1, 2]\n"
                "assert held['df'] is df and list(df) == ['x', 'y']\n"
                "assert arr[2] == 99 and view.base is arr and other[2] == 2 and n == 5\n"
                "assert sentinel is np.nan and out is sys.stdout.__class__"
            ),
            {
                "takes": tuple(first.given),
                "changes": ("a", "b", "held", "df", "arr", "view"),
            },
        ),
        given=first.given,
    )
    fine(second)


def test_classes_are_one_by_whichever_way_they_come(stages):
    first = fine(
        stages.run(
            writes(
                "import dataclasses, enum\n"
                "class C:\n    seen = []\n    def who(self): return type(self), scale\n"
                "class D(C):\n    def who(self): return super().who()\n"
                "@dataclasses.dataclass\nclass P:\n    x: int = 1\n"
                "class E(enum.Enum):\n    A = 1\n"
                "def f(): return scale\n"
                "scale, c = 1, C()",
                *["dataclasses", "enum", "C", "D", "P", "E", "f", "c", "scale"],
            ),
            wanted=["C", "D", "P", "E", "f", "c", "scale"],
        )
    )
    hop = fine(
        stages.run(
            (
                "d = D(); p = P(2); e = E.A; table = {f: 1, C: 2}",
                {"takes": ("D", "P", "E", "f", "C"), "writes": ("d", "p", "e", "table")},
            ),
            given=first.given,
            wanted=["d", "p", "e", "table"],
        )
    )
    assert hop.shared == ()
    fine(
        stages.run(
            (
                (
                    "scale = 7\n"
                    "assert type(d) is D and isinstance(d, C) and type(c) is C and type(p) is P\n"
                    "assert e is E.A and E(1) is e and P(2) == p\n"
                    "assert table[f] == 1 and table[C] == 2 and f() == 7\n"
                    "assert d.who() == (D, 7) and c.who() == (C, 7)\n"
                    "C.seen.append(1); assert D.seen == [1]"
                ),
                {
                    "takes": ("d", "C", "p", "table", "E", "D", "f", "c", "P", "e"),
                    "writes": ("scale",),
                    "changes": ("C", "D", "c", "d", "table"),
                },
            ),
            given={**first.given, **hop.given},
        )
    )


def test_a_class_that_two_stages_have_changed_is_a_conflict(stages):
    first = fine(stages.run(writes("class C:\n    n = 1", "C"), wanted=["C"]))
    hop = fine(
        stages.run(
            ("C.n = 2; c = C()", {"takes": ("C",), "changes": ("C",), "writes": ("c",)}),
            given=first.given,
            wanted=["c"],
        )
    )
    end = stages.run(
        ("c.n", {"takes": ("C", "c")}),
        given={"C": first.given["C"], "c": hop.given["c"]},
        raises=True,
    )
    assert "from two stages" in end.problems[0]


def test_closures_stay_common(stages):
    first = fine(
        stages.run(
            writes(
                "def make():\n    n = 0\n    def up():\n        nonlocal n\n        n += 1\n"
                "    def get(): return n\n    return up, get\nup, get = make()",
                *("make", "up", "get"),
            ),
            wanted=["up", "get"],
        )
    )
    assert first.given["up"] == first.given["get"]
    fine(
        stages.run(
            (
                (
                    "up(); assert get() == 1\n"
                    "import linecache\n"
                    "assert 'nonlocal' in linecache.getline(up.__code__.co_filename, 4)"
                ),
                {"takes": ("up", "get"), "changes": ("up", "get"), "writes": ("linecache",)},
            ),
            given=first.given,
        )
    )


def test_what_was_made_of_a_taken_variable_is_told(stages):
    first = fine(stages.run(IMPORTS, writes("xs = [[1], [2]]", "xs"), wanted=["xs"]))
    end = fine(
        stages.run(
            ("one = xs[0]; two = list(xs[1])", {"takes": ("xs",), "writes": ("one", "two")}),
            given=first.given,
            wanted=["one", "two"],
        )
    )
    assert end.shared == (("one", "xs"),)


def test_generators_of_random_numbers_travel(stages):
    names = ("Python's random generator", "numpy's random generator")
    first = fine(
        stages.run(
            IMPORTS,
            "random.seed(1); np.random.seed(2); random.random(), np.random.rand()",
            wanted=names,
            generators=names,
        )
    )
    assert set(first.given) == set(names)
    fine(
        stages.run(
            IMPORTS,
            (
                (
                    "r = random.Random(1); r.random(); assert random.random() == r.random()\n"
                    "s = np.random.RandomState(2); s.rand(); assert np.random.rand() == s.rand()"
                ),
                {"takes": names, "writes": ("r", "s")},
            ),
            given=first.given,
            generators=names,
        )
    )


PINNED = {
    "generator": "v = (n for n in [1])",
    "open file": "v = open('kept.txt')",
    "lock": "import threading\nv = threading.Lock(); v.acquire()",
    "remembering function": "import functools\n@functools.cache\ndef v(n): return [n]\nv(1)",
    "map of memory": "import numpy as np\nv = np.memmap('kept.txt', 'u1', 'r')",
}


def test_what_cannot_move_is_pinned(stages):
    (stages.work / "kept.txt").write_text("text")
    for what, source in PINNED.items():
        names = ("v", "functools", "threading", "np")
        end = stages.run(writes(source, *names), wanted=["v"])
        assert len(end.problems) == 1, what
        assert "`v` cannot be handed on" in end.problems[0]
        assert end.lessons == ((0, "pinned", "v"),)


@pytest.fixture(scope="module")
def shared(folder, pool):
    """Variables that the conflicts are about."""
    kernels = StageKernels(folder, pool, LIBRARIES)
    end = kernels.run(
        IMPORTS,
        writes(
            "x = [1]; z = [2]; big = np.zeros(300_000); df = pd.DataFrame({'n': [1, 2]})",
            *("x", "z", "big", "df"),
        ),
        wanted=["x", "z", "big", "df"],
    )
    return kernels, fine(end).given


def test_what_was_not_declared_is_a_conflict(shared):
    kernels, given = shared
    (kernels.work / "there.txt").write_text("")
    cells = [(source, fields) for source, fields, *_ in CONFLICTS]
    end = kernels.run(IMPORTS, *cells, given=given, wanted=["big"])
    assert end.given == {}
    for place, (source, _, words, kind, name) in enumerate(CONFLICTS, start=1):
        assert sum(words in problem for problem in end.problems) == 1, source
        learned = [each for each in end.lessons if each[0] == place and each[1] == kind]
        assert any(name in each[2] for each in learned) or kind == "barrier", source
    assert len(end.problems) == len(CONFLICTS)


@pytest.mark.parametrize("what", ERRORS)
def test_a_name_that_is_only_missing_here_is_a_conflict(shared, what):
    kernels, _ = shared
    end = kernels.run("1", ERRORS[what], "2", sequential=["hidden"], raises=True)
    assert end.problems == ("`hidden` is read, which was not known",)
    assert end.lessons == ((1, "reads", "hidden"),)


def test_what_was_declared_is_none(shared):
    kernels, given = shared
    fine(
        kernels.run(
            IMPORTS,
            (
                (
                    "x.append(1); big[5] = 1; df.loc[0, 'n'] = 7; y = 1; random.random()\n"
                    "open('mine.txt', 'w').close(); os.makedirs('deep/er', exist_ok=True)\n"
                    "open('deep/er/a.txt', 'w').close()"
                ),
                {
                    "takes": ("x", "big", "df"),
                    "changes": ("x", "big", "df"),
                    "writes": ("y",),
                },
            ),
            given=given,
            generators=("Python's random generator",),
            writes_files=("mine.txt", "deep/er/a.txt"),
        )
    )


def test_an_error_of_the_cell_is_no_conflict(shared):
    kernels, _given = shared
    for source in ("1 / 0", "nowhere", "def f():\n    print(a)\n    a = 1\nf()"):
        end = kernels.run(writes(source, "f"), sequential=["hidden"], raises=True)
        assert (end.problems, end.given) == ((), {})


def test_ordinary_cells_are_no_conflicts(stages):
    (stages.work / "t.csv").write_text("k,v,w\na,1,2\nb,2,4\na,3,6\n")
    names = "plt LinearRegression t fig ax X y m decimal ThreadPoolExecutor pool tempfile d"
    names += " logging i z display HTML st"
    cells = [writes(source, *names.split()) for source in ORDINARY]
    library = (
        "import matplotlib.pyplot as plt\nfrom sklearn.linear_model import LinearRegression",
        {"replayed": True},
    )
    end = fine(stages.run(IMPORTS, library, *cells, wanted=["t", "m", "X", "y"]))
    assert [path.rpartition("/")[2] for path in end.read_files] == ["t.csv"]
    assert end.written_files == ()


def test_nothing_shows_in_the_cells(stages):
    end = stages.run(
        writes("x = [1]; x", "x"),
        (
            (
                "import sys\n"
                "names = {n for n in globals() if not n.startswith('_')}\n"
                "assert Out == {5: [1]} and _ == [1] and In[-1].startswith('import sys')\n"
                "own = {'In', 'Out', 'get_ipython', 'exit', 'quit', 'open'}\n"
                "assert names - own == {'x', 'sys'}, names\n"
            ),
            {"hides": ("absent",), "writes": ("sys", "names", "own")},
        ),
        first=5,
    )
    fine(end)


def test_hidden_variables_are_gone_and_come_back(stages):
    first = fine(stages.run(writes("x = 'other'", "x"), wanted=["x"]))
    end = stages.run(
        writes("x = 'mine'", "x"),
        ("assert 'x' not in globals()", {"hides": ("x",)}),
        ("assert x == 'other'", {"takes": ("x",)}),
        given=first.given,
    )
    fine(end)


def test_a_cell_that_is_later_must_not_change_what_others_take(stages):
    end = stages.run(writes("xs = [1]", "xs"), ("xs.append(2)", {}), wanted=["xs"])
    assert end.problems == ("the value of `xs` was changed",)
    assert end.lessons == ((1, "changes", "xs"),)


MEMORY = """\
import re
def memory():
    with open('/proc/self/smaps_rollup') as file:
        text = file.read()
    return {k: int(v) // 1024 for k, v in re.findall(r'(\\w+):\\s+(\\d+) kB', text)}
before = memory()
"""


def test_large_arrays_are_not_copied(stages):
    first = fine(
        stages.run(
            IMPORTS,
            writes(
                "big = np.ones(25_000_000, 'f4'); tbl = pd.DataFrame({'a': np.ones(1_000_000)})",
                "big",
                "tbl",
            ),
            wanted=["big", "tbl"],
        )
    )
    end = fine(
        stages.run(
            IMPORTS,
            writes(MEMORY, "before", "memory", "re"),
            (
                (
                    "after = memory()\n"
                    "assert after['Rss'] - before['Rss'] < 30, (before, after)\n"
                    "assert big.sum() == 25_000_000 and big.flags.writeable and big.flags.aligned\n"
                    "assert memory()['Anonymous'] - before['Anonymous'] < 30"
                ),
                {"takes": ("big",), "writes": ("after",)},
            ),
            (
                "tbl['b'] = tbl.a + 1; assert tbl.b.sum() == 2_000_000",
                {"takes": ("tbl",), "changes": ("tbl",)},
            ),
            given=first.given,
            wanted=["tbl"],
        )
    )
    again = fine(
        stages.run(
            IMPORTS,
            ("big[0] = 5; assert big[0] == 5", {"takes": ("big",), "changes": ("big",)}),
            given=first.given,
        )
    )
    assert again.given == {}
    fine(stages.run(IMPORTS, ("assert big[0] == 1", {"takes": ("big",)}), given=first.given))
    assert end.given["tbl"] != first.given["tbl"]


def test_many_small_variables(stages):
    first = fine(
        stages.run(
            writes("globals().update({f'v{n}': n if n % 2 else [n] for n in range(10_000)})", "*"),
            wanted=[f"v{n}" for n in range(10_000)],
        )
    )
    assert len(first.given) == 10_000
    assert len(set(first.given.values())) < 100
    names = tuple(first.given)
    fine(stages.run(("assert v7 == 7 and v8 == [8]", {"takes": names}), given=first.given))


def test_files_are_the_same_each_time(stages):
    cell = writes(
        "class C:\n    pass\ndef f(): return 1\nx = {'c': C(), 'f': f, 's': {'a', 'b'}}",
        *("C", "f", "x"),
    )
    contents = []
    for _ in range(2):
        end = fine(stages.run(cell, wanted=["C", "f", "x"], number=7))
        contents.append({name: path.read_bytes() for name, path in end.given.items()})
    assert contents[0] == contents[1]


def test_lessons_tell_the_cell(stages):
    (stages.work / "a.txt").write_text("")
    end = stages.run(writes("a = 1", "a"), "open('a.txt', 'a').close()", writes("b = 1", "b"))
    assert end.lessons == ((1, "touches", str(stages.work / "a.txt")),)
    assert re.search("a.txt was written", end.problems[0])


def test_the_modules_that_are_sent_have_no_name_twice():
    body = ast.parse(joined_modules(STAGE_MODULES)).body
    names = [it.name for it in body if isinstance(it, (ast.FunctionDef, ast.ClassDef))]
    for statement in body:
        if isinstance(statement, ast.Assign):
            names += [
                it.id
                for it in ast.walk(statement)
                if isinstance(it, ast.Name)
                and isinstance(it.ctx, ast.Store)
                and it in statement.targets
            ]
    assert sorted(names) == sorted(set(names))
    assert "nbflow.guest_namespace" not in ast.unparse(
        [it for it in body if isinstance(it, ast.ImportFrom)]
    )
