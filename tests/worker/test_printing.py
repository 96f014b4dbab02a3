"""What cells print, on its way to files and to who listens."""

import asyncio
import os

import msgspec
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_output

from nbflow.core.attempts import Printed
from nbflow.core.ids import AttemptId
from nbflow.core.spec import PapermillForm
from nbflow.worker import printing
from nbflow.worker.printing import FLUSH_S, REPORT_LENGTH, Printing

NO_FILES = PapermillForm()
ID = AttemptId("run", "node", 1, 1)
AT = 7.0


def stream(text: str, name: str = "stdout") -> NotebookNode:
    return new_output("stream", name=name, text=text)


def printed(*pieces, form=NO_FILES, listen=True, wait=False) -> tuple[list[Printed], str]:
    """Let cells print `pieces`, each of an index and an output; return the reports and problem."""
    reports: list[Printed] = []

    async def main() -> str:
        it = Printing(ID, form, reports.append if listen else None, clock=lambda: AT)
        for index, output in pieces:
            it.heard(index, output)
        if wait:
            loop = asyncio.get_running_loop()
            later = loop.create_future()
            loop.call_later(FLUSH_S * 1.5, later.set_result, None)
            await later
            assert reports
            reports.append("closed")
        it.close()
        it.close()
        return it.problem

    return reports, asyncio.run(main())


def test_what_comes_together_is_told_together_and_in_order():
    display = new_output("display_data", data={"text/plain": "<Figure>", "image/png": "="})
    picture = new_output("display_data", data={"image/png": "="})
    error = new_output("error", ename="E", evalue="v", traceback=["E: v", "here"])
    reports, problem = printed(
        (0, stream("a\n")),
        (0, stream("b\n")),
        (0, stream("c\n", "stderr")),
        (2, stream("d\n")),
        (2, display),
        (2, picture),
        (3, error),
    )
    assert problem == ""
    assert reports == [
        Printed(ID, 0, "stdout", "a\nb\n", AT),
        Printed(ID, 0, "stderr", "c\n", AT),
        Printed(ID, 2, "stdout", "d\n", AT),
        Printed(ID, 2, "result", "<Figure>\n", AT),
        Printed(ID, 3, "stderr", "E: v\nhere\n", AT),
    ]


def test_it_is_told_while_the_cell_runs():
    reports, _ = printed((0, stream("a")), wait=True)
    assert reports == [Printed(ID, 0, "stdout", "a", AT), "closed"]


def test_a_flood_is_cut_for_who_listens_and_not_in_the_file(tmp_path):
    file = tmp_path / "out.txt"
    file.touch()
    lines = [f"{number:09d}\n" for number in range(10_000)]
    reports, problem = printed(
        *((0, stream(line)) for line in lines), form=PapermillForm(stdout_file=str(file))
    )
    assert problem == ""
    (report,) = reports
    assert REPORT_LENGTH % len(lines[0]) == 0
    kept, _, note = report.text.partition("[… ")
    assert kept == "".join(lines)[:REPORT_LENGTH]
    assert note == f"{100_000 - REPORT_LENGTH:,} characters more; the executed notebook has them]\n"
    assert file.read_text() == "".join(lines)


def test_files_get_their_streams_and_half_characters(tmp_path):
    out, err = tmp_path / "out.txt", tmp_path / "err.txt"
    for file in (out, err):
        file.write_text("of an earlier attempt")
    form = PapermillForm(stdout_file=str(out), stderr_file=str(err))
    reports, problem = printed(
        (0, stream("ü\ud800\n")), (1, stream("e\n", "stderr")), form=form, listen=False
    )
    assert (reports, problem) == ([], "")
    assert out.read_text("utf-8") == "ü\\ud800\n"
    assert err.read_text("utf-8") == "e\n"


def test_nobody_who_wants_to_know_costs_nothing(tmp_path):
    async def main() -> None:
        elsewhere = PapermillForm(stdout_file=str(tmp_path / "made by nobody"))
        it = Printing(ID, elsewhere, None, clock=lambda: AT)
        assert it.heard is None
        it.close()
        assert it.problem == ""

    asyncio.run(main())
    assert list(tmp_path.iterdir()) == []


class Full:
    """A file on a disk without room."""

    def write(self, text):
        return len(text)

    def flush(self):
        raise OSError(28, os.strerror(28))

    close = flush


def test_a_disk_without_room_is_a_problem_and_the_rest_goes_on(tmp_path, monkeypatch):
    out, err = tmp_path / "out.txt", tmp_path / "err.txt"
    for file in (out, err):
        file.touch()
    real = printing.Path.open
    monkeypatch.setattr(
        printing.Path,
        "open",
        lambda self, *how, **more: Full() if self == out else real(self, *how, **more),
    )
    form = PapermillForm(stdout_file=str(out), stderr_file=str(err))
    reports, problem = printed((0, stream("a\n")), (0, stream("b\n", "stderr")), form=form)
    assert "to the file for stdout: No space left on device. Free some space" in problem
    assert [report.text for report in reports] == ["a\n", "b\n"]
    assert err.read_text() == "b\n"


@pytest.fixture
def form(bench) -> PapermillForm:
    (bench.folder / "out.txt").touch()
    return PapermillForm(
        report_mode=True,
        input_path="s3://bucket/in.ipynb",
        output_path="out.ipynb",
        stdout_file=str(bench.folder / "out.txt"),
    )


def test_an_attempt_prints_into_its_file_and_to_who_listens(bench, form):
    task = bench.notebook(
        "print('one')", "import sys\nprint('two', file=sys.stderr)\n3", heard=True
    )
    task = msgspec.structs.replace(task, code=msgspec.structs.replace(task.code, papermill=form))
    outcome = bench.run(task)
    assert outcome.status == "succeeded"
    assert (bench.folder / "out.txt").read_text() == "one\n"
    told = {(it.cell, it.stream): it.text for it in bench.reports if isinstance(it, Printed)}
    assert told == {(0, "stdout"): "one\n", (1, "stderr"): "two\n", (1, "result"): "3\n"}
    book = bench.executed(outcome)
    about = book.metadata.papermill
    assert (about.input_path, about.output_path) == ("s3://bucket/in.ipynb", "out.ipynb")
    assert [cell.metadata.jupyter.source_hidden for cell in book.cells] == [True, True]


def test_an_attempt_that_nobody_listens_to_reports_no_prints(bench):
    bench.run(bench.notebook("print('one')"))
    assert bench.reports
    assert not any(isinstance(it, Printed) for it in bench.reports)


def test_a_notebook_without_a_file_for_its_prints_fails(bench, form, monkeypatch):
    monkeypatch.setattr(Printing, "_flush", lambda self: setattr(self, "problem", "no room"))
    task = bench.notebook("print('one')")
    task = msgspec.structs.replace(task, code=msgspec.structs.replace(task.code, papermill=form))
    outcome = bench.run(task)
    assert (outcome.status, outcome.reason.message) == ("failed", "no room")
    assert outcome.notebook is not None
