"""A notebook's file is the newest attempt's, whoever saves last."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from nbflow.core.ids import AttemptId
from nbflow.notebooks.authors import Author, Authorship, Superseded
from nbflow.notebooks.metadata import Metadata
from nbflow.notebooks.reading import read_notebook
from nbflow.notebooks.splicing import SplicedFile
from nbflow.notebooks.writing import to_bytes


class Attempt:
    """An attempt that saves its notebook at `path`."""

    def __init__(self, path, number=1, epoch=1, run="r", began_at=1000.0):
        author = Author.of(AttemptId(run, "n", number, epoch), began_at)
        written = new_notebook(cells=[new_code_cell(f"{run} {epoch} {number}")])
        self.notebook = read_notebook(to_bytes(written), "n.ipynb")
        Metadata(
            self.notebook, clock=lambda: 1000.0, changed=lambda _: None, author=author
        ).notebook_start()
        self.file = SplicedFile(path, Authorship(author))

    def save(self):
        self.file.plan(self.notebook, 0)()


@pytest.fixture
def place(tmp_path):
    return tmp_path / "n.ipynb"


@pytest.fixture
def attempt(place):
    made = []

    def make(**fields):
        made.append(Attempt(place, **fields))
        return made[-1]

    yield make
    for each in made:
        each.file.close()


def content(place):
    return nbformat.read(place, as_version=4).cells[0].source


@pytest.mark.parametrize(
    "newer", [{"number": 2}, {"number": 2, "epoch": 2}, {"number": 1, "epoch": 2}]
)
@pytest.mark.parametrize("has_saved", [True, False])
def test_an_older_attempt_does_not_replace_what_a_newer_one_has_saved(
    attempt, place, newer, has_saved
) -> None:
    old, new = attempt(), attempt(**newer)
    if has_saved:
        old.save()
    new.save()
    for _ in range(2):
        with pytest.raises(Superseded, match="has written it"):
            old.save()
    assert content(place) == new.notebook.cells[0].source
    new.save()
    assert list(place.parent.iterdir()) == [place]


def test_an_attempt_replaces_what_is_older_or_nobodys(attempt, place) -> None:
    for text in ("", "{}", '{"metadata": {"nbflow": {"attempt": 3}}}', "\0"):
        place.write_text(text)
        attempt().save()
    for fields in ({"number": 2}, {"number": 3, "epoch": 2}, {"run": "another"}):
        attempt(**fields).save()
    assert content(place) == "another 1 1"


def test_an_attempt_goes_on_after_somebody_has_edited_or_removed_its_file(attempt, place) -> None:
    one = attempt()
    one.save()
    edited = nbformat.read(place, as_version=4)
    edited.cells[0].source = "mine"
    place.unlink()
    nbformat.write(edited, place)
    one.save()
    assert content(place) == "r 1 1"
    place.unlink()
    one.save()
    assert content(place) == "r 1 1"


def test_what_another_run_has_brought_meanwhile_is_left_alone(attempt, place) -> None:
    # As when a driver that resumes finds the node's result in a cache.
    old = attempt()
    old.save()
    attempt(run="cached").save()
    with pytest.raises(Superseded):
        old.save()


def test_a_run_whose_id_was_used_before_is_the_newer_one(attempt, place) -> None:
    attempt(number=5, epoch=3, began_at=1000.0).save()
    attempt(began_at=1000.0 + 3600).save()
    assert content(place) == "r 1 1"


def test_half_a_version_of_a_killed_attempt_is_cleared_away(attempt, place) -> None:
    left = place.with_name(f".{place.name}.part")
    left.write_text("half")
    attempt().save()
    assert list(place.parent.iterdir()) == [place]


def test_a_notebook_that_was_executed_before_does_not_pass_for_its_earlier_attempts(place) -> None:
    first = Attempt(place)
    Metadata(first.notebook, clock=lambda: 0.0, changed=lambda _: None).notebook_start()
    assert "attempt" not in first.notebook.metadata.nbflow
