"""What a driver tells beside the journal: seen by who follows, believed only while it is true."""

import logging

from staged_run import StagedRun, node
from watchpoint import until

from nbflow.core.attempts import Progress
from nbflow.core.ids import AttemptId
from nbflow.session.change import Change
from nbflow.session.telemetry import Publisher, Subscriber


def staged() -> StagedRun:
    return StagedRun(node("a"), node("b")).start("a").cell("a", 1, 4, 2, "fit()")


def test_progress_and_notes_reach_who_follows(tmp_path) -> None:
    run, change = staged(), Change()
    path = tmp_path / "runs" / "r" / "telemetry.json"
    seen = Subscriber(path)
    assert seen.latest(1).progress == {}
    with Publisher(path, run.view, change):
        until(path.exists)
        before = seen.stamp()
        assert seen.latest(1).progress == {"a": run.progress["a"]}

        run.notes = ("worker 0 was killed",)
        run.cell("a", 2, 4, 3)
        change.notify()
        until(lambda: seen.stamp() != before)
        told = seen.latest(1)
        assert told.progress["a"].done == 2
        assert told.notes == ("worker 0 was killed",)
    assert list(path.parent.iterdir()) == [], "nothing stays behind"
    assert seen.latest(1) == told, "what was heard last counts until there is another driver"
    assert seen.latest(2).progress == {}


def test_only_nodes_that_run_are_told(tmp_path) -> None:
    run = staged().succeed("a")
    run.start("b").cell("b", 0, 1)
    path = tmp_path / "telemetry.json"
    with Publisher(path, run.view, Change()):
        until(path.exists)
        assert list(Subscriber(path).latest(1).progress) == ["b"]


def test_what_an_older_driver_has_left_is_not_believed(tmp_path) -> None:
    path = tmp_path / "telemetry.json"
    path.write_text('{"epoch":1,"notes":["old"]}')
    assert Subscriber(path).latest(1).notes == ("old",)
    assert Subscriber(path).latest(2).notes == ()


def test_a_damaged_file_is_as_none(tmp_path) -> None:
    path = tmp_path / "telemetry.json"
    seen = Subscriber(path)
    for damage in (b"", b'{"epoch":', b"\xff\xfe", b'{"epoch":"one"}', b"[]"):
        path.write_bytes(damage)
        assert seen.latest(1).progress == {}, damage
    path.unlink()
    path.mkdir()
    assert seen.latest(1).progress == {}


def test_a_folder_that_cannot_be_written_costs_the_run_nothing(tmp_path, caplog) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "telemetry.json"
    with caplog.at_level(logging.WARNING), Publisher(path, staged().view, Change()):
        until(lambda: "not shown elsewhere" in caplog.text)


def test_progress_is_told_as_it_was_heard() -> None:
    run = staged()
    assert run.view().progress["a"] == Progress(
        AttemptId("sales-1", "a", 1, run.run.epoch), 1, 4, 2, "fit()"
    )
