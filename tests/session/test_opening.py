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


def listed_after(folder, damage):
    """Return what is listed of a run ``good`` and one to which this SQL is done, by their ids."""
    home = Home.open(folder)
    for run in ("good", "damaged"):
        created = RunCreated(FlowSpec(name="f", nodes=()), {}, "")
        home.journal.create(run, created, flow="f", at=1.0)
    home.close()
    with sqlite3.connect(folder / "journal.sqlite") as database:
        database.execute(damage)
    database.close()
    return {summary.id: summary for summary in nbflow.runs(home=folder)}


def test_a_run_that_cannot_be_read_does_not_hide_the_others(tmp_path) -> None:
    by_id = listed_after(tmp_path / "home", "UPDATE events SET body = '{' WHERE run = 'damaged'")

    assert by_id["good"].status == "interrupted"
    assert by_id["damaged"].status is None
    assert "damaged" in by_id["damaged"].problem


@pytest.mark.parametrize(
    "change",
    [
        "epoch = x''",
        "last_seq = 'many'",
        "holder = x'00'",
        "lease_until = 'soon'",
        "created_at = 1e300",
        "flow = CAST(x'ff' AS TEXT)",
        "last_seq = 0",
    ],
)
def test_a_run_whose_row_is_damaged_does_not_hide_the_others(tmp_path, change) -> None:
    by_id = listed_after(tmp_path / "home", f"UPDATE runs SET {change} WHERE id = 'damaged'")

    assert by_id["good"].status == "interrupted"
    assert by_id["damaged"].status is None
    assert "its row in the list of runs is damaged" in by_id["damaged"].problem
