"""Running a notebook both ways, and what differs."""

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from nbflow.core.cells import CellText, analyze
from nbflow.core.errors import DefinitionError
from nbflow.core.policies import Policy
from nbflow.core.spec import FlowSpec, NodeSpec, NotebookCode
from nbflow.core.stages import StageSpec
from nbflow.core.states import NodeState
from nbflow.definition.options import NodeOptions
from nbflow.definition.targets import BareNotebook
from nbflow.session.both_ways import Asked, Schedule, Way, bench, copies, timing, verify, verifying
from nbflow.session.both_ways.copies import FileLeft, Seen, workplace
from nbflow.session.both_ways.ways import StageRun

SPEC = {"name": "python3", "display_name": "Python 3", "language": "python"}


def write(path, *sources):
    cells = [new_code_cell(it) if isinstance(it, str) else it for it in sources]
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": SPEC}), path)
    return path


def asked_for(path, scratch, **options):
    scratch.mkdir(exist_ok=True)
    notebook = BareNotebook(path=str(path), options=NodeOptions(**options))
    return Asked(notebook=notebook, scratch=scratch)


def analyzed(*sources):
    texts = [CellText(number=n, index=n - 1, text=it) for n, it in enumerate(sources, start=1)]
    return analyze(texts)


def way(text="1", outcome="succeeded", files=None, stages=()):
    cell = new_code_cell(
        "f()", outputs=[new_output("stream", text=text)], execution_count=1, id="x"
    )
    book = new_notebook(cells=[cell])
    return Way(
        name="in order",
        outcome=outcome,
        notebook=book,
        content=b"",
        files=files or {},
        elapsed_s=1.0,
        stages=stages,
    )


# --- copies ---------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path):
    """A folder of notebooks beside one of data."""
    (tmp_path / "project" / "notebooks").mkdir(parents=True)
    (tmp_path / "project" / "data").mkdir()
    (tmp_path / "project" / "data" / "sales.csv").write_text("a,b\n")
    return tmp_path / "project"


def test_a_copy_has_the_folder_and_reaches_what_is_beside_it(project, tmp_path):
    (project / "notebooks" / "own.txt").write_text("own")
    (project / "notebooks" / ".nbflow").mkdir()
    path = write(project / "notebooks" / "a.ipynb", "1")
    with workplace(asked_for(path, tmp_path / "scratch")) as place:
        place.renew()
        copy = Path(place.asked.notebook.path).parent
        assert copy != path.parent
        assert (copy / "own.txt").read_text() == "own"
        assert (copy / "../data/sales.csv").read_text() == "a,b\n"
        assert not (copy / ".nbflow").exists()
        (copy / "own.txt").write_text("changed")
    assert (project / "notebooks" / "own.txt").read_text() == "own"
    assert list((tmp_path / "scratch").iterdir()) == []


def test_each_run_has_the_folder_as_it_was(project, tmp_path):
    path = write(project / "notebooks" / "a.ipynb", "1")
    with workplace(asked_for(path, tmp_path / "scratch")) as place:
        place.renew()
        (place.folder / "left.txt").write_text("by the first run")
        place.renew()
        assert not (place.folder / "left.txt").exists()


@pytest.mark.parametrize("why", ["size", "cwd"])
def test_what_is_not_copied_is_said(project, tmp_path, monkeypatch, why):
    path = write(project / "notebooks" / "a.ipynb", "1")
    if why == "size":
        monkeypatch.setattr(copies, "COPIED_BYTES", 10)
    options = {"cwd": str(project)} if why == "cwd" else {}
    with workplace(asked_for(path, tmp_path / "scratch", **options)) as place:
        assert place.uncopied
        assert Path(place.asked.notebook.path) == path


def test_files_that_come_change_or_go_are_seen(tmp_path):
    for name in ("stays", "changes", "goes"):
        (tmp_path / name).write_text(name)
    seen = Seen.of(tmp_path)
    (tmp_path / "goes").unlink()
    (tmp_path / "changes").write_text("something else")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "comes").write_text("")
    (tmp_path / "link").symlink_to("nowhere")
    found = seen.changes()
    assert set(found) == {"goes", "changes", "new/comes", "link"}
    assert found["goes"] == FileLeft("")
    assert found["changes"].content == b"something else"
    assert found["link"].digest == "link to nowhere"


def test_a_notebook_that_is_not_there_leaves_nothing(tmp_path):
    asked = asked_for(tmp_path / "none.ipynb", tmp_path / "scratch")
    with pytest.raises(DefinitionError, match="there is no notebook"), workplace(asked):
        pass
    assert list((tmp_path / "scratch").iterdir()) == []


# --- schedules ------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["worth", "all", "random:0", "random:12"])
def test_a_schedule_reads_as_it_is_written(text):
    assert str(Schedule.parse(text)) == text


@pytest.mark.parametrize("text", ["", "some", "random", "random:x", "all:1"])
def test_other_words_are_no_schedule(text):
    with pytest.raises(ValueError, match="none of worth, all, random:SEED"):
        Schedule.parse(text)


def staged_flow(count):
    stages = [
        NodeSpec(
            name=f"a/{n}",
            code=NotebookCode("a.ipynb", stage=StageSpec(cells=())),
            policy=Policy(priority=7),
        )
        for n in range(count)
    ]
    return FlowSpec(name="a", nodes=(*stages, NodeSpec(name="a", code=NotebookCode("a.ipynb"))))


def priorities(schedule):
    spec = Schedule.parse(schedule).ordered(staged_flow(5))
    return [node.policy.priority for node in spec.nodes]


def test_a_schedule_orders_stages_and_nothing_else():
    assert priorities("worth") == [7] * 5 + [0]
    assert priorities("all") == [*sorted(set(priorities("all")[:5])), 0]
    assert priorities("random:1") == priorities("random:1") != priorities("random:2")
    assert sorted(priorities("random:1")[:5]) == priorities("all")[:5]


def test_a_schedule_says_which_cells_begin_stages():
    assert Schedule("worth").worth is None
    assert Schedule("all").worth.always
    heads = [Schedule("random", seed).worth.heads for seed in (1, 1, 2)]
    assert heads[0] == heads[1] != heads[2]
    assert 0 < len(heads[0] & set(range(100))) < 100


# --- what differs ---------------------------------------------------------------------------------


def differences(one, two, unsure=None):
    found = verifying.differing(one, two, unsure or {})
    return [(each.what, each.expected, each.found, each.unsure) for each in found]


def test_how_runs_end_what_cells_give_and_files_are_compared():
    assert differences(way(), way()) == []
    assert differences(way(), way(outcome="failed")) == [("outcome", "succeeded", "failed", "")]
    assert differences(way("1"), way("2")) == [("stdout", "1", "2", "")]
    assert differences(way("1"), way("2"), {"f()": "the clock"})[0][3] == "the clock"


def test_files_are_compared_by_content():
    def left(content):
        return {"a.txt": FileLeft(content, content.encode())}

    assert differences(way(files=left("a\nb")), way(files=left("a\nb"))) == []
    assert differences(way(files=left("a\nb")), way(files=left("a\nc"))) == [
        ("file a.txt", "b", "c", "")
    ]
    large = [way(files={"a": FileLeft(digest)}) for digest in "12"]
    assert differences(*large) == [("file a", "written: 1", "written: 2", "")]
    gone = way(files={"a": FileLeft("")})
    assert differences(way(), gone) == [("file a", "(as it was)", "(gone)", "")]


def test_what_depends_on_an_unsure_cell_is_unsure():
    sources = ["import time", "t = time.time()", "u = [t]", "print(u)", "print(1)"]
    unsure = verifying.unsure_cells(analyzed(*sources), dict(enumerate(sources)))
    assert list(unsure) == sources[1:4]
    assert unsure["print(u)"] == "it reads u of cell 3"


def test_what_draws_without_a_seed_is_unsure():
    sources = ["import random", "a = random.random()", "random.seed(1)", "b = random.random()"]
    unsure = verifying.unsure_cells(analyzed(*sources), dict(enumerate(sources)))
    assert unsure == {sources[1]: "Python's random generator, which nothing has seeded"}


def test_the_most_stages_at_once():
    def stage(start, end):
        return StageRun("a", (1,), NodeState.SUCCEEDED, start, end)

    assert way().at_once == 0
    assert way(stages=(stage(0, 2), stage(2, 4), stage(1, 3), stage(None, None))).at_once == 2


def test_conflicts_are_told():
    stage = StageRun("a", (1,), NodeState.FAILED, 0, 1, "it reads x")
    assert way(stages=(stage,)).conflicts == ("it reads x",)


# --- times ----------------------------------------------------------------------------------------


def timed(*seconds):
    cells = [
        new_code_cell("x", metadata={"papermill": {"duration": it}, "tags": tags})
        for it, tags in seconds
    ]
    return new_notebook(cells=cells)


def test_times_of_cells_are_medians_and_leave_out_what_was_injected():
    books = [
        timed((9.0, ["injected-parameters"]), (1.0 + n, []), (2.0, []), (None, []))
        for n in range(3)
    ]
    assert timing.cell_times(books) == {1: 2.0, 2: 2.0}


def test_the_critical_path_is_the_longest_by_time():
    analysis = analyzed("a = 1", "b = a + 1", "c = a + 2", "print(b)", "print(c)")
    assert timing.critical_path(analysis, {1: 1, 2: 5, 3: 1, 4: 1, 5: 1}) == {1, 2, 4}
    assert timing.critical_path(analysis, {1: 1, 2: 1, 3: 1, 4: 1, 5: 9}) == {1, 3, 5}
    assert timing.critical_path(analysis, {}) == set()


# --- the real thing -------------------------------------------------------------------------------


BRANCHES = (
    "import numpy as np",
    "x = np.arange(6)\nopen('x.txt', 'w').write(str(x))",
    "a = x.sum()\nprint('a', a)",
    "b = x * 2\nb",
    "y = [a]\nz = y",
    "y.append(b.max())",
    "z",
)


def test_a_notebook_is_the_same_both_ways(tmp_path):
    others = "object()", "import time; print(time.time())", "print(id(object()))"
    path = write(tmp_path / "a.ipynb", *BRANCHES, *others)
    scratch = tmp_path / "scratch"
    told = []
    asked = asked_for(path, scratch)
    asked = Asked(notebook=asked.notebook, scratch=scratch, told=told.append)
    found = verify(asked, [Schedule("all"), Schedule("random", 1)])
    assert [*found.differences.values()] == [(), ()]
    assert found.is_equal
    assert found.cells == 10
    assert found.found[0].conflicts == ()
    assert len(found.found[0].stages) > 1
    assert found.expected.files.keys() == {"x.txt"}
    clock, address = found.excused["by cells (all)"]
    assert (clock.number, clock.what) == (9, "stdout")
    assert "the clock" in clock.unsure
    assert (address.number, address.unsure) == (10, "runs in order differ there, too")
    assert told == ["in order", "by cells (all)", "by cells (random:1)", "in order"]
    assert list(scratch.iterdir()) == []
    assert not (tmp_path / "x.txt").exists()


def test_memory_that_nobody_has_set_need_not_be_the_same(tmp_path):
    # In order, numpy hands out what it has got back from the cell before.
    shown = "np.empty(5)"
    path = write(tmp_path / "a.ipynb", "import numpy as np", "for _ in [1] * 9: np.ones(5)", shown)
    found = verify(asked_for(path, tmp_path / "scratch"), [Schedule("all")])
    assert found.expected.notebook.cells[2].outputs[0].data["text/plain"] == (
        "array([1., 1., 1., 1., 1.])"
    )
    assert found.is_equal
    (difference,) = found.excused["by cells (all)"]
    assert (difference.source, difference.unsure) == (
        shown,
        "runs in order differ there, too (memory that nobody has set)",
    )


def test_a_notebook_that_fails_is_to_fail_in_the_same_cell_and_leave_nothing_behind(tmp_path):
    sources = ("x = 1", "y = x / 0", "print(x)", "open('after.txt', 'w').write('x')")
    path = write(tmp_path / "a.ipynb", *sources)
    found = verify(asked_for(path, tmp_path / "scratch"), [Schedule("all")])
    assert [*found.differences.values()] == [()]
    assert "ZeroDivisionError" in found.expected.outcome
    assert found.expected.outcome == found.found[0].outcome
    assert found.found[0].files == {}


def test_a_notebook_that_fails_in_order_can_be_left_there(tmp_path):
    path = write(tmp_path / "a.ipynb", "1 / 0")
    found = verify(asked_for(path, tmp_path / "scratch"), [Schedule("all")], failing=False)
    assert found.found == ()


def test_a_notebook_is_timed(tmp_path):
    slow = "import time; time.sleep(0.3)"
    path = write(tmp_path / "a.ipynb", "x = 1", f"{slow}; a = x", f"{slow}; b = x", "print(a, b)")
    found = bench(asked_for(path, tmp_path / "scratch"), 1)
    assert found.outcome == "succeeded"
    assert [cell.number for cell in found.cells] == [1, 2, 3, 4]
    assert found.in_order_s >= 0.6
    assert found.critical_s >= 0.3
    assert found.bound >= 1
