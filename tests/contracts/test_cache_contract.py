"""What every `nbflow.ports.ResultCache` keeps to: the fake and the real one alike."""

import threading

import msgspec
import pytest

from nbflow.artifacts import TieredCache
from nbflow.core.fingerprints import digest
from nbflow.core.policies import Cache
from nbflow.core.results import Result
from nbflow.core.values import Fields, Inline, Items
from nbflow.testing import MemoryCache, MemoryStore

KEY = digest(b"made of this")
EVER = Cache()
NOW = 1_000_000.0


class Clock:
    now = NOW

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(tmp_path, clock):
    return MemoryStore(tmp_path, clock)


@pytest.fixture(params=[MemoryCache, TieredCache])
def cache(request, store):
    return request.param(store)


@pytest.fixture
def result(store):
    """A result with every kind of value, each with bytes of its own."""
    model, item, field = (store.put(name, "pickle") for name in (b"model", b"item", b"field"))
    return Result(
        key=KEY,
        run="sales-1",
        node="models/forest",
        at=NOW,
        took_s=12.3,
        outputs={
            "model": model,
            "auc": Inline(0.91),
            "list": Items((item, Inline(None))),
            "mapping": Fields({"a": field}),
        },
        notebook=store.put(b"executed", "notebook"),
        log=store.put(b"printed", "text"),
    )


def test_a_result_is_found_by_what_it_was_made_of(cache, result):
    assert cache.find(KEY, EVER, now=NOW) is None
    cache.keep(result)
    assert cache.find(KEY, EVER, now=NOW) == result
    assert cache.find(KEY, EVER, now=NOW) == result
    assert cache.find(digest(b"made of that"), EVER, now=NOW) is None


def test_the_last_result_of_a_key_counts(cache, result):
    later = msgspec.structs.replace(result, run="sales-2", outputs={"auc": Inline(0.92)})
    cache.keep(result)
    cache.keep(later)
    assert cache.find(KEY, EVER, now=NOW) == later


def test_without_a_ttl_a_result_is_good_for_ever(cache, result):
    cache.keep(result)
    for now in (0.0, NOW, NOW + 1e9):
        assert cache.find(KEY, EVER, now=now) == result


def test_a_ttl_is_that_of_the_node_which_asks(cache, result):
    cache.keep(result)
    hour, day = Cache(ttl=3600, jitter=0), Cache(ttl=86_400, jitter=0)
    assert cache.find(KEY, hour, now=NOW + 3599) == result
    assert cache.find(KEY, hour, now=NOW + 3600) is None
    assert cache.find(KEY, day, now=NOW + 3600) == result


def test_results_that_were_made_together_end_apart_and_never_late(cache, result):
    policy = Cache(ttl=100, jitter=0.5)
    keys = [digest(b"%d" % number) for number in range(300)]
    for key in keys:
        cache.keep(msgspec.structs.replace(result, key=key))

    def good(age_s):
        return {key for key in keys if cache.find(key, policy, now=NOW + age_s)}

    assert good(49.9) == set(keys)
    assert 100 < len(good(75)) < 200
    assert good(75) == good(75)
    assert good(100) == set()


def test_a_result_from_the_future_is_not_good_for_ever(cache, result):
    ahead = msgspec.structs.replace(result, at=NOW + 3600)
    cache.keep(ahead)
    assert cache.find(KEY, Cache(ttl=3600, jitter=0), now=NOW) is None
    assert cache.find(KEY, Cache(ttl=7200, jitter=0), now=NOW) == ahead
    assert cache.find(KEY, Cache(ttl=7200, jitter=0), now=NOW + 3600 + 7200) is None
    # What is made then takes its place.
    cache.keep(result)
    assert cache.find(KEY, Cache(ttl=3600, jitter=0), now=NOW + 1) == result


@pytest.mark.parametrize("lost", range(5))
def test_a_result_without_all_its_artifacts_is_forgotten(cache, store, result, lost):
    cache.keep(result)
    digests = [artifact.digest for artifact in result.artifacts()]
    assert len(digests) == 5
    data = store.get(digests[lost])
    assert store.remove(digests[lost], before=NOW + 1)
    assert cache.find(KEY, EVER, now=NOW) is None

    store.put(data, "pickle")
    assert cache.find(KEY, EVER, now=NOW) is None
    cache.keep(result)
    assert cache.find(KEY, EVER, now=NOW) == result


def test_a_clean_up_leaves_what_has_just_been_found(cache, store, clock, result):
    cache.keep(result)
    clock.now = NOW + 7 * 86_400
    assert cache.find(KEY, EVER, now=clock.now) == result
    assert {stored.modified_at for stored in store.stored()} == {clock.now}


def test_a_result_that_is_no_longer_good_is_left_for_others(cache, store, clock, result):
    cache.keep(result)
    clock.now = NOW + 100
    assert cache.find(KEY, Cache(ttl=10), now=clock.now) is None
    assert {stored.modified_at for stored in store.stored()} == {NOW}
    assert cache.find(KEY, EVER, now=clock.now) == result


def test_threads_share_a_cache(cache, result):
    keys = [digest(b"%d" % number) for number in range(50)]
    faults = []

    def keep_and_find():
        for key in keys:
            cache.keep(msgspec.structs.replace(result, key=key))
            found = cache.find(key, EVER, now=NOW)
            if found is None or found.key != key:
                faults.append(key)

    threads = [threading.Thread(target=keep_and_find) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
