"""The corpus runner, over notebooks that ship inside installed packages."""

import nbformat
import pytest
from click.testing import CliRunner
from nbformat.v4 import new_code_cell, new_notebook, new_output

from corpus import __main__ as program
from corpus import summary
from corpus.finding import installed_notebooks, make_ready, notebooks_below
from corpus.oracle import Bound
from corpus.trying import Found, Wanted

#: Some of papermill's own notebooks, which are here wherever nbflow is.
NOTEBOOKS = ("broken1.ipynb", "simple_execute.ipynb", "test_logging.ipynb")

KERNELS = frozenset({"python3", "other"})


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
    make_ready(path, KERNELS)
    assert "tags" not in path.read_text()
    book = nbformat.read(path, as_version=4)
    book.cells[0].outputs = [new_output("error", ename="A", evalue="b", traceback=[])]
    nbformat.write(book, path)
    make_ready(path, KERNELS)
    tags = [cell.metadata.get("tags") for cell in nbformat.read(path, as_version=4).cells]
    assert tags == [["raises-exception"], None]
    make_ready(path, KERNELS, allow_errors=True)
    tags = [cell.metadata.get("tags") for cell in nbformat.read(path, as_version=4).cells]
    assert tags == [["raises-exception"], ["raises-exception"]]
    path.write_text("[]")
    make_ready(path, KERNELS)
    assert path.read_text() == "[]"


@pytest.mark.parametrize(
    ("language", "name", "expected"),
    [
        ("python", "python2", "python3"),
        ("python", "other", "other"),
        ("R", "ir", "ir"),
    ],
)
def test_a_notebook_of_another_python_gets_the_kernel_that_is_here(
    tmp_path, language, name, expected
):
    path = tmp_path / "a.ipynb"
    asked = {"name": name, "display_name": name, "language": language}
    nbformat.write(new_notebook(metadata={"kernelspec": asked}), path)
    make_ready(path, KERNELS)
    assert nbformat.read(path, as_version=4).metadata.kernelspec.name == expected


def test_notebooks_of_packages_are_found():
    found = {path.name for package, path in installed_notebooks() if package == "papermill"}
    assert found.issuperset(NOTEBOOKS)


def test_notebooks_of_packages_are_the_same_both_ways():
    notebooks = [(path.name, path) for _, path in installed_notebooks() if path.name in NOTEBOOKS]
    them = program.corpus(notebooks, Wanted(seeds=2, failing=True, oracle=False), 1)
    assert {each.notebook: (each.verdict, each.why) for each in them} == dict.fromkeys(
        NOTEBOOKS, ("equal", "")
    )


def test_a_notebook_is_measured_or_it_is_said_why_not(tmp_path):
    notebooks = [
        ("a", write(tmp_path / "a.ipynb", "x = 1", "a = [x]", "b = [x]", "c = [x]", "a, b, c")),
        ("b", write(tmp_path / "b.ipynb", "open('missing.csv')")),
        ("c", tmp_path / "c.ipynb"),
    ]
    (tmp_path / "c.ipynb").write_text("no notebook")
    measured, missing, damaged = program.corpus(notebooks, Wanted(seeds=1), 1)
    assert (measured.verdict, measured.stages > 1) == ("equal", True)
    assert measured.by_count == measured.bound.by_count == 5 / 3
    assert (missing.verdict, missing.why[:19]) == ("left out", "FileNotFoundError: ")
    assert (damaged.verdict, "c: " in damaged.why) == ("left out", True)


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

    def corpus(notebooks, wanted, jobs):
        seen.extend(notebooks)
        return [found(name, verdict) for name, _ in notebooks]

    monkeypatch.setattr(program, "corpus", corpus)
    document = tmp_path / "out.json"
    result = CliRunner().invoke(program.main, [str(tmp_path / "in"), "--json", str(document)])
    assert result.exit_code == (verdict == "different"), result.output
    ((name, path),) = seen
    assert name == "a.ipynb"
    assert path != tmp_path / "in" / "a.ipynb", "nothing in the corpus is to be changed"
    assert verdict in document.read_text()
