"""What notebooks emit by themselves."""

import base64
import errno
import io
import os
import threading
from pathlib import Path

import msgspec
import nbformat
import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_output

from nbflow import guest
from nbflow.artifacts import FileStore
from nbflow.notebooks.captured import CapturedEntry
from nbflow.notebooks.emitted import (
    EmittedFile,
    EmittedTable,
    EmittedValue,
    emitted_files,
    scraps,
    tagged_names,
)
from nbflow.notebooks.errors import OutputProblem
from nbflow.notebooks.outputs import Collected, keep
from nbflow.testing import Fault, FaultyDisk, MemoryStore

REPORT = dict[str, CapturedEntry]


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    monkeypatch.setenv("NBFLOW_OUTPUTS", str(tmp_path))
    return tmp_path


def test_emit_writes_each_kind_under_its_suffix(outputs):
    assert guest.emit("n", 1) == 1
    guest.emit("table", pd.DataFrame({"a": [1]}))
    guest.emit("array", np.zeros(2))
    guest.emit("other", {1})
    names = {"n.json", "table.parquet", "array.npy", "other.pickle"}
    assert {path.name for path in outputs.iterdir()} == names
    found = emitted_files(outputs)
    assert found["n"] == EmittedValue(1)
    assert found["table"] == EmittedFile(outputs / "table.parquet", "parquet")


def test_the_last_value_of_a_name_wins_also_with_another_kind(outputs):
    guest.emit("x", {1})
    guest.emit("x", 1)
    assert {path.name for path in outputs.iterdir()} == {"x.json"}


def test_emit_outside_of_a_run_only_returns_the_value(monkeypatch, tmp_path):
    monkeypatch.delenv("NBFLOW_OUTPUTS", raising=False)
    monkeypatch.chdir(tmp_path)
    value = object()
    assert guest.emit("x", value) is value
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "a b", "1x", "../x", "a.b"])
def test_emit_refuses_names_that_are_no_identifiers(outputs, name):
    with pytest.raises(ValueError, match="identifier"):
        guest.emit(name, 1)


def test_emit_of_something_unstorable_leaves_nothing(outputs):
    with pytest.raises(guest.Unstorable, match="lock"):
        guest.emit("x", threading.Lock())
    assert list(outputs.iterdir()) == []


def test_capture_reports_each_variable(tmp_path):
    namespace = {"rows": [1], "lock": threading.Lock(), "_hidden": 1}
    guest.capture(namespace, ["rows", "lock", "row"], str(tmp_path))
    report = guest.load("json", (tmp_path / "report.json").read_bytes())
    assert report["rows"] == {"type": "list", "file": "0", "kind": "json", "preview": "[1]"}
    assert report["lock"]["type"] == "_thread.lock"
    assert "pickle" in report["lock"]["error"]
    assert report["row"] == {"near": ["rows"]}


def test_a_full_disk_is_told_apart_from_a_value_that_cannot_be_stored(tmp_path, monkeypatch):
    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    opened = Path.open

    def full(path, mode="r", **options):
        if path.name != "0":
            return opened(path, mode, **options)
        path.touch()
        return Full()

    monkeypatch.setattr(Path, "open", full)
    namespace = {"table": {1, 2}, "lock": threading.Lock(), "rows": [1]}
    guest.capture(namespace, ["table", "lock", "rows"], str(tmp_path))
    report = msgspec.json.decode((tmp_path / "report.json").read_bytes(), type=REPORT)
    assert "No space left on device" in report["table"].no_room
    assert (report["table"].error, report["lock"].no_room) == ("", "")
    assert "cannot pickle" in report["lock"].error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "report.json"]

    store = MemoryStore(tmp_path)
    kept = keep(Collected({}, report, tmp_path), ["table", "lock", "rows"], store)
    assert set(kept.outputs) == {"rows"}
    full_disk, unstorable = kept.problems
    assert full_disk.kind == "OutputNotStored"
    assert f"'table', a value of type set, could not be written to {tmp_path}" in str(full_disk)
    assert "Free some space there, then resume" in str(full_disk)
    assert unstorable.kind == "OutputNotStorable"
    for words in ("'lock'", "_thread.lock", "Hand on something else"):
        assert words in str(unstorable)


def test_what_the_store_cannot_take_costs_that_output_alone(tmp_path):
    store = FileStore.open(tmp_path / "store", disk=FaultyDisk(Fault("rename", error=errno.ENOSPC)))
    emitted = {name: EmittedValue(name * 9000) for name in "abc"}
    kept = keep(Collected(emitted), ["a", "b", "c"], store)
    assert set(kept.outputs) == {"b", "c"}
    (problem,) = kept.problems
    assert "output 'a' could not be stored: the artifact store" in str(problem)
    assert "is full" in str(problem)


def test_files_of_any_language(tmp_path):
    (tmp_path / "n.json").write_text("[1, 2]")
    (tmp_path / "model.tar.gz").write_bytes(b"x")
    (tmp_path / "README").write_text("x")
    (tmp_path / ".hidden").write_text("x")
    assert emitted_files(tmp_path) == {
        "n": EmittedValue([1, 2]),
        "model": EmittedFile(tmp_path / "model.tar.gz", "file"),
        "README": EmittedFile(tmp_path / "README", "file"),
    }


def test_the_younger_of_two_files_of_one_name_counts(tmp_path):
    for at, name in ((2, "x.json"), (1, "x.csv")):
        (tmp_path / name).write_text("1")
        os.utime(tmp_path / name, (at, at))
    assert emitted_files(tmp_path) == {"x": EmittedValue(1)}


def test_broken_emissions_are_problems_of_their_own(tmp_path):
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "folder").mkdir()
    found = emitted_files(tmp_path)
    assert isinstance(found["bad"], OutputProblem)
    assert "'bad.json' in NBFLOW_OUTPUTS is not JSON" in str(found["bad"])
    assert "not a file" in str(found["folder"])


def scrap(name, data, encoder="json"):
    mime = f"application/scrapbook.scrap.{encoder}+json"
    payload = {"name": name, "data": data, "encoder": encoder, "version": 1}
    return new_output("display_data", data={mime: payload})


def test_scraps_are_read_and_the_last_of_a_name_counts():
    table = base64.b64encode(b"parquet bytes").decode()
    record = new_output("display_data", data={"application/papermill.record+json": {"old": 3}})
    first = new_code_cell(outputs=[scrap("x", 1), record, new_output("stream", text="hi")])
    second = new_code_cell(
        outputs=[scrap("x", 2), scrap("t", table, "pandas"), scrap("b", "?", "pandas")]
    )
    found = scraps(nbformat.v4.new_notebook(cells=[first, second]))
    assert found["x"] == EmittedValue(2)
    assert found["old"] == EmittedValue(3)
    assert found["t"] == EmittedTable(b"parquet bytes")
    assert isinstance(found["b"], OutputProblem)


def test_tagged_cells_give_the_names_that_they_assign():
    source = """\
%matplotlib inline
a = 1
b: int = 2
c: int
(d, [e, *f]), g.attr = 1, 2
if a:
    h += 1
else:
    i = j = 2
with open("x") as k:
    _private = 1
def function():
    local = 1
class Thing:
    field = 1
files = !ls
"""
    tagged = new_code_cell(source, metadata={"tags": ["outputs"]})
    broken = new_code_cell("def (", metadata={"tags": ["outputs"]})
    book = nbformat.v4.new_notebook(cells=[new_code_cell("z = 1"), tagged, broken])
    assert tagged_names(book) == ("a", "b", "d", "e", "f", "h", "i", "j", "files")
