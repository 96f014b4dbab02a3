"""Runs by the program itself, in processes of their own, with real signals."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from nbflow.cli import driving
from nbflow.core.errors import JournalError, LostLease

FLOW = """\
flow: slow
params: {go: ""}
nodes:
  first: {notebook: first.ipynb}
  slow: {notebook: slow.ipynb, params: {count: "${first.count}", go: "${params.go}"}}
  last: {notebook: first.ipynb, params: {count: "${slow.count}"}}
"""

#: Works until the file `go` exists.
WAITS = """\
import pathlib, time
print("waiting", flush=True)
while not pathlib.Path(go).exists():
    time.sleep(0.02)
count += 1
"""

#: The same, but it does not let anybody interrupt it.
STUBBORN = """\
import pathlib, time
while not pathlib.Path(go).exists():
    try:
        time.sleep(0.02)
    except KeyboardInterrupt:
        pass
"""


class Program:
    """``nbflow …`` in a process of its own."""

    def __init__(self, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "nbflow", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.told = ""

    def until(self, text: str) -> None:
        """Read standard error until `text` is in it."""
        while text not in self.told:
            line = self.process.stderr.readline()
            assert line, f"{text!r} was never told, but: {self.told}"
            self.told += line

    def kin(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self) -> tuple[int, str]:
        """Wait for the end; return the exit code and standard output."""
        out, err = self.process.communicate(timeout=100)
        self.told += err
        return self.process.returncode, out


@pytest.fixture
def slow(folder, notebook) -> Iterator[list[str]]:
    """The words that run a flow that waits for the file ``go``, under the id ``slow-1``."""
    notebook("first.ipynb", "count = 1", "count = count + 1")
    notebook("slow.ipynb", "count = 0\ngo = ''", WAITS)
    (folder / "flow.yaml").write_text(FLOW)
    words = ["flow.yaml", "-r", "go", str(folder / "go"), "--run-id", "slow-1", "--workers", "1"]
    yield ["run", *words]
    # Whatever a failed test has left waiting may go.
    (folder / "go").touch()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_stops_in_good_order_and_resume_finishes(slow, folder, nbflow, number):
    program = Program(*slow)
    program.until("slow: started")
    kin = program.kin()
    program.process.send_signal(number)
    code, out = program.end()
    assert code == 130
    assert kin
    assert psutil.wait_procs(kin, 5)[1] == []
    assert "Stopping in good order" in program.told
    assert "Traceback" not in program.told
    assert out.startswith("slow-1: interrupted (")
    assert out.endswith("Continue it with: nbflow resume slow-1\n")
    document = json.loads(nbflow("show", "slow-1", "--json").out)
    assert document["status"] == "interrupted"
    assert document["nodes"]["first"]["status"] == "succeeded"
    assert document["nodes"]["slow"]["status"] == "ready"
    why = "from the keyboard" if number == signal.SIGINT else "stopped by SIGTERM"
    assert why in str(document["nodes"]["slow"]["reason"])

    (folder / "go").touch()
    resumed = Program("resume", "slow", "--json")
    code, out = resumed.end()
    document = json.loads(out)
    assert (code, document["status"]) == (0, "succeeded")
    assert document["nodes"]["first"]["attempts"] == 1
    assert document["nodes"]["slow"]["attempts"] == 2
    assert document["nodes"]["last"]["outputs"] == {}
    assert "1 done earlier" in resumed.told


def test_a_second_ctrl_c_does_not_wait(slow, notebook, folder, nbflow, monkeypatch):
    # What it leaves in the folder for temporary files goes with the test's own.
    temporary = folder / "t"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    notebook("slow.ipynb", "count = 0\ngo = ''", STUBBORN)
    program = Program(*slow)
    program.until("slow: started")
    kin = program.kin()
    program.process.send_signal(signal.SIGINT)
    program.until("Stopping in good order")
    program.process.send_signal(signal.SIGTERM)
    program.process.send_signal(signal.SIGINT)
    code, out = program.end()
    assert (code, out) == (130, "")
    assert "Ended at once" in program.told
    assert kin
    assert psutil.wait_procs(kin, 5)[1] == []
    assert "slow-1" in nbflow("runs").out


def test_a_run_is_watched_and_cancelled_from_elsewhere_while_another_driver_is_refused(
    slow, nbflow
):
    program = Program(*slow)
    program.until("slow: started")
    watching = Program("events", "slow-1", "--follow")
    refused = Program("resume", "slow-1")
    assert refused.end() == (3, "")
    assert refused.told.startswith("error: run slow-1 is held by ")
    document = json.loads(nbflow("show", "slow-1", "--json").out)
    assert document["status"] == "running"
    assert document["nodes"]["slow"]["status"] == "running"

    assert nbflow("cancel", "slow-1").out == "slow-1: its driver was asked to cancel it\n"
    code, out = program.end()
    assert code == 130
    assert out.startswith("slow-1: cancelled after ")
    assert "Continue it with: nbflow resume slow-1" in out
    code, out = watching.end()
    lines = out.splitlines()
    assert code == 0
    assert [line.split()[0] for line in lines] == [str(n + 1) for n in range(len(lines))]
    assert lines[-1].endswith("RunEnded          cancelled")
    assert out == nbflow("events", "slow-1").out


def test_a_run_that_nobody_drives_is_cancelled_on_the_spot(slow, nbflow):
    program = Program(*slow)
    program.until("slow: started")
    program.process.send_signal(signal.SIGTERM)
    assert program.end()[0] == 130
    assert nbflow("events", "slow-1", "--follow").out == nbflow("events", "slow-1").out
    assert nbflow("cancel", "slow-1") == (0, "slow-1 is cancelled\n", "")
    assert json.loads(nbflow("show", "slow-1", "--json").out)["status"] == "cancelled"


def test_logs_of_a_node_that_runs_are_what_it_has_said_so_far(slow, nbflow):
    program = Program(*slow)
    program.until("slow: started")
    while "waiting" not in (said := nbflow("logs", "slow-1", "slow").out):
        assert said == ""
        assert program.process.poll() is None
    program.process.send_signal(signal.SIGINT)
    assert program.end()[0] == 130


@pytest.mark.parametrize(
    ("error", "code"), [(JournalError("the disk is full"), 130), (LostLease("it is theirs"), 3)]
)
def test_a_driver_that_cannot_go_on_leaves_an_interrupted_run(error, code, capsys):
    class Stranded:
        def join(self, *, progress):
            raise error

    assert driving.joined(Stranded(), progress=False) == code
    assert capsys.readouterr() == ("", f"error: {error}\n")


def test_success_is_quiet_short_and_zero(folder, notebook):
    notebook("sum.ipynb", "terms = [1]", "total = sum(terms)")
    (folder / "flow.yaml").write_text(
        "flow: sum\n"
        "params: {terms: []}\n"
        "nodes:\n"
        '  sum: {notebook: sum.ipynb, params: {terms: "${params.terms}"}, outputs: [total]}\n'
    )
    words = ["flow.yaml", "-y", "{terms: [1, 2]}", "-o", "out", "--quiet", "--run-id", "s"]
    program = Program("run", *words)
    code, out = program.end()
    assert (code, program.told) == (0, "")
    first, *others = out.splitlines()
    assert first.startswith("s: succeeded after ")
    assert others == ["notebooks: out", "outputs:", "  sum.total: 3"]
    again = Program("resume", "s", "--quiet")
    code, out_again = again.end()
    assert (code, out_again) == (0, out)
    taken = Program("run", *words)
    assert taken.end() == (2, "")
    assert taken.told.startswith("error: ")
    assert "'s'" in taken.told or " s " in taken.told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.yaml"], "nowhere.yaml"),
        (["flow.yaml", "-p", "goo", "1"], "goo"),
        (["flow.yaml", "-p", "go"], "requires 2 arguments"),
        (["flow.yaml", "-f", "nowhere.yaml"], "cannot be read"),
        (["flow.yaml", "--workers", "0"], "--workers"),
        (["flow.yaml", "--worker-resource", "GPU", "none"], "--worker-resource"),
        (["flow.yaml", "--cluster", "tcp://127.0.0.1:1", "--workers", "2"], "--cluster names"),
        (["flow.yaml", "--cluster", "nowhere.json"], "there is no scheduler file nowhere.json"),
        (["flow.yaml", "--run-id", "../x"], "cannot be the id of a run"),
        (["flow.yaml", "--dashbord"], "--dashboard"),
    ],
)
def test_what_cannot_be_run_is_bad_usage_and_runs_nothing(slow, folder, nbflow, words, message):
    called = nbflow("run", *words)
    assert called.code == 2
    assert called.out == ""
    assert message in called.err
    assert "Traceback" not in called.err
    assert not (folder / ".nbflow" / "runs").exists()


def test_warnings_of_a_definition_are_told_in_one_line(folder, notebook):
    notebook("note.ipynb", "a = 1", "b = a")
    program = Program("run", "note.ipynb", "-p", "typo", "2", "--quiet")
    code, _out = program.end()
    [line] = program.told.splitlines()
    assert code == 0
    assert line.startswith("warning: ")
    assert "typo" in line


def test_resources_of_workers_are_those_that_were_asked_for(folder, notebook):
    notebook("note.ipynb", "a = 1", "b = a")
    (folder / "flow.yaml").write_text(
        "flow: gpu\nnodes:\n  note: {notebook: note.ipynb, resources: {GPU: 1}}\n"
    )
    without = Program("run", "flow.yaml", "--quiet")
    assert without.end() == (2, "")
    assert "GPU" in without.told
    given = Program("run", "flow.yaml", "--quiet", "--worker-resource", "GPU", "1")
    assert given.end()[0] == 0
