"""From the end of a cell on a worker to the pixel: a real run in a real JupyterLab and browser.

A notebook's cells sleep, and say when they have ended. A thread of the driver's process notes when
the driver's view has it, the page when it draws the frame in which the table says so. All three
clocks are those of one machine.
"""

import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

SUPPORT = Path(__file__).parents[1] / "tests" / "support"

#: Starts the run, and notes when its view has how many cells are done.
SETUP = """
import json, threading, time
import nbformat, nbflow

# Not in step with anything that looks at certain times.
code = "import random, time\\ntime.sleep({sleep_s} * (0.5 + random.random()))\\nprint(time.time())"
cells = [nbformat.v4.new_code_cell(code) for _ in range({cells})]
nbformat.write(nbformat.v4.new_notebook(cells=cells), "cells.ipynb")
flow = nbflow.Flow("pixel")
flow.notebook("cells.ipynb")
run = flow.start()
viewed = {{}}

def look():
    while run.view().driven:
        told = run.view().progress.get("cells")
        if told is not None:
            viewed.setdefault(told.done, time.time())
        run.wait_changed(1.0)

watching = threading.Thread(target=look)
watching.start()
"""

#: The kernel is busy as long as the run goes.
WAIT = """
run.wait()
watching.join()
ended = [float(cell.outputs[0].text) for cell in run["cells"].notebook.cells if cell.outputs]
print(json.dumps(dict(ended=ended, viewed=viewed)))
"""

#: The page notes in which frame the table has so many cells as done.
WATCH = """
() => {
  const seen = window.seen = {};
  const look = () => {
    const cells = document.querySelector('.nbf-row[data-node="cells"] .nbf-c-cells')?.innerText;
    const done = parseInt(cells);
    if (done >= 0 && !(done in seen)) seen[done] = Date.now() / 1000;
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}
"""


@click.command()
@click.option("--cells", default=60, show_default=True)
@click.option("--sleep", "sleep_s", default=0.5, show_default=True, help="Seconds a cell, about.")
def pixel(cells: int, sleep_s: float) -> None:
    """Measure the way from a cell's end to the pixel, and its parts."""
    # Lazy: the browser is a dependency of the tests, which other benchmarks do without.
    sys.path.insert(0, str(SUPPORT))
    from lab_browser import Notebook, chromium, running_lab

    with tempfile.TemporaryDirectory() as folder:
        home, root = Path(folder, "home"), Path(folder, "notebooks")
        home.mkdir()
        root.mkdir()
        with running_lab(home, root) as lab, chromium(Path(folder, "profile")) as browser:
            setup = SETUP.format(cells=cells, sleep_s=sleep_s)
            book = Notebook(browser.new_page(), lab, "pixel.ipynb", [setup, "run.panel()", WAIT])
            told, seen = _watched(book)
            book.close()
    ended = dict(enumerate(told["ended"], start=1))
    viewed = {int(number): at for number, at in told["viewed"].items()}
    # The last one is told with the end of the attempt, which is another way.
    shared = [number for number in ended if number in viewed and number in seen][:-1]
    print(f"| from a cell's end, {len(shared)} of {cells} cells | median, ms | 95%, ms |")
    print("|---|---|---|")
    _print("to the driver's view", [viewed[each] - ended[each] for each in shared])
    _print("from there to the frame", [seen[each] - viewed[each] for each in shared])
    _print("in all, to the frame", [seen[each] - ended[each] for each in shared])


def _watched(book: Any) -> tuple[dict[str, Any], dict[int, float]]:
    """Return what the kernel has noted, and when the page has drawn how many cells."""
    book.run(0)
    book.run(1)
    book.panel().show("Table")
    book.page.evaluate(WATCH)
    book.start(2)
    book.panel().wait_for_row("cells", "succeeded")
    book.wait_idle(2)
    told = json.loads(book.outputs(2)[0]["text"])
    return told, {int(done): at for done, at in book.page.evaluate("() => window.seen").items()}


def _print(way: str, late_s: list[float]) -> None:
    ordered = sorted(late_s)
    middle_ms, most_ms = 1000 * statistics.median(ordered), 1000 * ordered[int(0.95 * len(ordered))]
    print(f"| {way} | {middle_ms:.0f} | {most_ms:.0f} |")
