"""What every `nbflow.ports.ArtifactStore` keeps to: the fake and the real ones alike."""

import hashlib
import threading
import time

import fsspec
import pytest

from nbflow.artifacts import FileStore, under_its_name
from nbflow.core.errors import ArtifactError
from nbflow.core.ids import AttemptId
from nbflow.core.values import Artifact
from nbflow.testing import MemoryStore

DATA = b"forty-two"
DIGEST = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
ATTEMPT = AttemptId("sales-1", "models/forest", 2, 1)


@pytest.fixture(params=["memory", "folder", "url"])
def store(request, tmp_path):
    if request.param == "memory":
        yield MemoryStore(tmp_path)
    elif request.param == "folder":
        yield FileStore.open(tmp_path / "artifacts")
    else:
        yield FileStore.open(f"memory://{tmp_path}/artifacts", cache_dir=tmp_path / "cache")
        memory = fsspec.filesystem("memory")
        memory.rm(memory._strip_protocol(f"memory://{tmp_path}"), recursive=True)


def test_an_artifact_is_named_by_its_content(store):
    artifact = store.put(DATA, "json", type_name="bytes", preview="42")
    assert artifact == Artifact("json", DIGEST, len(DATA), "bytes", "42")
    assert store.get(DIGEST) == DATA
    assert store.path(DIGEST).read_bytes() == DATA
    assert store.exists(DIGEST)


@pytest.mark.parametrize("data", [b"", bytes(range(256)) * 10_000], ids=["empty", "large"])
def test_any_bytes_can_be_stored(store, tmp_path, data):
    source = tmp_path / "source"
    source.write_bytes(data)
    artifact = store.put_file(source, "file")
    assert artifact == store.put(data, "file")
    assert artifact.size_bytes == len(data)
    assert store.get(artifact.digest) == data
    assert store.path(artifact.digest).read_bytes() == data


def test_a_file_is_stored_as_its_bytes_are(store, tmp_path):
    source = tmp_path / "source"
    source.write_bytes(DATA)
    assert store.put_file(source, "text") == store.put(DATA, "text")
    assert source.read_bytes() == DATA


def test_a_staged_file_is_stored_and_its_folder_goes(store):
    with store.staging() as folder:
        (folder / "rest").write_bytes(b"left behind")
        (folder / "content").write_bytes(DATA)
        assert store.put_file(folder / "content", "text").digest == DIGEST
    assert not folder.exists()
    assert store.get(DIGEST) == DATA


def test_staging_folders_are_apart(store):
    with store.staging() as one, store.staging() as two:
        assert one != two
        assert list(one.iterdir()) == []


def test_a_file_that_cannot_be_read_is_named(store, tmp_path):
    with pytest.raises(ArtifactError, match="absent"):
        store.put_file(tmp_path / "absent", "file")


def test_a_missing_artifact_is_named(store, tmp_path):
    assert not store.exists(DIGEST)
    for call in (
        store.get,
        store.path,
        lambda digest: store.materialise(digest, tmp_path / "target"),
    ):
        with pytest.raises(ArtifactError, match=f"{DIGEST} is missing"):
            call(DIGEST)
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize(
    "name", ["", "sha256:", DIGEST.upper(), DIGEST[:-1], DIGEST + "0", "sha256:../../../etc/passwd"]
)
def test_what_is_no_digest_is_refused(store, tmp_path, name):
    for call in (
        store.get,
        store.path,
        store.exists,
        lambda digest: store.materialise(digest, tmp_path / "target"),
    ):
        with pytest.raises(ArtifactError, match="not an artifact's digest"):
            call(name)


def test_an_artifact_becomes_a_file_of_the_users(store, tmp_path):
    store.put(DATA, "notebook")
    target = tmp_path / "out" / "models" / "forest.ipynb"
    store.materialise(DIGEST, target)
    assert target.read_bytes() == DATA

    target.write_bytes(b"edited")
    assert store.get(DIGEST) == DATA
    store.materialise(DIGEST, target)
    assert target.read_bytes() == DATA
    assert [path.name for path in target.parent.iterdir()] == ["forest.ipynb"]


def test_a_receipt_is_found_by_the_next_driver_whatever_its_epoch(store):
    assert store.get_receipt(ATTEMPT) is None
    store.put_receipt(ATTEMPT, b"outcome")
    assert store.get_receipt(ATTEMPT) == b"outcome"
    assert store.get_receipt(AttemptId("sales-1", "models/forest", 2, 7)) == b"outcome"


def test_a_later_receipt_replaces_an_earlier_one(store):
    store.put_receipt(ATTEMPT, b"first")
    store.put_receipt(ATTEMPT, b"second")
    assert store.get_receipt(ATTEMPT) == b"second"


def test_receipts_of_different_attempts_do_not_meet(store):
    ids = [
        AttemptId("sales-1", "a/b", 1, 1),
        AttemptId("sales-1", "a.b", 1, 1),
        AttemptId("sales-1", "a_b", 1, 1),
        AttemptId("sales-1", "a/b", 2, 1),
        AttemptId("sales-1", "a/b.1", 2, 1),
        AttemptId("sales-2", "a/b", 1, 1),
    ]
    for number, attempt in enumerate(ids):
        store.put_receipt(attempt, b"%d" % number)
    assert [store.get_receipt(attempt) for attempt in ids] == [b"%d" % n for n in range(len(ids))]


def test_one_store_serves_several_threads(store):
    payloads = [bytes([number]) * 10_000 for number in range(4)]

    def work():
        for data in payloads:
            artifact = store.put(data, "file")
            assert store.get(artifact.digest) == data
            assert store.path(artifact.digest).read_bytes() == data

    errors = []
    hook, threading.excepthook = threading.excepthook, errors.append
    try:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        threading.excepthook = hook
    assert errors == []


# --- entries ------------------------------------------------------------------------------------


def test_an_entry_is_what_was_put_last(store):
    assert store.get_entry("cache/ab/abcdef") is None
    store.put_entry("cache/ab/abcdef", b"first")
    store.put_entry("cache/ab/abcdef", b"second")
    assert store.get_entry("cache/ab/abcdef") == b"second"
    store.remove_entry("cache/ab/abcdef")
    store.remove_entry("cache/ab/abcdef")
    assert store.get_entry("cache/ab/abcdef") is None


def test_entries_are_listed_by_folder(store):
    before = time.time() - 1
    for name in ("cache/ab/abc", "cache/cd/cde", "cached/ab/abc"):
        store.put_entry(name, name.encode())
    store.put(DATA, "file")
    found = {entry.name: entry for entry in store.entries("cache")}
    assert found.keys() == {"cache/ab/abc", "cache/cd/cde"}
    assert found["cache/ab/abc"].size_bytes == len("cache/ab/abc")
    assert before <= found["cache/ab/abc"].modified_at <= time.time() + 1
    assert [entry.name for entry in store.entries("cache/cd")] == ["cache/cd/cde"]
    assert list(store.entries("nothing")) == []
    assert {entry.name for entry in store.entries()} == {*found, "cached/ab/abc"}


@pytest.mark.parametrize("name", ["", "/etc/passwd", "cache/../../mark", "cache//a", ".hidden"])
def test_the_name_of_an_entry_leads_nowhere_else(store, name):
    for call in (
        lambda: store.put_entry(name, b""),
        lambda: store.get_entry(name),
        lambda: list(store.entries(name or "..")),
        lambda: store.remove_entry(name),
    ):
        with pytest.raises(ArtifactError, match="cannot be the name of an entry"):
            call()


# --- house-keeping ------------------------------------------------------------------------------


def test_all_artifacts_and_nothing_else_are_listed(store):
    before = time.time() - 1
    assert list(store.stored()) == []
    artifacts = [store.put(b"x" * number, "file", preview="x.txt") for number in range(3)]
    under_its_name(store.path(artifacts[1].digest), artifacts[1])
    store.put_receipt(ATTEMPT, b"outcome")
    store.put_entry("cache/a", b"entry")
    found = {stored.digest: stored for stored in store.stored()}
    assert {digest: stored.size_bytes for digest, stored in found.items()} == {
        artifact.digest: artifact.size_bytes for artifact in artifacts
    }
    assert all(before <= stored.modified_at <= time.time() + 1 for stored in found.values())


def test_an_old_artifact_is_removed_and_a_young_one_is_not(store):
    store.put(DATA, "file")
    assert not store.remove(DIGEST, before=time.time() - 60)
    assert store.get(DIGEST) == DATA
    assert store.remove(DIGEST, before=time.time() + 60)
    assert not store.exists(DIGEST)
    assert list(store.stored()) == []
    assert not store.remove(DIGEST, before=time.time() + 60)
    with pytest.raises(ArtifactError, match="missing"):
        store.path(DIGEST)
    store.put(DATA, "file")
    assert store.get(DIGEST) == DATA


def test_what_is_put_or_touched_again_is_young(store, tmp_path):
    store.put(DATA, "file")
    put_at = next(store.stored()).modified_at
    (tmp_path / "source").write_bytes(DATA)
    for again in (
        lambda: store.put(DATA, "file"),
        lambda: store.put_file(tmp_path / "source", "file"),
        lambda: store.touch(DIGEST),
    ):
        began = time.time() - 1
        again()
        assert next(store.stored()).modified_at >= max(began, put_at)
    assert store.touch(DIGEST)
    assert not store.touch(DIGEST.replace("0", "1"))


def test_receipts_are_listed_with_their_attempts(store):
    assert list(store.receipts()) == []
    other = AttemptId("sales-2", "a.b", 12, 3)
    store.put_receipt(ATTEMPT, b"outcome")
    store.put_receipt(other, b"another")
    (found,) = store.receipts("sales-1")
    assert found.attempt == AttemptId("sales-1", "models/forest", 2, 0)
    assert found.size_bytes == len(b"outcome")
    assert found.modified_at > time.time() - 60
    assert {each.attempt.run for each in store.receipts()} == {"sales-1", "sales-2"}
    store.remove_receipt(found.attempt)
    store.remove_receipt(found.attempt)
    assert store.get_receipt(ATTEMPT) is None
    assert store.get_receipt(other) == b"another"


def test_staging_that_is_in_use_is_listed_as_unfinished(store):
    with store.staging() as folder:
        (folder / "content").write_bytes(DATA)
        for found in store.unfinished():
            assert found.size_bytes == len(DATA)
            assert found.modified_at > time.time() - 60
    assert list(store.unfinished()) == []
