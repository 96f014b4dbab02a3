"""What a report gathers: out of the journal, the store, executed notebooks and log files."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from stored_runs import StoredRun, whole_run

from nbflow.core import events as ev
from nbflow.core.attempts import Printed
from nbflow.core.ids import AttemptId
from nbflow.core.states import Reason, RunStatus
from nbflow.drawing.report import report_html
from nbflow.session import log_files
from nbflow.session.home import Home
from nbflow.session.logbook import LogBook
from nbflow.session.looking import SeenRun
from nbflow.session.reporting import gathered, write_report

NOW = 1_000_100.0


@pytest.fixture
def home(tmp_path):
    home = Home.open(tmp_path / "home")
    yield home
    home.close()


def executed(*sources):
    about = {
        "kernelspec": {"name": "ir", "display_name": "R"},
        "language_info": {"name": "R", "version": "4.4.1"},
        "papermill": {"version": "2.6.0"},
    }
    cells = [new_code_cell(source) for source in sources]
    return nbformat.writes(new_notebook(cells=cells, metadata=about)).encode()


@pytest.fixture
def failed(home):
    """A run whose notebook has failed in its second cell, at the second attempt."""
    stored = StoredRun(home, "sales-1", program="0.9.9")
    notebook = home.store.put(executed("x = 1", "x / 0"), "notebook")
    for attempt in (1, 2):
        stored.do(
            ev.AttemptScheduled("load", attempt),
            ev.AttemptStarted("load", attempt, "tcp://w", stored.at),
            ev.AttemptFailed(
                "load",
                attempt,
                Reason("error", "division by zero"),
                started_at=stored.at,
                ended_at=stored.at + 2,
                error=ev.ErrorInfo("ZeroDivisionError", "division by zero", 1, "Traceback …"),
                notebook=notebook,
            ),
        )
        if attempt == 1:
            stored.do(ev.NodeReset("load", "resumed"))
    stored.do(ev.NodeSkipped("train", Reason("upstream_failed", "load failed")))
    stored.end(RunStatus.FAILED)
    return SeenRun("sales-1", home)


def test_a_failure_has_its_cell_its_inputs_and_its_last_lines(home, failed):
    folder = home.runs_folder("sales-1") / log_files.FOLDER
    with LogBook(folder, lambda: NOW) as book:
        for number in range(100):
            attempt = AttemptId("sales-1", "load", 2, 1)
            book.hear(Printed(attempt, 1, "stdout", f"{number}\n"))
    report = gathered(failed, NOW)
    (failure,) = report.failures
    assert (failure.node, failure.attempts, failure.source) == ("load", 2, "x / 0")
    assert failure.error.traceback == "Traceback …"
    assert failure.logs == tuple(str(number) for number in range(70, 100))
    assert failure.notebook.endswith("load.ipynb")
    assert any("nbflow logs sales-1 load" in step for step in failure.suggestions)
    assert "nbflow resume sales-1" in report.next_step
    assert len(report.records) == failed.view().run.seq


def test_versions_are_those_that_are_recorded(failed):
    versions = dict(gathered(failed, NOW).versions)
    assert versions["nbflow, which created the run"] == "0.9.9"
    assert versions["R (kernel ir)"] == "4.4.1"


def test_what_cannot_be_read_is_told_and_the_report_is_made(home):
    whole_run(home, "sales-1")  # whose notebook is none
    report = gathered(SeenRun("sales-1", home), NOW)
    assert report.next_step == ""
    (problem,) = report.problems
    assert problem.startswith("the executed notebook of load cannot be read: ")
    assert "cannot be read" in report_html(report)


def test_a_notebook_that_is_very_large_is_left_alone(home, failed, monkeypatch):
    monkeypatch.setattr("nbflow.session.reporting._NOTEBOOK_BYTES", 10)
    report = gathered(failed, NOW)
    assert report.failures[0].source == ""
    assert [name for name, _ in report.versions] == [
        "nbflow, which created the run",
        "nbflow, which made this report",
    ]


def test_the_file_is_replaced_as_a_whole(failed, tmp_path):
    target = tmp_path / "new" / "report.html"
    assert write_report(failed, target, NOW) == target
    first = target.read_text()
    assert first.endswith("</html>\n")
    assert "x / 0" in first
    assert "division by zero" in first
    write_report(failed, target, NOW + 60)
    assert target.read_text() != first
    assert [path.name for path in target.parent.iterdir()] == ["report.html"]


def test_a_file_that_cannot_be_written_leaves_nothing_behind(failed, tmp_path):
    (tmp_path / "report.html").mkdir()
    with pytest.raises(OSError, match=r"report\.html"):
        write_report(failed, tmp_path / "report.html", NOW)
    assert [path.name for path in tmp_path.glob("*report*")] == ["report.html"]


def test_a_handle_writes_it_beside_the_notebooks(failed):
    path = failed.report()
    assert path == failed.output_dir / "report-sales-1.html"
    assert path.is_file()
