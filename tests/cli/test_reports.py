"""`nbflow report` and `nbflow top` of a run that really happened."""

import errno
import os
from pathlib import Path

import pytest
from stored_runs import whole_run

from nbflow.session.home import Home


@pytest.fixture
def run(folder):
    home = Home.open(folder / ".nbflow")
    whole_run(home, "sales-1")
    home.close()
    return "sales-1"


def test_a_report_goes_beside_the_notebooks_or_where_it_is_wanted(folder, run, nbflow):
    called = nbflow("report", run)
    assert (called.code, called.out) == (0, ".nbflow/runs/sales-1/report-sales-1.html\n")
    assert (folder / called.out.strip()).read_text().startswith("<!doctype html>")
    assert nbflow("report", "sales", "-o", "out/r.html").out == "out/r.html\n"
    assert (folder / "out" / "r.html").is_file()


def test_a_report_goes_to_standard_output(run, nbflow):
    called = nbflow("report", run, "-o", "-")
    assert called.code == 0
    assert called.out.startswith("<!doctype html>")
    assert called.out.endswith("</html>\n")


def test_a_place_that_cannot_be_written_is_named(folder, run, nbflow):
    (folder / "file").touch()
    called = nbflow("report", run, "-o", "file/r.html")
    assert called.code == 2
    assert "cannot be written to file" in called.err
    assert "-o" in called.err
    assert "Usage" not in called.err


@pytest.mark.parametrize("words", [(), ("-o", "r.html")])
def test_a_full_disk_is_told_with_the_file(run, nbflow, monkeypatch, words):
    def full(path, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    called = nbflow("report", run, *words)
    assert called.code == 74
    name = "r.html" if words else f"report-{run}.html"
    assert called.err.startswith("error: the output cannot be written to ")
    assert f"{name} (No space left on device). Free some space" in called.err


@pytest.mark.parametrize("words", [["top"], ["top", "--once"]])
def test_top_prints_once_where_there_is_no_terminal(run, nbflow, words):
    called = nbflow(*words, run)
    assert called.code == 0
    assert called.out.splitlines()[0].startswith("sales  sales-1  succeeded  2/2 nodes")


def test_an_unknown_run_is_named(run, nbflow):
    for command in ("report", "top"):
        called = nbflow(command, "nope")
        assert called.code == 2
        assert "there is no run 'nope'" in called.err
