"""The list of runs, whatever state its home is in."""

import sqlite3

import pytest

import nbflow
from nbflow.core.events import RunCreated
from nbflow.core.spec import FlowSpec
from nbflow.session.home import Home


def test_where_nothing_has_run_there_are_no_runs(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NBFLOW_HOME", raising=False)
    assert nbflow.runs() == []
    with pytest.raises(nbflow.UnknownRun):
        nbflow.runs(home=tmp_path / "typo")


def test_a_run_that_cannot_be_read_does_not_hide_the_others(tmp_path) -> None:
    home = Home.open(tmp_path / "home")
    for run in ("good", "damaged"):
        created = RunCreated(FlowSpec(name="f", nodes=()), {}, "")
        home.journal.create(run, created, flow="f", at=1.0)
    home.close()
    with sqlite3.connect(tmp_path / "home" / "journal.sqlite") as database:
        database.execute("UPDATE events SET body = '{' WHERE run = 'damaged'")
    database.close()

    by_id = {summary.id: summary for summary in nbflow.runs(home=tmp_path / "home")}

    assert by_id["good"].status == "interrupted"
    assert by_id["damaged"].status is None
    assert "damaged" in by_id["damaged"].problem
