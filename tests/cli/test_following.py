"""`nbflow logs`: of runs that have ended; and live, while another process drives them."""

import json
import re
import subprocess
import sys
import threading

import pytest
from stored_runs import whole_run
from watchpoint import until

from nbflow.cli import following
from nbflow.session import attach
from nbflow.session.home import Home
from nbflow.session.log_files import FOLDER, LogLine, encoded

FLOW = """\
flow: talk
params: {go: ""}
nodes:
  first: {notebook: first.ipynb}
  talk:
    notebook: talk.ipynb
    params: {count: "${first.count}", go: "${params.go}"}
    retries: {times: 1, backoff: 0}
"""

#: Says something, waits until the file `go` exists, and succeeds at the second try only.
TALKS = """\
import pathlib, sys, time
print("waiting", flush=True)
while not pathlib.Path(go).exists():
    time.sleep(0.02)
print("went", file=sys.stderr, end="")
"""
TRIES = """\
tried = pathlib.Path(go + ".tried")
if not tried.exists():
    tried.touch()
    raise ValueError("not yet")
print("\\x1b[31mred\\x1b[0m \\x1b]0;title\\x07done", end="")
"""


class Live:
    """``nbflow logs …`` in a process of its own, read line by line."""

    def __init__(self, folder, *words):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "nbflow", "logs", *words],
            cwd=folder,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.lines = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        self.lines.extend(iter(self.process.stdout.readline, ""))

    def end(self):
        """Wait for its end, and return all that it has printed."""
        code = self.process.wait(60)
        self._reader.join(60)
        assert code == 0
        return "".join(self.lines)

    def close(self):
        self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stdout.close()


@pytest.fixture
def live(folder):
    opened = []

    def start(*words):
        opened.append(Live(folder, *words))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


@pytest.fixture
def driven(folder, notebook):
    """A run that another process drives, which waits for a file."""
    notebook("first.ipynb", "count = 1", "print('first')")
    notebook("talk.ipynb", "count = 1\ngo = ''", TALKS, TRIES)
    (folder / "flow.yaml").write_text(FLOW)
    words = ["run", "flow.yaml", "-p", "go", str(folder / "go"), "--run-id", "talk-1", "-q"]
    program = subprocess.Popen([sys.executable, "-m", "nbflow", *words], cwd=folder)
    try:
        until((folder / ".nbflow" / "runs" / "talk-1" / FOLDER / "talk.jsonl").exists)
        yield program
    finally:
        if program.poll() is None:
            program.terminate()
        program.wait(60)


def test_what_cells_print_is_told_while_they_run_and_across_attempts(folder, driven, live, nbflow):
    one, everything, documents = (
        live("talk-1", "talk", "-f"),
        live("talk-1", "--follow"),
        live("talk-1", "talk", "-f", "--json"),
    )
    until(lambda: one.lines == ["--- cell 2\n", "waiting\n"])
    until(lambda: {"first | first\n", "talk  | waiting\n"} <= set(everything.lines))
    assert driven.poll() is None
    (folder / "go").touch()
    told, shown = one.end(), everything.end()
    assert driven.wait(60) == 0

    assert re.fullmatch(
        r"--- cell 2\nwaiting\nwent\n--- cell 3\n.*ValueError: not yet\n"
        r"=== attempt 2\n--- cell 2\nwaiting\nwent\n--- cell 3\nred done\n",
        told,
        re.DOTALL,
    ), told
    assert "talk  | went\n" in shown
    parsed = [json.loads(line) for line in documents.end().splitlines()]
    assert list(parsed[0]) == ["at", "node", "attempt", "cell", "stream", "text"]
    assert [it["text"] for it in parsed if it["stream"] == "stderr" and it["cell"] == 2] == [
        "went",
        "went",
    ]
    assert {it["attempt"] for it in parsed} == {1, 2}
    assert parsed[-1]["text"] == "\x1b[31mred\x1b[0m \x1b]0;title\x07done"

    # Afterwards, what the notebook has, or the last lines of all attempts.
    assert nbflow("logs", "talk-1", "first").out == "--- cell 1\nfirst\n"
    assert nbflow("logs", "talk-1", "talk", "--last", "1").out.startswith(
        "=== attempt 2\n--- cell 3\n"
    )
    assert nbflow("logs", "talk-1", "talk", "--last", "0").out == ""
    assert nbflow("logs", "talk-1", "talk", "-f").out == told
    assert [line.text for line in attach("talk-1").log_lines("first")] == ["first"]
    assert json.loads(nbflow("logs", "talk-1", "first", "--json").out)["cell"] == 1

    # Without the files, there still is the notebook.
    for file in (folder / ".nbflow" / "runs" / "talk-1" / FOLDER).iterdir():
        file.unlink()
    assert nbflow("logs", "talk-1", "first", "--last", "1").out == "first\n"


def test_following_ends_when_nobody_drives_the_run_any_more(driven, live):
    one = live("talk-1", "talk", "-f")
    until(lambda: one.lines)
    driven.terminate()
    assert one.end().startswith("--- cell 2\nwaiting\n")


def test_all_nodes_can_only_be_followed(folder, nbflow):
    home = Home.open(folder / ".nbflow")
    whole_run(home, "sales-1")
    home.close()
    called = nbflow("logs", "sales-1")
    assert called.code == 2
    assert "-f" in called.err


def test_a_function_prints_without_headers(capsys):
    write = following._Writer(None)
    for text in ("a", "b"):
        write(LogLine(1.0, "score", 1, -1, "stdout", text))
    assert capsys.readouterr().out == "a\nb\n"


@pytest.mark.parametrize(
    "unruly", ["\x1b[2J", "\x1b]0;title\x07", "\x07", "\x1b[6n", "\x1bc", "\x9b", "\r", "\x1b"]
)
def test_nothing_that_was_printed_reaches_the_terminal_but_colours(unruly):
    assert following._ruly(f"a{unruly}") == "a"
    assert following._ruly("\x1b[31mred") == "\x1b[31mred\x1b[0m"


def test_documents_are_what_is_stored(tmp_path):
    line = LogLine(1.5, "a", 1, 0, "stdout", "ü")
    assert encoded([line]).decode() == (
        '{"at":1.5,"node":"a","attempt":1,"cell":0,"stream":"stdout","text":"ü"}\n'
    )
