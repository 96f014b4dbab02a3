"""What the guest does, tried in this process: sameness, reach, sharing, movers."""

import collections
import datetime as dt
import io
import json
import re
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbflow.guest_namespace.facts import differences
from nbflow.guest_namespace.graph import Reach, module_values, overlapping
from nbflow.guest_namespace.marks import mark_of
from nbflow.guest_namespace.moving import Mover, Settler
from nbflow.guest_namespace.rules import Unmovable, is_plain, refusal
from nbflow.guest_namespace.sameness import Different, Sameness


def moved(variables, namespace=None):
    """Return a copy of `variables` in a namespace of its own, and what compares the two."""
    namespace = variables if namespace is None else namespace
    places = module_values()
    file = io.BytesIO()
    Mover(file, namespace, places).dump(dict(variables))
    there = {"__name__": "__main__"}
    there.update(Settler(io.BytesIO(file.getvalue()), there).load())
    return there, Sameness(namespace, there, places)


def same(one, other):
    """Whether two values count as the same."""
    try:
        Sameness({}, {}, module_values()).check(one, other)
    except Different:
        return False
    return True


def notebook(source):
    namespace = {"__name__": "__main__"}
    exec(source, namespace)
    del namespace["__builtins__"]
    return namespace


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.dates()
    | st.decimals()
    | st.fractions(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(), inner)
        | st.tuples(inner, inner)
        | st.builds(collections.deque, st.lists(inner))
        | st.builds(lambda it: types.SimpleNamespace(it=it), inner)
    ),
    max_leaves=20,
)


@settings(deadline=None, max_examples=30)
@given(value=values)
def test_values_move_and_are_the_same(value):
    variables = {"a": value, "b": [value, value]}
    there, sameness = moved(variables)
    sameness.check(value, there["a"])
    sameness.check(variables["b"], there["b"])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (True, 1),
        (0.0, -0.0),
        ([1], (1,)),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (np.arange(3), np.arange(3.0)),
        (np.arange(3), np.arange(4)[:3]),
        (np.eye(2), np.asfortranarray(np.eye(2))),
        (dt.date(2020, 1, 1), dt.datetime(2020, 1, 1)),  # noqa: DTZ001 - any
        (lambda: 1, lambda: 2),
        (types.SimpleNamespace(a=1), types.SimpleNamespace(a=2)),
        (re.compile("a"), re.compile("b")),
    ],
)
def test_what_differs_is_not_the_same(one, other):
    assert not same(one, other)
    assert same(one, one) or isinstance(one, types.FunctionType)


def test_identity_is_part_of_sameness():
    shared = [1]
    assert not same([shared, shared], [[1], [1]])
    assert not same([[1], [1]], [shared, shared])
    assert same([shared, shared], [other := [1], other])


def test_the_order_of_a_set_counts():
    ordered, other = {8, 0}, {0, 8}
    assert ordered == other
    assert same(ordered, other) == (list(ordered) == list(other))


def test_functions_belong_to_the_namespace_that_they_arrive_in():
    there, sameness = moved(notebook("x = 1\ndef f():\n    return x, g()\ndef g():\n    return 2"))
    there["x"] = 5
    assert there["f"]() == (5, 2)
    assert there["f"].__globals__ is there
    del sameness


def test_closures_stay_common():
    source = (
        "def make():\n    n = 0\n    def up():\n        nonlocal n\n        n += 1\n"
        "    def get():\n        return n\n    return up, get\nup, get = make()"
    )
    there, _ = moved(notebook(source))
    there["up"]()
    assert there["get"]() == 1


def test_views_are_views_again():
    a = np.arange(12)
    variables = {"a": a, "b": a[2:], "c": a.reshape(3, 4).T, "d": a[::-3], "e": a.view("u1")}
    there, sameness = moved(variables)
    for name, value in variables.items():
        sameness.check(value, there[name])
    there["a"][11] = 99
    assert (there["b"][-1], there["c"][3, 2], there["d"][0]) == (99, 99, 99)


def test_what_a_module_has_is_found_and_not_copied():
    there, _ = moved({"module": json, "a": json.decoder.NaN, "f": json.dumps, "k": re.Pattern})
    assert there["module"] is json
    assert there["f"] is json.dumps
    assert there["k"] is re.Pattern


@pytest.mark.parametrize(
    "value",
    [
        iter([1]),
        zip([1], [2], strict=True),
        (n for n in ()),
        map(str, []),
        memoryview(b"a"),
        {}.keys(),
    ],
)
def test_iterators_and_views_are_refused(value):
    with pytest.raises(Unmovable):
        moved({"a": [value]})


def test_plain_classes_are_told_from_compiled_ones():
    class Plain:
        __slots__ = ("a",)

    class Counter(dict):
        pass

    assert is_plain(Plain)
    assert is_plain(Counter)
    assert not is_plain(type(iter([])))
    assert refusal(Plain()) == ""
    assert refusal(io.StringIO()) != ""


def test_a_holder_from_outside_is_found():
    class Registry:
        kept = []

    shared = [1]
    variables = {"a": shared}
    reach = Reach(variables, variables, module_values())
    assert not [holder for holder, _ in reach.holders([variables]) if holder is Registry.kept]
    Registry.kept.append(shared)
    assert [holder for holder, _ in reach.holders([variables]) if holder is Registry.kept]


def test_overlaps_of_arrays_are_found():
    a, b = np.arange(10), np.arange(10)
    never = lambda *_: False  # noqa: E731 - an answer
    assert overlapping([a, b], never) is None
    assert overlapping([a[:5], a[5:]], never) is None
    assert overlapping([a[:6], b, a[5:]], never) is not None
    assert overlapping([a[::-1], a[3:4]], never) is not None


def test_a_mark_sees_a_changed_module_and_only_that(monkeypatch):
    import colorsys

    mark = mark_of(colorsys)
    assert mark_of(colorsys) == mark
    monkeypatch.setattr(colorsys, "rgb_to_yiq", lambda *_: None)
    assert mark_of(colorsys) != mark


def test_differences_are_named():
    assert differences({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}) == ["b", "c"]
