import math
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core.policies import Limits, OutputLimit, Policy, Retry, Timeout

RNG = random.Random(0)


def test_delays_grow_by_the_factor_up_to_the_bound():
    retry = Retry(times=9, backoff=2.0, factor=3.0, max_backoff=50.0, jitter=0.0)
    assert [retry.delay_s(failures, RNG) for failures in (1, 2, 3, 4, 5)] == [2, 6, 18, 50, 50]


def test_jitter_is_a_share_of_the_delay():
    retry = Retry(times=1, backoff=8.0, jitter=0.25)
    delays = [retry.delay_s(1, random.Random(seed)) for seed in range(200)]
    assert 6 <= min(delays) < 6.5
    assert 9.5 < max(delays) <= 10


def test_at_the_bound_delays_still_differ():
    retry = Retry(times=99, backoff=8.0, max_backoff=10.0, jitter=0.5)
    delays = {retry.delay_s(50, random.Random(seed)) for seed in range(20)}
    assert len(delays) == 20


seconds = st.floats(0, 1e9)


@given(
    backoff=seconds,
    factor=st.floats(1, 1e12),
    most=seconds,
    jitter=st.floats(0, 1),
    failures=st.integers(1, 10_000),
    seed=st.integers(),
)
def test_no_delay_is_negative_or_over_the_bound(backoff, factor, most, jitter, failures, seed):
    retry = Retry(1, backoff, factor, most, jitter)
    assert 0 <= retry.delay_s(failures, random.Random(seed)) <= most * (1 + 1e-9)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"times": -1}, "times must be 0 or more, not -1"),
        ({"backoff": -0.5}, "backoff must be 0 s or more, and finite, not -0.5"),
        ({"backoff": math.nan}, "backoff"),
        ({"max_backoff": math.inf}, "max_backoff"),
        ({"factor": 0.5}, "factor must be 1 or more, and finite, not 0.5"),
        ({"factor": math.nan}, "factor"),
        ({"jitter": 1.5}, "jitter must be between 0 and 1, not 1.5"),
        ({"jitter": math.nan}, "jitter"),
    ],
)
def test_retries_that_make_no_sense_are_refused(fields, message):
    with pytest.raises(ValueError, match=f"retries: .*{message}"):
        Retry(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"soft": 0}, "soft must be more than 0 s, and finite, not 0"),
        ({"hard": -1.0}, "hard must be more than 0 s, and finite, not -1.0"),
        ({"hard": math.nan}, "hard"),
        ({"soft": math.inf}, "soft"),
        ({"soft": 10, "hard": 5}, r"soft \(10 s\) must not be over hard \(5 s\)"),
        ({"cell_soft": 0}, "cell_soft must be more than 0 s, and finite, not 0"),
        ({"cell_hard": math.inf}, "cell_hard"),
        (
            {"cell_soft": 10, "cell_hard": 5},
            r"cell_soft \(10 s\) must not be over cell_hard \(5 s\)",
        ),
    ],
)
def test_timeouts_that_make_no_sense_are_refused(fields, message):
    with pytest.raises(ValueError, match=f"timeout: {message}"):
        Timeout(**fields)


def test_limits_of_a_cell_and_of_its_node_do_not_bind_each_other():
    assert Timeout(soft=5, cell_hard=1).cell_hard == 1
    assert Timeout(hard=1, cell_soft=5).cell_soft == 5


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"cell": 0}, "cell must be more than 0 bytes, not 0"),
        ({"notebook": -1}, "notebook must be more than 0 bytes, not -1"),
    ],
)
def test_output_limits_that_make_no_sense_are_refused(fields, message):
    with pytest.raises(ValueError, match=f"output_limit: {message}"):
        OutputLimit(**fields)


@pytest.mark.parametrize(
    "policy",
    [
        Policy(),
        Policy(
            retries=Retry(3, backoff=2.0),
            timeout=Timeout(5, 10, 1, 2),
            memory_bytes=1,
            output_limit=OutputLimit(cell=1, notebook=None, then="fail"),
            cpus=2,
            nice=19,
            start_timeout_s=5.0,
            priority=-3,
            resources={"GPU": 1.0},
            continue_on_failure=True,
        ),
        Policy(timeout=Timeout(soft=1.5)),
        Policy(timeout=Timeout(soft=5, hard=5)),
        Limits(flow=3, groups={"models": 2}),
    ],
)
def test_policies_survive_the_journal(policy):
    assert msgspec.json.decode(msgspec.json.encode(policy), type=type(policy)) == policy
