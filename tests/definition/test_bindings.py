import hashlib
import threading

import numpy as np
import pandas as pd
import pytest

from nbflow import guest
from nbflow.core.values import Artifact, Fields, FromOutput, FromParam, Inline, Items, Text
from nbflow.definition.bindings import Binder
from nbflow.definition.faults import Fault
from nbflow.definition.references import Node, OutputRef, ParamRef

ROWS = OutputRef("extract", "rows")


@pytest.fixture
def binder():
    return Binder(owner=None)


@pytest.mark.parametrize("value", [None, True, 3, 2.5, "text", [1, [2]], {"a": {"b": 1}}, [], {}])
def test_small_plain_json_stands_inline(binder, value):
    assert binder.bind(value) == Inline(value)
    assert binder.blobs == {}


def test_a_list_is_taken_as_it_is_when_written(binder):
    written = [1, 2]
    binding = binder.bind(written)
    written.append(3)
    assert binding == Inline([1, 2])


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (["x" * 100] * 200, "json"),
        ("x" * 10_000, "json"),
        (pd.DataFrame({"a": [1, 2]}), "parquet"),
        (np.arange(3), "npy"),
        ((1, 2), "pickle"),
        ({1: "a"}, "pickle"),
        (np.float64(1.5), "pickle"),
        (float("nan"), "pickle"),
    ],
)
def test_other_values_become_artifacts_that_load_as_they_were(binder, value, kind):
    binding = binder.bind(value)
    assert isinstance(binding, Artifact)
    assert binding.kind == kind
    data = binder.blobs[binding.digest]
    assert binding.digest == "sha256:" + hashlib.sha256(data).hexdigest()
    assert binding.size_bytes == len(data)
    assert binding.type_name == guest.type_name(value)
    loaded = guest.load(kind, data)
    assert type(loaded) is type(value)
    assert repr(loaded) == repr(value)


def test_references_are_found_inside_lists_tuples_and_mappings(binder):
    table = pd.DataFrame({"a": [1]})
    written = {"rows": [ROWS, 1], "pair": (ParamRef("date"), "x"), "text": "${a.x}!", "t": table}
    binding = binder.bind(written)
    assert isinstance(binding, Fields)
    assert binding.fields["rows"] == Items((FromOutput("extract", "rows"), Inline(1)))
    assert binding.fields["pair"] == Items((FromParam("date"), Inline("x")))
    assert binding.fields["text"] == Text((FromOutput("a", "x"), "!"))
    assert isinstance(binding.fields["t"], Artifact)


def test_an_escaped_text_in_a_list_leaves_a_plain_list(binder):
    assert binder.bind(["$${HOME}", {"a": "$${x}"}]) == Inline(["${HOME}", {"a": "${x}"}])


def test_data_is_taken_literally(binder):
    assert binder.value("${a.x}") == Inline("${a.x}")
    assert binder.value(["$${"]) == Inline(["$${"])


def test_a_function_node_binds_as_its_result(binder):
    assert binder.bind(Node("f", "function", ("result",), None)) == FromOutput("f", "result")


def circular():
    items = []
    items.append(items)
    return items


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (threading.Lock(), "_thread.lock cannot be stored"),
        ([threading.Lock()], "list cannot be stored"),
        ({1, ROWS}, "${extract.rows} stands inside an object"),
        ({1: ROWS}, "has the key 1, which is not text"),
        (circular(), "contains itself"),
        (Node("n", "notebook", (), None), "whole node 'n'"),
        (OutputRef("n", "x", owner="another"), "${n.x} belongs to another flow"),
    ],
)
def test_what_cannot_be_bound_says_why_and_what_to_do(binder, value, words):
    with pytest.raises(Fault) as raised:
        binder.bind(value)
    assert words in raised.value.what
    assert raised.value.fix
