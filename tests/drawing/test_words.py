import pytest

from nbflow.drawing.words import duration, one_line, plural


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.0 s"),
        (0, "0.0 s"),
        (1.26, "1.3 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3_599, "59 min 59 s"),
        (3_600, "1 h 00 min"),
        (86_399, "23 h 59 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain", "plain"),
        ("two\nlines\r\n\tand a tab", "two lines and a tab"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]8;;http://x\x07link\x1b]8;;\x07", "link"),
        ("\x1b[2J\x1b[Hcleared", "cleared"),
        ("nul\0 bell\a c1\x9b", "nul bell c1"),
        ("right\u202eto left", "right to left"),
        ("lone \ud800 surrogate", "lone surrogate"),
        ("naïve 日本", "naïve 日本"),
        ("x" * 30, "x" * 19 + "…"),
    ],
)
def test_one_line(text, line):
    assert one_line(text, 20 if text.startswith("xxx") else 200) == line


def test_one_line_of_a_huge_text_is_cheap_and_short():
    assert len(one_line("a b " * 10_000_000, 50)) == 50


def test_plural():
    assert [plural(n, "node") for n in (0, 1, 2_000)] == ["0 nodes", "1 node", "2,000 nodes"]
