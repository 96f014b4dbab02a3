"""The corpus runner, over notebooks that ship inside installed packages."""

import nbformat
import pytest
from click.testing import CliRunner
from distributed import LocalCluster
from nbformat.v4 import new_code_cell, new_notebook, new_output

from corpus import __main__ as program
from corpus import summary
from corpus.finding import installed_notebooks, let_fail_what_failed, notebooks_below
from corpus.oracle import Bound
from corpus.trying import Found, Wanted, tried

#: Some of papermill's own notebooks, which are here wherever nbflow is.
NOTEBOOKS = ("broken1.ipynb", "simple_execute.ipynb", "sysexit.ipynb", "test_logging.ipynb")


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(n_workers=1, threads_per_worker=4, dashboard_address=None) as running:
        yield running


def write(path, *sources):
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=[new_code_cell(it) for it in sources]), path)
    return path


def test_notebooks_are_found(tmp_path):
    expected = [write(tmp_path / name, "1") for name in ("a.ipynb", "b/c.ipynb")]
    write(tmp_path / ".ipynb_checkpoints" / "a.ipynb", "1")
    (tmp_path / "d.py").write_text("")
    assert notebooks_below(tmp_path) == expected


def test_a_cell_that_failed_for_its_author_may_fail(tmp_path):
    path = write(tmp_path / "a.ipynb", "1 / 0", "1")
    let_fail_what_failed(path)
    assert "tags" not in path.read_text()
    book = nbformat.read(path, as_version=4)
    book.cells[0].outputs = [new_output("error", ename="A", evalue="b", traceback=[])]
    nbformat.write(book, path)
    let_fail_what_failed(path)
    tags = [cell.metadata.get("tags") for cell in nbformat.read(path, as_version=4).cells]
    assert tags == [["raises-exception"], None]
    path.write_text("[]")
    let_fail_what_failed(path)
    assert path.read_text() == "[]"


def test_notebooks_of_packages_are_found():
    found = {path.name for package, path in installed_notebooks() if package == "papermill"}
    assert found.issuperset(NOTEBOOKS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebooks_of_packages_are_the_same_both_ways(name, cluster):
    path = next(path for _, path in installed_notebooks() if path.name == name)
    found = tried(name, path, Wanted(seeds=2, failing=True, oracle=False), cluster)
    assert (found.verdict, found.why, found.conflicts) == ("equal", "", ())


def test_a_notebook_that_does_not_run_is_left_out_and_it_is_said_why(tmp_path, cluster):
    path = write(tmp_path / "a.ipynb", "open('missing.csv')")
    found = tried("a", path, Wanted(), cluster)
    assert found.verdict == "left out"
    assert found.why.startswith("FileNotFoundError: ")
    (tmp_path / "b.ipynb").write_text("no notebook")
    assert tried("b", tmp_path / "b.ipynb", Wanted(), cluster).verdict == "left out"


def test_a_notebook_is_measured(tmp_path, cluster):
    path = write(tmp_path / "a.ipynb", "x = 1", "a = [x]", "b = [x]", "c = [x]", "a, b, c")
    found = tried("a", path, Wanted(seeds=1), cluster)
    assert found.verdict == "equal"
    assert found.by_count == 5 / 3
    assert found.bound.by_count == 5 / 3


def found(name, verdict="equal", **fields):
    return Found(notebook=name, verdict=verdict, **fields)


def test_figures_are_of_those_that_ran():
    them = [
        found("a", by_count=2.0, bound=Bound(4.0, 1.0), stages=3),
        found("b", by_count=1.0, bound=Bound(1.0, 1.0), conflicts=("it reads x",)),
        found("c", "different", why="cell 1"),
        found("d", "left out", why="ModuleNotFoundError: …"),
    ]
    figures = summary.figures(them)
    assert (figures.notebooks, figures.ran, figures.equal, figures.different) == (4, 3, 2, 1)
    assert (figures.with_conflicts, figures.staged) == (1, 1)
    assert (figures.by_count, figures.bound_by_count, figures.reached) == (1.0, 2.5, 0.75)
    table = list(summary.lines(them))
    assert "ModuleNotFoundError" in table[4]
    assert "1 conflicts: it reads x" in table[2]
    assert "4 notebooks, 3 ran: 2 equal, 1 different" in table[-2]


@pytest.mark.parametrize("verdict", ["equal", "different"])
def test_the_program_ends_with_one_if_anything_differs(tmp_path, monkeypatch, verdict):
    write(tmp_path / "in" / "a.ipynb", "1")
    seen = []

    def one(name, path, wanted, cluster):
        seen.append((name, path))
        return found(name, verdict)

    monkeypatch.setattr(program, "tried", one)
    document = tmp_path / "out.json"
    result = CliRunner().invoke(program.main, [str(tmp_path / "in"), "--json", str(document)])
    assert result.exit_code == (verdict == "different"), result.output
    ((name, path),) = seen
    assert name == "a.ipynb"
    assert path != tmp_path / "in" / "a.ipynb", "nothing in the corpus is to be changed"
    assert verdict in document.read_text()
