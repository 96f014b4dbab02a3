"""Everything that can go wrong with a notebook: each time its file is true, and the reason plain.

All rows are nodes of one run, which fail independently. Each notebook has three cells: one that
works, one with the fault, and one behind it. The last node of the run looks, on the worker and
while that still lives, for what the others have left behind.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import pytest

import nbflow

# Kernels, as many at once as the machine can take, are to reach the fault within limits of seconds.
pytestmark = pytest.mark.alone

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
#: How many rows run at once: they wait for most of the time.
THREADS = 8

DONE, FAILED, LEFT = "completed", "failed", "pending"
#: The three cells of most faults.
BROKEN = (DONE, FAILED, LEFT)
WELL = (DONE, DONE, DONE)

FIRST = """
import ctypes, os, signal, subprocess, sys, threading, time
from pathlib import Path
from IPython.display import HTML, display
import nbflow.guest
notes = Path({notes!r})
def note(*pids):
    with (notes / "pids").open("a") as file:
        file.write("".join(f"{{pid}}\\n" for pid in pids))
def now():
    (notes / "fault").write_text(repr(time.time()))
note(os.getpid())
print("begun")
"""
#: A process that outlives its cell, if nobody ends it.
SLEEPER = '["sleep", "600"]'


@dataclass(frozen=True)
class Row:
    """A fault, and what is to be seen of it."""

    fault: str
    statuses: tuple[str, ...] = BROKEN
    kind: str | None = None
    #: Pieces of the reason that a user reads, and of the output of the cell.
    words: tuple[str, ...] = ()
    #: Pieces of what the cells show.
    shows: tuple[str, ...] = ()
    after: str = "print('and on')"
    tags: tuple[str, ...] = ()
    policy: dict[str, Any] = field(default_factory=dict)
    #: Whether the reason stands in an output of the failed cell, word for word.
    written: bool = True
    #: Seconds from the fault's begin to the moment at which nbflow is to act.
    due_s: float = 0.0


def soft(soft_s: float, hard_s: float | None = None) -> dict[str, Any]:
    return {"timeout": nbflow.Timeout(soft=soft_s, hard=hard_s)}


FLOOD = "block = 'x' * 1000\nnow()\nfor _ in range(20_000): {}"
LIMITED = {"output_limit": nbflow.OutputLimit(cell=1_000_000)}
TRUNCATED = ("[nbflow: output truncated", "1 MB")
STRICT = {"output_limit": nbflow.OutputLimit(cell=1_000_000, then="fail")}
HOLD = "now()\ntime.sleep(600)"

ROWS = {
    "success": Row("now()\nprint('fine')", WELL, shows=("fine", "and on")),
    "error": Row(
        "now()\nraise ValueError('too few rows')",
        kind="error",
        words=("'now()' raised ValueError: too few rows",),
        written=False,
    ),
    "exit": Row("now()\nsys.exit(0)", written=False),
    "exit-with-code": Row(
        "now()\nsys.exit(3)", kind="error", words=("SystemExit: 3",), written=False
    ),
    "exit-in-a-thread": Row(
        "now()\nt = threading.Thread(target=sys.exit)\nt.start()\nt.join()", WELL
    ),
    "raises-exception": Row("now()\n1 / 0", WELL, tags=("raises-exception",)),
    "skip-execution": Row("now()\n1 / 0", (DONE, LEFT, DONE), tags=("skip-execution",)),
    # The kernel ends.
    "sigkill": Row(
        "now(); os.kill(os.getpid(), signal.SIGKILL)",
        kind="kernel_died",
        words=("killed by signal 9 (SIGKILL", "in the cell 'now(); os.kill"),
    ),
    "sigsegv": Row(
        "now(); ctypes.string_at(0)",
        kind="kernel_died",
        words=("signal 11 (SIGSEGV: a crash in compiled code)", "in the cell 'now(); ctypes"),
    ),
    "sigabrt": Row("now(); os.abort()", kind="kernel_died", words=("signal 6 (SIGABRT",)),
    "os-exit": Row(
        "print('before', flush=True); now(); os._exit(3)",
        kind="kernel_died",
        words=("exited with code 3", """in the cell "print('before'"""),
        shows=("before",),
    ),
    "cold-sigkill": Row(
        "now(); os.kill(os.getpid(), signal.SIGKILL)",
        kind="kernel_died",
        words=("killed by signal 9 (SIGKILL: often the system, when memory ran out) (in the cell",),
        policy={"python": "cold/bin/python"},
    ),
    "fork-server-killed": Row(
        "now(); os.kill(os.getppid(), signal.SIGKILL); time.sleep(600)",
        kind="kernel_died",
        words=(
            "ended because the fork server was killed by signal 9 (SIGKILL",
            # Nothing that the server says at each start comes in between.
            "memory ran out) (in the cell 'now(); os.kill",
        ),
        # A fork server of its own.
        policy={"env": {"OMP_NUM_THREADS": 3}},
    ),
    "memory": Row(
        "now(); x = b'x' * 500_000_000; time.sleep(600)",
        kind="out_of_memory",
        words=("the limit is 300 MB", """in the cell "now(); x = b""", "Raise `memory`"),
        policy={"memory": "300MB"},
    ),
    "memory-of-a-child": Row(
        "now(); subprocess.run([sys.executable, '-c', "
        "'import time; x = bytes(1) * 500_000_000; time.sleep(600)'])",
        kind="out_of_memory",
        words=("the limit is 300 MB",),
        policy={"memory": "300MB"},
    ),
    # Time.
    "soft-and-clean": Row(
        "now()\ntry:\n    time.sleep(600)\nexcept KeyboardInterrupt:\n"
        "    nbflow.guest.emit('rows', 12)\n    print('cleaned up')",
        kind="timed_out",
        words=("interrupted after 6 s (soft timeout) in the cell 'now()'",),
        shows=("cleaned up",),
        policy=soft(6),
    ),
    "soft-and-raised": Row(
        HOLD,
        kind="timed_out",
        words=("interrupted after 6 s (soft timeout) in the cell 'now()'",),
        shows=("KeyboardInterrupt",),
        policy=soft(6),
        written=False,
    ),
    "soft-and-swallowed": Row(
        "now()\nwhile True:\n    try:\n        time.sleep(600)\n"
        "    except KeyboardInterrupt: print('never', flush=True)",
        kind="timed_out",
        words=("killed after 7 s (hard timeout) in the cell 'now()'",),
        shows=("never",),
        policy=soft(5, 7),
    ),
    "soft-and-blocked": Row(
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})\n" + HOLD,
        kind="timed_out",
        words=("killed after 7 s (hard timeout)",),
        policy=soft(5, 7),
    ),
    "hard": Row(
        HOLD,
        kind="timed_out",
        words=("killed after 6 s (hard timeout) in the cell 'now()'",),
        policy={"timeout": 6},
    ),
    "stopped-process": Row(
        "now(); os.kill(os.getpid(), signal.SIGSTOP)",
        kind="timed_out",
        words=("killed after 7 s (hard timeout)",),
        policy=soft(6, 7),
    ),
    "cell-soft": Row(
        HOLD,
        kind="timed_out",
        words=("interrupted after 2 s (soft timeout of a cell) in the cell 'now()'",),
        policy={"timeout": nbflow.Timeout(cell_soft=2)},
        written=False,
        due_s=2,
    ),
    "cell-hard": Row(
        HOLD,
        kind="timed_out",
        words=("killed after 2 s (hard timeout of a cell) in the cell 'now()'",),
        policy={"timeout": nbflow.Timeout(cell_hard=2)},
        due_s=2,
    ),
    "cell-soft-then-hard": Row(
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + HOLD,
        kind="timed_out",
        words=("killed after 3 s (hard timeout of a cell)",),
        policy={"timeout": nbflow.Timeout(cell_soft=2, cell_hard=3)},
        due_s=3,
    ),
    # Output.
    "flood": Row(FLOOD.format("print(block)"), WELL, shows=TRUNCATED, policy=LIMITED),
    "flood-of-errors": Row(
        FLOOD.format("print(block, file=sys.stderr)"), WELL, shows=TRUNCATED, policy=LIMITED
    ),
    "flood-of-displays": Row(
        FLOOD.format("display(HTML(block))").replace("20_000", "2_000"),
        WELL,
        shows=TRUNCATED,
        policy=LIMITED,
    ),
    "flood-behind-a-cell": Row(
        "def flood():\n    while True: print('x' * 1000)\n"
        "now(); threading.Thread(target=flood, daemon=True).start()",
        WELL,
        shows=TRUNCATED,
        after="time.sleep(1); print('and on')",
        policy=LIMITED,
    ),
    "flood-of-a-child": Row(
        "now(); subprocess.run(['head', '-c', '20000000', '/dev/zero'], stdout=1)",
        WELL,
        shows=TRUNCATED,
        policy=LIMITED,
    ),
    "flood-that-fails": Row(
        "now()\nwhile True: print('x' * 1000)",
        kind="error",
        words=("interrupted in the cell 'now()'", "1 MB", "output_limit"),
        shows=TRUNCATED,
        policy=STRICT,
        written=False,
    ),
    "flood-without-end": Row(
        "now()\nwhile True: print('x' * 1000)",
        kind="timed_out",
        words=("killed after 5 s (hard timeout)",),
        shows=TRUNCATED,
        policy=LIMITED | {"timeout": 5},
    ),
    # What a cell does to its process.
    "closed-output": Row("now()\nos.close(1)", WELL, shows=("and on",)),
    "deleted-folder": Row(
        "now()\nimport shutil; shutil.rmtree(os.getcwd())", WELL, shows=("and on",)
    ),
    "no-descriptors": Row(
        "now()\nheld = []\ntry:\n    while True: held.append(open(os.devnull))\n"
        "except OSError: print('none left')",
        WELL,
        shows=("none left", "and on"),
    ),
    # Processes of its own.
    "fork": Row("pid = os.fork()\nif not pid: time.sleep(600)\nnow(); note(pid)", WELL),
    "fork-then-death": Row(
        "pid = os.fork()\nif not pid: time.sleep(600)\n"
        "note(pid); now(); os.kill(os.getpid(), signal.SIGKILL)",
        kind="kernel_died",
        words=("signal 9",),
    ),
    "session": Row(f"now(); note(subprocess.Popen({SLEEPER}, start_new_session=True).pid)", WELL),
    "session-then-death": Row(
        f"note(subprocess.Popen({SLEEPER}, start_new_session=True).pid)\n"
        "now(); os.kill(os.getpid(), signal.SIGKILL)",
        kind="kernel_died",
        words=("signal 9",),
    ),
    "forked-session-then-death": Row(
        "pid = os.fork()\nif not pid: os.setsid(); time.sleep(600)\n"
        "note(pid); time.sleep(0.2); now(); os.kill(os.getpid(), signal.SIGKILL)",
        kind="kernel_died",
        words=("signal 9",),
    ),
    "group-then-death": Row(
        f"note(subprocess.Popen({SLEEPER}, process_group=0).pid)\n"
        "now(); os.kill(os.getpid(), signal.SIGKILL)",
        kind="kernel_died",
        words=("signal 9",),
    ),
    "daemon-then-timeout": Row(
        "subprocess.run(['sh', '-c', 'setsid sleep 600 & echo $! > ' + str(notes / 'child')])\n"
        "note((notes / 'child').read_text().strip())\n" + HOLD,
        kind="timed_out",
        words=("killed after 6 s (hard timeout)",),
        policy={"timeout": 6},
    ),
    "cold-session-then-death": Row(
        f"note(subprocess.Popen({SLEEPER}, start_new_session=True).pid)\n"
        "pid = os.fork()\nif not pid: os.setsid(); time.sleep(600)\n"
        "note(pid); now(); os.kill(os.getpid(), signal.SIGKILL)",
        kind="kernel_died",
        words=("signal 9",),
        policy={"python": "cold/bin/python"},
    ),
    # Kernels that do not start.
    "no-such-python": Row(
        "1",
        (LEFT,) * 3,
        kind="error",
        words=("no Python interpreter at", "nowhere"),
        policy={"python": "nowhere/bin/python"},
        written=False,
    ),
    "python-without-ipykernel": Row(
        "1",
        (LEFT,) * 3,
        kind="error",
        words=("could not start", "No module named ipykernel_launcher"),
        policy={"python": "bare/bin/python"},
        written=False,
    ),
    "no-such-program": Row(
        "1",
        (LEFT,) * 3,
        kind="error",
        words=("could not start", "cannot run '/nowhere/kernel'"),
        policy={"kernel": "programless"},
        written=False,
    ),
    "ends-at-once": Row(
        "1",
        (LEFT,) * 3,
        kind="error",
        words=("could not start", "no licence found"),
        policy={"kernel": "ending"},
        written=False,
    ),
    "never-answers": Row(
        "1",
        (LEFT,) * 3,
        kind="error",
        words=("did not answer within 2 s",),
        policy={"kernel": "silent", "start_timeout": 2},
        written=False,
    ),
    "no-such-folder": Row(
        "1",
        (LEFT,) * 3,
        kind="error",
        words=("its working directory", "does not exist"),
        policy={"cwd": "nowhere"},
        written=False,
    ),
}


def install_kernels(folder: Path) -> None:
    """Install kernels that cannot start, a Python without ipykernel, and one that starts cold."""
    programs = {
        "programless": ["/nowhere/kernel", "{connection_file}"],
        "ending": [sys.executable, "-c", "import sys; sys.exit('no licence found')"],
        "silent": [sys.executable, "-c", "import time; time.sleep(600)"],
    }
    for name, argv in programs.items():
        (folder / "jupyter" / "kernels" / name).mkdir(parents=True)
        spec = {"argv": argv, "display_name": name, "language": "python"}
        (folder / "jupyter" / "kernels" / name / "kernel.json").write_text(json.dumps(spec))
    for name, options in {"bare": "-I -S", "cold": ""}.items():
        python = folder / name / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" {options} "$@"\n')
        python.chmod(0o755)


def write_row(folder: Path, name: str, row: Row) -> None:
    notes = folder / "notes" / name
    notes.mkdir(parents=True)
    cells = [
        nbformat.v4.new_code_cell(source)
        for source in (FIRST.format(notes=str(notes)), row.fault, row.after)
    ]
    cells[1].metadata["tags"] = list(row.tags)
    written = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": KERNEL})
    nbformat.write(written, folder / f"{name}.ipynb")


@dataclass(frozen=True)
class Ended:
    """The run of all rows, at its end."""

    run: nbflow.Run
    folder: Path

    def notebook(self, name: str) -> nbformat.NotebookNode:
        found = nbformat.read(self.folder / "out" / f"{name}.ipynb", as_version=4)
        nbformat.validate(found)
        return found


@pytest.fixture(scope="module")
def ended(temporary_folder: Path) -> Iterator[Ended]:
    """Run all rows, once."""
    folder = Path(tempfile.mkdtemp(prefix="matrix", dir=temporary_folder))
    install_kernels(folder)
    flow = nbflow.Flow("matrix", base_dir=folder)
    nodes = []
    for name, row in ROWS.items():
        write_row(folder, name, row)
        policy = dict(row.policy)
        if name == "deleted-folder":
            (folder / "doomed").mkdir()
            policy["cwd"] = "doomed"
        path = f"{name}.ipynb"
        nodes.append(flow.notebook(path, name=name, continue_on_failure=True, **policy))

    @flow.task(after=nodes, params={"folder": str(folder)})
    def look_round(folder: str) -> dict[str, list[str]]:
        import tempfile
        from pathlib import Path

        import psutil

        def lives(pid: int) -> bool:
            try:
                return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
            except psutil.NoSuchProcess:
                return False

        left = {
            notes.parent.name: [pid for pid in notes.read_text().split() if lives(int(pid))]
            for notes in Path(folder, "notes").glob("*/pids")
        }
        patterns = ("nbflow-k-*", "nbflow-*/**/attempt-*")
        found = [str(it) for each in patterns for it in Path(tempfile.gettempdir()).glob(each)]
        return {**left, "folders": found}

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(folder / "jupyter"))
        # In which ipykernel would not listen to what other programs write into its output.
        patch.delenv("PYTEST_CURRENT_TEST", raising=False)
        cluster = nbflow.Embedded(workers=1, threads=THREADS)
        run = flow.start(cluster=cluster, output_dir=folder / "out")
        run.wait()
    yield Ended(run, folder)
    shutil.rmtree(folder)


rows = pytest.mark.parametrize("name", ROWS)
faults = pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.kind])


def texts(notebook: nbformat.NotebookNode) -> str:
    """Return all that the cells show."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return "".join(
        output.get("text") or output.get("evalue") or "" for output in outputs
    ) + "".join(output.get("ename", "") for output in outputs)


@rows
def test_the_file_is_valid_and_true(ended: Ended, name: str) -> None:
    row, notebook = ROWS[name], ended.notebook(name)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert tuple(cell.metadata.papermill.status for cell in cells) == row.statuses
    told = [cell.metadata.papermill.exception for cell in cells]
    raised = "raises-exception" in row.tags
    assert told == [
        True
        if status == FAILED or (raised and cell is cells[1])
        else None
        if status == LEFT
        else False
        for cell, status in zip(cells, row.statuses, strict=True)
    ]
    # papermill calls it one, too, if a cell ends the notebook well by `sys.exit()`.
    assert notebook.metadata.papermill.exception is (True if row.kind or name == "exit" else None)
    assert notebook.metadata.papermill.end_time
    shown = texts(notebook)
    assert [piece for piece in row.shows if piece not in shown] == []


@rows
def test_the_reason_says_what_happened(ended: Ended, name: str) -> None:
    row, node = ROWS[name], ended.run[name]
    assert str(node.status) == ("failed" if row.kind else "succeeded")
    if row.kind is None:
        assert node.reason is None
        return
    assert node.reason.kind == row.kind
    assert [piece for piece in row.words if piece not in node.reason.message] == []


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.kind and row.written])
def test_the_reason_stands_in_the_cell(ended: Ended, name: str) -> None:
    notebook = ended.notebook(name)
    (broken,) = [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and cell.metadata.papermill.status == FAILED
    ]
    assert broken.outputs[-1].output_type == "error"
    assert broken.outputs[-1].evalue == ended.run[name].reason.message
    assert notebook.cells[ended.run[name].error.cell] is broken


@rows
def test_nothing_is_left_of_its_kernel(ended: Ended, name: str) -> None:
    assert ended.run["look_round"].outputs["result"].get(name, []) == []


def test_no_folder_is_left(ended: Ended) -> None:
    assert ended.run["look_round"].outputs["result"]["folders"] == []


def test_what_an_interrupted_cell_hands_on_is_kept(ended: Ended) -> None:
    assert ended.run["soft-and-clean"].outputs["rows"] == 12
