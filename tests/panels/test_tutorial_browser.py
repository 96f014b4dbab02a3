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


@pytest.fixture
def pipeline(lab):
    shutil.copytree(
        EXAMPLES / "pipeline", lab.root / "pipeline", ignore=shutil.ignore_patterns(".nbflow")
    )
    return lab.root / "pipeline"


def test_the_panel_follows_a_run_while_the_notebook_waits_for_it(notebook, pipeline):
    cells = cells_until("run.wait()")
    book = notebook(*cells)
    waits = len(cells) - 1
    for index in range(waits):
        book.run(index)
    panel = book.panel()
    panel.wait_for_row("report", "waiting")

    book.start(waits)
    panel.wait_for_row("load", "succeeded", "6/6")
    # A click is taken while the cell is busy.
    panel.choose("clean", "Cells")
    panel.wait_for_text(".nbf-node", "cell 1")
    assert "[*]" in book.prompt(waits)
    panel.wait_for_row("report", "succeeded", "10/10")
    book.wait_idle(waits)
    assert book.outputs(waits)[0]["text"].endswith(" succeeded\n")
    panel.wait_for_text(".nbf-head", "6/6 nodes")
    panel.choose("report", "Cells")
    book.page.wait_for_selector(".nbf-cell img")
    assert book.errors == []


SLOW = """
import time, nbflow

flow = nbflow.Flow("slow")
mended = []

@flow.task
def first(folder=".") -> int:
    from pathlib import Path
    if not Path("mended").exists():
        raise ValueError("not mended")
    return 1

@flow.task(after=[first])
def second() -> int:
    import time
    while True:
        time.sleep(0.1)

run = flow.start()
"""


def test_a_run_is_retried_cancelled_and_attached_to_after_a_restart(notebook, lab):
    book = notebook(SLOW, "run", "import nbflow; nbflow.attach(nbflow.runs()[-1].id)")
    book.run(0)
    book.run(1)
    panel = book.panel()
    panel.wait_for_text(".nbf-strip", "not mended")
    panel.wait_for_row("second", "skipped")

    (lab.root / "mended").touch()
    panel.choose("first")
    panel.click(".nbf-node .nbf-act", "Retry")
    panel.wait_for_row("first", "succeeded")
    panel.wait_for_row("second", "running")

    panel.click(".nbf-buttons .nbf-act", "Cancel")
    panel.click(".nbf-yes", "Yes, cancel")
    panel.wait_for_row("second", "cancelled")
    panel.wait_for_text(".nbf-status", "cancelled")

    book.restart()
    panel.wait_for_text(".nbf-gone", "disconnected: nbflow.attach(")
    book.run(2)
    attached = book.panel(1)
    attached.wait_for_row("second", "cancelled")
    attached.wait_for_text(".nbf-buttons", "Resume")
    assert book.errors == []
