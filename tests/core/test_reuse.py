"""Which results may be taken again, and what that has spared."""

import pytest
from staged_run import StagedRun, node

from nbflow.core import events as ev
from nbflow.core.caching import uncacheable
from nbflow.core.fingerprints import Fingerprint
from nbflow.core.policies import Cache, Policy
from nbflow.core.reuse import CacheStatistics, cache_statistics
from nbflow.core.spec import FunctionCode, Identity, NodeSpec
from nbflow.core.values import Artifact, Fields, FromParam, Inline, Items, Secret

TOKEN = Secret("env:TOKEN")
MODEL = Artifact("pickle", "sha256:" + "a" * 64, 1000)
REPORT = Artifact("notebook", "sha256:" + "b" * 64, 200)


def cached(name, saved_s, **outputs):
    return ev.NodeCached(name, Fingerprint(code=name), "sales-0", saved_s, outputs, REPORT)


def with_cache(name, *inputs):
    spec = node(name, *inputs)
    return NodeSpec(name=name, code=spec.code, params=spec.params, policy=Policy(cache=Cache()))


def test_a_run_that_never_looked_has_no_statistics():
    assert cache_statistics(StagedRun().succeed("load").run) is None


def test_hits_misses_and_what_they_spared():
    staged = StagedRun(with_cache("a"), with_cache("b", "a.x"), with_cache("c", "b.x"), node("d"))
    assert cache_statistics(staged.run) == CacheStatistics()
    staged.do(cached("a", 2.5, x=MODEL, y=Items((MODEL, Inline(1)))))
    staged.succeed("b")
    staged.succeed("d")
    told = CacheStatistics(hits=1, misses=1, size_bytes=1200, saved_s=2.5)
    assert cache_statistics(staged.run) == told
    # The same executed notebook counts once.
    staged.do(cached("c", 1.5))
    told = CacheStatistics(hits=2, misses=1, size_bytes=1200, saved_s=4.0)
    assert cache_statistics(staged.run) == told


def test_a_hit_that_runs_later_all_the_same_is_a_miss():
    staged = StagedRun(with_cache("a"), node("b")).do(cached("a", 2.5, x=MODEL))
    staged.do(ev.NodeReset("a", "wanted", "forced"))
    staged.succeed("a")
    assert cache_statistics(staged.run) == CacheStatistics(hits=0, misses=1)


def test_a_wish_to_see_a_node_run_lasts_until_its_next_attempt():
    staged = StagedRun(with_cache("a"), node("b")).do(cached("a", 2.5))
    staged.do(ev.NodeReset("a", "wanted", "forced"))
    assert staged.run["a"].forced
    staged.queue("a")
    assert not staged.run["a"].forced


@pytest.mark.parametrize(
    ("binding", "params"),
    [
        (TOKEN, {}),
        (Items((TOKEN,)), {}),
        (FromParam("token"), {"token": TOKEN}),
        (Fields({"login": FromParam("token")}), {"token": Items((TOKEN,))}),
    ],
)
def test_what_receives_a_secret_by_any_way_is_not_cacheable(binding, params):
    spec = NodeSpec(name="a", code=FunctionCode("f"), params={"x": binding})
    (reason,) = uncacheable(spec, params)
    assert "secret" in reason


def test_every_reason_is_told():
    spec = NodeSpec(
        name="a",
        code=FunctionCode("f"),
        params={"x": FromParam("plain")},
        identity=Identity(unknown=("it reads a lock",)),
        policy=Policy(effect="at_most_once"),
    )
    first, second = uncacheable(spec, {"plain": Inline(1), "token": TOKEN})
    assert first == "it reads a lock"
    assert "at most once" in second
