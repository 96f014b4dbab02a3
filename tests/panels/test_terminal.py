import io
import re
import subprocess
import sys
import threading

import pytest
from diagnosed_run import diagnosis, finding, seen, usage
from staged_run import StagedRun, node

from nbflow.panels.terminal import LineProgress, TerminalProgress, progress_display

WAIT_S = 20.0
#: A reason with its advice at its end.
LONG = "OSError: " + "far/" * 150 + " is full. Free some space, then resume"


class Output(io.StringIO):
    """A stream that lets a test wait for a text."""

    encoding = "utf-8"

    def __init__(self, *, terminal=False):
        super().__init__()
        self._terminal = terminal
        self._written = threading.Condition()

    def isatty(self):
        return self._terminal

    def write(self, text):
        with self._written:
            count = super().write(text)
            self._written.notify_all()
        return count

    def until(self, text):
        with self._written:
            assert self._written.wait_for(lambda: text in self.getvalue(), WAIT_S), self.getvalue()

    @property
    def lines(self):
        return self.getvalue().splitlines()


class Ascii(Output):
    encoding = "ascii"

    def write(self, text):
        text.encode("ascii")
        return super().write(text)


@pytest.fixture
def stage():
    return StagedRun()


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LINES", "12")
    return Output(terminal=True)


def plain(text):
    """What a terminal would show, less colours and cursor movements."""
    return re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]", "", text)


def frames(out):
    """All frames that were painted, each as its lines."""
    painted = re.split(r"(?:\r?\x1b\[2K(?:\x1b\[1A)?)+", out.getvalue())
    return [plain(frame).splitlines() for frame in painted]


def test_the_display_suits_the_stream(stage, terminal):
    kinds = [
        type(progress_display(stage.view, stage.wait_changed, out))
        for out in (Output(), terminal, Ascii(terminal=True))
    ]
    assert kinds == [LineProgress, TerminalProgress, LineProgress]


def test_a_dumb_terminal_gets_lines(stage, terminal, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(progress_display(stage.view, stage.wait_changed, terminal), LineProgress)


def test_standard_error_is_the_default(stage, capsys):
    with progress_display(stage.view, stage.wait_changed):
        stage.fail("load")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "load: failed" in captured.err


# --- lines


def test_lines_tell_everything_once_in_order(stage):
    out = Output()
    with LineProgress(stage.view, stage.wait_changed, out, stage.clock):
        stage.start("load")
        out.until("load: started")
        stage.succeed("load").succeed("left")
        stage.fail("right", "ValueError: two\nlines \x1b[31mred", cell=4)
    assert out.lines == [
        "sales sales-1: 5 nodes",
        "load: started",
        "load: succeeded in 2.0 s",
        "left: started",
        "left: succeeded in 2.0 s",
        "right: started",
        "right: failed in 2.0 s: ValueError: two lines red (cell 4)",
        "join: skipped: right failed: ValueError: two lines red",
        "report: skipped: right failed: ValueError: two lines red",
        "sales sales-1: failed in 12 s: 2 succeeded, 1 failed, 2 skipped",
    ]


def test_lines_arrive_while_the_run_goes_on(stage):
    out = Output()
    with LineProgress(stage.view, stage.wait_changed, out, stage.clock):
        stage.start("load")
        out.until("load: started\n")
        stage.succeed("load")
        out.until("load: succeeded in 2.0 s\n")


def test_lines_of_a_resumed_run_leave_out_what_is_old(stage):
    stage.succeed("load")
    out = Output()
    with LineProgress(stage.view, stage.wait_changed, out, stage.clock):
        stage.succeed("left")
    assert out.lines[0] == "sales sales-1: 5 nodes, 1 done earlier"
    assert out.lines[1:3] == ["left: started", "left: succeeded in 2.0 s"]


def test_only_results_count_as_done_earlier(stage):
    stage.succeed("load").fail("left").succeed("right")
    out = Output()
    with LineProgress(stage.view, stage.wait_changed, out, stage.clock):
        stage.resume("left", "join", "report")
    assert out.lines[0] == "sales sales-1: 5 nodes, 2 done earlier"


def test_a_failure_is_told_with_its_advice(stage):
    out = Output()
    with LineProgress(stage.view, stage.wait_changed, out, stage.clock):
        stage.fail("load", LONG)
    assert f"load: failed in 2.0 s: {LONG}" in out.lines


def test_an_unfinished_run_is_summed_up_as_it_stands(stage):
    out = Output()
    with LineProgress(stage.view, stage.wait_changed, out, stage.clock):
        stage.succeed("load")
        stage.driven = False
    assert out.lines[-1] == (
        "sales sales-1: interrupted after 3.0 s: 2 waiting, 2 ready, 1 succeeded"
    )


def test_a_stream_without_unicode_gets_escapes(stage):
    out = Ascii()
    with LineProgress(stage.view, stage.wait_changed, out, stage.clock):
        stage.fail("load", "OSError: café is closed")
    assert r"OSError: caf\xe9 is closed" in out.getvalue()


def test_lines_end_their_thread_although_the_run_raises(stage):
    before = set(threading.enumerate())
    out = Output()
    with (
        pytest.raises(KeyboardInterrupt),
        LineProgress(stage.view, stage.wait_changed, out, stage.clock),
    ):
        raise KeyboardInterrupt
    assert set(threading.enumerate()) == before
    assert "sales sales-1: running after" in out.lines[-1]


# --- a terminal


def test_bars_show_the_flow_and_its_running_nodes(stage, terminal):
    with TerminalProgress(stage.view, stage.wait_changed, terminal, stage.clock):
        stage.succeed("load")
        stage.start("left").cell("left", 3, 8, 4, "model.fit(X, y)")
        terminal.until("model.fit(X, y)")
    shown = "\n".join(frames(terminal)[-1])
    for part in ("sales", "sales-1", "running", "1/5 nodes", "✓ 1 succeeded", "▶ 1 running"):
        assert part in shown
    assert re.search(r"▶ left .* 3/8 cell 4: model\.fit\(X, y\) .* s", plain(terminal.getvalue()))


def test_markup_and_escapes_in_foreign_text_are_shown_as_text(stage, terminal):
    with TerminalProgress(stage.view, stage.wait_changed, terminal, stage.clock):
        stage.fail("load", "[bold]ValueError[/bold]: \x1b[2J\x07 [/] oops")
    assert "[bold]ValueError[/bold]: [/] oops" in "\n".join(frames(terminal)[-1])
    assert "\x1b[2J" not in terminal.getvalue()
    assert "\x07" not in terminal.getvalue()


def test_the_last_frame_names_every_failure(terminal):
    stage = StagedRun(*[node(f"n{i}") for i in range(20)])
    with TerminalProgress(stage.view, stage.wait_changed, terminal, stage.clock):
        for index in range(20):
            stage.fail(f"n{index}", f"ValueError: number {index}")
    shown = "\n".join(frames(terminal)[-1])
    assert "failed" in shown.splitlines()[0]
    for index in range(20):
        assert f"ValueError: number {index} " in shown


def test_a_live_frame_is_not_higher_than_the_terminal(terminal):
    stage = StagedRun(*[node(f"n{i}") for i in range(50)])
    for index in range(40):
        stage.start(f"n{index}")
    for index in range(30, 40):
        stage.fail(f"n{index}")
    with TerminalProgress(stage.view, stage.wait_changed, terminal, stage.clock):
        terminal.until("more running")
        assert max(len(frame) for frame in frames(terminal)) <= 12
    assert "… and 23 more running, 9 more failed" in plain(terminal.getvalue())


@pytest.fixture
def small(terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    return terminal


def test_a_large_flow_in_a_small_terminal_shows_all_its_counts(small):
    stage = StagedRun(*[node(f"n{i}") for i in range(300)])
    with TerminalProgress(stage.view, stage.wait_changed, small, stage.clock):
        for index in range(34):
            stage.succeed(f"n{index}")
        stage.fail("n34").queue("n35").start("n36").start("n37")
        small.until("▶ 2")
    last = frames(small)[-1]
    assert last[1].endswith(" 35/300 nodes  ✕ 1  ▶ 2  ○ 263  ✓ 34")


@pytest.mark.parametrize("columns", [30, 40, 60, 100, 200])
def test_the_overall_count_and_the_failures_are_never_cut_off(small, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    stage = StagedRun(*[node(f"n{i}", retries=i % 2) for i in range(300)])
    for index in range(120):
        stage.fail(f"n{index}").start(f"n{index + 150}")
    with TerminalProgress(stage.view, stage.wait_changed, small, stage.clock):
        small.until("✕ 60")
    for painted in frames(small):
        assert [line for line in painted if len(line) >= columns] == []
    assert "60/300 nodes" in frames(small)[-1][1]
    assert "✕ 60" in frames(small)[-1][1]


def test_a_run_that_was_let_go_is_interrupted_in_the_last_frame(stage, terminal):
    with TerminalProgress(stage.view, stage.wait_changed, terminal, stage.clock):
        stage.start("load")
        terminal.until("running")
        stage.lose("load", "interrupted from the keyboard")
        stage.driven = False
    assert "interrupted" in frames(terminal)[-1][0]
    assert "running" not in "\n".join(frames(terminal)[-1])


def test_the_last_frame_tells_reasons_to_their_end(stage, small):
    with TerminalProgress(stage.view, stage.wait_changed, small, stage.clock):
        stage.fail("load", LONG, cell=4)
    shown = "".join(line[2:] for line in frames(small)[-1])
    assert "Free some space, then resume (cell 4)" in " ".join(shown.split())


def test_the_last_frame_counts_the_failures_that_it_does_not_list(small):
    stage = StagedRun(*[node(f"n{i}") for i in range(40)])
    with TerminalProgress(stage.view, stage.wait_changed, small, stage.clock):
        for index in range(40):
            stage.fail(f"n{index}")
    assert frames(small)[-1][-1] == "… and 10 more failed"


def test_what_others_say_stays_above_the_display(stage, terminal, monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal)
    with TerminalProgress(stage.view, stage.wait_changed, clock=stage.clock):
        stage.start("load")
        terminal.until(" load ")
        print("Stopping in good order.", file=sys.stderr)
        stage.driven = False
    said = [painted for painted in frames(terminal) if "Stopping in good order." in painted]
    assert len(said) == 1
    assert said[0][0] == "Stopping in good order."
    assert "sales-1" in said[0][1]


def test_the_cursor_comes_back_although_the_run_raises(stage, terminal):
    before = set(threading.enumerate())
    with (
        pytest.raises(KeyboardInterrupt),
        TerminalProgress(stage.view, stage.wait_changed, terminal, stage.clock),
    ):
        raise KeyboardInterrupt
    assert terminal.getvalue().rindex("\x1b[?25h") > terminal.getvalue().rindex("\x1b[?25l")
    assert set(threading.enumerate()) == before


def test_the_cursor_comes_back_although_the_view_is_broken(stage, terminal):
    views = [stage.view()]
    progress = TerminalProgress(views.pop, stage.wait_changed, terminal, stage.clock)
    progress.start()
    terminal.until("sales")
    with pytest.raises(IndexError):
        progress.stop()
    assert terminal.getvalue().rindex("\x1b[?25h") > terminal.getvalue().rindex("\x1b[?25l")


def test_what_broke_in_the_thread_is_raised_at_the_end(stage):
    out = Output()
    views = [stage.view(), stage.view()]
    progress = LineProgress(lambda: views.pop(0), stage.wait_changed, out, stage.clock)
    progress.start()
    progress._watcher._thread.join(WAIT_S)
    views.append(stage.view())
    with pytest.raises(IndexError):
        progress.stop()
    assert "running" in out.lines[-1]


def test_the_error_of_the_run_is_not_hidden_by_one_of_its_display(stage):
    views = [stage.view()]
    progress = LineProgress(lambda: views.pop(0), stage.wait_changed, Output(), stage.clock)
    with pytest.raises(OSError, match="cluster is gone") as raised, progress:
        raise OSError("cluster is gone")
    assert "IndexError" in raised.value.__notes__[0]


def test_rich_is_loaded_only_for_a_terminal():
    code = "import sys, nbflow.panels.terminal; assert 'rich' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# --- what nodes use, and why they are stuck


def told_by(stage, found, out, kind):
    """A display with a diagnosis from its first moment on."""

    class Quick(kind):
        _diagnosed_after_s = 0.0

    def view():
        return seen(stage, usage={"load": usage(98.0)})

    return Quick(view, stage.wait_changed, out, stage.clock, lambda: found[0])


def test_bars_show_what_nodes_use_when_it_ends_and_why_one_is_stuck(stage, terminal):
    found = [diagnosis()]
    with told_by(stage, found, terminal, TerminalProgress):
        stage.start("load").cell("load", 1, 3, 2, "wait()")
        terminal.until("98% 1.2 GB")
        terminal.until("about 40 s left")
        found[0] = diagnosis(finding("load"))
        stage.cell("load", 2, 3, 2, "wait()")
        stage.now += 3
        terminal.until("! load waits for a lock in cell 4, line 17")
    assert "waits for a lock" not in "\n".join(frames(terminal)[-1])


def test_bars_show_what_is_stuck_before_it_begins_and_what_holds_up_the_run(stage, terminal):
    found = [diagnosis(finding("load", summary="no worker has GPU"), finding(""))]
    with told_by(stage, found, terminal, TerminalProgress):
        stage.queue("load")
        terminal.until("! no worker has GPU")
        terminal.until("! the run waits for a lock")


def test_only_what_is_stuck_is_said_on_bars(stage, terminal):
    found = [diagnosis(finding("load", severity="slow"))]
    with told_by(stage, found, terminal, TerminalProgress):
        stage.start("load").cell("load", 1, 3, 2, "wait()")
        terminal.until("wait()")
    assert "lock" not in terminal.getvalue()


def test_lines_tell_once_why_a_node_is_stuck(stage):
    out, found = Output(), [diagnosis(finding("load"), finding("left", severity="waiting"))]
    with told_by(stage, found, out, LineProgress):
        stage.start("load")
        out.until("blocked_on_lock")
        stage.now += 10
        stage.succeed("load").start("left")
        out.until("left: started")
    told = [line for line in out.lines if "blocked_on_lock" in line]
    assert [line.partition(". Next: ") for line in told] == [
        (
            "load: blocked_on_lock: load waits for a lock in cell 4, line 17",
            ". Next: ",
            "look where it waits: nbflow logs sales-1 load",
        )
    ]
