import os
import subprocess
import sys

import click
import pytest

from nbflow import __version__
from nbflow.cli.errors import guarded
from nbflow.core.errors import DefinitionError, LostLease, NbflowError, Problem, RunFailed, RunHeld


def raising(error):
    def body():
        raise error

    return body


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (NbflowError("it is broken. Mend it"), 2, "error: it is broken. Mend it\n"),
        (RunFailed("run r: 1 node failed"), 1, "error: run r: 1 node failed\n"),
        (RunHeld("held by h"), 3, "error: held by h\n"),
        (LostLease("taken over"), 3, "error: taken over\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (click.Abort(), 130, "interrupted\n"),
        (click.exceptions.Exit(1), 1, ""),
        (click.UsageError("no such option"), 2, "Error: no such option\n"),
        (
            click.FileError("f.svg", "it is full"),
            2,
            "Error: Could not open file 'f.svg': it is full\n",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_user_can_mend_is_told_without_a_traceback(error, code, told, capsys):
    assert guarded(raising(error)) == code
    assert capsys.readouterr() == ("", told)


def test_a_definition_is_told_one_fault_a_line_errors_first(capsys):
    problems = [
        Problem("flow.yaml", "it is odd", severity="warning"),
        Problem("flow.yaml:6", "there is no node 'b'", "Did you mean 'c'?", "a"),
    ]
    assert guarded(raising(DefinitionError(problems))) == 2
    assert capsys.readouterr().err.splitlines() == [
        "flow.yaml:6: node 'a': there is no node 'b'. Did you mean 'c'?",
        "warning: flow.yaml: it is odd",
        "error: 1 fault found; nothing was run",
    ]


@pytest.mark.parametrize("error", [ZeroDivisionError("by zero"), BrokenPipeError("of a cluster")])
def test_anything_else_is_a_bug_with_its_traceback(error):
    # In a process of its own: a test's streams have no descriptors to look at.
    program = (
        "import sys; from nbflow.cli.errors import guarded\n"
        f"def body(): raise {error!r}\n"
        "sys.exit(guarded(body))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    first, second, *_, last = done.stderr.splitlines()
    assert done.returncode == 70
    assert first == f"this is a bug in nbflow {__version__}; please report it with everything below"
    assert second == "Traceback (most recent call last):"
    assert last == f"{type(error).__name__}: {error}"


def test_success_is_zero(capsys):
    assert guarded(lambda: None) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("words", [["schema"], ["--help"]])
def test_a_reader_that_has_gone_is_no_error(words):
    reading, writing = os.pipe()
    os.close(reading)
    program = [sys.executable, "-m", "nbflow", *words]
    done = subprocess.run(program, check=False, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert done.stderr == ""
    assert done.returncode in (0, 141)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("schema > /dev/full", "error: the output cannot be written"),
        ("check no.yaml --json > /dev/full", "error: the output cannot be written"),
        ("no-such-command 2> /dev/full", ""),
    ],
)
def test_a_full_disk_below_a_stream_is_no_bug(words, told, folder):
    command = f"{sys.executable} -m nbflow {words}"
    done = subprocess.run(["bash", "-c", command], check=False, capture_output=True, text=True)
    assert done.returncode == 74
    assert done.stderr.startswith(told)
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == bool(told)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_error(closed, folder):
    (folder / "flow.yaml").write_text("flow: f\nnodes:\n  a: {function: 'os:getpid'}\n")
    command = f"{sys.executable} -m nbflow check flow.yaml -f - {closed}"
    text = "" if "<" not in closed else None
    done = subprocess.run(
        ["bash", "-c", command], check=False, input=text, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (done.stdout == "") == (">&-" in closed.split())


def test_what_no_encoding_has_is_escaped(folder):
    (folder / "ü.yaml").write_text("flow: ü\nnodes: {}\n")
    done = subprocess.run(
        [sys.executable, "-m", "nbflow", "check", "ü.yaml"],
        check=False,
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 2
    assert b"\\xfc.yaml" in done.stdout
    assert done.stderr == b""
