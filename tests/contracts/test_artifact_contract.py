"""What every `nbflow.ports.ArtifactStore` keeps to: the fake and the real ones alike."""

import hashlib
import threading

import fsspec
import pytest

from nbflow.artifacts import FileStore
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
