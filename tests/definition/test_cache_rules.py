"""The cache that a run is asked for, and nodes that can have none."""

import pytest

from nbflow.core.errors import DefinitionError
from nbflow.core.policies import Cache
from nbflow.definition.builder import FlowBuilder

HOUR, DAY = Cache(ttl=3600), Cache(ttl=86_400)


def nothing():
    return None


@pytest.fixture
def flow(tmp_path):
    made = FlowBuilder("f", defaults={"cache": "1h"}, base_dir=tmp_path)
    made.task(nothing, name="silent")
    made.task(nothing, name="yes", cache=True)
    made.task(nothing, name="no", cache=False)
    return made


def caches(prepared):
    return {node.name: node.policy.cache for node in prepared.spec.nodes}


@pytest.mark.parametrize(
    ("asked", "silent", "yes", "recorded"),
    [
        (None, HOUR, Cache(), None),
        (True, Cache(), Cache(), Cache()),
        ("1d", DAY, Cache(), DAY),
        ({"ttl": "1d", "jitter": 0}, Cache(86_400, 0), Cache(), Cache(86_400, 0)),
        (DAY, DAY, Cache(), DAY),
        (False, None, None, False),
    ],
)
def test_what_a_run_is_asked_for(flow, asked, silent, yes, recorded):
    prepared = flow.prepare(cache=asked)
    assert caches(prepared) == {"silent": silent, "yes": yes, "no": None}
    assert prepared.spec.cache == recorded
    # As recorded, it can be asked for once more.
    assert flow.prepare(cache=prepared.spec.cache) == prepared


@pytest.mark.parametrize("asked", ["", "soon", 0, -1, {"tll": 1}, []])
def test_what_is_no_cache_is_a_problem_of_the_flow(flow, asked):
    with pytest.raises(DefinitionError, match="cache"):
        flow.prepare(cache=asked)


def test_only_nodes_with_a_cache_are_warned_of(tmp_path):
    made = FlowBuilder("f", base_dir=tmp_path)
    made.task(nothing, name="plain", effect="at_most_once")
    made.task(nothing, name="asking", effect="at_most_once", cache=True)
    (problem,) = made.check()
    assert (problem.node, problem.severity) == ("asking", "warning")
    assert "it asks for a cache, but it is declared at most once" in problem.what
    assert {it.node for it in made.prepare(cache=True).warnings} == {"plain", "asking"}
    assert made.prepare(cache=False).warnings == ()
