"""What it costs a run to be seen: the probe on its worker, and the panel in the driver's process.

The same run again and again, in turn: with neither, with the probe, with both. Its notebooks
compute, print and rest; their work is counted in steps, not in seconds. The panel has a front end
that takes each message at once; what a browser does with it, on whatever machine, does not count.

Cells take more or less processor time as the machine is busy with others, so that of worker and
driver, where probe and panel live, is what is compared; as a share of what all have used.
"""

import contextlib
import statistics
import tempfile
import time
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import click
import nbformat
import psutil
from distributed import LocalCluster
from jupyter_client.session import Session

import nbflow

#: A cell takes about a quarter of a second of one core, and rests for a moment.
_CELL = """
import time
total = 0
for step in range(40):
    total += sum(i * i for i in range(80_000))
    if step % 10 == 0:
        print(step, total)
time.sleep(0.05)
"""
_WORKER = "benchmarks.watched_worker"


class _Side(NamedTuple):
    probe: bool
    panel: bool


class _Cost(NamedTuple):
    elapsed_s: float
    #: Of driver and worker.
    ours_s: float
    #: Of all processes.
    cpu_s: float


_SIDES = {
    "neither": _Side(probe=False, panel=False),
    "probe": _Side(probe=True, panel=False),
    "probe and panel": _Side(probe=True, panel=True),
}


@click.command()
@click.option("--nodes", default=10, show_default=True)
@click.option("--cells", default=4, show_default=True, help="Cells a node.")
@click.option("--rounds", default=15, show_default=True)
def seeing(nodes: int, cells: int, rounds: int) -> None:
    """Measure what probe and panel cost a run."""
    costs: dict[str, list[_Cost]] = {name: [] for name in _SIDES}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as ends:
        notebook = Path(folder, "work.ipynb")
        code = [nbformat.v4.new_code_cell(_CELL) for _ in range(cells)]
        nbformat.write(nbformat.v4.new_notebook(cells=code), notebook)
        front_end = ends.enter_context(ThreadPoolExecutor(1))
        clusters = {probe: ends.enter_context(_cluster(probe, folder)) for probe in (False, True)}
        # What only the first run of a worker needs does not count.
        for number in range(-1, rounds):
            # Nobody is always the first, or behind the same other.
            order = list(_SIDES.items())[:: 1 if number % 2 else -1]
            for name, side in order[number % 3 :] + order[: number % 3]:
                shown = front_end if side.panel else None
                cost = _run(notebook, nodes, clusters[side.probe], shown)
                if number >= 0:
                    costs[name].append(cost)
    head = ("elapsed, s", "more", "driver's and worker's CPU, s", "more, of all CPU")
    print(f"| {nodes} notebooks of {cells} cells | " + " | ".join(head) + " |")
    print("|---|---|---|---|---|")
    for name, ours in costs.items():
        print(_row(name, ours, costs["neither"]))


def _row(name: str, ours: list[_Cost], bare: list[_Cost]) -> str:
    # Both sides of a ratio are of one round: a machine is not as busy at all times.
    pairs = list(zip(ours, bare, strict=True))
    longer = [own.elapsed_s / other.elapsed_s - 1 for own, other in pairs]
    more = [(own.ours_s - other.ours_s) / other.cpu_s for own, other in pairs]
    elapsed_s = statistics.median(each.elapsed_s for each in ours)
    used_s = statistics.median(each.ours_s for each in ours)
    return f"| {name} | {elapsed_s:.2f} | {_percent(longer)} | {used_s:.2f} | {_percent(more)} |"


def _percent(shares: list[float]) -> str:
    low, middle, high = statistics.quantiles(shares, n=4)
    return f"{100 * middle:+.1f}% (half of them {100 * low:+.1f} to {100 * high:+.1f})"


def _cluster(probe: bool, folder: str) -> LocalCluster:
    return LocalCluster(
        n_workers=1,
        threads_per_worker=2,
        memory_limit=0,
        dashboard_address=None,
        local_directory=folder,
        preload=_WORKER,
        preload_argv=[] if probe else ["--unprobed"],
    )


def _run(notebook: Path, nodes: int, cluster: LocalCluster, front_end: Executor | None) -> _Cost:
    """Run the notebook as so many nodes, with a panel if there is a front end."""
    flow = nbflow.Flow("bench", base_dir=notebook.parent)
    for number in range(nodes):
        flow.notebook(notebook, name=f"n{number}")
    worker = psutil.Process(next(iter(cluster.workers.values())).pid)
    began_s, ours_s, cpu_s = time.perf_counter(), _used_s(worker), _tree_s()
    run = flow.start(home=notebook.parent, cluster=cluster)
    if front_end is not None:
        _shown(run.panel().widget, front_end)
    run.wait()
    elapsed_s = time.perf_counter() - began_s
    cost = _Cost(elapsed_s, _used_s(worker) - ours_s, _tree_s() - cpu_s)
    if run.status != "succeeded":
        raise RuntimeError(f"{run.id}: {run.status}, {run['n0'].reason}")
    return cost


def _shown(widget: Any, front_end: Executor) -> None:
    """Show a panel to somebody who takes everything at once."""
    session, feed = Session(), widget.feed
    feed.channel.answers_come = True

    def take(content: dict[str, Any], _: object = None) -> None:
        session.serialize(session.msg("comm_msg", {"data": {"method": "custom", **content}}))
        # In another thread, as in a kernel: who sends holds the channel.
        front_end.submit(feed.heard, content["seq"])

    widget.send = take


def _used_s(worker: psutil.Process) -> float:
    return sum(sum(each.cpu_times()[:2]) for each in (psutil.Process(), worker))


def _tree_s() -> float:
    here = psutil.Process()
    # What has ended counts in its parent's, children's own.
    return sum(sum(each.cpu_times()[:4]) for each in [here, *here.children(recursive=True)])
