import datetime as dt
import importlib.util
import inspect
import io
import json
import math
import threading
from collections import OrderedDict
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from peaks import peak_bytes

from nbflow import guest


class Point(NamedTuple):
    x: int
    y: int


class Table(pd.DataFrame):
    """A user's own table."""

    @property
    def _constructor(self):
        return Table


class Rude:
    """An object whose every look at it fails."""

    @property
    def shape(self):
        raise OSError("no shape")

    def __repr__(self):
        raise ValueError("no repr")


def round_trip(value):
    kind, data = guest.dumps(value)
    return kind, guest.load(kind, data)


# --- json -------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def same_types(one, other):
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return all(same_types(*pair) for pair in zip(one, other, strict=True))
    if isinstance(one, dict):
        return all(same_types(one[key], other[key]) for key in one)
    return True


@given(json_values)
def test_plain_json_survives_as_json_type_for_type(value):
    kind, back = round_trip(value)
    assert kind == "json"
    assert back == value
    assert same_types(back, value)


@pytest.mark.parametrize(
    "value",
    [
        (1, 2),
        {1: "a"},
        {1, 2},
        [(1,)],
        2**63,
        math.inf,
        [1, math.nan],
        np.float64(1.5),
        np.str_("a"),
        b"bytes",
        OrderedDict(a=1),
        Point(1, 2),
        True + 0j,
        dt.date(2026, 1, 1),
        "\ud800",
        {"\ud800": 1},
    ],
    ids=repr,
)
def test_what_json_would_change_is_pickled(value):
    assert not guest.is_plain_json(value)
    kind, back = round_trip(value)
    assert kind == "pickle"
    assert type(back) is type(value)
    assert repr(back) == repr(value)


def test_a_list_that_contains_itself_is_pickled():
    value = [1]
    value.append(value)
    kind, back = round_trip(value)
    assert kind == "pickle"
    assert back[1] is back


def test_very_deep_lists_are_pickled():
    value = []
    for _ in range(200):
        value = [value]
    assert round_trip(value) == ("pickle", value)


# --- arrays -----------------------------------------------------------------------------------

dtypes = (
    hnp.boolean_dtypes()
    | hnp.integer_dtypes(endianness="?")
    | hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64))
    | hnp.complex_number_dtypes()
    | hnp.datetime64_dtypes()
    | hnp.timedelta64_dtypes()
    | hnp.unicode_string_dtypes(max_len=4)
    | hnp.byte_string_dtypes(max_len=4)
)


@given(hnp.arrays(dtypes, hnp.array_shapes(min_dims=0, min_side=0, max_dims=3, max_side=4)))
@settings(deadline=None)
def test_arrays_survive_as_npy(array):
    kind, back = round_trip(array)
    assert kind == "npy"
    assert type(back) is np.ndarray
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes()


def test_the_order_of_an_array_in_memory_survives():
    _, back = round_trip(np.asfortranarray(np.ones((2, 3))))
    assert back.flags.f_contiguous


@pytest.mark.parametrize(
    "array",
    [
        np.array([1, "a", None], dtype=object),
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        np.ma.array([1, 2], mask=[True, False]),
        np.array(["a", "bc"], dtype=np.dtypes.StringDType()),
        np.array([b"abc"], dtype="V3"),
    ],
    ids=["objects", "records", "masked", "strings", "void"],
)
def test_what_npy_would_change_is_pickled(array):
    kind, back = round_trip(array)
    assert kind == "pickle"
    assert type(back) is type(array)
    assert back.dtype == array.dtype
    assert repr(back) == repr(array)


# --- tables -----------------------------------------------------------------------------------

WHEN = ["2020-01-01", "2021-06-01", None]


def times(unit, tz=None):
    return pd.Series(pd.to_datetime(WHEN)).dt.tz_localize(tz).dt.as_unit(unit)


def with_index(index, *, freq=True):
    return pd.DataFrame({"a": range(len(index))}, index=index)


KEPT = {
    "numbers": pd.DataFrame({"i": [1, 2], "u": np.array([1, 2], "u1"), "f": [0.5, np.nan]}),
    "halves": pd.DataFrame({"h": np.array([0.5, 1], "f2")}),
    "booleans": pd.DataFrame({"b": [True, False]}),
    "text": pd.DataFrame({"s": ["x", None, "ü"]}),
    "string": pd.DataFrame({"s": pd.array(["x", None], dtype="string")}),
    "nullable": pd.DataFrame(
        {
            "i": pd.array([1, None], dtype="Int64"),
            "f": pd.array([0.5, None], dtype="Float32"),
            "b": pd.array([True, None], dtype="boolean"),
        }
    ),
    "times": pd.DataFrame({unit: times(unit) for unit in ("ms", "us", "ns")}),
    "zones": pd.DataFrame({"u": times("us", "UTC"), "b": times("us", "Europe/Berlin")}),
    "ordered categories": pd.DataFrame(
        {"c": pd.Categorical(["x", None], categories=["z", "y", "x"], ordered=True)}
    ),
    "no rows": pd.DataFrame({"a": pd.Series([], dtype="f8"), "s": pd.Series([], dtype="str")}),
    "range index": with_index(pd.RangeIndex(3, 9, 2, name="r")),
    "text index": with_index(pd.Index(["x", "y"], name="key")),
    "number index": with_index(pd.Index([5, 3])),
    "index named as a column": with_index(pd.Index([5, 3], name="a")),
    "time index": with_index(pd.DatetimeIndex(["2020-01-01", "2020-01-05", "2020-01-06"])),
}

PICKLED = {
    "objects": pd.DataFrame({"o": pd.Series(["x", 1], dtype=object)}),
    "text as objects": pd.DataFrame({"o": pd.Series(["x", "y"], dtype=object)}),
    "text in Python's storage": pd.DataFrame({"s": pd.array(["x"], pd.StringDtype("python"))}),
    "lists": pd.DataFrame({"l": [[1], [2, 3]]}),
    "whole seconds": pd.DataFrame({"t": times("s")}),
    "whole seconds in a zone": pd.DataFrame({"t": times("s", "Europe/Berlin")}),
    "durations": pd.DataFrame({"d": pd.to_timedelta([1, 2], unit="s")}),
    "complex": pd.DataFrame({"c": [1j]}),
    "swapped bytes": pd.DataFrame({"b": np.array([1], ">i4")}),
    "sparse": pd.DataFrame({"s": pd.arrays.SparseArray([0.0, 1.0])}),
    "periods": pd.DataFrame({"p": pd.period_range("2020", periods=2, freq="D")}),
    "Arrow's own types": pd.DataFrame({"a": pd.array([1, None], dtype="int64[pyarrow]")}),
    "categories of numbers": pd.DataFrame({"c": pd.Categorical([1, 2], categories=[3, 2, 1])}),
    "no categories": pd.DataFrame(
        {"c": pd.Categorical([None], categories=pd.Index([], dtype=str))}
    ),
    "no columns": pd.DataFrame(index=[1, 2]),
    "nothing": pd.DataFrame(),
    "columns of numbers": pd.DataFrame([[1, 2]]),
    "columns as objects": pd.DataFrame([[1]], columns=pd.Index(["a"], dtype=object)),
    "named columns": pd.DataFrame([[1]], columns=pd.Index(["a"], name="axis")),
    "columns twice": pd.DataFrame([[1, 2]], columns=["a", "a"]),
    "columns of pairs": pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")])),
    "index of pairs": with_index(pd.MultiIndex.from_tuples([(1, 2), (3, 4)])),
    "index with a frequency": with_index(pd.date_range("2020-01-01", periods=3, freq="D")),
    "index of seconds": with_index(pd.DatetimeIndex(["2020-01-01", "2022-01-05"]).as_unit("s")),
    "index of nullable": with_index(pd.Index([1, 2], dtype="Int64")),
    "index with a number for a name": with_index(pd.Index([1, 2], name=7)),
    "index of durations": with_index(pd.to_timedelta([1, 2], unit="s")),
    "flags": pd.DataFrame({"a": [1]}).set_flags(allows_duplicate_labels=False),
}


def assert_same_table(back, table):
    pd.testing.assert_frame_equal(
        back,
        table,
        check_exact=True,
        check_column_type="exact",
        check_index_type="exact",
        check_freq=True,
        check_flags=True,
    )
    assert type(back) is type(table)
    assert back.columns.dtype == table.columns.dtype
    assert [repr(d) for d in back.dtypes] == [repr(d) for d in table.dtypes]
    assert back.attrs == table.attrs


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", KEPT)
def test_tables_survive_as_parquet(name):
    kind, back = round_trip(KEPT[name])
    assert kind == "parquet"
    assert_same_table(back, KEPT[name])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", PICKLED)
def test_tables_that_parquet_would_change_are_pickled(name):
    kind, back = round_trip(PICKLED[name])
    assert kind == "pickle"
    assert_same_table(back, PICKLED[name])


def test_a_table_with_attributes_is_pickled():
    table = pd.DataFrame({"a": [1]})
    table.attrs["source"] = "x"
    kind, back = round_trip(table)
    assert kind == "pickle"
    assert back.attrs == {"source": "x"}


def test_a_users_own_table_keeps_its_type():
    kind, back = round_trip(Table({"a": [1]}))
    assert kind == "pickle"
    assert type(back) is Table


def test_a_series_is_pickled():
    kind, back = round_trip(pd.Series([1, 2], name="s"))
    assert kind == "pickle"
    pd.testing.assert_series_equal(back, pd.Series([1, 2], name="s"))


# --- the rest ---------------------------------------------------------------------------------


def test_functions_of_a_notebook_are_pickled_by_value():
    offset = 2
    kind, back = round_trip(lambda x: x + offset)
    assert kind == "pickle"
    assert back(1) == 3


def test_what_cannot_be_stored_is_named_with_its_cause():
    with pytest.raises(
        guest.Unstorable, match=r"a value of type _thread\.lock cannot be stored"
    ) as e:
        guest.dumps({"lock": threading.Lock()}["lock"])
    assert "TypeError" in str(e.value)
    assert "pickle" in str(e.value)


def test_what_hides_inside_a_container_is_unstorable_too():
    with pytest.raises(guest.Unstorable, match=r"a value of type dict .*lock"):
        guest.dumps({"lock": threading.Lock()})


@pytest.mark.parametrize("absent", ["pyarrow", "cloudpickle"])
def test_a_kernel_without_arrow_or_cloudpickle_falls_back_to_pickle(monkeypatch, absent):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == absent else find_spec(name)
    )
    kind, back = round_trip(pd.DataFrame({"a": [1]}))
    assert kind == ("pickle" if absent == "pyarrow" else "parquet")
    assert_same_table(back, pd.DataFrame({"a": [1]}))
    assert round_trip((1, 2)) == ("pickle", (1, 2))


def test_the_source_alone_does_the_same_where_nbflow_is_not_installed():
    namespace = {"__name__": "guest_by_source"}
    exec(inspect.getsource(guest), namespace)
    for value in ({"a": [1]}, (1, 2)):
        assert namespace["dumps"](value) == guest.dumps(value)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="artifact of kind 'notebook'"):
        guest.load("notebook", b"{}")


def test_dump_writes_what_dumps_returns():
    for value in ({"a": 1}, np.arange(3), pd.DataFrame({"a": [1]}), (1, 2)):
        file = io.BytesIO()
        kind = guest.dump(value, file)
        assert (kind, file.getvalue()) == guest.dumps(value)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (1, "int"),
        (None, "NoneType"),
        (np.zeros(1), "numpy.ndarray"),
        (pd.DataFrame(), "pandas.DataFrame"),
        (dt.date(2026, 1, 1), "datetime.date"),
    ],
)
def test_types_are_named_as_people_write_them(value, name):
    assert guest.type_name(value) == name


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        ("a\nb", r"'a\nb'"),
        ([1, 2], "[1, 2]"),
        (np.zeros((2, 3)), "2 x 3"),
        (pd.DataFrame({"a": [1, 2]}), "2 x 1"),
        (np.array(5), "array(5)"),
        (Rude(), "<no repr: OSError>"),
    ],
)
def test_a_preview_is_one_short_line(value, text):
    assert guest.preview(value) == text


@given(st.text(alphabet=st.characters(), max_size=300))
def test_no_preview_is_long_or_cannot_be_journaled(text):
    class Says:
        def __repr__(self):
            return text

    preview = guest.preview(Says())
    assert len(preview) <= 80
    assert "\n" not in preview
    assert preview.encode().decode() == preview


def test_an_open_file_is_refused_and_one_in_memory_is_not(tmp_path):
    with (tmp_path / "data").open("w+") as file, pytest.raises(guest.Unstorable, match="its path"):
        guest.dumps(file)
    kind, data = guest.dumps(io.StringIO("text"))
    assert guest.load(kind, data).getvalue() == "text"


@pytest.mark.parametrize(
    "value",
    [
        [],
        {},
        [[]],
        {"a": {}},
        [1, "é", None, [2, {"k": [True]}], 1.5],
        list(range(25_000)),
        [[number, {"n": number}] for number in range(12_000)],
        {f"k{number}": number for number in range(25_000)},
        {f"k{number}": [number] for number in range(12_000)},
        {"a": list(range(15_000)), "b": "x" * 15_000},
    ],
    ids=lambda value: type(value).__name__ + str(len(value)),
)
def test_json_that_is_written_in_parts_reads_as_if_written_at_once(value):
    kind, data = guest.dumps(value)
    assert kind == "json"
    assert data == json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


LARGE = 16 << 20


def large_values():
    return {
        "json": list(range(2_000_000)),
        "npy": np.arange(LARGE // 8),
        "parquet": pd.DataFrame({"a": np.random.default_rng(1).random(LARGE // 8)}),
        "pickle": {"held": bytearray(LARGE)},
    }


@pytest.mark.parametrize("kind", ["json", "npy", "parquet", "pickle"])
def test_a_large_value_is_written_and_read_without_a_copy_of_its_bytes(tmp_path, kind):
    value = large_values()[kind]
    path = tmp_path / "value"

    def write():
        with path.open("wb") as file:
            assert guest.dump(value, file) == kind

    write()  # whatever is only loaded or allocated once
    written_bytes = peak_bytes(write)
    # pyarrow encodes a group of rows at a time, in memory of its own.
    assert written_bytes < LARGE / 8, f"{written_bytes:,}"
    read_bytes = peak_bytes(lambda: guest.load_file(kind, path))
    # JSON is in memory with all that is made of it.
    assert read_bytes < LARGE * (8 if kind == "json" else 1.5), f"{read_bytes:,}"


@pytest.mark.parametrize("kind", ["json", "npy", "parquet", "pickle"])
def test_a_file_gives_what_its_bytes_give(tmp_path, kind):
    value = {"json": [1, 2], "npy": np.arange(3), "pickle": {1, 2}}.get(
        kind, pd.DataFrame({"a": [1, 2]})
    )
    path = tmp_path / "value"
    written, data = guest.dumps(value)
    path.write_bytes(data)
    assert written == kind
    assert str(guest.load_file(kind, path)) == str(guest.load(kind, data)) == str(value)


@pytest.mark.parametrize(
    "value",
    [bytes(LARGE), {"held": bytearray(LARGE)}, [[list(range(LARGE // 8))]], ("x" * LARGE, 1)],
    ids=["bytes", "dict", "list", "tuple"],
)
def test_the_preview_of_a_large_value_costs_little(value):
    previews = []
    assert peak_bytes(lambda: previews.append(guest.preview(value))) < 100_000
    assert previews[0] == repr(value)[:79] + "…"
