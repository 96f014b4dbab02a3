"""The tiers of a cache, and what becomes of it when its store is not as it should be."""

import errno
import logging

import msgspec
import pytest

from nbflow.artifacts import FileStore, TieredCache
from nbflow.artifacts.cache import entry_name
from nbflow.core.errors import ArtifactError
from nbflow.core.fingerprints import digest
from nbflow.core.policies import Cache
from nbflow.core.results import Result
from nbflow.core.values import Inline
from nbflow.testing import Fault, FaultyDisk, MemoryStore

KEY = digest(b"made of this")
EVER = Cache()
NOW = 1_000_000.0


class WatchedStore(MemoryStore):
    """A store that counts how often entries are read, and fails on demand."""

    reads = 0
    broken = ""

    def get_entry(self, name):
        self.reads += 1
        if self.broken:
            raise ArtifactError(self.broken)
        return super().get_entry(name)


@pytest.fixture
def store(tmp_path):
    return WatchedStore(tmp_path)


@pytest.fixture
def told(caplog):
    """Return what has been logged."""
    caplog.set_level(logging.WARNING, "nbflow.artifacts.cache")
    return lambda: caplog.messages


def made(key=KEY, at=NOW, **outputs):
    return Result(
        key=key,
        run="sales-1",
        node="train",
        at=at,
        took_s=1.5,
        outputs={name: Inline(value) for name, value in outputs.items()},
    )


def test_a_result_is_found_by_another_program(tmp_path):
    TieredCache(FileStore.open(tmp_path / "artifacts")).keep(made(auc=0.91))
    again = TieredCache(FileStore.open(tmp_path / "artifacts"))
    assert again.find(KEY, EVER, now=NOW) == made(auc=0.91)


def test_a_result_is_an_entry_that_a_clean_up_can_read(store):
    model = store.put(b"model", "pickle")
    TieredCache(store).keep(msgspec.structs.replace(made(), outputs={"model": model}))
    (entry,) = store.entries("cache")
    assert entry.name == entry_name(KEY) == f"cache/{KEY[:2]}/{KEY}"
    assert model.digest.encode() in store.get_entry(entry.name)


def test_what_is_remembered_needs_no_reading(store):
    cache = TieredCache(store)
    cache.keep(made())
    assert cache.find(KEY, EVER, now=NOW) == made()
    assert store.reads == 0
    other = TieredCache(store)
    for _ in range(3):
        assert other.find(KEY, EVER, now=NOW) == made()
    assert store.reads == 1


def test_what_was_used_least_recently_is_forgotten_first(store):
    keys = [digest(bytes([number])) for number in range(4)]
    TieredCache(store).keep(made(keys[0], text="x" * 1000))
    (entry,) = store.entries()
    cache = TieredCache(store, memory_bytes=3 * entry.size_bytes)
    for key in keys[:3]:
        cache.keep(made(key, text="x" * 1000))
    cache.find(keys[0], EVER, now=NOW)
    cache.keep(made(keys[3], text="x" * 1000))

    for key, reads in ((keys[0], 0), (keys[3], 0), (keys[2], 0), (keys[1], 1)):
        assert cache.find(key, EVER, now=NOW) is not None
        assert store.reads == reads


def test_a_result_that_is_too_large_to_remember_displaces_nothing(store):
    cache = TieredCache(store, memory_bytes=1000)
    small, large = made(digest(b"small")), made(text="x" * 1000)
    cache.keep(small)
    cache.keep(large)
    assert cache.find(small.key, EVER, now=NOW) == small
    assert store.reads == 0
    assert cache.find(KEY, EVER, now=NOW) == large
    assert store.reads == 1


def test_a_younger_result_of_another_program_is_found(store):
    hour = Cache(ttl=3600, jitter=0)
    cache = TieredCache(store)
    cache.keep(made())
    younger = made(at=NOW + 5000)
    TieredCache(store).keep(younger)
    assert cache.find(KEY, hour, now=NOW + 5001) == younger


def test_a_remembered_result_whose_artifacts_are_gone_gives_way_to_a_whole_one(store):
    first, second = (
        msgspec.structs.replace(made(), outputs={"model": store.put(data, "pickle")})
        for data in (b"first", b"second")
    )
    cache = TieredCache(store)
    cache.keep(first)
    TieredCache(store).keep(second)
    store.remove(first.outputs["model"].digest, before=float("inf"))
    assert cache.find(KEY, EVER, now=NOW) == second


def test_no_damage_is_believed(store):
    TieredCache(store).keep(made(auc=0.91, label="forest"))
    whole = store.get_entry(entry_name(KEY))
    for place in range(len(whole)):
        for flip in (1, 16):
            damaged = bytearray(whole)
            damaged[place] ^= flip
            store.put_entry(entry_name(KEY), bytes(damaged))
            found = TieredCache(store).find(KEY, EVER, now=NOW)
            assert found in (None, made(auc=0.91, label="forest"))


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"version": 1}', b'{"a": 1}']
)
def test_what_is_no_entry_is_a_miss_and_replaced_by_the_next_result(store, told, data):
    cache = TieredCache(store)
    store.put_entry(entry_name(KEY), data)
    for _ in range(3):
        assert cache.find(KEY, EVER, now=NOW) is None
    assert len(told()) == 1
    assert f"the entry {entry_name(KEY)} of the cache is damaged" in told()[0]

    cache.keep(made())
    assert TieredCache(store).find(KEY, EVER, now=NOW) == made()


def test_an_entry_under_the_name_of_another_is_not_believed(store, told):
    other = digest(b"other")
    TieredCache(store).keep(made())
    store.put_entry(entry_name(other), store.get_entry(entry_name(KEY)))
    assert TieredCache(store).find(other, EVER, now=NOW) is None
    assert f"is damaged: it is of {KEY}" in told()[0]


def test_an_entry_of_a_newer_program_is_a_miss_and_left_alone(store, told):
    newer = b'{"version": 2, "unheard": "of"}'
    store.put_entry(entry_name(KEY), newer)
    assert TieredCache(store).find(KEY, EVER, now=NOW) is None
    assert "is of a newer nbflow (format 2)" in told()[0]
    assert store.get_entry(entry_name(KEY)) == newer


def test_a_store_that_cannot_be_read_is_a_miss_and_told_once(store, told):
    store.broken = "the store does not answer"
    cache = TieredCache(store)
    for number in range(5):
        assert cache.find(digest(bytes([number])), EVER, now=NOW) is None
    assert len(told()) == 1
    assert "the store does not answer" in told()[0]


def test_a_full_disk_is_no_error_of_the_run(tmp_path, told):
    # The first file is the store's mark.
    disk = FaultyDisk(Fault("write", nth=2, error=errno.ENOSPC))
    store = FileStore.open(tmp_path / "artifacts", disk=disk)
    cache = TieredCache(store)
    cache.keep(made())
    assert len(told()) == 1
    assert "results cannot be kept for later runs" in told()[0]
    assert cache.find(KEY, EVER, now=NOW) == made()
    assert TieredCache(store).find(KEY, EVER, now=NOW) is None
