"""``nbflow run NOTEBOOK OUTPUT`` by the program itself, and beside papermill."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from shelf import open_shelf

from nbflow.notebooks.elsewhere import write_elsewhere

SPEC = {"name": "python3", "display_name": "Python 3", "language": "python"}

TALK = """\
import os, sys
print("out of", os.getcwd())
print("err", file=sys.stderr)
"""

#: Prints, and works until the file `go` exists.
WAITS = """\
import pathlib, time
print("waiting", flush=True)
while not pathlib.Path("go").exists():
    time.sleep(0.02)
"""


@pytest.fixture
def shelf(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with open_shelf() as server:
        yield server


def write(path, *sources, parameters="a = 1"):
    cells = [new_code_cell(parameters, metadata={"tags": ["parameters"]})]
    cells += [new_code_cell(it) if isinstance(it, str) else it for it in sources]
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": SPEC}), path)
    return path


def program(*words, module="nbflow", **options):
    return subprocess.run(
        [sys.executable, "-m", module, *words],
        capture_output=True,
        timeout=120,
        check=False,
        **options,
    )


def nbflow_run(*words, **options):
    """Run nbflow quietly; it must succeed. Return its standard output."""
    done = program("run", *words, "--quiet", **options)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def read(path):
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    return book


def statuses(book):
    return [it.metadata.papermill.status for it in book.cells if "papermill" in it.metadata]


# --- as papermill ---------------------------------------------------------------------------------

#: What differs between any two executions.
_PASSING = {"start_time", "end_time", "duration", "id"}


def lasting(value):
    """Return a notebook's JSON without what differs between any two executions."""
    if isinstance(value, dict):
        return {
            key: lasting(item)
            for key, item in value.items()
            # When which message arrived: its keys are compared, its times are not.
            if key not in _PASSING
        } | ({"execution": sorted(value["execution"])} if "execution" in value else {})
    if isinstance(value, list):
        return [lasting(item) for item in value]
    return value


def without_addresses(book):
    """IPython names a cell's file in a traceback by the kernel's process."""
    for cell in book["cells"]:
        for output in cell.get("outputs", []):
            if output["output_type"] == "error":
                output["traceback"] = output["traceback"][-1:]
    return book


@pytest.mark.parametrize("last", ["print(a, b)", "1 / 0"])
def test_the_executed_notebook_is_papermills_key_by_key(folder, last):
    write(
        folder / "in-3.ipynb",
        new_markdown_cell("# Title"),
        "papermill_description='work'\nprint(a)\na * 2",
        last,
        "after = 1",
        parameters="a = 1\nb = 'x'",
    )
    words = [
        "in-{a}.ipynb",
        "{b}.ipynb",
        "-p",
        "a",
        "3",
        "-r",
        "b",
        "7",
        "-y",
        "{c: [1, {d: null}]}",
    ]
    words += ["--inject-paths", "--report-mode", "--execution-timeout", "60", "-k", "python3"]
    books = []
    for module, before in (("papermill", []), ("nbflow", ["run"])):
        done = program(*before, *words, "--no-progress-bar", module=module)
        assert done.returncode == (1 if "/" in last else 0), done.stderr.decode()
        read(folder / "7.ipynb")
        book = json.loads((folder / "7.ipynb").read_text())
        books.append(lasting(without_addresses(book)))
        assert book["metadata"]["papermill"]["duration"] > 0
        (folder / "7.ipynb").unlink()
    theirs, ours = books
    # What papermill does not measure, and whose the notebook is.
    assert set(ours["metadata"].pop("nbflow")) == {"usage", "attempt"}
    assert ours["metadata"] == theirs["metadata"]
    assert ours["metadata"]["papermill"]["input_path"] == "in-3.ipynb"
    assert ours["metadata"]["papermill"]["output_path"] == "7.ipynb"
    assert ours == theirs
    assert sorted(path.name for path in folder.iterdir()) == [".nbflow", "in-3.ipynb"]


def test_pipes(folder):
    write(folder / "in.ipynb", "print(a)")
    text = (folder / "in.ipynb").read_bytes()
    for words in ((), ("-", "-")):
        out = nbflow_run(*words, "-p", "a", "7", input=text)
        book = nbformat.reads(out.decode(), as_version=4)
        assert book.cells[-1].outputs[0].text == "7\n"
        assert book.metadata.papermill.input_path == "-"
        assert book.metadata.papermill.output_path == "-"
    assert nbflow_run("-", "out.ipynb", input=text).decode().endswith("notebook: out.ipynb\n")
    assert read(folder / "out.ipynb").metadata.papermill.output_path == "out.ipynb"


def test_a_failed_notebook_is_written_to_standard_output_too(folder):
    write(folder / "in.ipynb", "1 / 0")
    done = program("run", "in.ipynb", "-")
    assert done.returncode == 1
    book = nbformat.reads(done.stdout.decode(), as_version=4)
    assert statuses(book) == ["completed", "failed"]
    told = done.stderr.decode()
    assert "in: started" in told
    assert "the cell '1 / 0' raised ZeroDivisionError" in told
    assert "notebook: standard output" in told


# --- what cells print -----------------------------------------------------------------------------


def test_prints_go_to_files_and_the_log_and_the_kernel_works_where_it_should(folder):
    (folder / "sub").mkdir()
    (folder / "elsewhere").mkdir()
    write(folder / "sub" / "in.ipynb", TALK, "40 + 2")
    done = program(
        *("run", "sub/in.ipynb", "out.ipynb", "--log-output"),
        *("--stdout-file", "o.txt", "--stderr-file", "e.txt"),
    )
    assert done.returncode == 0
    assert (folder / "o.txt").read_text() == f"out of {folder}\n"
    assert (folder / "e.txt").read_text() == "err\n"
    log = done.stderr.decode()
    assert log.splitlines()[0] == f"Executing Cell 2{'-' * 39}"
    assert sorted(log.splitlines()[1:3]) == ["err", f"out of {folder}"]
    assert log.endswith(f"Executing Cell 3{'-' * 39}\n42\n")

    out = nbflow_run("sub/in.ipynb", "out.ipynb", "--cwd", "elsewhere", "--stdout-file", "-")
    assert out.decode().startswith(f"out of {folder}/elsewhere\n")
    out = nbflow_run("sub/in.ipynb", "--stdout-file", "/dev/stdout")
    assert out.decode().startswith(f"out of {folder}/sub\n")


def test_prints_are_shown_and_saved_inside_a_long_cell(folder):
    write(folder / "in.ipynb", WAITS)
    with subprocess.Popen(
        [sys.executable, "-m", "nbflow", "run", "in.ipynb", "out.ipynb", "--log-output"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stderr.readline().startswith("Executing Cell 2-")
        assert running.stderr.readline() == "waiting\n"
        while not (folder / "out.ipynb").exists() or "waiting\\n" not in (
            (folder / "out.ipynb").read_text()
        ):
            assert running.poll() is None
        assert statuses(read(folder / "out.ipynb")) == ["completed", "running"]
        running.send_signal(signal.SIGTERM)
        out, log = running.communicate()
    assert running.returncode == 130
    assert "KeyboardInterrupt" in log
    assert "\x1b" not in log
    assert "notebook: out.ipynb\nContinue it with: nbflow resume in-" in out
    assert statuses(read(folder / "out.ipynb")) == ["completed", "failed"]
    # Whoever goes on with it gets the notebook at the same place.
    (folder / "go").touch()
    done = program("resume", "in-", "--quiet")
    assert done.returncode == 0, done.stderr.decode()
    assert statuses(read(folder / "out.ipynb")) == ["completed", "completed"]


# --- where it goes --------------------------------------------------------------------------------


def test_devices_stay_devices_and_a_full_one_is_told_and_loses_nothing(folder):
    write(folder / "in.ipynb")
    assert nbflow_run("in.ipynb", "/dev/null").decode().endswith("notebook: /dev/null\n")
    assert Path("/dev/null").is_char_device()
    done = program("run", "in.ipynb", "/dev/full", "--quiet")
    assert done.returncode == 74
    told = done.stderr.decode()
    assert "could not be written to /dev/full (No space left on device). It is kept as " in told
    assert read(told.strip().rpartition(" as ")[2]).metadata.papermill.output_path == "/dev/full"
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "nbflow", "run", "in.ipynb", "-", "--quiet"],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 74
    assert b"the output cannot be written" in done.stderr


def test_a_file_that_is_written_only_at_the_end_and_folders_that_are_not_there(folder):
    write(folder / "in.ipynb", WAITS)
    words = ["in.ipynb", "deep/er/out.ipynb", "--no-request-save-on-cell-execute", "--quiet"]
    with subprocess.Popen(
        [sys.executable, "-m", "nbflow", "run", *words, "--log-output"], stderr=subprocess.PIPE
    ) as running:
        running.stderr.readline()
        assert not (folder / "deep").exists()
        (folder / "go").touch()
        running.communicate()
    assert running.returncode == 0
    assert statuses(read(folder / "deep" / "er" / "out.ipynb")) == ["completed", "completed"]


def test_a_notebook_may_be_executed_in_place(folder):
    write(folder / "in.ipynb", "print(a)")
    (folder / "link.ipynb").symlink_to("in.ipynb")
    nbflow_run("in.ipynb", "link.ipynb", "-p", "a", "2")
    nbflow_run("in.ipynb", "link.ipynb", "-p", "a", "3")
    assert (folder / "link.ipynb").is_symlink()
    assert [cell.source for cell in read(folder / "in.ipynb").cells][1] == "# Parameters\na = 3\n"


def test_addresses_for_both_sides(folder, shelf):
    host = f"http://127.0.0.1:{shelf.server_port}"
    write(folder / "in.ipynb", "print(a)")
    write_elsewhere((folder / "in.ipynb").read_bytes(), f"{host}/in.ipynb")
    out = nbflow_run(f"{host}/in.ipynb", f"{host}/{{a}}.ipynb", "-p", "a", "5")
    assert out.decode().endswith(f"notebook: {host}/5.ipynb\n")
    book = nbformat.reads(shelf.kept["/5.ipynb"].decode(), as_version=4)
    assert book.metadata.papermill.input_path == f"{host}/in.ipynb"
    assert book.cells[-1].outputs[0].text == "5\n"
    done = program("run", f"{host}/in.ipynb", f"{host}/forbidden.ipynb", "--quiet")
    assert done.returncode == 74
    assert b"403" in done.stderr
    assert b"It is kept as " in done.stderr


def test_a_time_limit_of_a_cell(folder):
    write(folder / "in.ipynb", WAITS, "after = 1")
    done = program("run", "in.ipynb", "out.ipynb", "--execution-timeout", "0.5", "--quiet")
    assert done.returncode == 1
    assert b"0.5 s" in done.stdout
    book = read(folder / "out.ipynb")
    assert statuses(book) == ["completed", "failed", "pending"]
    assert book.metadata.papermill.exception is True


def test_a_named_pipe_for_prints(folder):
    write(folder / "in.ipynb", TALK)
    os.mkfifo(folder / "pipe")
    heard = []
    reader = threading.Thread(target=lambda: heard.append((folder / "pipe").read_text()))
    reader.start()
    nbflow_run("in.ipynb", "out.ipynb", "--stdout-file", "pipe")
    reader.join()
    assert heard == [f"out of {folder}\n"]
