"""The panel in a real JupyterLab: it moves, and takes clicks, while the notebook's cell is busy."""

import os
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe

STAGE = Path(__file__).parents[1] / "support"

SETUP = f"""
import sys
sys.path.insert(0, {str(STAGE)!r})
from shown_run import *
from staged_run import node
from nbflow.core.findings import *
from nbflow.panels import RunPanel
"""

STAGED = """
stage = ShownRun()
panel = RunPanel(stage, clock=stage.clock)
"""

# The cell is busy until the test closes the pipe, and does what the test writes into it.
BUSY = """
with open("steps") as steps:
    for step in steps:
        exec(step)
"""

HOSTILE = "<img src=x onerror='window.broken = 1'><script>window.broken = 1</script>"


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
    book = notebook(SETUP + STAGED, "panel", BUSY)
    book.run(0)
    book.run(1)
    panel = book.panel()
    book.start(2)
    steps = Steps(pipe)
    yield book, panel, steps
    steps.close()
    pipe.unlink()


def wait_for_kept_text(book, index, text):
    book.page.wait_for_function(
        """([index, text]) => jupyterapp.shell.currentWidget.content.widgets[index]
             .model.toJSON().outputs[0].data['text/plain'] === text""",
        arg=[index, text],
    )


def test_rows_change_while_the_cell_is_busy(live):
    book, panel, steps = live
    panel.wait_for_row("load", "ready")
    panel.wait_for_row("join", "waits for left, right")

    steps.do("stage.start('load')")
    panel.wait_for_row("load", "running", "127.0.0.1")
    steps.do("stage.cell('load', 3, 8, 4, 'df = read(path)').use('load', 150, 200_000_000)")
    panel.wait_for_row("load", "3/8", "150%", "200 MB")
    assert "[*]" in book.prompt(2)

    steps.do("stage.succeed('load').succeed('left')")
    steps.do("stage.fail('right', 'bad input')")
    panel.wait_for_row("right", "failed")
    panel.wait_for_row("join", "skipped")
    panel.wait_for_text(".nbf-status", "failed")
    # What a saved notebook shows without the widget has followed.
    wait_for_kept_text(book, 1, "run sales-1: failed, 5/5 nodes")
    assert "[*]" in book.prompt(2)
    steps.close()
    book.wait_idle(2)
    assert book.errors == []


def test_clicks_are_taken_while_the_cell_is_busy(live):
    book, panel, steps = live
    steps.do("stage.lines['load'] = [Line('read 100 rows'), Line('careful', 'stderr', 4)]")
    steps.do("stage.start('load')")
    panel.choose("load", "Logs")
    panel.wait_for_text(".nbf-node", "read 100 rows")

    steps.do("stage.refusal = OSError('the journal is full')")
    panel.click(".nbf-buttons .nbf-act", "Cancel")
    panel.click(".nbf-yes", "Yes, cancel")
    panel.wait_for_text(".nbf-foot", "cancel: refused, OSError: the journal is full")

    steps.do("stage.refusal = None")
    panel.click(".nbf-buttons .nbf-act", "Cancel")
    panel.click(".nbf-yes", "Yes, cancel")
    panel.wait_for_row("right", "cancelled")
    panel.wait_for_row("load", "running")
    panel.wait_for_text(".nbf-buttons", "Cancelling")
    assert "[*]" in book.prompt(2)
    assert book.errors == []


def test_foreign_text_stays_text(live, lab):
    book, panel, steps = live
    steps.do(f"bad = {HOSTILE!r}")
    steps.do("from nbflow.core.findings import Finding, FindingKind")
    steps.do(
        "stage.diagnosis = Diagnosis(run_id='r', status='running', findings=(Finding(node='load', "
        "kind=FindingKind.FAILED, severity='failed', summary=bad, suggestions=(bad,), "
        "evidence={'x': bad}, logs=(bad,)),))"
    )
    steps.do("page = {'text/html': bad, 'text/plain': bad}")
    steps.do(
        "svg = {'image/svg+xml': '<svg xmlns=\"http://www.w3.org/2000/svg\">' + bad + '</svg>'}"
    )
    steps.do(
        "stage.keep_notebook('load', 'load.json', (bad, 'completed', ["
        "{'output_type': 'stream', 'name': 'stdout', 'text': bad}, "
        "{'output_type': 'display_data', 'data': page}, "
        "{'output_type': 'display_data', 'data': svg}]))"
    )
    steps.do("stage.lines['load'] = [Line(bad)]")
    steps.do("stage.start('load', worker=bad).cell('load', 1, 2, 1, bad)")
    panel.wait_for_text(".nbf-strip", HOSTILE)
    panel.choose("load", "Logs")
    panel.wait_for_text(".nbf-log", HOSTILE)
    panel.choose("load", "Cells")
    panel.wait_for_text(".nbf-cell", HOSTILE)
    panel.click(".nbf-cell summary", "as a page")
    book.page.wait_for_selector(".nbf-frame")
    steps.do("stage.fail('load', bad)")
    panel.choose("load", "Overview")
    panel.wait_for_text(".nbf-body", HOSTILE)
    for tab in ("Attempts", "Story"):
        panel.choose("load", tab)
        panel.wait_for_text(".nbf-body table", HOSTILE)
    assert book.page.evaluate("window.broken === undefined")
    assert panel.js("el => el.querySelectorAll('script').length") == 0
    assert panel.js("el => el.querySelector('iframe')?.getAttribute('sandbox') ?? ''") == ""


def test_it_survives_a_reload_and_a_second_view(notebook):
    book = notebook(SETUP + STAGED, "panel", "panel", "stage.succeed('load').start('left')")
    for index in range(3):
        book.run(index)
    book.panel(1).wait_for_row("load", "ready")
    book.run(3)
    for view in (0, 1):
        book.panel(view).wait_for_row("left", "running")
    book.reload()
    for view in (0, 1):
        book.panel(view).wait_for_row("load", "succeeded")
    book.start(3)  # an error: it has succeeded
    book.panel(0).choose("left", "Story")
    book.panel(1).wait_for_text(".nbf-node", "AttemptStarted")


def test_it_says_when_the_kernel_has_gone(notebook):
    book = notebook(SETUP + STAGED, "panel")
    book.run(0)
    book.run(1)
    panel = book.panel()
    book.restart()
    panel.wait_for_text(".nbf-gone", 'disconnected: nbflow.attach("sales-1").panel()')
    assert panel.js("el => el.querySelector('.nbf-buttons .nbf-act').disabled")


def test_the_keyboard_does_it_all(notebook):
    book = notebook(SETUP + STAGED, "stage.succeed('load').fail('right'); panel")
    book.run(0)
    book.run(1)
    panel = book.panel()
    panel.wait_for_row("right", "failed")
    grid = ".nbf-table .nbf-scroll"
    panel.key(grid, "j")
    panel.key(grid, "j")
    panel.key(grid, "k")
    panel.key(grid, "Enter")
    panel.wait_for_text(".nbf-node .nbf-name", "load")
    panel.key(grid, "f")
    panel.wait_for_text(".nbf-node .nbf-name", "right")
    panel.key(grid, "/")
    assert panel.js("el => document.activeElement === el.querySelector('input[type=search]')")
    book.page.keyboard.type("joi")
    panel.wait_for_text(".nbf-bar", "1 of 5 nodes")
    panel.key(".nbf-node .nbf-tabs button", "Escape")
    panel.show("Graph")
    panel.key("canvas", "ArrowRight")
    panel.key("canvas", "ArrowRight")
    panel.key("canvas", "Enter")
    panel.wait_for_text(".nbf-node .nbf-name", "report")
    assert book.errors == []


# Whether the graph's canvas has some pixels of each of these states' colours.
DRAWN = """
states => {
  const panel = document.querySelector('.nbf');
  const canvas = panel?.querySelector('.nbf-graph canvas');
  if (!canvas?.width) return false;
  const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  const found = new Map();
  for (let i = 0; i < data.length; i += 4) {
    if (data[i + 3] < 250) continue;
    const key = [data[i], data[i + 1], data[i + 2]].join();
    found.set(key, (found.get(key) || 0) + 1);
  }
  const wanted = states.map(
    state => panel.style.getPropertyValue(`--nbf-fill-${state}`).slice(4, -1).replaceAll(' ', ''));
  return new Set(wanted).size === states.length && wanted.every(colour => found.get(colour) > 20);
}
"""


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_the_graph_is_drawn_in_the_colours_of_the_theme(notebook, theme):
    book = notebook(SETUP + STAGED, "stage.succeed('load').start('left').fail('right'); panel")
    book.run(0)
    book.run(1)
    book.theme(theme)
    book.page.wait_for_function(DRAWN, arg=["succeeded", "running", "failed"])
    assert book.errors == []


def test_a_large_flow_is_drawn_as_groups_that_open(notebook):
    large = """
def before(i):
    return [f"part{(i - 1) % 6}/n{i - 1}"] if i % 6 else []

nodes = [node(f"part{i % 6}/n{i}", after=before(i)) for i in range(600)]
stage = ShownRun(*nodes, step_s=0.0)
panel = RunPanel(stage, clock=stage.clock)
"""
    book = notebook(SETUP + large, "panel")
    book.run(0)
    book.run(1)
    panel = book.panel()
    panel.wait_for_row("part0/n0", "ready")
    assert panel.js("el => el.querySelectorAll('.nbf-window .nbf-row').length") < 40
    panel.show("Graph")
    panel.key("canvas", "ArrowRight")
    panel.wait_for_text(".nbf-live", "part0/ × 100 nodes")  # noqa: RUF001 - a sign of multiplication
    panel.key("canvas", "Enter")
    panel.wait_for_text(".nbf-tools", "⊟")
    panel.click(".nbf-tools button", "⊟")
    book.page.wait_for_function(
        "() => document.querySelector('.nbf-tools button:last-child').hidden"
    )
    assert book.errors == []


def serious(page):
    """What axe-core finds in the panel that keeps people out."""
    found = Axe().run(page, context=".nbf").response["violations"]
    return [
        (each["id"], each["nodes"][0]["html"][:200], each["nodes"][0]["failureSummary"])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


def test_axe_finds_nothing_serious(notebook):
    finding = """
finding = Finding(node='right', kind=FindingKind.FAILED, severity='failed', summary='right failed',
                  suggestions=('mend it',), evidence={'a': 1}, logs=('x',))
stage.diagnosis = Diagnosis(run_id='r', status='running', findings=(finding,))
stage.succeed('load').start('left').fail('right'); stage.lines['right'] = [Line('one')]
panel
"""
    book = notebook(SETUP + STAGED, finding)
    book.run(0)
    book.run(1)
    panel = book.panel()
    panel.wait_for_text(".nbf-strip", "mend it")
    for view in ("Table", "Timeline", "Graph"):
        panel.choose("right", {"Table": "Overview", "Timeline": "Story", "Graph": "Logs"}[view])
        panel.wait_for_text(
            ".nbf-body", {"Table": "mend it", "Timeline": "AttemptFailed", "Graph": "one"}[view]
        )
        panel.show(view)
        assert serious(book.page) == []
