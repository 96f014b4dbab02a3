import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.values import (
    Artifact,
    Fields,
    FromOutput,
    FromParam,
    Inline,
    Items,
    NotText,
    Text,
    artifacts_in,
    describe_reference,
    references,
    resolve,
)

TABLE = Artifact("parquet", "sha256:1", 10)
PARAMS = {"date": Inline("2026-01-01"), "table": TABLE, "none": Inline(None)}
OUTPUTS = {("a", "n"): Inline(3), ("a", "t"): TABLE}


def resolved(binding):
    return resolve(binding, PARAMS, lambda ref: OUTPUTS[ref.node, ref.output])


@pytest.mark.parametrize(
    ("binding", "value"),
    [
        (Inline({"x": 1}), Inline({"x": 1})),
        (TABLE, TABLE),
        (FromParam("date"), Inline("2026-01-01")),
        (FromOutput("a", "n"), Inline(3)),
        (FromOutput("a", "t"), TABLE),
        (
            Text(("data/", FromParam("date"), "-", FromOutput("a", "n"), ".csv")),
            Inline("data/2026-01-01-3.csv"),
        ),
        (Text(()), Inline("")),
        (Items((Inline(1), FromOutput("a", "n"))), Inline([1, 3])),
        (Items((Inline(1), FromOutput("a", "t"))), Items((Inline(1), TABLE))),
        (Items(()), Inline([])),
        (Fields({"d": FromParam("date")}), Inline({"d": "2026-01-01"})),
        (Fields({"d": FromParam("table")}), Fields({"d": TABLE})),
        (
            Fields({"deep": Items((Fields({"n": FromOutput("a", "n")}),))}),
            Inline({"deep": [{"n": 3}]}),
        ),
        (
            Fields({"deep": Items((Fields({"t": FromOutput("a", "t")}), FromParam("none")))}),
            Fields({"deep": Items((Fields({"t": TABLE}), Inline(None)))}),
        ),
    ],
)
def test_every_binding_resolves(binding, value):
    assert resolved(binding) == value


@pytest.mark.parametrize(
    ("scalar", "text"), [("s", "s"), (3, "3"), (0.5, "0.5"), (True, "True"), ("", "")]
)
def test_plain_scalars_have_a_text(scalar, text):
    assert resolve(Text((FromParam("p"),)), {"p": Inline(scalar)}, OUTPUTS.get) == Inline(text)


@pytest.mark.parametrize("value", [Inline(None), Inline([1]), Inline({}), TABLE, Items((TABLE,))])
def test_what_is_no_plain_scalar_has_no_text(value):
    with pytest.raises(NotText, match=r"\$\{params\.p\} is not a plain text or number"):
        resolve(Text(("x", FromParam("p"))), {"p": value}, OUTPUTS.get)


def test_a_missing_parameter_is_named():
    with pytest.raises(KeyError, match="ghost"):
        resolved(FromParam("ghost"))


def test_references_are_written_as_in_a_flow_file():
    assert describe_reference(FromParam("date")) == "${params.date}"
    assert describe_reference(FromOutput("models/forest", "model")) == "${models/forest.model}"


def test_references_come_in_the_order_in_which_they_are_written():
    one, two, three = FromParam("p"), FromOutput("a", "x"), FromOutput("b", "y")
    binding = Items((Text(("t", one, two)), Fields({"k": three, "l": Inline(1)}), TABLE, one))
    assert list(references(binding)) == [one, two, three, one]


def test_artifacts_are_found_wherever_they_are():
    other = Artifact("npy", "sha256:2", 3)
    binding = Items((TABLE, Fields({"k": other}), Inline(1), FromParam("p"), Text(("t",))))
    assert list(artifacts_in(binding)) == [TABLE, other]


scalars = st.none() | st.booleans() | st.integers() | st.text()
bindings = st.recursive(
    st.builds(Inline, scalars) | st.just(TABLE),
    lambda inner: (
        st.builds(Items, st.lists(inner).map(tuple))
        | st.builds(Fields, st.dictionaries(st.text(), inner))
    ),
    max_leaves=10,
)


@given(bindings)
def test_a_value_without_references_keeps_its_artifacts_and_resolves_to_itself(binding):
    value = resolved(binding)
    assert list(artifacts_in(value)) == list(artifacts_in(binding))
    assert resolved(value) == value
    if TABLE not in artifacts_in(binding):
        assert isinstance(value, Inline)
