"""`nbflow top`: what it says of a run, and that it fits its terminal whatever the run holds."""

import io
import threading

import pytest
from diagnosed_run import WORKERS, activity, diagnosis, finding, seen, usage
from msgspec.structs import replace
from rich.console import Console
from staged_run import StagedRun, node

from nbflow.cli.top import top_lines
from nbflow.core.findings import Diagnosis
from nbflow.panels.diagnosed import Diagnosed
from nbflow.panels.top import TopDisplay
from nbflow.panels.top_frame import top_frame
from nbflow.panels.top_rows import COLUMNS, top_rows

NOW = 1_030.0
NOTHING = Diagnosis(run_id="sales-1", status="running")


@pytest.fixture
def stage():
    return StagedRun(node("load"), node("left", "load.a"), node("right", "load.a"), node("wide"))


def row_of(rows, name):
    (row,) = [dict(zip(COLUMNS, row.texts, strict=True)) for row in rows if row.name == name]
    return row


def painted(view, found, width=140, height=30):
    out = io.StringIO()
    console = Console(file=out, width=width, height=height, force_terminal=True, color_system=None)
    console.print(top_frame(view, found, console.size, NOW))
    return out.getvalue().splitlines()


def test_a_row_says_what_a_node_does_and_what_that_costs(stage):
    stage.succeed("load").start("left").cell("left", 3, 8, 4, "model.fit(X)")
    view = seen(stage, usage={"left": usage(10.0, 98.4, read_bytes_per_s=2_000_000.0)})
    row = row_of(top_rows(view, diagnosis(activities=[activity("left")]), NOW), "left")
    assert row == {
        "NODE": "left",
        "STATE": "running",
        "CELLS": "3/8",
        "LINE": "4:17",
        "TIME": "25 s",
        "EXPECTED": "1 min 00 s",
        "CPU": "98%",
        "MEMORY": "1.2 GB",
        "IO": "2 MB/s",
        "DOES": "computes in cell 4, line 17 (fit)",
    }


def test_what_is_only_guessed_says_so(stage):
    stage.start("load")
    guess = replace(activity("load"), basis="cells")
    row = row_of(top_rows(stage.view(), diagnosis(activities=[guess]), NOW), "load")
    assert row["EXPECTED"] == "~1 min 00 s"


def test_what_is_not_known_is_left_empty(stage):
    stage.start("load")
    row = row_of(top_rows(stage.view(), None, NOW), "load")
    assert {name for name, text in row.items() if text} == {"NODE", "STATE", "TIME"}


def test_a_cell_is_known_without_a_diagnosis_and_an_old_one_is_not_shown(stage):
    stage.start("load").cell("load", 1, 3, 2, "x = 1")
    row = row_of(top_rows(stage.view(), None, NOW), "load")
    assert (row["LINE"], row["DOES"]) == ("2", "cell 2: x = 1")
    stage.lose("load").start("load")
    assert row_of(top_rows(stage.view(), None, NOW), "load")["LINE"] == ""


def test_findings_come_first_then_what_runs_longest(stage):
    stage.succeed("load").start("wide").start("left").queue("right")
    rows = top_rows(stage.view(), diagnosis(finding("right"), finding("gone")), NOW)
    assert [row.name for row in rows] == ["right", "wide", "left"]
    assert rows[0].does == "right waits for a lock in cell 4, line 17"
    assert [row.name for row in top_rows(stage.view(), NOTHING, NOW, 1)] == ["wide"]


def test_samples_of_what_has_ended_are_not_what_is_used_now(stage):
    stage.start("load").fail("load")
    view = seen(stage, usage={"load": usage(50.0)})
    assert row_of(top_rows(view, None, NOW), "load")["CPU"] == ""


def test_plain_lines_tell_everything_at_any_width(stage):
    stage.succeed("load").start("left")
    view = seen(stage, usage={"left": usage(98.0)}, workers=WORKERS)
    lines = list(top_lines(view, diagnosis(finding("left"), finding("")), NOW))
    assert lines[0] == (
        "sales  sales-1  running  1/4 nodes  30 s  about 40 s left (30 s to 1 min 00 s)"
    )
    assert lines[1] == "○ 2 ready  ▶ 1 running  ✓ 1 succeeded"
    assert lines[2] == (
        "CPU 240%  memory 3.1 GB  IO wait 2%  network 1 MB/s  2 workers (8 threads, 1 paused)"
    )
    assert lines[3:7] == [
        "! left: blocked_on_lock  left waits for a lock in cell 4, line 17",
        "  → look where it waits: nbflow logs sales-1 left",
        "! run: blocked_on_lock  the run waits for a lock in cell 4, line 17",
        "  → look where it waits: nbflow logs sales-1",
    ]
    assert lines[8].split() == list(COLUMNS)
    assert lines[9].split()[:2] == ["left", "running"]


def test_no_workers_are_told(stage):
    assert "no workers" in list(top_lines(seen(stage, workers=()), NOTHING, NOW))[2]


def test_a_run_that_has_ended_has_no_time_left(stage):
    for name in ("load", "left", "right", "wide"):
        stage.succeed(name)
    done = Diagnosis(run_id="sales-1", status="succeeded")
    assert list(top_lines(stage.view(), done, 9_999.0)) == [
        "sales  sales-1  succeeded  4/4 nodes  14 s",
        "✓ 4 succeeded",
    ]


@pytest.mark.parametrize("width", [30, 45, 60, 80, 100, 140, 240])
@pytest.mark.parametrize("height", [8, 24])
def test_a_picture_fits_its_terminal(width, height):
    stage = StagedRun(*[node(f"node-with-a-long-name-{i}") for i in range(60)])
    names = [f"node-with-a-long-name-{i}" for i in range(40)]
    for name in names:
        stage.start(name).cell(name, 3, 8, 4, "x" * 300)
    found = diagnosis(
        *(finding(name, summary="y" * 500) for name in names[:10]),
        activities=[activity(name, text="z" * 300) for name in names],
    )
    view = seen(stage, usage={name: usage(100.0) for name in names}, workers=WORKERS)
    lines = painted(view, found, width, height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert "node-with" in "".join(lines)
    assert "more" in lines[-1]


def test_wide_terminals_have_all_columns_and_narrow_ones_what_matters_most(stage):
    stage.start("load")
    assert painted(stage.view(), NOTHING, 140)[2].split() == list(COLUMNS)
    assert painted(stage.view(), NOTHING, 60)[2].split() == [
        "NODE",
        "TIME",
        "CPU",
        "MEMORY",
        "DOES",
    ]


def test_foreign_text_is_text(stage):
    stage.start("load")
    nasty = finding("load", summary="[red]\x1b[2J\nboo[/]", suggestions=("[b]\x07do",))
    text = "\n".join(painted(stage.view(), diagnosis(nasty)))
    assert "[red] boo[/]" in text
    assert "[b] do" in text
    assert "\x1b[2J" not in text


# --- the display


class Terminal(io.StringIO):
    encoding = "utf-8"

    def __init__(self):
        super().__init__()
        self.seen = threading.Condition()

    def isatty(self):
        return True

    def write(self, text):
        with self.seen:
            count = super().write(text)
            self.seen.notify_all()
        return count

    def until(self, text):
        with self.seen:
            assert self.seen.wait_for(lambda: text in self.getvalue(), 20), self.getvalue()


def test_the_table_moves_as_the_run_does(stage, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.setenv("LINES", "20")
    terminal, found = Terminal(), [NOTHING]
    with TopDisplay(stage.view, stage.wait_changed, lambda: found[0], terminal, stage.clock):
        stage.start("load")
        terminal.until("load")
        found[0] = diagnosis(finding("load"))
        stage.start("wide")
        terminal.until("blocked_on_lock")
    assert "wide" in terminal.getvalue()


def test_a_diagnosis_is_asked_for_now_and_then_and_may_fail(caplog):
    now, asked = [0.0], []

    def diagnose():
        asked.append(now[0])
        if now[0] >= 6:
            raise ValueError("a bug")
        return NOTHING

    found = Diagnosed(diagnose, lambda: now[0], every_s=2.0, after_s=3.0)
    answers = []
    for second in range(12):
        now[0] = float(second)
        answers.append(found.latest())
    assert asked == [3.0, 5.0, 7.0]
    assert answers == [None] * 3 + [NOTHING] * 4 + [None] * 5
    assert "a bug" in caplog.text
