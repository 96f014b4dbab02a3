"""The panel in a real JupyterLab: it moves while the notebook's own cell is busy."""

import os
from pathlib import Path

import pytest

STAGE = Path(__file__).parents[1] / "support"

SETUP = f"""
import sys
sys.path.insert(0, {str(STAGE)!r})
from staged_run import *
from nbflow.core.events import CancelRequested
from nbflow.panels import RunPanel

stage = StagedRun()
panel = RunPanel(stage.view, stage.wait_changed, lambda: stage.do(CancelRequested("a click")))
"""

# The cell is busy until the test closes the pipe, and does what the test writes into it.
BUSY = """
with open("steps") as steps:
    for step in steps:
        exec(step)
"""


class Steps:
    """Makes things happen inside the busy cell, one line at a time."""

    def __init__(self, path):
        self._pipe = path.open("w", buffering=1)

    def do(self, step):
        self._pipe.write(step + "\n")

    def close(self):
        self._pipe.close()


@pytest.fixture
def live(notebook, lab):
    pipe = lab.root / "steps"
    os.mkfifo(pipe)
    book = notebook(SETUP, "panel", BUSY)
    book.run(0)
    book.run(1)
    book.page.wait_for_selector(".nbflow-panel tbody tr")
    book.start(2)
    steps = Steps(pipe)
    yield book, steps
    steps.close()
    pipe.unlink()


def wait_for_kept_text(book, index, text):
    book.page.wait_for_function(
        """([index, text]) => jupyterapp.shell.currentWidget.content.widgets[index]
             .model.toJSON().outputs[0].data['text/plain'] === text""",
        arg=[index, text],
    )


def button_says(book, text, *, enabled):
    book.page.wait_for_function(
        """([text, enabled]) => { const b = document.querySelector('.nbflow-panel button');
             return b.innerText.includes(text) && b.disabled !== enabled; }""",
        arg=[text, enabled],
    )


def test_rows_change_while_the_cell_is_busy(live):
    book, steps = live
    book.wait_for_row("load", "ready")
    button_says(book, "Cancel", enabled=True)

    steps.do("stage.start('load')")
    book.wait_for_row("load", "running", "127.0.0.1")
    steps.do("stage.cell('load', 3, 8, 4, 'df = read(path)')")
    book.wait_for_row("load", "3/8", "cell 4: df = read(path)")
    assert "[*]" in book.prompt(2)

    steps.do("stage.succeed('load').succeed('left')")
    steps.do("stage.fail('right', '<img src=x onerror=\"window.broken = 1\"> & <b>bad</b>')")
    book.wait_for_row("right", "failed", '<img src=x onerror="window.broken = 1"> & <b>bad</b>')
    book.wait_for_row("join", "skipped", "right failed")
    button_says(book, "Cancel", enabled=False)
    # What a saved notebook shows without the widget has followed.
    wait_for_kept_text(book, 1, "run sales-1: failed, 5/5 nodes")
    assert "[*]" in book.prompt(2)

    assert book.page.evaluate("window.broken === undefined")
    steps.close()
    book.wait_idle(2)
    assert book.errors == []


def test_cancel_button_asks_for_cancellation(live):
    book, steps = live
    steps.do("stage.start('load')")
    book.wait_for_row("load", "running")
    steps.close()  # clicks may wait for the end of a busy cell

    book.page.locator(".nbflow-panel button").click()
    book.wait_for_row("right", "cancelled")
    book.wait_for_row("load", "running")
    button_says(book, "Cancelling", enabled=False)
    assert book.errors == []
