"""What cells print, shown while they run."""

import io
import sys
import threading

import pytest

from nbflow.cli.as_papermill import PapermillOptions
from nbflow.cli.listening import _PATIENCE, Listener, listening
from nbflow.cli.print_files import PrintFiles
from nbflow.core.attempts import Printed
from nbflow.core.ids import AttemptId

ID = AttemptId("run", "node", 1, 1)


def said(listener: Listener, *pieces: tuple[int, str, str]) -> None:
    for cell, stream, text in pieces:
        listener.hear(Printed(ID, cell, stream, text))
    listener.close()


PIECES = [
    (0, "stdout", "one\ntwo\n"),
    (0, "stderr", "careful\n"),
    (2, "stdout", "three"),
    (2, "result", "4\n"),
]


def header(cell: int) -> str:
    return f"Executing Cell {cell:-<40}\n"


def test_the_log_has_everything_under_the_cell_it_comes_from():
    log = io.StringIO()
    said(Listener(lambda: log), *PIECES)
    assert log.getvalue() == header(1) + "one\ntwo\ncareful\n" + header(3) + "three\n4\n"


@pytest.mark.parametrize(
    ("level", "shown"),
    [("DEBUG", 4), ("WARNING", 1), ("ERROR", 0), ("CRITICAL", 0)],
)
def test_the_level_decides_what_is_shown(level, shown):
    log = io.StringIO()
    said(Listener(lambda: log, level), *PIECES)
    words = ("one", "careful", "three", "4\n")
    assert sum(word in log.getvalue() for word in words) == shown


def test_files_get_their_own_stream_as_it_is():
    out, log = io.StringIO(), io.StringIO()
    said(Listener(None, files={"stdout": out}), *PIECES)
    assert out.getvalue() == "one\ntwo\nthree"
    assert log.getvalue() == ""


class Stuck(io.StringIO):
    """A terminal that is scrolled back, so that nothing can be written until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.free = threading.Event(), threading.Event()

    def write(self, text: str) -> int:
        self.reached.set()
        self.free.wait()
        return super().write(text)


def test_who_is_heard_never_waits_for_a_terminal():
    log = Stuck()
    listener = Listener(lambda: log)
    for number in range(_PATIENCE + 100):
        listener.hear(Printed(ID, 0, "stdout", f"{number}\n"))
        log.reached.wait()
    log.free.set()
    listener.close()
    lines = log.getvalue().splitlines()
    assert lines[1:3] == ["0", "1"]
    assert lines[-1] == "[some of what the cells printed is left out here]"
    assert len(lines) == 1 + 1 + _PATIENCE + 1


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_what_cannot_be_written_is_told_at_the_end():
    with pytest.raises(BrokenPipeError):
        said(Listener(Broken), *PIECES)


def heard_until(error):
    """Listen with a broken pipe, to a run that ends with `error`, if there is one."""
    with listening(PapermillOptions(), {"stdout": Broken()}) as listener:
        listener.hear(Printed(ID, 0, "stdout", "x"))
        if error is not None:
            raise error


def test_an_error_of_the_listeners_does_not_hide_what_ended_the_run():
    with pytest.raises(BrokenPipeError):
        heard_until(None)
    with pytest.raises(KeyboardInterrupt):
        heard_until(KeyboardInterrupt())


def test_nobody_listens_unless_somebody_wants_to_know():
    with listening(PapermillOptions(), {}) as listener:
        assert listener is None


def test_plain_files_are_for_the_worker_and_the_others_for_this_process(folder):
    (folder / "err.txt").write_text("of an earlier run")
    files = PrintFiles(PapermillOptions(stdout_file="-", stderr_file="err.txt"))
    assert files.own == {"stdout": sys.stdout}
    assert files.plain == {"stderr": str(folder / "err.txt")}
    assert (folder / "err.txt").read_text() == ""
    files.close()
    assert not sys.stdout.closed
    files = PrintFiles(PapermillOptions(stdout_file="/dev/null"))
    assert files.plain == {}
    files.close()
    assert files.own["stdout"].closed
