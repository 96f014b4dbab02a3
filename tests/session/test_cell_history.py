"""What earlier runs teach about the cells of a notebook."""

import json

import msgspec
import pytest
from stored_runs import StoredRun

from nbflow.core import events as ev
from nbflow.core.stage_results import Lesson, StageRecord, source_digest
from nbflow.core.states import Reason
from nbflow.session.cell_history import SAMPLES, CellHistory, learning
from nbflow.session.history import FOLDER
from nbflow.session.home import Home

NOW = 2_000_000.0
#: The notebook of `StoredRun`'s node `load`.
PATH = "/nb/load.ipynb"
CELL = "x = slow()"


@pytest.fixture
def home(tmp_path):
    opened = Home.open(tmp_path / "home")
    yield opened
    opened.close()


@pytest.fixture
def learned(home):
    """What is known now, and the runs that were read for it."""

    def ask(path=PATH, flow="sales"):
        read = []

        class Watched:
            listed = home.journal.listed

            @staticmethod
            def read(run, after_seq=0):
                read.append(run)
                return home.journal.read(run, after_seq)

        history = CellHistory(home.folder, Watched, home.store, flow)
        return history.learned(path, now=NOW), read

    return ask


def executed(*, lessons=(), **seconds):
    """An executed notebook whose cells have taken so long, by their sources."""
    record = msgspec.to_builtins(StageRecord(lessons=tuple(lessons)))
    cells = [
        {
            "cell_type": "code",
            "source": source,
            "metadata": {"papermill": {"status": "completed", "duration": took}},
        }
        for source, took in seconds.items()
    ]
    return json.dumps({"cells": cells, "metadata": {"nbflow": {"stage": record}}}).encode()


def run_of(home, name, took, *, at=1_000_000.0, flow="sales", lessons=()):
    run = StoredRun(home, name, at=at, flow=flow)
    run.succeed("load", (), executed(lessons=lessons, **{CELL: took}))
    return run.end()


def test_a_home_without_runs_knows_nothing(learned):
    known, read = learned()
    assert (known.seconds, known.lessons, read) == ({}, {}, [])


def test_cells_are_known_again_by_their_source(home, learned):
    run_of(home, "one", 3.0)
    known, _ = learned()
    assert known.seconds == {source_digest(CELL): 3.0}
    assert learned("/nb/other.ipynb")[0].seconds == {}


def test_the_median_of_the_newest_runs_counts(home, learned):
    for number, took in enumerate([90.0, *[5.0, 7.0, 6.0, 60.0, 4.0]]):
        run_of(home, f"run{number}", took, at=1_000_000.0 + 1000 * number)
    assert SAMPLES == 5
    assert learned()[0].seconds == {source_digest(CELL): 6.0}


def test_a_run_is_read_once(home, learned):
    run_of(home, "one", 3.0)
    assert learned()[1] == ["one"]
    again, read = learned()
    assert again.seconds == {source_digest(CELL): 3.0}
    assert read == []
    run_of(home, "two", 5.0, at=1_100_000.0)
    known, read = learned()
    assert known.seconds == {source_digest(CELL): 4.0}
    assert read == ["two"]


def test_runs_of_the_flow_itself_come_first(home, learned, monkeypatch):
    run_of(home, "ours", 3.0)
    run_of(home, "theirs", 9.0, at=1_100_000.0, flow="shop")
    monkeypatch.setattr("nbflow.session.cell_history.RUNS", 1)
    assert learned()[0].seconds == {source_digest(CELL): 3.0}
    assert learned(flow="shop")[0].seconds == {source_digest(CELL): 9.0}


def test_a_run_that_somebody_drives_is_left_out(home, learned):
    run = StoredRun(home, "one", at=NOW - 30)
    run.succeed("load", (), executed(**{CELL: 3.0}))
    assert learned()[0].seconds == {}
    run.end()
    assert learned()[0].seconds == {source_digest(CELL): 3.0}


def test_the_order_of_cells_is_that_of_the_newest_whole_notebook(home, learned):
    for number, sources in enumerate((["a"], ["b", "  ", "c"])):
        run = StoredRun(home, f"run{number}", at=1_000_000.0 + 1000 * number)
        run.succeed("load", (), executed(**dict.fromkeys(sources, 1.0)))
        run.end()
    assert learned()[0].order == (source_digest("b"), source_digest("c"))


def test_lessons_stay_when_their_run_is_gone(home, learned):
    lesson = Lesson(source_digest(CELL), "writes", "table")
    run = StoredRun(home, "one")
    book = home.store.put(executed(lessons=[lesson], **{CELL: 3.0}), "notebook")
    run.do(
        ev.AttemptScheduled("load", 1),
        ev.AttemptFailed("load", 1, Reason("conflict", "it binds table"), notebook=book),
    )
    run.end("failed")
    assert learned()[0].lessons == {source_digest(CELL): (lesson,)}
    home.journal.remove("one", now=NOW)
    run_of(home, "two", 5.0, at=1_100_000.0)
    known, _ = learned()
    assert known.lessons == {source_digest(CELL): (lesson,)}
    assert known.seconds == {source_digest(CELL): 5.0}


@pytest.mark.parametrize(
    "content",
    [
        b"no json",
        b"[]",
        b'{"cells": [{"metadata": null}], "metadata": {"nbflow": 3}}',
        b'{"cells": [{"metadata": {"papermill": {"status": "failed", "duration": 3}}}]}',
        b'{"cells": [{"metadata": {"papermill": {"status": "completed", "duration": "3"}}}]}',
        b'{"cells": [], "metadata": {"nbflow": {"stage": {"lessons": [{"kind": "odd"}]}}}}',
    ],
)
def test_a_notebook_that_tells_nothing_is_passed_by(home, learned, content):
    run = StoredRun(home, "one")
    run.succeed("load", (), content)
    run.end()
    known, _ = learned()
    assert (known.seconds, known.lessons) == ({}, {})


def test_an_artifact_that_is_gone_costs_nothing_else(home, learned):
    run = run_of(home, "one", 3.0)
    digests = [it.digest for it in home.store.stored()]
    for digest in digests:
        home.store.remove(digest, before=NOW + 10**10)
    assert learned()[0].seconds == {}
    assert run.id == "one"


@pytest.mark.parametrize("content", [b"", b"{", b'{"runs": 3}', None])
def test_a_file_that_is_damaged_or_cannot_be_written_costs_time_only(home, learned, content):
    run_of(home, "one", 3.0)
    if content is None:
        (home.folder / FOLDER).write_text("in the way")
    else:
        learned()
        (file,) = (home.folder / FOLDER).iterdir()
        file.write_bytes(content)
    known, read = learned()
    assert known.seconds == {source_digest(CELL): 3.0}
    assert read == ["one"]


def test_a_home_is_opened_when_something_is_asked_and_only_if_it_is_there(home, tmp_path):
    run_of(home, "one", 3.0)
    assert learning(home.folder, "sales", lambda: NOW)(PATH).seconds == {source_digest(CELL): 3.0}
    assert learning(tmp_path / "none", "sales", lambda: NOW)(PATH).seconds == {}
    assert not (tmp_path / "none").exists()
