import pytest

from nbflow.definition.faults import described


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "nothing"),
        (False, "false"),
        ({}, "an empty mapping"),
        ({"a": 1}, "a mapping"),
        ([1], "a list"),
        ("x" * 99, "'" + "x" * 58 + "…"),
    ],
)
def test_values_are_described_shortly(value, text):
    assert described(value) == text
