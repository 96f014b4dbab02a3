"""The tutorial's first half in a real JupyterLab: a real run, watched from its own notebook."""

import shutil
from pathlib import Path

import nbformat
import pytest

pytestmark = pytest.mark.timeout(300)

EXAMPLES = Path(__file__).parents[2] / "notebooks"


def cells_until(last):
    """The tutorial's code cells up to and with the one that begins so."""
    book = nbformat.read(EXAMPLES / "tutorial.ipynb", as_version=4)
    sources = [cell.source for cell in book.cells if cell.cell_type == "code"]
    [end] = [index for index, source in enumerate(sources) if source.startswith(last)]
    return sources[: end + 1]


def test_the_panel_follows_a_run_while_the_notebook_waits_for_it(notebook, lab):
    shutil.copytree(
        EXAMPLES / "pipeline", lab.root / "pipeline", ignore=shutil.ignore_patterns(".nbflow")
    )
    cells = cells_until("run.wait()")
    book = notebook(*cells)
    waits = len(cells) - 1
    for index in range(waits):
        book.run(index)
    book.wait_for_row("report", "waiting", "waits for clean")

    book.start(waits)
    book.wait_for_row("load", "succeeded", "6/6")
    assert "[*]" in book.prompt(waits)
    book.wait_for_row("report", "succeeded", "10/10")
    book.wait_idle(waits)
    assert book.outputs(waits)[0]["text"].endswith(" succeeded\n")
    book.page.wait_for_selector(".nbflow-panel button:disabled")
    assert book.errors == []
