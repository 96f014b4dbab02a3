"""A run as one file: there and back, and nothing of what is not whole."""

import errno
import json
import os
import shutil
import zipfile

import msgspec
import pytest
from peaks import peak_bytes
from stored_runs import StoredRun, whole_run

import nbflow
from nbflow.artifacts.digests import blob_name, digest_of
from nbflow.core.errors import ArtifactError, NbflowError, NewerSchema, RunExists, UnknownRun
from nbflow.core.events import RunCreated
from nbflow.session.archive_format import ArchiveError
from nbflow.session.archives import export_run, import_run
from nbflow.session.home import Home
from nbflow.session.log_files import LogLine, current_file, encoded, old_file


@pytest.fixture
def home(tmp_path):
    home = Home.open(tmp_path / "home")
    yield home
    home.close()


@pytest.fixture
def exported(home, tmp_path):
    """A file with the run ``sales-1``."""
    whole_run(home, "sales-1")
    return export_run("sales-1", tmp_path / "sales.zip", home=home.folder)


@pytest.fixture
def other(tmp_path):
    return tmp_path / "other"


def artifacts_of(folder):
    home = Home.open(folder)
    try:
        return {stored.digest: home.store.get(stored.digest) for stored in home.store.stored()}
    finally:
        home.close()


def is_empty(folder):
    if not folder.exists():
        return True
    home = Home.open(folder)
    try:
        return home.journal.rows() == [] and list(home.store.stored()) == []
    finally:
        home.close()


def rewritten(source, target, change):
    """Write the archive anew; `change` gets the members as a dictionary, and may return pairs."""
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members = change(members) or members
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in members.items() if isinstance(members, dict) else members:
            archive.writestr(name, data)
    return target


def manifested(members):
    """Make the manifest fit the members, as somebody would who means harm."""
    manifest = json.loads(members["manifest.json"])
    manifest["members"] = {
        name: {"digest": digest_of(data), "size_bytes": len(data)}
        for name, data in members.items()
        if name != "manifest.json"
    }
    members["manifest.json"] = json.dumps(manifest).encode()
    return members


def test_what_was_printed_travels_along(home, other, tmp_path):
    whole_run(home, "sales-1")
    logs = home.runs_folder("sales-1") / "logs"
    lines = [LogLine(7.0 + number, "load", 1, 2, "stdout", f"row {number}") for number in range(3)]
    logs.mkdir(parents=True)
    old_file(logs, "load").write_bytes(encoded(lines[:2]))
    current_file(logs, "load").write_bytes(encoded(lines[2:]))
    file = export_run("sales-1", tmp_path / "sales.zip", home=home.folder)
    run = import_run(file, home=other, run_id="again")
    assert list(run.log_lines("load", last=10)) == lines
    run.close()


@pytest.mark.parametrize("name", ["logs/../up.jsonl", "logs/a/b.jsonl", "logs/.jsonl/x", "logs/x"])
def test_a_log_has_no_other_place(exported, other, tmp_path, name):
    harmful = rewritten(
        exported, tmp_path / "bad.zip", lambda members: manifested({**members, name: b"{}\n"})
    )
    with pytest.raises(ArchiveError, match="has no place in a run"):
        import_run(harmful, home=other)
    assert is_empty(other)


def test_a_file_of_the_first_format_is_imported(exported, other, tmp_path):
    def first_format(members):
        manifest = json.loads(members["manifest.json"])
        members["manifest.json"] = json.dumps({**manifest, "format": 1}).encode()

    run = import_run(rewritten(exported, tmp_path / "old.zip", first_format), home=other)
    assert run.id == "sales-1"
    run.close()


def test_a_run_arrives_as_it_was(home, exported, other, tmp_path):
    run = import_run(exported, home=other)
    assert (run.id, run.status) == ("sales-1", "succeeded")
    original = list(home.journal.read("sales-1"))
    records = run.events()
    assert records[1:] == original[1:]
    assert records[0].event.flow == original[0].event.flow
    assert records[0].event.params == original[0].event.params
    assert run["train"].story == [each for each in original if each.node == "train"]
    needed = artifacts_of(home.folder)
    assert artifacts_of(other) == needed
    # Its executed notebooks are where those of this home are.
    assert run["load"].notebook_path == other / "runs" / "sales-1" / "load.ipynb"
    assert run["load"].notebook_path.read_bytes() == b"notebook of sales-1"
    run.close()
    assert not (tmp_path / ".sales.zip").exists()


def test_any_program_can_look_into_the_file(exported):
    with zipfile.ZipFile(exported) as archive:
        assert archive.testzip() is None
        manifest = json.loads(archive.read("manifest.json"))
        lines = archive.read("records.jsonl").splitlines()
        assert archive.read("notebooks/load.ipynb") == b"notebook of sales-1"
    assert (manifest["format"], manifest["run"], manifest["flow"]) == (2, "sales-1", "sales")
    assert manifest["program"] == nbflow.__version__
    assert [json.loads(line)["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert json.loads(lines[0])["type"] == "RunCreated"


def test_the_same_run_gives_the_same_file(home, exported, tmp_path):
    again = export_run("sales-1", tmp_path / "again.zip", home=home.folder)
    assert again.read_bytes() == exported.read_bytes()


def test_an_imported_run_can_be_exported_again(exported, other, tmp_path):
    run = import_run(exported, home=other)
    again = export_run(run, tmp_path / "again.zip")
    run.close()
    third = import_run(again, home=tmp_path / "third")
    assert third["train"].story
    third.close()


def test_a_run_that_is_not_over_can_be_exported(home, other, tmp_path):
    run = StoredRun(home, "sales-1")
    run.succeed("load", {"rows": b"rows"})
    export_run("sales-1", tmp_path / "sales.zip", home=home.folder)
    there = import_run(tmp_path / "sales.zip", home=other)
    assert there.status == "interrupted"
    assert there["load"].status == "succeeded"
    there.close()


def test_a_run_gets_another_id_if_its_own_is_taken(home, exported):
    with pytest.raises(RunExists, match=r"sales-1.* --as"):
        import_run(exported, home=home.folder)
    run = import_run(exported, home=home.folder, run_id="sales-1-again")
    assert {record.run for record in run.events()} == {"sales-1-again"}
    assert isinstance(run.events()[0].event, RunCreated)
    assert run["load"].notebook_path == home.folder / "runs" / "sales-1-again" / "load.ipynb"
    run.close()
    with pytest.raises(ArchiveError, match="cannot be a run's id"):
        import_run(exported, home=home.folder, run_id="../evil")


def test_a_file_that_is_there_is_not_replaced(home, exported):
    before = exported.read_bytes()
    with pytest.raises(ArchiveError, match="exists already"):
        export_run("sales-1", exported, home=home.folder)
    assert exported.read_bytes() == before


def test_what_is_not_there_cannot_be_exported(home, tmp_path):
    with pytest.raises(UnknownRun):
        export_run("sales-9", tmp_path / "sales.zip", home=home.folder)
    run = whole_run(home, "sales-1")
    with pytest.raises(ArtifactError, match="absent"):
        export_run("sales-1", tmp_path / "absent" / "sales.zip", home=home.folder)
    blob = home.folder / "artifacts" / blob_name(run.model.digest)
    data = blob.read_bytes()
    for spoilt, words in ((b"x" + data[1:], "is damaged"), (None, "is missing")):
        blob.unlink()
        if spoilt is not None:
            blob.write_bytes(spoilt)
        with pytest.raises(ArtifactError, match=rf"{run.model.digest}.* {words}"):
            export_run("sales-1", tmp_path / "sales.zip", home=home.folder)
    assert not (tmp_path / "sales.zip").exists()


@pytest.mark.parametrize("part", [0.02, 0.3, 0.7, 0.99])
def test_a_file_that_was_cut_short_adds_nothing(exported, other, part):
    data = exported.read_bytes()
    exported.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(ArchiveError, match=r"cannot be imported: .* Nothing was added"):
        import_run(exported, home=other)
    assert is_empty(other)


def test_a_file_that_is_not_whole_leaves_no_new_home(exported, other):
    exported.write_bytes(exported.read_bytes()[:200])
    with pytest.raises(ArchiveError, match="Nothing was added"):
        import_run(exported, home=other)
    assert not other.exists()


def test_an_export_onto_a_full_disk_says_that_it_is_to_be_done_again(home, tmp_path, monkeypatch):
    whole_run(home, "sales-1")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ArtifactError, match=r"Free some space there, then export again$"):
        export_run("sales-1", tmp_path / "sales.zip", home=home.folder)
    assert list(tmp_path.glob("*.tmp")) == []


def test_a_flipped_bit_anywhere_adds_nothing(exported, other):
    data = exported.read_bytes()
    refused = 0
    for position in range(0, len(data), 211):
        exported.write_bytes(
            data[:position] + bytes([data[position] ^ 0x10]) + data[position + 1 :]
        )
        try:
            import_run(exported, home=other).close()
        except NbflowError:
            refused += 1
            assert is_empty(other)
        else:
            # It hit what means nothing: a date, or an attribute, of a member.
            shutil.rmtree(other)
    assert refused > len(data) / 211 / 2


@pytest.mark.parametrize(
    "name",
    ["../evil", "/etc/passwd", "artifacts/../../evil", "notebooks/../../evil.ipynb", "artifacts/x"],
)
def test_a_member_that_has_no_place_in_a_run_is_refused(exported, other, tmp_path, name):
    forged = rewritten(
        exported, tmp_path / "forged.zip", lambda it: manifested({**it, name: b"evil"})
    )
    with pytest.raises(ArchiveError, match="has no place in a run"):
        import_run(forged, home=other)
    assert is_empty(other)
    assert not list(tmp_path.rglob("evil*"))


def test_a_member_under_anothers_hash_is_refused(exported, other, tmp_path):
    def swap(members):
        name = next(name for name in members if name.startswith("artifacts/"))
        return manifested({**members, name: b"other bytes"})

    with pytest.raises(ArchiveError, match="has no place in a run"):
        import_run(rewritten(exported, tmp_path / "forged.zip", swap), home=other)
    assert is_empty(other)


def test_what_the_manifest_does_not_say_is_refused(exported, other, tmp_path):
    def smuggle(members):
        return {**members, "artifacts/" + "0" * 64: b"x"}

    def lack(members):
        del members["run.json"]
        return members

    def twice(members):
        return [*members.items(), ("run.json", members["run.json"])]

    for change in (smuggle, lack, twice):
        target = tmp_path / f"{change.__name__}.zip"
        if change is twice:
            with pytest.warns(UserWarning, match="Duplicate"):
                rewritten(exported, target, change)
        else:
            rewritten(exported, target, change)
        with pytest.raises(ArchiveError, match="manifest does not name what is in it"):
            import_run(target, home=other)
    assert is_empty(other)


def test_a_run_without_one_of_its_artifacts_is_refused(exported, other, tmp_path):
    def lose(members):
        del members[next(name for name in members if name.startswith("artifacts/"))]
        return manifested(members)

    with pytest.raises(ArchiveError, match="lacks artifact sha256:"):
        import_run(rewritten(exported, tmp_path / "forged.zip", lose), home=other)
    assert is_empty(other)


@pytest.mark.parametrize("kept", [slice(1, None), slice(0, -1), slice(0, 0)])
def test_a_history_with_a_hole_is_refused(exported, other, tmp_path, kept):
    def cut(members):
        lines = members["records.jsonl"].splitlines(keepends=True)
        return manifested({**members, "records.jsonl": b"".join(lines[kept])})

    with pytest.raises(ArchiveError, match="from first to last"):
        import_run(rewritten(exported, tmp_path / "forged.zip", cut), home=other)
    assert is_empty(other)


def test_an_impossible_history_is_refused(exported, other, tmp_path):
    def swap(members):
        lines = [json.loads(line) for line in members["records.jsonl"].splitlines()]
        lines[2]["type"], lines[2]["body"] = lines[-1]["type"], lines[-1]["body"]
        lines = [json.dumps(line).encode() + b"\n" for line in lines]
        return manifested({**members, "records.jsonl": b"".join(lines)})

    with pytest.raises(ArchiveError, match="its history is impossible"):
        import_run(rewritten(exported, tmp_path / "forged.zip", swap), home=other)
    assert is_empty(other)


def test_what_a_newer_program_has_written_is_refused(exported, other, tmp_path):
    def newer_format(members):
        manifest = {**json.loads(members["manifest.json"]), "format": 3, "members": "elsewhere"}
        return {**members, "manifest.json": json.dumps(manifest).encode()}

    def newer_event(members):
        lines = [json.loads(line) for line in members["records.jsonl"].splitlines()]
        lines[-1]["version"] = 99
        lines = [json.dumps(line).encode() + b"\n" for line in lines]
        return manifested({**members, "records.jsonl": b"".join(lines)})

    with pytest.raises(ArchiveError, match=r"newer nbflow.* Upgrade"):
        import_run(rewritten(exported, tmp_path / "format.zip", newer_format), home=other)
    with pytest.raises(NewerSchema, match="Upgrade nbflow"):
        import_run(rewritten(exported, tmp_path / "event.zip", newer_event), home=other)
    assert is_empty(other)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_export_is_refused(tmp_path, other, content):
    file = tmp_path / "file.zip"
    file.write_bytes(content)
    with pytest.raises(ArchiveError, match=r"file\.zip"):
        import_run(file, home=other)
    with pytest.raises(ArchiveError, match="cannot be read"):
        import_run(tmp_path / "absent.zip", home=other)


def test_a_large_run_takes_little_memory(home, other, tmp_path):
    size_bytes = 64 << 20
    run = StoredRun(home, "sales-1")
    run.succeed("load", {"rows": os.urandom(1 << 20) * (size_bytes >> 20)})
    target = tmp_path / "sales.zip"
    exporting = peak_bytes(lambda: export_run("sales-1", target, home=home.folder))
    assert exporting < size_bytes / 4
    runs = []
    importing = peak_bytes(lambda: runs.append(import_run(target, home=other)))
    assert importing < size_bytes / 4
    assert msgspec.structs.asdict(runs[0]["load"].story[-1].event)["outputs"]
    runs[0].close()
