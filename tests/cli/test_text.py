from pathlib import Path

import pytest

from nbflow.cli.text import ago, near_path, table, when, wrapped
from nbflow.core.values import Artifact, Fields, Inline, Items
from nbflow.drawing.values import value_text
from nbflow.drawing.words import size


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (123_456, "123 kB"), (7_800_000, "7.8 MB")],
)
def test_sizes_are_told_roughly(size_bytes, text):
    assert size(size_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s ago"), (4, "4 s ago"), (75, "1 min ago"), (7500, "2 h ago")]
)
def test_the_past_is_told_in_one_unit(seconds, text):
    assert ago(1000.0, 1000.0 + seconds) == text


def test_what_is_over_a_day_old_has_a_date():
    now = 1_767_225_600.0
    assert when(now - 60, now).endswith(", 1 min ago")
    assert when(now - 3 * 86_400, now).startswith("2025-12-")


def test_columns_are_aligned_without_trailing_spaces():
    assert table([("A", "LONG"), ("wide one", "b")]) == ["A         LONG", "wide one  b"]


def test_text_is_wrapped_at_80_columns_but_paths_are_not_broken():
    path = "/a" * 60
    lines = wrapped("word " * 40 + path, "  ")
    assert all(len(line) <= 80 for line in lines[:-1])
    assert lines[-1] == "  " + path


def test_paths_are_seen_from_here(folder: Path):
    assert near_path(folder / "out" / "a.ipynb") == "out/a.ipynb"
    assert near_path("/elsewhere/a") == "/elsewhere/a"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Inline("ä"), '"ä"'),
        (Inline([1, None]), "[1, null]"),
        (
            Artifact("npy", "sha256:0", 1200, "numpy.ndarray", "3 x 2"),
            "numpy.ndarray 3 x 2 (1.2 kB)",
        ),
        (Artifact("file", "sha256:0", 12), "file (12 B)"),
        (Items((Inline(1), Inline(2))), "list of 2"),
        (Fields({"a": Inline(1), "b": Inline(2)}), "mapping of a, b"),
    ],
)
def test_values_are_told_in_a_few_words(value, text):
    assert value_text(value) == text
