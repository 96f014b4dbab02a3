"""What was done already is not repeated: earlier in this run, or in the one it was forked from."""

import logging
from functools import partial
from pathlib import Path

import pytest
from driven_run import DrivenRun, changed, node
from msgspec.structs import replace

from nbflow.core import events as ev
from nbflow.core.making import fingerprint_of
from nbflow.core.policies import Cache
from nbflow.core.resuming import Wish
from nbflow.core.spec import NotebookCode
from nbflow.core.states import RunStatus
from nbflow.core.values import Inline
from nbflow.testing import MemoryCache

NODES = (node("load", params=("date",)), node("clean", "load"), node("other"))


@pytest.fixture
def made(tmp_path):
    return partial(DrivenRun, tmp_path)


@pytest.fixture
def source(made):
    it = made(*NODES, params={"date": "monday"})
    it.drive()
    return it


def fork(source, *nodes, run="fork", **params):
    """A run that begins with the results of `source`."""
    values = {name: each.value for name, each in source.params.items()} | params
    folder = Path(source.run.output_dir)
    return DrivenRun(
        folder,
        *(nodes or source.spec.nodes),
        params=values,
        run=run,
        beside=source,
        forked_from=source.id,
    )


def taken(it):
    return {event.node: event.source for event in it.events(ev.NodeCached)}


def test_a_fork_takes_all_that_is_the_same(source) -> None:
    it = fork(source)
    run = it.drive()
    assert run.status is RunStatus.SUCCEEDED
    assert it.ran == []
    assert taken(it) == {"load": "run", "clean": "run", "other": "run"}
    assert run["clean"].outputs == source.run["clean"].outputs
    assert run["clean"].fingerprint == source.run["clean"].fingerprint
    assert source.events(ev.RunReopened) == [], "the source stays as it is"


def test_another_parameter_runs_who_receives_it_and_equal_outputs_end_that(source) -> None:
    it = fork(source, date="tuesday")
    it.drive()
    assert it.ran == ["load"]
    assert taken(it) == {"clean": "run", "other": "run"}


def test_other_outputs_are_followed(source) -> None:
    it = fork(source, date="tuesday")
    it.results = {"load": 2}
    it.drive()
    assert it.ran == ["load", "clean"]


def test_other_code_runs_and_renamed_nodes_are_the_same_all_the_same(source) -> None:
    load, clean, other = NODES
    it = fork(source, load, changed(clean, code="2"), replace(other, name="by another name"))
    it.drive()
    assert it.ran == ["clean"]
    assert taken(it) == {"load": "run", "by another name": "run"}


def test_a_fork_of_a_fork_names_who_did_the_work(source) -> None:
    first = fork(source, date="tuesday")
    first.drive()
    second = fork(first, run="second", date="tuesday")
    second.drive()
    assert second.ran == []
    assert taken(second) == {"load": "fork", "clean": "run", "other": "run"}


def test_a_fork_of_a_run_that_is_gone_does_everything_itself(source, caplog) -> None:
    it = fork(source)
    source.journal.remove("run", now=source.clock())
    with caplog.at_level(logging.WARNING):
        assert it.drive().status is RunStatus.SUCCEEDED
    assert sorted(it.ran) == ["clean", "load", "other"]
    assert "run run, from which this one was forked, cannot be read" in caplog.text


def test_a_fork_that_is_interrupted_goes_on_as_a_fork(source) -> None:
    it = fork(source, date="tuesday")
    it.left_by_a_dead_driver(ev.AttemptScheduled("load", 1))
    assert it.drive().status is RunStatus.SUCCEEDED
    assert it.ran == ["load"]
    assert taken(it) == {"clean": "run", "other": "run"}


def test_a_fork_is_resumed_as_any_run(source) -> None:
    it = fork(source)
    it.drive()
    it.drive()
    assert it.ran == []
    it.results = {"load": 2}
    it.drive(change=it.change(params={"date": "tuesday"}))
    assert it.ran == ["load", "clean"]
    run = it.run
    assert run.status is RunStatus.SUCCEEDED
    assert (run["load"].is_cached, run["other"].is_cached) == (False, True)


def test_what_came_from_another_run_stands_again_as_that(source) -> None:
    it = fork(source)
    it.drive()
    it.drive(change=it.change(changed(NODES[0], code="2")))
    assert it.ran == ["load"]
    assert it.run["clean"].source == "run"
    assert it.events(ev.NodeKept) == []


def test_what_somebody_wants_to_see_run_is_not_taken(source) -> None:
    it = fork(source)
    it.drive()
    it.drive(wish=Wish(begin_at=("load",)))
    assert it.ran == ["load"]


def test_effects_are_made_in_each_run(made) -> None:
    source = made(node("mail", effect="at_most_once"))
    source.drive()
    it = fork(source)
    assert it.drive().status is RunStatus.SUCCEEDED
    assert it.ran == ["mail"]


def test_what_cannot_be_told_apart_is_not_taken(made) -> None:
    source = made(changed(node("odd"), unknown=("it runs exec()",)))
    source.drive()
    it = fork(source)
    it.drive()
    assert it.ran == ["odd"]


def test_a_result_that_lacks_what_this_flow_wants_is_not_taken(made) -> None:
    source = made(node("load"))
    source.drive()
    assert source.run["load"].outputs == {}
    it = fork(source, node("load"), node("use", "load"))
    it.drive()
    assert it.ran == ["load", "use"]


def test_what_has_failed_is_not_taken(made) -> None:
    source = made(node("a"), node("b"))

    async def fail(task):
        if task.id.node == "b":
            raise ValueError
        return {}

    source.drive(fail)
    it = fork(source)
    it.drive()
    assert it.ran == ["b"]


# --- what lies in the store -----------------------------------------------------------------------


def with_notebook(made, content=b"{}"):
    """A run whose one notebook has succeeded with a large output."""
    note = replace(node("note"), code=NotebookCode("/nb/note.ipynb"), outputs=("rows",))
    it = made(note, node("after", after=("note",)))
    book = it.store.put(content, "notebook")
    rows = it.store.put(b"rows", "pickle")
    it.left_by_a_dead_driver(
        ev.AttemptScheduled("note", 1, fingerprint_of(it.run, "note")),
        ev.AttemptSucceeded("note", 1, 1.0, 2.0, {"rows": rows}, book),
    )
    it.drive()
    return it


def elsewhere(source, folder):
    return DrivenRun(folder, *source.spec.nodes, run="fork", beside=source, forked_from=source.id)


def test_the_executed_notebook_lies_where_this_runs_notebooks_lie(made, tmp_path) -> None:
    it = elsewhere(with_notebook(made, b"executed"), tmp_path / "forked")
    it.drive()
    assert taken(it)["note"] == "run"
    assert (tmp_path / "forked" / "note.ipynb").read_bytes() == b"executed"


@pytest.mark.parametrize("name", ["rows", "notebook"])
def test_what_the_store_has_lost_is_made_again(made, tmp_path, name) -> None:
    source = with_notebook(made)
    note = source.run["note"]
    lost = note.notebook if name == "notebook" else note.outputs["rows"]
    assert source.store.remove(lost.digest, before=float("inf"))
    it = elsewhere(source, tmp_path / "forked")
    assert it.drive().status is RunStatus.SUCCEEDED
    assert it.ran == ["note"]


def leave_both(it, book) -> None:
    """Let `first`, and the notebook `note` behind it, have run under a driver that has died."""
    it.left_by_a_dead_driver(
        ev.AttemptScheduled("first", 1, fingerprint_of(it.run, "first")),
        ev.AttemptSucceeded("first", 1, 1.0, 2.0, {"result": Inline(1)}),
    )
    it.left_by_a_dead_driver(
        ev.AttemptScheduled("note", 1, fingerprint_of(it.run, "note")),
        ev.AttemptSucceeded("note", 1, 1.0, 2.0, {}, book),
    )


def test_an_unchanged_notebook_behind_a_change_has_its_file_again(made, tmp_path) -> None:
    first = node("first")
    note = replace(node("note", "first"), code=NotebookCode("/nb/note.ipynb"))
    it = made(first, note)
    book = it.store.put(b"executed", "notebook")
    leave_both(it, book)
    file = tmp_path / "note.ipynb"
    it.drive(change=it.change(changed(first, code="2")))
    assert it.ran == ["first"]
    assert file.read_bytes() == b"executed"

    assert it.store.remove(book.digest, before=float("inf"))
    it.drive(change=it.change(changed(first, code="3")))
    assert it.ran == ["first", "note"]


def test_what_runs_at_most_once_is_kept_without_its_notebook(made, caplog) -> None:
    first = node("first")
    note = node("note", "first", effect="at_most_once")
    it = made(first, replace(note, code=NotebookCode("/nb/note.ipynb")))
    book = it.store.put(b"executed", "notebook")
    leave_both(it, book)
    assert it.store.remove(book.digest, before=float("inf"))
    with caplog.at_level(logging.WARNING):
        assert it.drive(change=it.change(changed(first, code="2"))).status is RunStatus.SUCCEEDED
    assert it.ran == ["first"]
    assert it.states["note"] == "succeeded"
    assert "node note is kept without its notebook: artifact sha256:" in caplog.text


@pytest.mark.parametrize("how", ["forked", "cached"])
def test_what_is_taken_is_kept_from_clean_ups_and_looked_at_only_once(
    made, monkeypatch, how
) -> None:
    load = replace(node("load", cache=Cache()), outputs=("result",))
    source = made(load)
    rows = source.store.put(b"rows", "pickle")
    cache = MemoryCache(source.store) if how == "cached" else None

    async def perform(_task):
        return {"result": rows}

    source.drive(perform, cache=cache)
    it = fork(source) if how == "forked" else made(load, run="later", beside=source)
    touched, touch = [], it.store.touch
    monkeypatch.setattr(it.store, "touch", lambda digest: touched.append(digest) or touch(digest))
    it.drive(cache=cache)
    assert it.states == {"load": "skipped"}
    assert touched == [rows.digest]


def test_a_node_is_looked_for_once_however_often_it_is_said_to_be_ready(made) -> None:
    class Read(dict):
        """Files that note how often they were read."""

        def get(self, path, default=None):
            seen.append(path)
            return super().get(path, default)

    seen = []
    nodes = [node(f"n{number}", reads=(f"/{number}",)) for number in range(3)]
    it = made(*nodes)
    it.left_by_a_dead_driver()
    it.files = Read()
    it.drive(change=it.change(changed(nodes[0], code="2")))
    assert sorted(seen) == sorted(2 * ["/0", "/1", "/2"]), "for the plan, and for its turn"
