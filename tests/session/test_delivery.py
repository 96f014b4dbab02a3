"""What is left to bring somewhere when a run has ended."""

import gc
from types import SimpleNamespace

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from nbflow.core.errors import NotDelivered
from nbflow.core.spec import NotebookCode, PapermillForm
from nbflow.session.delivery import deliver
from nbflow.session.importing import without_collection

OUTPUTS = [
    new_output("stream", name="stdout", text="one\n"),
    new_output("stream", name="stderr", text="careful\n"),
    new_output("stream", name="stdout", text="two\n"),
    new_output("display_data", data={"text/plain": "x"}),
]
BOOK = new_notebook(cells=[new_code_cell("…", outputs=OUTPUTS)])
DATA = nbformat.writes(BOOK).encode()


class Run(dict):
    """A run of one node that has ended."""

    def __init__(self, form, *, data=DATA, kept="kept.ipynb"):
        super().__init__(a=SimpleNamespace(notebook_bytes=data, notebook=BOOK, notebook_path=kept))
        nodes = {"a": SimpleNamespace(code=NotebookCode("in.ipynb", papermill=form))}
        self._view = SimpleNamespace(run=SimpleNamespace(graph=SimpleNamespace(nodes=nodes)))

    def view(self):
        return self._view


def test_what_a_worker_has_saved_stays_as_it_is(tmp_path):
    path = tmp_path / "out.ipynb"
    path.write_bytes(DATA)
    before = path.stat()
    deliver(Run(PapermillForm(saved_to=str(path))))
    assert path.stat() == before


@pytest.mark.parametrize("stale", [None, b"of an earlier run", b"x" * len(DATA)])
def test_what_no_worker_could_save_is_written_here(tmp_path, stale):
    path = tmp_path / "deep" / "out.ipynb"
    if stale is not None:
        path.parent.mkdir()
        path.write_bytes(stale)
    deliver(Run(PapermillForm(saved_to=str(path))))
    assert path.read_bytes() == DATA


def test_prints_that_no_worker_could_write_come_out_of_the_notebook(tmp_path):
    out, err = tmp_path / "o.txt", tmp_path / "e.txt"
    out.touch()
    err.write_text("written by the worker\n")
    deliver(Run(PapermillForm(stdout_file=str(out), stderr_file=str(err))))
    assert out.read_text() == "one\ntwo\n"
    assert err.read_text() == "written by the worker\n"


def test_a_notebook_that_never_began_leaves_nothing(tmp_path):
    path = tmp_path / "out.ipynb"
    deliver(Run(PapermillForm(delivered_to=str(path)), data=None))
    assert not path.exists()


def test_a_place_that_cannot_be_written_is_told_with_the_place_where_it_is_kept(tmp_path):
    (tmp_path / "file").touch()
    target = str(tmp_path / "file" / "out.ipynb")
    with pytest.raises(NotDelivered, match=r"could not be written to .*\. It is kept as kept"):
        deliver(Run(PapermillForm(delivered_to=target)))
    with pytest.raises(NotDelivered, match="See nbflow show"):
        deliver(Run(PapermillForm(saved_to=target), kept=target))
    with pytest.raises(NotDelivered, match="no io handler for ftp"):
        deliver(Run(PapermillForm(delivered_to="ftp://host/out.ipynb")))


def test_collection_is_off_while_modules_are_imported_and_then_as_before():
    assert gc.isenabled()
    with without_collection():
        assert not gc.isenabled()
        with without_collection():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
