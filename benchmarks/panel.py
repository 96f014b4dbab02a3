"""What the panel costs and how quick it is: a synthetic run in a real JupyterLab and browser.

The kernel drives a run of so many nodes at a steady rate, while the browser shows its panel. The
time from an event to the pixel is taken by clocks of one machine: the kernel notes when it has let
a node start, the page when it has drawn a frame with it.
"""

import json
import statistics
import sys
import tempfile
from pathlib import Path

import click

SUPPORT = Path(__file__).parents[1] / "tests" / "support"

SETUP = """
import sys, threading, time, json
sys.path.insert(0, {support!r})
from shown_run import *
from staged_run import node
from nbflow.core.events import AttemptStarted
from nbflow.panels import RunPanel
import random

rng = random.Random(0)
def before(i):
    return sorted(rng.sample(range(max(0, i - 50), i), min(i, 2)))

nodes = [
    node(f"step{{i % 40}}/n{{i}}", after=[f"step{{j % 40}}/n{{j}}" for j in before(i)])
    for i in range({nodes})
]
stage = ShownRun(*nodes, at=time.time(), step_s=0.0)
stage.now = time.time()
began = time.perf_counter()
panel = RunPanel(stage)
print(round(time.perf_counter() - began, 3))
"""

#: The kernel lets nodes start and end, `rate` of them a second, and samples what runs.
DRIVE = """
from collections import deque
channel = panel.widget.feed.channel
messages, size = channel.messages, channel.size_bytes
cpu = 0.0
nodes = stage.run.nodes.items()
started, ready = {{}}, deque(name for name, each in nodes if each.state == "ready")
running, begin, count = deque(), time.perf_counter(), 0
own = time.thread_time()
process = time.process_time()
while time.perf_counter() - begin < {seconds}:
    stage.now = time.time()
    if ready and len(running) < 40:
        name = ready.popleft()
        stage.start(name)
        started[name] = time.time()
        running.append(name)
    else:
        name = running.popleft()
        stage.cell(name, 3, 8, 2, "fit()")
        stage.succeed(name)
        ready.extend(n for n in stage.run.graph.downstream[name] if stage.run[n].state == "ready")
    count += 1
    wait = begin + count / {rate} - time.perf_counter()
    if wait > 0:
        time.sleep(wait)
took = time.perf_counter() - begin
panel_cpu = time.process_time() - process - (time.thread_time() - own)
print(json.dumps(dict(
    started=started, transitions=count / took, messages_per_s=(channel.messages - messages) / took,
    bytes_per_s=(channel.size_bytes - size) / took, cpu_percent=100 * panel_cpu / took)))
"""

#: The page notes when it has drawn a node as running for the first time.
WATCH = """
() => {
  const seen = window.seen = {};
  const store = () => document.querySelector('.nbf').store_;
  const look = () => {
    const s = store();
    for (let i = 0; i < s.n; i += 1) {
      const name = s.structure.names[i];
      if (!(name in seen) && Number.isFinite(s.started[i])) seen[name] = Date.now() / 1000;
    }
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}
"""

#: Frames while a person scrolls the table, or zooms the graph.
FRAMES = """
([what, seconds]) => new Promise(done => {
  const panel = document.querySelector('.nbf');
  const scroller = panel.querySelector('.nbf-table .nbf-scroll');
  const canvas = panel.querySelector('canvas');
  const began = performance.now();
  let frames = 0;
  const step = () => {
    frames += 1;
    if (what === 'scroll') scroller.scrollTop += 120;
    else canvas.dispatchEvent(new WheelEvent('wheel', {
      ctrlKey: true, deltaY: frames % 40 < 20 ? -20 : 20, bubbles: true, cancelable: true}));
    const took = (performance.now() - began) / 1000;
    if (took < seconds) requestAnimationFrame(step); else done(frames / took);
  };
  requestAnimationFrame(step);
})
"""


@click.command()
@click.option("--nodes", default=5_000, show_default=True)
@click.option("--rate", default=100.0, show_default=True, help="Transitions a second.")
@click.option("--seconds", default=20.0, show_default=True)
def panel(nodes: int, rate: float, seconds: float) -> None:
    """Measure the panel in JupyterLab: first paint, latency, frames, messages, processor time."""
    # Lazy: the browser is a dependency of the tests, which other benchmarks do without.
    sys.path.insert(0, str(SUPPORT))
    from lab_browser import Notebook, chromium, running_lab

    with tempfile.TemporaryDirectory() as folder:
        home, root = Path(folder, "home"), Path(folder, "notebooks")
        home.mkdir()
        root.mkdir()
        with running_lab(home, root) as lab, chromium(Path(folder, "profile")) as browser:
            setup = SETUP.format(support=str(SUPPORT), nodes=nodes)
            drive = DRIVE.format(seconds=seconds, rate=rate)
            book = Notebook(browser.new_page(), lab, "panel.ipynb", [setup, "panel", drive])
            book.run(0)
            rows = [("panel made, s", float(book.outputs(0)[0]["text"]))]
            rows += _measure(book, seconds)
            book.close()
    print(f"| {nodes:,} nodes | |\n|---|---|")
    for label, value in rows:
        print(f"| {label} | {value:.3g} |")


def _measure(book, seconds: float):
    page = book.page
    page.evaluate("() => { window.asked = performance.now(); }")
    book.start(1)
    page.wait_for_function("() => document.querySelector('.nbf')?.dataset.firstPaint")
    at = page.evaluate("() => +document.querySelector('.nbf').dataset.firstPaint - window.asked")
    yield "first paint after the cell was run, s", at / 1000
    page.evaluate(WATCH)
    book.start(2)
    yield "frames/s, zooming the graph", page.evaluate(FRAMES, ["zoom", seconds / 4])
    book.panel().show("Table")
    yield "frames/s, scrolling the table", page.evaluate(FRAMES, ["scroll", seconds / 4])
    book.wait_idle(2)
    told = json.loads(book.outputs(2)[0]["text"])
    seen = page.evaluate("() => window.seen")
    late = sorted(seen[name] - at for name, at in told["started"].items() if name in seen)
    yield "event to frame, median, ms", 1000 * statistics.median(late)
    yield "event to frame, 95%, ms", 1000 * late[int(0.95 * len(late))]
    yield "transitions/s", told["transitions"]
    yield "messages/s", told["messages_per_s"]
    yield "kB/s", told["bytes_per_s"] / 1000
    yield "panel's processor time in the kernel, % of a core", told["cpu_percent"]
