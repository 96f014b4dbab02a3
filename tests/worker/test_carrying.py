"""The store of a worker that does not share the driver's."""

import pytest

from nbflow.artifacts import digest_of
from nbflow.core.attempts import StoreRef
from nbflow.core.errors import ArtifactError
from nbflow.worker.carrying import CarriedStore


@pytest.fixture
def store(tmp_path):
    brought = {digest_of(b"brought"): b"brought"}
    store = CarriedStore(brought, StoreRef("file:///far", "m"), tmp_path / "scratch")
    yield store
    store.close()
    assert not (tmp_path / "scratch").exists() or list((tmp_path / "scratch").iterdir()) == []


def test_only_what_is_new_leaves_again(store, tmp_path):
    (tmp_path / "file").write_bytes(b"from a file")
    store.put(b"brought", "pickle")
    added = store.put(b"added", "pickle", type_name="t", preview="p")
    store.put_file(tmp_path / "file", "file")
    assert (added.size_bytes, added.type_name, added.preview) == (5, "t", "p")
    assert set(store.added.values()) == {b"added", b"from a file"}
    assert store.exists(added.digest)
    assert store.get(added.digest) == b"added"


def test_paths_hold_the_bytes_and_last_as_long_as_the_store(store, tmp_path):
    digest = digest_of(b"brought")
    assert store.path(digest).read_bytes() == b"brought"
    assert store.path(digest) == store.path(digest)
    store.materialise(digest, tmp_path / "deep" / "copy")
    assert (tmp_path / "deep" / "copy").read_bytes() == b"brought"


def test_what_did_not_come_along_is_named_with_the_store(store):
    with pytest.raises(ArtifactError, match=r"did not come along .*file:///far"):
        store.get(digest_of(b"other"))


def test_too_much_to_be_sent_is_refused_with_the_way_out(tmp_path):
    store = CarriedStore({}, StoreRef("file:///far", "m"), tmp_path / "scratch", limit_bytes=10)
    store.put(b"12345678", "file")
    store.put(b"12345678", "file")
    (tmp_path / "large").write_bytes(b"abc")
    for put in (
        lambda: store.put(b"abc", "file"),
        lambda: store.put_file(tmp_path / "large", "file"),
    ):
        with pytest.raises(ArtifactError, match=r"file:///far.*10 bytes in all.* share"):
            put()
    assert len(store.added) == 1


def test_it_can_be_staged_in_and_has_no_entries(store):
    with store.staging() as folder:
        (folder / "content").write_bytes(b"staged")
        artifact = store.put_file(folder / "content", "file")
    assert not folder.exists()
    assert store.touch(artifact.digest)
    assert list(store.entries("cache")) == []
    assert store.get_entry("cache/a") is None
    with pytest.raises(ArtifactError, match="far"):
        store.put_entry("cache/a", b"")
