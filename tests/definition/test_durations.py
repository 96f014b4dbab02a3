import pytest

from nbflow.definition.durations import parse_duration
from nbflow.definition.faults import Fault


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (30, 30),
        (0.5, 0.5),
        ("30s", 30),
        (" 1.5 m ", 90),
        ("2min", 120),
        ("1H", 3600),
        ("7d", 604_800),
        ("2w", 1_209_600),
    ],
)
def test_a_duration_is_seconds(written, seconds):
    assert parse_duration("it", written) == seconds


@pytest.mark.parametrize(
    "written", [0, -1, True, None, "30", "", "1y", "h", "-1s", float("inf"), float("nan"), [1]]
)
def test_what_is_no_duration_is_refused(written):
    with pytest.raises(Fault, match=r'it must be a number of seconds above 0, or .* "7d"'):
        parse_duration("it", written)
