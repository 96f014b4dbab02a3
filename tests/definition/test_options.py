import msgspec
import pytest

from nbflow.core.policies import Cache, Expected, Limits, OutputLimit, Policy, Retry, Timeout
from nbflow.definition import options


@pytest.mark.parametrize(
    ("option", "written", "field", "value"),
    [
        ("retries", 3, "retries", Retry(3)),
        ("retries", Retry(2, backoff=5), "retries", Retry(2, backoff=5)),
        ("retries", {"times": 2, "jitter": 0}, "retries", Retry(2, jitter=0)),
        ("timeout", 600, "timeout", Timeout(hard=600)),
        ("timeout", {"soft": 1.5}, "timeout", Timeout(soft=1.5)),
        ("timeout", Timeout(soft=1, hard=2), "timeout", Timeout(soft=1, hard=2)),
        ("timeout", {"cell_soft": 1, "cell_hard": 2}, "timeout", Timeout(cell_soft=1, cell_hard=2)),
        ("memory", "1kB", "memory_bytes", 1000),
        ("output_limit", "10MB", "output_limit", OutputLimit(cell=10_000_000)),
        ("output_limit", "1GB", "output_limit", OutputLimit(cell=10**9, notebook=10**9)),
        ("output_limit", False, "output_limit", OutputLimit(cell=None, notebook=None)),
        ("output_limit", {"cell": "1GB"}, "output_limit", OutputLimit(cell=10**9, notebook=10**9)),
        ("output_limit", {"notebook": "1kB"}, "output_limit", OutputLimit(notebook=1000)),
        ("output_limit", {"cell": False, "then": None}, "output_limit", OutputLimit(cell=None)),
        (
            "output_limit",
            {"cell": 5, "notebook": False, "then": "fail"},
            "output_limit",
            OutputLimit(cell=5, notebook=None, then="fail"),
        ),
        (
            "output_limit",
            {"cell": "1GB", "notebook": "1MB"},
            "output_limit",
            OutputLimit(cell=10**9, notebook=10**6),
        ),
        ("output_limit", OutputLimit(cell=10**9), "output_limit", OutputLimit(cell=10**9)),
        ("cpus", 2, "cpus", 2),
        ("nice", 19, "nice", 19),
        ("start_timeout", 5, "start_timeout_s", 5.0),
        ("priority", -3, "priority", -3),
        ("resources", {"GPU": 1}, "resources", {"GPU": 1.0}),
        ("continue_on_failure", True, "continue_on_failure", True),
        ("effect", "at_most_once", "effect", "at_most_once"),
        ("effect", "idempotent", "effect", "idempotent"),
        ("cache", True, "cache", Cache()),
        ("cache", False, "cache", None),
        ("cache", 60, "cache", Cache(ttl=60)),
        ("cache", "7d", "cache", Cache(ttl=7 * 86400)),
        ("cache", {"ttl": "1h", "jitter": 0}, "cache", Cache(ttl=3600, jitter=0)),
        ("cache", {"ttl": None}, "cache", Cache()),
        ("cache", Cache(ttl=5), "cache", Cache(ttl=5)),
        ("checkpoint", 30, "checkpoint_s", 30.0),
        ("checkpoint", "5m", "checkpoint_s", 300.0),
        ("checkpoint", False, "checkpoint_s", None),
        ("expected", 90, "expected", Expected(90)),
        ("expected", "10m", "expected", Expected(600)),
        ("expected", {"seconds": "1h", "factor": 3}, "expected", Expected(3600, 3)),
        ("expected", Expected(5), "expected", Expected(5)),
        ("expected", False, "expected", None),
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
        ("timeout", {"cell_soft": 9, "cell_hard": 3}, "cell_soft (9 s) must not be over cell_hard"),
        ("timeout", {"cell": 9}, "timeout has no 'cell'. Did you mean 'cell_"),
        (
            "output_limit",
            True,
            (
                'output_limit must be a size such as "2GB" or "512MiB", or a whole number of '
                "bytes, above 0, or false for no limit, or a mapping with cell, notebook, then, "
                "not true"
            ),
        ),
        ("output_limit", "none", "or false for no limit"),
        ("output_limit", 0, "above 0"),
        ("output_limit", {"cells": 1}, "output_limit has no 'cells'. Did you mean 'cell'?"),
        ("output_limit", {"cell": True}, "output_limit: cell must be a size such as"),
        ("output_limit", {"notebook": "x"}, "output_limit: notebook must be a size such as"),
        ("output_limit", {"then": "stop"}, "then must be truncate or fail, not 'stop'"),
        ("cpus", 0, "cpus must be a whole number of cores, 1 or more, not 0"),
        ("cpus", 1.5, "cpus must be a whole number"),
        ("cpus", True, "cpus must be a whole number"),
        ("nice", 20, "nice must be a whole number from 0 to 19 (higher yields more), not 20"),
        ("nice", -1, "nice must be a whole number from 0 to 19"),
        ("nice", "low", "nice must be a whole number from 0 to 19"),
        ("start_timeout", 0, "start_timeout must be a number of seconds above 0, not 0"),
        ("start_timeout", float("inf"), "start_timeout must be a number of seconds"),
        ("start_timeout", "1m", "start_timeout must be a number of seconds"),
        ("priority", "high", "priority must be a whole number (higher starts earlier)"),
        ("resources", ["GPU"], "resources must be a mapping"),
        ("resources", {"GPU": 0}, "resources: GPU must be a number above 0, not 0"),
        ("resources", {"GPU": "1"}, "resources: GPU must be a number above 0, not '1'"),
        ("continue_on_failure", "yes", "continue_on_failure must be true or false, not 'yes'"),
        ("effect", "once", "effect must be idempotent or at_most_once, not 'once'"),
        ("effect", ["idempotent"], "effect must be idempotent or at_most_once, not a list"),
        ("cache", "soon", 'cache must be a number of seconds above 0, or a duration such as "30s"'),
        ("cache", "soon", "or true or false, or a mapping with ttl, jitter, not 'soon'"),
        ("cache", 0, "cache must be a number of seconds above 0"),
        ("cache", {"ttl": "7 days"}, "cache: ttl must be a number of seconds"),
        ("cache", {"jitter": 2}, "jitter must be between 0 and 1, not 2"),
        ("cache", {"tll": 2}, "cache has no 'tll'. Did you mean 'ttl'?"),
        ("checkpoint", 0, "checkpoint must be a number of seconds above 0"),
        ("checkpoint", True, "or false, not true"),
        ("expected", 0, "expected must be a number of seconds above 0"),
        ("expected", {"factor": 3}, "expected has no seconds"),
        ("expected", {"seconds": 3, "factor": 0.5}, "factor must be 1 or more"),
        ("expected", {"second": 3}, "Did you mean 'seconds'"),
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


def test_what_is_at_most_once_is_not_tried_again():
    once = Policy(effect="at_most_once")
    assert options.conflict(once) is None
    assert options.conflict(Policy(retries=Retry(2))) is None
    fault = options.conflict(msgspec.structs.replace(once, retries=Retry(2)))
    assert "never begins a second time unless a person decides so" in fault.what
    assert "Set retries to 0" in fault.fix


def test_limits():
    assert options.limits_from(3, {"models": 2}) == (Limits(flow=3, groups={"models": 2}), [])
    limits, faults = options.limits_from(0, {"models": "x", "ok": 1})
    assert limits == Limits(groups={"ok": 1})
    assert [name for name, _ in faults] == ["flow", "groups"]
    assert "1 or more, not 0" in str(faults[0][1])
    assert "group 'models'" in str(faults[1][1])
    assert "must be a mapping of groups" in str(options.limits_from(None, [1])[1][0][1])


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("memory", "1GB", "no memory limit"),
        ("output_limit", False, "no output limit"),
        ("cpus", 1, "no cores of its own"),
        ("nice", 0, "no scheduling priority of its own"),
        ("start_timeout", 9, "no kernel that would have to start"),
        ("kernel", "python3", "no kernel"),
        ("python", "venv", "no Python of its own"),
        ("env", {}, "no environment of its own"),
        ("cwd", ".", "no working directory of its own"),
        ("checkpoint", 9, "no cells after which its variables could be kept"),
        ("timeout", {"cell_soft": 1}, "no cells to time out"),
        ("timeout", Timeout(cell_hard=1), "no cells to time out"),
    ],
)
def test_what_needs_a_kernel_is_not_for_functions(option, value, words):
    ((place, fault),) = options.function_faults(options.NodeOptions(**{option: value}))
    assert place == option
    assert f"a function has {words}" in fault.what
    assert fault.fix


def test_a_function_may_have_all_other_options():
    plain = options.NodeOptions(
        name="a",
        params={},
        after=["b"],
        outputs=["c"],
        retries=1,
        timeout=5,
        priority=1,
        resources={},
        continue_on_failure=True,
        effect="idempotent",
        cache=True,
        inputs=["data"],
        packages=["pandas"],
    )
    assert list(options.function_faults(plain)) == []
    # What no timeout can be is told by who reads the policies.
    assert list(options.function_faults(options.NodeOptions(timeout={"cell": 1}))) == []
