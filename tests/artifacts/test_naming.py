"""An emitted file is found under its own name, with its own ending."""

from nbflow.artifacts import FileStore, under_its_name


def test_a_file_keeps_its_name_and_its_bytes(tmp_path) -> None:
    store = FileStore.open(tmp_path / "store")
    artifact = store.put(b"a,b\n1,2\n", "file", preview="table.csv")

    path = under_its_name(store.path(artifact.digest), artifact)

    assert path.name == "table.csv"
    assert path.read_bytes() == b"a,b\n1,2\n"
    assert under_its_name(store.path(artifact.digest), artifact) == path
    assert [entry.name for entry in path.parent.iterdir()] == ["table.csv"]


def test_one_content_may_have_two_names(tmp_path) -> None:
    store = FileStore.open(tmp_path / "store")
    names = {
        under_its_name(store.path(one.digest), one).name
        for one in (store.put(b"x", "file", preview=name) for name in ("a.txt", "b.txt"))
    }

    assert names == {"a.txt", "b.txt"}


def test_a_name_cannot_lead_out_of_the_store(tmp_path) -> None:
    store = FileStore.open(tmp_path / "store")
    artifact = store.put(b"x", "file", preview="../../evil.sh")

    path = under_its_name(store.path(artifact.digest), artifact)

    assert path.is_relative_to(tmp_path / "store")


def test_other_artifacts_keep_their_path(tmp_path) -> None:
    store = FileStore.open(tmp_path / "store")
    artifact = store.put(b"x", "pickle", preview="object")

    assert under_its_name(store.path(artifact.digest), artifact) == store.path(artifact.digest)
