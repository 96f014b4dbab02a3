"""What only files can suffer: crashes, damage, full disks, other processes and other stores."""

import errno
import gc
import os
import resource
import stat
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.registry import _registry

from nbflow.artifacts import FileStore, digest_of, under_its_name
from nbflow.artifacts.digests import blob_name
from nbflow.artifacts.files import Disk
from nbflow.core.attempts import StoreRef
from nbflow.core.errors import ArtifactError
from nbflow.core.ids import AttemptId

DATA = b"forty-two" * 1000
DIGEST = digest_of(DATA)
ATTEMPT = AttemptId("sales-1", "models/forest", 2, 1)

#: Stores the same sequence of contents as every other process that runs this.
PUTTER = """
import sys
from nbflow.artifacts import FileStore

store = FileStore.open(sys.argv[1])
print(store.ref.mark, flush=True)
sys.stdin.readline()
for number in range(50):
    store.put(b"%d" % number * 10_000, "file")
"""

#: Stores ever larger contents until it is killed; says the digest of each when it is durable.
ENDLESS = """
import sys
from nbflow.artifacts import FileStore

store = FileStore.open(sys.argv[1])
number = 0
while True:
    number += 1
    print(store.put(b"%d" % number * 200_000, "file").digest, flush=True)
"""

#: Runs into the limit of a file's size in the middle of a write.
LIMITED = """
import resource, sys
from nbflow.artifacts import FileStore
from nbflow.core.errors import ArtifactError

store = FileStore.open(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    store.put(b"x" * 1_000_000, "file")
except ArtifactError as error:
    print(error)
"""


def start(program, *args):
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def root(tmp_path):
    return tmp_path / "artifacts"


@pytest.fixture
def store(root):
    return FileStore.open(root)


@pytest.fixture
def url(tmp_path):
    yield f"memory://{tmp_path}/artifacts"
    memory = fsspec.filesystem("memory")
    memory.rm(memory._strip_protocol(f"memory://{tmp_path}"), recursive=True)


def blobs(root):
    return sorted(path for path in (root / "sha256").rglob("*") if path.is_file())


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def damage(path, data):
    path.chmod(0o644)
    path.write_bytes(data)


# --- durability ---------------------------------------------------------------------------------


def test_a_file_is_synced_then_named_then_its_folder_is_synced(store, root, monkeypatch):
    store.put(b"makes the folder", "file")
    steps = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor):
        steps.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def noted_replace(source, target):
        steps.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    store.put(DATA, "file")
    # The first rename finds no folder; that is made, durably, before anything is in it.
    assert steps == ["file", "rename", "folder", "rename", "folder"]


@pytest.mark.parametrize("step", ["open", "fsync", "replace"])
def test_a_put_that_is_interrupted_at_any_step_leaves_nothing(store, root, monkeypatch, step):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, step, interrupt)
        with pytest.raises(KeyboardInterrupt):
            store.put(DATA, "file")
    assert not store.exists(DIGEST)
    assert names(root / "tmp") == []


def test_a_killed_process_leaves_whole_files_only(root):
    with start(ENDLESS, root) as process:
        acknowledged = [process.stdout.readline() for _ in range(15)]
        process.kill()
        acknowledged += process.stdout.readlines()
    store = FileStore.open(root)
    for line in acknowledged:
        assert store.path(line.strip()).exists()
    for path in blobs(root):
        assert digest_of(path.read_bytes()) == f"sha256:{path.name}"


def test_two_processes_may_put_the_same_bytes(root):
    with start(PUTTER, root) as one, start(PUTTER, root) as two:
        assert one.stdout.readline() == two.stdout.readline(), "both see one mark"
        one.communicate("\n")
        two.communicate("\n")
    assert (one.returncode, two.returncode) == (0, 0)
    assert len(blobs(root)) == 50
    assert all(digest_of(path.read_bytes())[7:] == path.name for path in blobs(root))
    assert names(root / "tmp") == []


def test_a_write_that_is_cut_short_leaves_nothing_and_says_where(root):
    with start(LIMITED, root) as process:
        message, _ = process.communicate()
    assert message.startswith(f"the artifact store {root} is full")
    assert process.returncode == 0
    assert blobs(root) == []
    assert names(root / "tmp") == []
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "is full .* Free some space"),
        (errno.EDQUOT, "is full"),
        (errno.EROFS, "may not be used .* Make it readable and writable"),
        (errno.EIO, "cannot be used .* working disk"),
    ],
)
def test_a_failing_disk_is_named_and_what_was_there_stays(store, root, monkeypatch, number, words):
    kept = store.put(b"kept", "file")

    def fail(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    for call in (
        lambda: store.put(DATA, "file"),
        lambda: store.put_receipt(ATTEMPT, DATA),
        lambda: FileStore.open(root.with_name("other")),
    ):
        with pytest.raises(ArtifactError, match=words):
            call()
    assert store.get(kept.digest) == b"kept"
    assert store.get_receipt(ATTEMPT) is None
    assert not store.exists(DIGEST)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ArtifactError, match=r"store .*file/artifacts cannot be used"):
        FileStore.open(tmp_path / "file" / "artifacts")


# --- content ------------------------------------------------------------------------------------


def test_the_same_bytes_are_written_once(store, root):
    store.put(DATA, "file")
    before = (root / blob_name(DIGEST)).stat()
    store.put(DATA, "file")
    with store.staging() as folder:
        (folder / "again").write_bytes(DATA)
        store.put_file(folder / "again", "file")
    assert (root / blob_name(DIGEST)).stat() == before


def test_a_staged_file_is_moved_and_any_other_is_copied(store, root, tmp_path):
    with store.staging() as folder:
        staged = folder / "content"
        staged.write_bytes(DATA)
        inode = staged.stat().st_ino
        store.put_file(staged, "file")
        assert not staged.exists()
    assert (root / blob_name(DIGEST)).stat().st_ino == inode

    with store.staging() as folder:
        (tmp_path / "outside").write_bytes(b"outside")
        (folder / "link").symlink_to(tmp_path / "outside")
        artifact = store.put_file(folder / "link", "file")
    assert (tmp_path / "outside").read_bytes() == b"outside"
    assert store.get(artifact.digest) == b"outside"


def test_stored_files_are_read_only(store, root):
    with store.staging() as folder:
        (folder / "content").write_bytes(b"staged")
        staged = store.put_file(folder / "content", "file")
    for artifact in (store.put(DATA, "file"), staged):
        assert stat.S_IMODE(store.path(artifact.digest).stat().st_mode) & 0o222 == 0


@pytest.mark.parametrize("content", [b"", DATA[:-1], b"F" + DATA[1:]], ids=["empty", "torn", "bit"])
def test_damage_is_found_named_and_mended_by_the_next_put(store, root, tmp_path, content):
    store.put(DATA, "file")
    store.path(DIGEST)
    damage(root / blob_name(DIGEST), content)

    for call in (
        store.get,
        store.path,
        lambda digest: store.materialise(digest, tmp_path / "target"),
    ):
        with pytest.raises(ArtifactError, match=rf"{DIGEST} .* hash to {digest_of(content)}"):
            call(DIGEST)
    assert not (tmp_path / "target").exists()

    store.put(DATA, "file")
    assert store.get(DIGEST) == DATA
    assert store.path(DIGEST).read_bytes() == DATA


def test_a_path_is_verified_once(store, monkeypatch):
    store.put(DATA, "file")
    store.path(DIGEST)

    def again(*args):
        raise AssertionError("the file is read a second time")

    monkeypatch.setattr("nbflow.artifacts.store.digest_of_file", again)
    assert store.path(DIGEST).name == DIGEST[7:]


def test_only_the_latest_verified_paths_are_remembered(store, monkeypatch):
    monkeypatch.setattr(store._verified, "_limit", 2)
    digests = [store.put(b"%d" % number, "file").digest for number in range(3)]
    for digest in digests:
        store.path(digest)
    read = []

    def noted(path):
        read.append(path.name)
        return digest_of(path.read_bytes())

    monkeypatch.setattr("nbflow.artifacts.store.digest_of_file", noted)
    for digest in reversed(digests):
        store.path(digest)
    assert read == [digests[0][7:]]


def test_a_target_that_cannot_be_written_is_named(store, tmp_path):
    store.put(DATA, "file")
    (tmp_path / "target").mkdir()
    with pytest.raises(ArtifactError, match=rf"the folder {tmp_path} cannot be used"):
        store.materialise(DIGEST, tmp_path / "target")
    assert names(tmp_path) == ["artifacts", "target"]


@pytest.mark.parametrize(
    ("run", "node"), [("../..", "load"), ("r", "../load"), ("r", "/etc/passwd"), ("", "x")]
)
def test_receipts_cannot_lead_out_of_the_store(store, run, node):
    attempt = AttemptId(run, node, 1, 1)
    with pytest.raises(ArtifactError, match="no receipt"):
        store.put_receipt(attempt, b"outcome")
    with pytest.raises(ArtifactError, match="no receipt"):
        store.get_receipt(attempt)


# --- clean-up -----------------------------------------------------------------------------------


HOUR_S = 3600


def age(path, seconds):
    at = time.time() - seconds
    os.utime(path, (at, at))


class Meddling(Disk):
    """Does something else just before a step."""

    def __init__(self, step, meddle):
        self.step = step
        self.meddle = meddle

    def before(self, step, path):
        if step == self.step and "condemned" in str(path):
            self.meddle()


def meddled(root, step, meddle):
    """Remove `DATA`, which is old, while somebody meddles; return whether it was removed."""
    store = FileStore.open(root)
    store.put(DATA, "file")
    age(root / blob_name(DIGEST), HOUR_S)
    cleaner = FileStore.open(root, disk=Meddling(step, lambda: meddle(FileStore.open(root))))
    return cleaner.remove(DIGEST, before=time.time() - HOUR_S / 2)


def put_again(store):
    store.put(DATA, "file")


def touch_again(store):
    assert store.touch(DIGEST)


def read_it(store):
    assert store.get(DIGEST) == DATA
    assert store.path(DIGEST).read_bytes() == DATA
    assert store.exists(DIGEST)


@pytest.mark.parametrize("step", ["rename", "remove"])
@pytest.mark.parametrize("meddle", [put_again, touch_again])
def test_what_is_put_while_it_is_being_removed_is_there_afterwards(root, step, meddle):
    meddled(root, step, meddle)
    assert FileStore.open(root).get(DIGEST) == DATA
    assert list(FileStore.open(root).unfinished()) == []


@pytest.mark.parametrize("step", ["rename", "remove"])
def test_what_is_removed_can_be_read_until_it_is_gone(root, step):
    removed = meddled(root, step, read_it)
    assert removed == (step == "rename")
    assert FileStore.open(root).exists(DIGEST) == (not removed)


def test_a_clean_up_that_is_killed_half_way_has_removed_nothing(root):
    def die(store):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        meddled(root, "remove", die)
    assert not (root / blob_name(DIGEST)).exists()
    store = FileStore.open(root)
    assert [stored.digest for stored in store.stored()] == [DIGEST]
    assert store.get(DIGEST) == DATA


def test_a_clean_up_races_with_writers_and_no_put_is_lost(root):
    store = FileStore.open(root)
    store.put(DATA, "file")
    stop = threading.Event()
    lost = []

    def clean():
        while not stop.is_set():
            store.remove(DIGEST, before=time.time() - HOUR_S)

    def write():
        writer = FileStore.open(root)
        for _ in range(300):
            with suppress(FileNotFoundError):
                age(root / blob_name(DIGEST), 2 * HOUR_S)
            writer.put(DATA, "file")
            if writer.get(DIGEST) != DATA:
                lost.append(DIGEST)

    cleaners = [threading.Thread(target=clean) for _ in range(2)]
    for thread in cleaners:
        thread.start()
    try:
        write()
    finally:
        stop.set()
        for thread in cleaners:
            thread.join()
    assert lost == []
    assert store.get(DIGEST) == DATA


def test_an_emitted_files_second_name_goes_with_it(store, root):
    artifact = store.put(DATA, "file", preview="table.csv")
    named = under_its_name(store.path(DIGEST), artifact)
    assert store.remove(DIGEST, before=time.time() + HOUR_S)
    assert not named.exists()
    assert blobs(root) == []


def test_links_are_neither_listed_nor_followed(store, root, tmp_path):
    store.put(DATA, "file")
    outside = tmp_path / "outside"
    (outside / "ab").mkdir(parents=True)
    stranger = outside / "ab" / ("ab" * 32)
    stranger.write_bytes(b"somebody else's")
    (root / "sha256" / "ab").symlink_to(outside / "ab")
    (root / "tmp" / "link").symlink_to(outside)
    age(stranger, HOUR_S)
    assert [stored.digest for stored in store.stored()] == [DIGEST]
    for leftover in list(store.unfinished()):
        store.remove_unfinished(leftover.name)
    assert names(root / "tmp") == []
    assert stranger.exists()


def test_a_leftover_is_as_young_as_the_youngest_file_in_it(store, root):
    folder = root / "tmp" / "deadbeef"
    folder.mkdir()
    (folder / "old").write_bytes(b"12345")
    (folder / "young").write_bytes(b"123")
    age(folder / "old", HOUR_S)
    age(folder, HOUR_S)
    (leftover,) = store.unfinished()
    assert (leftover.name, leftover.size_bytes) == ("deadbeef", 8)
    assert leftover.modified_at > time.time() - HOUR_S / 2
    store.remove_unfinished("deadbeef")
    store.remove_unfinished("deadbeef")
    assert names(root / "tmp") == []


def test_another_users_file_is_made_young_by_a_copy(store, root, monkeypatch):
    store.put(DATA, "file")
    blob = root / blob_name(DIGEST)

    def forbid(path):
        raise PermissionError(errno.EPERM, "not yours")

    for again in (put_again, touch_again):
        age(blob, HOUR_S)
        with monkeypatch.context() as patch:
            patch.setattr(os, "utime", forbid)
            again(store)
        assert blob.stat().st_mtime > time.time() - HOUR_S / 2
        assert store.get(DIGEST) == DATA


def test_old_bytes_at_a_url_are_written_again(url, tmp_path, monkeypatch):
    store = FileStore.open(url, cache_dir=tmp_path / "cache")
    store.put(DATA, "file")
    put_at = next(store.stored()).modified_at
    store.put(DATA, "file")
    assert next(store.stored()).modified_at == put_at, "young enough"
    monkeypatch.setattr("nbflow.artifacts.remote._YOUNG_S", 0.0)
    store.put(DATA, "file")
    again_at = next(store.stored()).modified_at
    assert again_at > put_at
    assert store.touch(DIGEST)
    assert next(store.stored()).modified_at > again_at


@pytest.mark.parametrize(
    "info",
    [
        {"mtime": 12.0},
        {"LastModified": datetime.fromtimestamp(12, UTC)},
        {"updated": "1970-01-01T00:00:12Z"},
        {"created": datetime.fromtimestamp(12, UTC), "mtime": 12},
    ],
)
def test_services_tell_the_time_each_in_its_way(url, tmp_path, info):
    store = FileStore.open(url, cache_dir=tmp_path / "cache")
    assert store._place._modified_at(info) == 12
    store.put(DATA, "file")


# --- identity -----------------------------------------------------------------------------------


def test_a_reference_leads_another_process_to_the_same_store(store, root, monkeypatch, tmp_path):
    artifact = store.put(DATA, "file")
    monkeypatch.chdir(root.parent)
    assert FileStore.open("artifacts").ref == store.ref
    assert FileStore.open(f"file://{root}").ref == store.ref
    other = FileStore.open_ref(store.ref)
    assert other.get(artifact.digest) == DATA
    assert other.ref == store.ref


def test_a_reference_to_nothing_creates_nothing(tmp_path):
    assert FileStore.open_ref(StoreRef(f"file://{tmp_path}/absent", "mark")) is None
    assert list(tmp_path.iterdir()) == []


def test_another_store_at_the_same_place_is_not_taken_for_this_one(store):
    assert FileStore.open_ref(StoreRef(store.ref.url, "0" * 32)) is None


def test_a_store_that_may_not_be_written_is_not_shared(store, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    assert FileStore.open_ref(store.ref) is None


def test_a_file_system_without_links_still_gets_a_mark(root, monkeypatch):
    def refuse(source, target):
        raise PermissionError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    ref = FileStore.open(root).ref
    assert len(ref.mark) == 32
    assert FileStore.open(root).ref == ref
    assert names(root / "tmp") == []


# --- at a URL -----------------------------------------------------------------------------------


def test_a_store_at_a_url_is_found_by_reference(url, tmp_path):
    store = FileStore.open(url, cache_dir=tmp_path / "one")
    store.put(DATA, "file")
    store.put_receipt(ATTEMPT, b"outcome")
    other = FileStore.open_ref(store.ref, cache_dir=tmp_path / "two")
    assert other.path(DIGEST).read_bytes() == DATA
    assert other.path(DIGEST).is_relative_to(tmp_path / "two")
    assert other.get_receipt(ATTEMPT) == b"outcome"
    assert FileStore.open_ref(StoreRef(url, "0" * 32), cache_dir=tmp_path / "two") is None


def test_damage_at_a_url_is_found_and_not_kept(url, tmp_path):
    store = FileStore.open(url, cache_dir=tmp_path / "cache")
    store.put(DATA, "file")
    remote = fsspec.filesystem("memory")
    remote.pipe_file(f"{url}/{blob_name(DIGEST)}", b"torn")
    with pytest.raises(ArtifactError, match="damaged"):
        store.get(DIGEST)
    with pytest.raises(ArtifactError, match="damaged"):
        store.path(DIGEST)
    store.put(DATA, "file")
    assert store.path(DIGEST).read_bytes() == DATA


def test_an_uploaded_file_needs_no_download(url, tmp_path):
    store = FileStore.open(url, cache_dir=tmp_path / "cache")
    with store.staging() as folder:
        (folder / "content").write_bytes(DATA)
        store.put_file(folder / "content", "file")
    fsspec.filesystem("memory").rm(f"{url}/{blob_name(DIGEST)}")
    assert store.path(DIGEST).read_bytes() == DATA


def test_a_service_with_real_folders_gets_them(tmp_path, monkeypatch):
    class Folders(LocalFileSystem):
        protocol = "folders"

        @classmethod
        def _strip_protocol(cls, path):
            return super()._strip_protocol(path.removeprefix("folders://"))

    monkeypatch.setitem(_registry, "folders", Folders)
    store = FileStore.open(f"folders://{tmp_path}/there", cache_dir=tmp_path / "cache")
    store.put_receipt(ATTEMPT, b"outcome")
    store.put(DATA, "file")
    assert store.get_receipt(ATTEMPT) == b"outcome"
    assert (tmp_path / "there" / blob_name(DIGEST)).read_bytes() == DATA
    assert store.path(DIGEST).read_bytes() == DATA


def test_a_cache_of_its_own_goes_with_the_store(url):
    store = FileStore.open(url)
    store.put(DATA, "file")
    path = store.path(DIGEST)
    assert path.read_bytes() == DATA
    del store
    gc.collect()
    assert not path.exists()


def test_a_url_that_nothing_serves_is_named(tmp_path):
    with pytest.raises(ArtifactError, match=r"store warp://far/away cannot be used"):
        FileStore.open("warp://far/away", cache_dir=tmp_path)
    assert FileStore.open_ref(StoreRef("warp://far/away", "mark"), cache_dir=tmp_path) is None


def test_a_password_in_an_address_is_not_repeated(tmp_path):
    with pytest.raises(ArtifactError) as caught:
        FileStore.open("unheard-of://ada:hush@host/artifacts", cache_dir=tmp_path)
    assert "hush" not in str(caught.value)
    assert "unheard-of://host/artifacts" in str(caught.value)
