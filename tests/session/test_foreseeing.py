"""What a resume will do, of runs in any state."""

import sqlite3

import pytest
from driven_run import DrivenRun, node
from stored_runs import whole_run

from nbflow.core.errors import DefinitionError
from nbflow.core.resuming import Wish
from nbflow.core.spec import Identity, NodeSpec, NotebookCode
from nbflow.core.stages import StagePlace, StageSpec
from nbflow.driver import Resumption
from nbflow.session.home import Home
from nbflow.session.resuming import foreseen, seeds_of


def notebook(name, after, **code):
    written = NotebookCode("/x.ipynb", "sha256:" + "1" * 64, **code)
    return NodeSpec(name=name, code=written, after=(after,), identity=Identity(code=name))


@pytest.fixture
def staged(tmp_path):
    """A run that has just begun: a notebook `x` in one stage, which `before` precedes."""
    it = DrivenRun(
        tmp_path,
        node("before"),
        notebook("x/cells-1", "before", stage=StageSpec(cells=())),
        notebook("x", "x/cells-1", stages=(StagePlace("x/cells-1", (0,)),)),
    )
    it.left_by_a_dead_driver()
    return it.run


def only(run, *names):
    return foreseen(run, Resumption(None, Wish(only=names)), {})


def test_who_names_a_notebook_names_its_stages(staged) -> None:
    assert not only(staged, "before", "x").nothing


def test_the_stages_of_a_notebook_need_what_it_needs(staged) -> None:
    with pytest.raises(DefinitionError, match=r"x/cells-1.* needs before, which is ready"):
        only(staged, "x")


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE events SET at = at + 1 WHERE seq = 3",
        "DELETE FROM events WHERE seq = 3",
        "UPDATE runs SET flow = 'another'",
    ],
)
def test_a_fork_of_a_run_that_is_damaged_by_now_does_everything_itself(
    tmp_path, caplog, damage
) -> None:
    home = Home.open(tmp_path / "home")
    try:
        whole_run(home, "source")
        with sqlite3.connect(home.folder / "journal.sqlite") as database:
            database.execute(damage)
        database.close()
        assert seeds_of(home.journal, "source") == {}
        assert "run source, from which this one was forked, cannot be read" in caplog.text
    finally:
        home.close()
