"""Files of native writers are found by their age."""

import os

from nbflow.notebooks.stages.native_files import native_files


def test_young_files_of_native_writers(tmp_path):
    for name in ("a.parquet", "deep/er/b.h5", ".hidden/c.parquet", "d.csv", "old.parquet"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        os.utime(path, (100.0, 50.0 if name == "old.parquet" else 100.0))
    found = native_files(tmp_path, 99.0)
    assert found == (str(tmp_path / "a.parquet"), str(tmp_path / "deep/er/b.h5"))


def test_a_folder_that_is_not_there(tmp_path):
    assert native_files(tmp_path / "none", 0.0) == ()
