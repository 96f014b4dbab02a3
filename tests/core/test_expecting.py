import pytest

from nbflow.core.expecting import RECEIVED, Sample, expect, from_cells, quantile, sizes_of
from nbflow.core.policies import Expected
from nbflow.core.values import Artifact, Inline, Items


def took(*seconds, code="1", **sizes):
    return [Sample(each, code, dict(sizes)) for each in seconds]


def expected(samples, declared=None, sizes=None, code="1", factor=None):
    return expect(declared, samples, sizes=sizes or {}, code=code, factor=factor)


def test_too_few_samples_teach_nothing():
    assert expected(took(10, 10)) is None
    assert expected([]) is None


def test_history():
    found = expected(took(100, 110, 90, 105, 95))
    assert (found.basis, found.likely_s) == ("history", 100)
    assert found.low_s < 100 < found.high_s == found.expected_s < 110
    assert found.limit_s == 2 * found.expected_s


def test_one_run_that_hung_does_not_move_what_is_expected():
    usual = expected(took(*[100] * 20))
    once = expected(took(*[100] * 20, 100_000))
    assert once.expected_s == usual.expected_s
    assert once.limit_s == usual.limit_s


def test_short_nodes_may_vary():
    assert expected(took(0.1, 0.1, 0.1)).limit_s == pytest.approx(5.1)


def test_samples_of_the_same_code_are_preferred():
    old, new = took(10, 10, 10), took(70, 70, 70, code="2")
    assert expected(old + new, code="2").likely_s == 70
    assert expected(old + new, code="3").likely_s == 40  # a new code: all there is
    assert expected(old + new[:2], code="2").likely_s == 10


def test_what_is_declared_decides_when_it_is_stuck():
    found = expected([], Expected(30))
    assert (found.basis, found.expected_s, found.limit_s) == ("declared", 30, 60)
    assert found.low_s < found.likely_s == 30 < found.high_s
    found = expected(took(10, 10, 10), Expected(30, factor=3))
    assert (found.expected_s, found.likely_s, found.limit_s) == (30, 10, 90)


def test_the_factor_may_be_given():
    assert expected([], Expected(30), factor=5).limit_s == 150
    assert expected(took(100, 100, 100), factor=1.5).limit_s == 150


def test_a_size_that_explains_the_durations():
    samples = [Sample(0.01 * size, "1", {"n": size}) for size in (100, 200, 400, 800, 1600, 3200)]
    small, large = (expected(samples, sizes={"n": size}) for size in (100.0, 6400.0))
    assert small.likely_s == pytest.approx(1.0, rel=0.05)
    assert large.likely_s == pytest.approx(64.0, rel=0.05)
    assert large.limit_s == pytest.approx(128.0, rel=0.05)


def test_a_size_that_explains_nothing_is_not_asked():
    seconds = (10, 40, 12, 38, 11, 41, 10, 39)
    samples = [Sample(s, "1", {"n": size}) for s, size in zip(seconds, range(8), strict=True)]
    assert expected(samples, sizes={"n": 10_000.0}).high_s < 45


def test_a_size_that_is_unknown_now_is_not_asked():
    samples = [Sample(0.01 * size, "1", {"n": size}) for size in (100, 200, 400, 800, 1600, 3200)]
    assert expected(samples, sizes={}).likely_s == pytest.approx(6.0)


def test_wild_samples_do_not_bend_the_size():
    sizes = (100, 200, 400, 800, 1600, 3200, 150, 300)
    samples = [Sample(0.01 * size, "1", {"n": size}) for size in sizes] + [
        Sample(500.0, "1", {"n": 120}),
        Sample(0.1, "1", {"n": 3000}),
    ]
    assert expected(samples, sizes={"n": 3200.0}).likely_s == pytest.approx(32.0, rel=0.4)


def test_cells_tell_how_long_and_never_alarm():
    found = from_cells(1, 4, 10.0)
    assert (found.basis, found.likely_s, found.limit_s) == ("cells", 40.0, None)
    assert 10.0 < found.low_s < 40.0 < found.high_s
    assert from_cells(0, 4, 10.0) is None
    assert from_cells(4, 4, 10.0) is None


def test_sizes():
    table = Artifact("parquet", "sha256:1", 500)
    params = {
        "table": table,
        "tables": Items((table, table)),
        "n": Inline(3),
        "share": Inline(0.5),
        "flag": Inline(value=True),
        "names": Inline(["a", "b"]),
        "text": Inline("abc"),
        "nothing": Inline(0),
    }
    assert sizes_of(params) == {RECEIVED: 1500, "n": 3, "share": 0.5, "names": 2}


def test_quantiles():
    assert [quantile([3, 1, 2], share) for share in (0, 0.5, 0.75, 1)] == [1, 2, 2.5, 3]
