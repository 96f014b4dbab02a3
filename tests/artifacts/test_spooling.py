"""Values of any size on their way into a store, with little memory and on disks that fail."""

import errno
import threading

import numpy as np
import pytest
from peaks import peak_bytes

from nbflow import guest
from nbflow.artifacts import FileStore, load_value
from nbflow.artifacts.spooling import IN_MEMORY_BYTES, Spool
from nbflow.core.errors import ArtifactError
from nbflow.core.values import Inline
from nbflow.notebooks.keeping import keep_value
from nbflow.testing import Fault, FaultyDisk, MemoryStore

LARGE = 64 << 20


@pytest.fixture
def store(tmp_path):
    return FileStore.open(tmp_path / "store")


@pytest.mark.parametrize("size", [0, 10, IN_MEMORY_BYTES, IN_MEMORY_BYTES + 1])
def test_what_is_written_is_the_content_wherever_it_lies(store, size):
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    with Spool(store) as spool:
        for start in range(0, size, 100_000):
            spool.write(memoryview(data)[start : start + 100_000])
        content = spool.content
        assert isinstance(content, bytes) == (size <= IN_MEMORY_BYTES)
        assert (content if isinstance(content, bytes) else content.read_bytes()) == data
    assert list(store.unfinished()) == []


@pytest.mark.parametrize("value", [{1, 2}, [1] * 10_000, np.arange(300_000), "x" * 2_000_000])
def test_a_kept_value_is_loaded_as_it_was(store, tmp_path, value):
    for kept_in in (store, MemoryStore(tmp_path)):
        artifact = keep_value("x", value, kept_in)
        loaded = load_value(artifact, kept_in)
        assert type(loaded) is type(value)
        assert np.array_equal(loaded, value) if isinstance(value, np.ndarray) else loaded == value
    assert list(store.unfinished()) == []


def test_a_small_value_is_kept_without_any_file(store, tmp_path):
    assert keep_value("x", {"a": 1}, store) == Inline({"a": 1})
    assert list(store.stored()) == []


@pytest.mark.parametrize(
    "value", [np.zeros(LARGE // 8), {"held": bytearray(LARGE)}], ids=["npy", "pickle"]
)
def test_a_large_value_is_kept_and_loaded_without_a_copy_of_its_bytes(store, value):
    kept = []
    assert peak_bytes(lambda: kept.append(keep_value("x", value, store))) < LARGE / 3
    assert kept[0].size_bytes >= LARGE
    assert peak_bytes(lambda: load_value(kept[0], store)) < LARGE * 4 / 3


def test_a_large_file_is_stored_in_constant_memory(store, tmp_path):
    source = tmp_path / "source"
    with source.open("wb") as file:
        file.truncate(LARGE)
    assert peak_bytes(lambda: store.put_file(source, "file")) < LARGE / 8
    with store.staging() as folder:
        (folder / "content").write_bytes(b"x" + source.read_bytes())
        assert peak_bytes(lambda: store.put_file(folder / "content", "file")) < LARGE / 8


class FullFile:
    """Has no room."""

    def write(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    def flush(self):
        """Nothing was written."""

    def close(self):
        """Nothing is open."""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        """Nothing is open."""


@pytest.mark.parametrize("value", [np.zeros(LARGE // 8), {"held": bytearray(LARGE)}, "x" * LARGE])
def test_a_full_disk_is_not_taken_for_a_fault_of_the_value(store, monkeypatch, value):
    monkeypatch.setattr("pathlib.Path.open", lambda *_, **__: FullFile())
    with pytest.raises(ArtifactError, match=r"is full .* Free some space there, then resume"):
        keep_value("x", value, store)
    monkeypatch.undo()
    assert list(store.unfinished()) == []


def test_a_fault_of_the_value_is_not_taken_for_a_full_disk(store):
    with pytest.raises(guest.Unstorable, match="cannot pickle"):
        keep_value("x", [bytearray(LARGE), threading.Lock()], store)
    assert list(store.unfinished()) == []


@pytest.mark.parametrize("step", ["create", "write", "fsync", "rename"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_any_step_may_fail_and_nothing_is_half_stored(tmp_path, step, number):
    FileStore.open(tmp_path / "store")
    store = FileStore.open(
        tmp_path / "store", disk=FaultyDisk(Fault(step, error=number, lasting=True))
    )
    for put in (
        lambda: store.put(b"x" * 10, "file"),
        lambda: store.put_entry("cache/a", b"x"),
    ):
        with pytest.raises(ArtifactError, match="is full" if number == errno.ENOSPC else "cannot"):
            put()
    assert list(store.stored()) == list(store.entries("cache")) == []
    assert list(store.unfinished()) == []
