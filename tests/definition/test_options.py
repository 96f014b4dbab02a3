import pytest

from nbflow.core.policies import Limits, Policy, Retry, Timeout
from nbflow.definition import options
from nbflow.definition.faults import Fault


@pytest.mark.parametrize(
    ("written", "size_bytes"),
    [
        ("2GB", 2_000_000_000),
        ("2 gb", 2_000_000_000),
        ("512MiB", 512 * 1024**2),
        ("1kB", 1000),
        ("1KB", 1000),
        ("1KiB", 1024),
        ("1.5GB", 1_500_000_000),
        ("0.1TB", 100_000_000_000),
        ("3GiB", 3 * 1024**3),
        ("1TiB", 1024**4),
        ("700B", 700),
        ("700", 700),
        (700, 700),
    ],
)
def test_sizes_are_exact(written, size_bytes):
    assert options.parse_size(written) == size_bytes


@pytest.mark.parametrize("written", ["2XB", "GB", "", "-1GB", "0", 0, -5, True, 1.5, "0.3B", [1]])
def test_what_is_no_size_is_refused(written):
    with pytest.raises(Fault, match=r"memory must be a size such as \"2GB\""):
        options.parse_size(written)


@pytest.mark.parametrize(
    ("option", "written", "field", "value"),
    [
        ("retries", 3, "retries", Retry(3)),
        ("retries", Retry(2, backoff=5), "retries", Retry(2, backoff=5)),
        ("retries", {"times": 2, "jitter": 0}, "retries", Retry(2, jitter=0)),
        ("timeout", 600, "timeout", Timeout(hard=600)),
        ("timeout", {"soft": 1.5}, "timeout", Timeout(soft=1.5)),
        ("timeout", Timeout(soft=1, hard=2), "timeout", Timeout(soft=1, hard=2)),
        ("memory", "1kB", "memory_bytes", 1000),
        ("priority", -3, "priority", -3),
        ("resources", {"GPU": 1}, "resources", {"GPU": 1.0}),
        ("continue_on_failure", True, "continue_on_failure", True),
    ],
)
def test_an_option_sets_its_policy(option, written, field, value):
    policy, faults = options.policy_from({option: written}, Policy())
    assert faults == []
    assert getattr(policy, field) == value


@pytest.mark.parametrize(
    ("option", "written", "words"),
    [
        (
            "retries",
            "many",
            "retries must be a whole number, 0 or more, or a mapping with times, backoff",
        ),
        ("retries", -1, "times must be 0 or more, not -1"),
        ("retries", True, "retries must be a whole number"),
        ("retries", 1.5, "retries must be a whole number"),
        ("retries", {"time": 1}, "retries has no 'time'. Did you mean 'times'?"),
        ("retries", {"times": 1.5}, "retries: times must be a whole number, not 1.5"),
        ("retries", {"backoff": "x"}, "retries: backoff must be a number, not 'x'"),
        ("retries", {"jitter": 2}, "jitter must be between 0 and 1"),
        ("timeout", "1h", "timeout must be a number of seconds or a mapping with soft, hard"),
        ("timeout", 0, "hard must be more than 0 s"),
        ("timeout", float("nan"), "timeout must be a number"),
        ("timeout", {"soft": 9, "hard": 3}, "soft (9 s) must not be over hard (3 s)"),
        ("priority", "high", "priority must be a whole number (higher starts earlier)"),
        ("resources", ["GPU"], "resources must be a mapping"),
        ("resources", {"GPU": 0}, "resources: GPU must be a number above 0, not 0"),
        ("resources", {"GPU": "1"}, "resources: GPU must be a number above 0, not '1'"),
        ("continue_on_failure", "yes", "continue_on_failure must be true or false, not 'yes'"),
        ("priorty", 1, "'priorty' is not a policy. Did you mean 'priority'?"),
    ],
)
def test_an_unusable_option_says_what_it_must_be(option, written, words):
    policy, faults = options.policy_from({option: written}, Policy())
    assert policy == Policy()
    assert [name for name, _ in faults] == [option]
    assert words in str(faults[0][1])


def test_a_written_option_replaces_the_default_and_none_keeps_it():
    base = Policy(retries=Retry(2), timeout=Timeout(hard=600), priority=1)
    policy, faults = options.policy_from({"timeout": {"soft": 5}, "priority": None}, base)
    assert faults == []
    assert policy == Policy(retries=Retry(2), timeout=Timeout(soft=5), priority=1)


def test_limits():
    assert options.limits_from(3, {"models": 2}) == (Limits(flow=3, groups={"models": 2}), [])
    limits, faults = options.limits_from(0, {"models": "x", "ok": 1})
    assert limits == Limits(groups={"ok": 1})
    assert [name for name, _ in faults] == ["flow", "groups"]
    assert "1 or more, not 0" in str(faults[0][1])
    assert "group 'models'" in str(faults[1][1])
    assert "must be a mapping of groups" in str(options.limits_from(None, [1])[1][0][1])


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
    assert options.described(value) == text
