"""The tutorial, from its first cell to its last, as Jupyter runs it."""

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter

pytestmark = pytest.mark.timeout(600)

WIDGET = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(scope="module")
def tutorial(examples):
    """The executed tutorial, stored as JupyterLab does: without the state of its widgets."""
    book = nbformat.read(examples.folder / "tutorial.ipynb", as_version=4)
    place = {"metadata": {"path": str(examples.folder)}}
    NotebookClient(book, timeout=300, store_widget_state=False, resources=place).execute()
    nbformat.validate(book)
    return book


def outputs_of(book, beginning):
    """The outputs of the cell that begins so."""
    [cell] = [cell for cell in book.cells if cell.source.startswith(beginning)]
    return cell.outputs


def printed(book, beginning):
    outputs = outputs_of(book, beginning)
    return "".join(output.text for output in outputs if output.output_type == "stream")


def test_the_run_shows_itself_as_a_panel(tutorial):
    [panel] = outputs_of(tutorial, "run = flow.start(")
    assert WIDGET in panel.data
    assert ">models/forest</th>" in panel.data["text/html"]
    assert printed(tutorial, "run.wait()").endswith(" succeeded\n")


def test_the_graph_shows_how_each_node_ended(tutorial):
    [graph] = outputs_of(tutorial, "run.graph()")
    assert graph.data["image/svg+xml"].count(">✓ succeeded · notebook<") == 6
    [same] = outputs_of(tutorial, "same = ")
    assert same.data["image/svg+xml"].count(">notebook<") == 6


def test_results_are_what_the_text_says(tutorial):
    assert printed(tutorial, "best = ") in (
        f"the best model is {n}\n" for n in ("forest", "linear")
    )
    assert printed(tutorial, 'print(run["report"].notebook_path)').endswith("/report.ipynb\n")
    [picture] = outputs_of(tutorial, "from IPython.display")
    assert picture.data["image/png"]


def test_a_failure_is_told_mended_and_resumed(tutorial):
    assert "publish: " in printed(tutorial, "import tempfile")
    said = printed(tutorial, 'print(second["publish"]')
    assert said.startswith("failed: ")
    assert "Cannot save file into a non-existent directory" in said
    assert printed(tutorial, "folder.mkdir()") == "succeeded means.csv\n"
    load, publish = printed(tutorial, "for name in").split("publish\n")
    assert load.count("AttemptStarted") == 1
    assert publish.count("AttemptStarted") == 2
    assert publish.endswith("AttemptSucceeded\n")
    assert printed(tutorial, "print(nbflow.attach(") == "succeeded\n"


def test_the_stored_notebook_shows_its_panels_without_widgets(tutorial):
    page, _ = HTMLExporter().from_notebook_node(tutorial)
    assert page.count(">models/forest</th>") == 1
    assert page.count(">publish</th>") == 2
    assert WIDGET not in page
