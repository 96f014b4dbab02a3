import collections
import dataclasses
import decimal
import enum
import fractions
import functools
import importlib
import json
import logging
import math
import subprocess
import sys
import threading
import types
import typing
import uuid
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nbflow.definition import FlowBuilder, load_target
from nbflow.definition.identity.functions import FunctionIdentities
from nbflow.definition.identity.modules import LocalModules
from nbflow.definition.identity.sources import Sources
from nbflow.definition.installed import Installation


def of(function):
    installation = Installation()
    return FunctionIdentities(LocalModules(Sources(), installation), installation).of(function)


def made(source, name="f", **variables):
    """Define a function as a module of its own does."""
    module = types.ModuleType("made")
    vars(module).update(variables)
    exec(compile(source, "made.py", "exec"), vars(module))
    return vars(module)[name]


SAME = {
    "another name": ("def f(): return 1", "def g(): return 1\nf = g"),
    "a comment": ("def f(): return 1", "# why\ndef f():\n    # so\n    return 1"),
    "other lines": ("def f(): return 1", "\n\n\ndef f(): return 1"),
    "a helper that it does not use": ("def f(): return 1", "def h(): pass\ndef f(): return 1"),
    "a variable that it does not use": ("def f(): return 1", "x = 3\ndef f(): return 1"),
    "a default that the flow gives": ("def f(x=1): return x", "def f(x=2): return x"),
    "an annotation": ("def f(x): return x", "def f(x: int) -> int: return x"),
    "another name of a set's item order": (
        "x = {'a', 'b', 'c'}\ndef f(): return x",
        "x = {'c', 'b', 'a'}\ndef f(): return x",
    ),
    "helpers that call each other": (
        "def f(n): return n and g(n - 1)\ndef g(n): return n and f(n - 1)",
        "def g(n): return n and f(n - 1)\ndef f(n): return n and g(n - 1)",
    ),
}
DATACLASS = "from dataclasses import dataclass\n@dataclass\nclass C:\n"
DIFFERENT = {
    "its body": ("def f(): return 1", "def f(): return 2"),
    "a constant's type": ("def f(): return 1", "def f(): return True"),
    "an attribute": ("def f(x): return x.a", "def f(x): return x.b"),
    "a default that is no JSON": ("def f(x=(1,)): return x", "def f(x=(2,)): return x"),
    "a helper": (
        "def h(): return 1\ndef f(): return h()",
        "def h(): return 2\ndef f(): return h()",
    ),
    "a helper's helper": (
        "def g(): return 1\ndef h(): return g()\ndef f(): return h()",
        "def g(): return 2\ndef h(): return g()\ndef f(): return h()",
    ),
    "a helper's default": (
        "def h(x=1): return x\ndef f(): return h()",
        "def h(x=2): return x\ndef f(): return h()",
    ),
    "a variable": ("x = 1\ndef f(): return x", "x = 2\ndef f(): return x"),
    "what is deep in a variable": (
        "x = {'a': [1, (2, {3})]}\ndef f(): return x",
        "x = {'a': [1, (2, {4})]}\ndef f(): return x",
    ),
    "an order": ("x = {1: 2, 3: 4}\ndef f(): return x", "x = {3: 4, 1: 2}\ndef f(): return x"),
    "an inner function": (
        "def f(): return (lambda: 1)()",
        "def f(): return (lambda: 2)()",
    ),
    "what is around it": (
        "def m(x):\n    def f(): return x\n    return f\nf = m(1)",
        "def m(x):\n    def f(): return x\n    return f\nf = m(2)",
    ),
    "what a decorator hides": (
        "def d(g):\n    def w(): return g()\n    return w\n@d\ndef f(): return 1",
        "def d(g):\n    def w(): return g()\n    return w\n@d\ndef f(): return 2",
    ),
    "a helper in a mapping": (
        "x = {'a': lambda: 1}\ndef f(): return x['a']()",
        "x = {'a': lambda: 2}\ndef f(): return x['a']()",
    ),
    "a method": (
        "class C:\n    def m(self): return 1\ndef f(): return C().m()",
        "class C:\n    def m(self): return 2\ndef f(): return C().m()",
    ),
    "a base class": (
        "class B:\n    x = 1\nclass C(B): pass\ndef f(): return C.x",
        "class B:\n    x = 2\nclass C(B): pass\ndef f(): return C.x",
    ),
    "a property": (
        "class C:\n    @property\n    def p(self): return 1\ndef f(): return C().p",
        "class C:\n    @property\n    def p(self): return 2\ndef f(): return C().p",
    ),
    "a member of an enumeration": (
        "import enum\nclass E(enum.Enum):\n    A = 1\ndef f(): return E.A",
        "import enum\nclass E(enum.Enum):\n    A = 2\ndef f(): return E.A",
    ),
    "a field of a dataclass": (
        f"{DATACLASS}    x: int = 1\ndef f(): return C()",
        f"{DATACLASS}    x: int = 2\ndef f(): return C()",
    ),
    "what a cached helper does": (
        "import functools\n@functools.cache\ndef h(): return 1\ndef f(): return h()",
        "import functools\n@functools.cache\ndef h(): return 2\ndef f(): return h()",
    ),
    "who catches what it raises": (
        "def f(x):\n    try:\n        return 1 / x\n    except ValueError:\n        return 0",
        "def f(x):\n    try:\n        return 1 / x\n    except OverflowError:\n        return 0",
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_what_makes_no_difference(name):
    one, other = (of(made(source)) for source in SAME[name])
    assert one == other
    assert one.unknown == ()


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_makes_a_difference(name):
    one, other = (of(made(source)) for source in DIFFERENT[name])
    assert one.code != other.code
    assert one.unknown == other.unknown == ()


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Point:
    x: int = 0


class Pair(typing.NamedTuple):
    a: int
    b: int


@pytest.mark.parametrize(
    ("value", "other"),
    [
        (1.0, 1),
        (0.0, -0.0),
        (b"a", "a"),
        ([1], (1,)),
        ({1}, frozenset({1})),
        (10**5000, 10**5000 + 1),
        (Path("a"), Path("b")),
        (decimal.Decimal(1), fractions.Fraction(1)),
        (uuid.UUID(int=1), uuid.UUID(int=2)),
        (Colour.RED, Colour),
        (Point(1), Point(2)),
        (Pair(1, 2), (1, 2)),
        (functools.partial(math.pow, 2), functools.partial(math.pow, 3)),
        ("x".join, "y".join),
        (collections.Counter("ab"), collections.Counter("aa")),
        (np.arange(3), np.arange(3.0)),
        (np.arange(4), np.arange(4).reshape(2, 2)),
        (np.float64(1), np.float32(1)),
        (np.add, np.subtract),
        (pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": [1, 3]})),
        (pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"b": [1, 2]})),
        (pd.Series([1], name="a"), pd.Series([1], name="b")),
        (pd.DataFrame({"a": ["x"]}), pd.DataFrame({"a": ["y"]})),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_count_by_type_and_content(value, other):
    source = "def f(): return x"
    one, two = of(made(source, x=value)), of(made(source, x=other))
    assert one.code != two.code
    assert one.code == of(made(source, x=value)).code


@pytest.mark.parametrize("value", [logging.getLogger("a"), dict[str, int], int | None, object()])
def test_some_objects_are_known_by_their_names(value):
    assert of(made("def f(): return x", x=value)).unknown == ()


contains_itself: list[object] = []
contains_itself.append(contains_itself)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (threading.Lock(), "is a _thread.lock, whose content cannot be compared"),
        ({"a": [threading.Event()]}, "is a threading.Event, whose content"),
        (contains_itself, "contains itself"),
        (np.array([object()], dtype=object), "is a numpy.ndarray, whose content"),
        (iter([1]), "is a list_iterator"),
    ],
)
def test_what_cannot_be_compared_is_named(value, words):
    (unknown,) = of(made("def f(): return x", x=value)).unknown
    assert unknown.startswith("the variable 'x' that made.f uses ")
    assert words in unknown
    assert unknown.endswith("Create it inside the function, or pass it as a parameter")


def test_a_lambda_that_captures_a_lock_says_so_and_differs_otherwise():
    def captures(lock, number):
        return lambda: (lock, number)

    one, two = of(captures(threading.Lock(), 1)), of(captures(threading.Lock(), 2))
    assert one.code != two.code
    (unknown,) = one.unknown
    assert "the variable 'lock' of" in unknown


@pytest.mark.parametrize(
    "source",
    [
        "def f(t): exec(t)",
        "def f(m): return __import__(m)",
        "import importlib\ndef f(m): return importlib.import_module(m)",
        "from importlib import import_module\ndef f(m): return import_module(m)",
        "def f():\n    import nothing_that_is_there",
    ],
)
def test_code_that_only_shows_when_it_runs_is_unknown(source):
    assert len(of(made(source)).unknown) == 1


def test_what_is_installed_counts_by_name():
    assert of(json.dumps) != of(json.loads)
    assert of(json.dumps) == of(json.dumps)
    assert of(math.sqrt) != of(math.sin)
    assert of(made("import json\ndef f(): return json.dumps(1)")).modules == ""
    assert of(functools.partial(json.dumps, indent=2)) != of(
        functools.partial(json.dumps, indent=1)
    )


def test_the_order_of_nodes_makes_no_difference():
    source = "def f(n): return g(n)\ndef g(n): return f(n) + h(n)\ndef h(n): return 1"
    f = made(source)
    g = f.__globals__["g"]
    installation = Installation()
    first = FunctionIdentities(LocalModules(Sources(), installation), installation)
    second = FunctionIdentities(LocalModules(Sources(), installation), installation)
    assert (first.of(f), first.of(g)) == tuple(reversed((second.of(g), second.of(f))))


@pytest.fixture
def project(folder):
    package = folder / "helpers"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "deep.py").write_text("import leaf\ndef twice(x):\n    return 2 * x\n")
    (package / "unused.py").write_text("")
    (folder / "leaf.py").write_text("x = 1\n")
    (folder / "inside.py").write_text("x = 1\n")
    (folder / "flow.py").write_text(
        "import threading\n"
        "import nbflow.definition as d\n"
        "import helpers.deep\n"
        "from helpers.deep import twice\n"
        "flow = d.FlowBuilder('f')\n"
        "@flow.task(retries=2)\n"
        "def by_module(x=1): return helpers.deep.twice(x)\n"
        "@flow.task\n"
        "def by_name(x=1): return twice(x)\n"
        "@flow.task\n"
        "def by_import(x=1):\n"
        "    import inside\n"
        "    return inside.x + x\n"
        "@flow.task\n"
        "def plain(x=1): return {1, 'a', None}, x\n"
    )
    return folder


PROGRAM = """
import json, sys
from nbflow.definition import FlowBuilder, load_target
flow = load_target("flow.py:flow", flow_class=FlowBuilder)
nodes = flow.prepare().spec.nodes
print(json.dumps({it.name: [it.identity.code, it.identity.modules, it.identity.environment,
                            list(it.identity.unknown)] for it in nodes}))
"""


def elsewhere(folder):
    """Return the identities of the flow's nodes as another process sees them."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=folder, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_the_same_functions_have_the_same_identity_in_every_process(project):
    flow = load_target("flow.py:flow", flow_class=FlowBuilder)
    here = {
        node.name: [it.code, it.modules, it.environment, list(it.unknown)]
        for node in flow.prepare().spec.nodes
        for it in [node.identity]
    }
    assert elsewhere(project) == here == elsewhere(project)
    assert all(unknown == [] for *_, unknown in here.values())


@pytest.mark.parametrize(
    ("file", "reached_by"),
    [
        ("helpers/deep.py", {"by_module", "by_name"}),
        ("helpers/__init__.py", {"by_module"}),
        ("leaf.py", {"by_module"}),
        ("inside.py", {"by_import"}),
        ("helpers/unused.py", set()),
    ],
)
def test_an_edit_of_a_module_changes_exactly_the_functions_that_reach_it(project, file, reached_by):
    before = elsewhere(project)
    text = (project / file).read_text()
    (project / file).write_text(text.replace("2 * x", "x + x") + "y = 1\n")
    after = elsewhere(project)
    assert {name for name in before if before[name] != after[name]} == reached_by


@pytest.mark.parametrize("text", ["def f(): return 2\n", "X = 22\ndef f(): return 1\n"])
def test_a_module_that_was_edited_after_its_import_is_unknown(folder, monkeypatch, text):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    (folder / "edited.py").write_text("X = 1\ndef f(): return 1\n")
    sys.path.insert(0, str(folder))
    edited = importlib.import_module("edited")
    function = made("def f(): return edited.f()", edited=edited)
    assert of(function).unknown == ()
    (folder / "edited.py").write_text(text)
    (unknown,) = of(function).unknown
    assert "edited.py has been edited since it was imported. Start Python again" in unknown


def test_a_policy_is_no_part_of_the_code(project):
    before = elsewhere(project)
    text = (project / "flow.py").read_text()
    (project / "flow.py").write_text(text.replace("retries=2", "retries=3, cache=True"))
    assert elsewhere(project) == before


def noop():
    return None


def test_a_function_is_looked_at_once_for_ten_thousand_nodes(monkeypatch):
    looked = []
    original = FunctionIdentities._identified

    def counted(self, function):
        looked.append(function)
        return original(self, function)

    monkeypatch.setattr(FunctionIdentities, "_identified", counted)
    flow = FlowBuilder("f")
    for number in range(10_000):
        flow.task(noop, name=f"n{number}")
    assert len({node.identity.code for node in flow.prepare().spec.nodes}) == 1
    assert looked == [noop]
