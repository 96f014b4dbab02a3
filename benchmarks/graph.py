"""What a durable graph costs: no-op function nodes against the same graph in raw Dask.

Both run on one `LocalCluster`, one after the other, several times. nbflow's time is the whole of
`Flow.run`: checking, journaling every event with an fsync, driving. Dask's is the
whole of `Client.get`, with real dependencies between its tasks.
"""

import gc
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import psutil
from distributed import Client, LocalCluster

import nbflow
from nbflow.core import events as ev


def noop(*inputs, **named):
    """Do nothing."""
    return 0


#: Each shape gives, for the number of nodes, the nodes that each one waits for.
def chain(count: int) -> list[list[int]]:
    return [[i - 1] if i else [] for i in range(count)]


def fan(count: int) -> list[list[int]]:
    return [[] for _ in range(count - 1)] + [list(range(count - 1))]


def scattered(count: int) -> list[list[int]]:
    rng = random.Random(0)
    return [sorted(rng.sample(range(max(0, i - 50), i), min(i, 2))) for i in range(count)]


SHAPES: dict[str, Callable[[int], list[list[int]]]] = {
    "chain": chain,
    "fan-out, fan-in": fan,
    "random": scattered,
}


def time_dask(client: Client, upstream: list[list[int]]) -> float:
    """Return the seconds that raw Dask takes for the graph."""
    label = f"noop{random.randrange(10**9)}"
    graph = {
        (label, node): (noop, *[(label, source) for source in sources])
        for node, sources in enumerate(upstream)
    }
    used = {source for sources in upstream for source in sources}
    ends = [(label, node) for node in range(len(upstream)) if node not in used]
    began = time.perf_counter()
    client.get(graph, ends)
    return time.perf_counter() - began


def build(upstream: list[list[int]]) -> nbflow.Flow:
    """Return the graph as a flow whose data edges carry the results."""
    flow = nbflow.Flow("bench")
    nodes: list = []
    for number, sources in enumerate(upstream):
        after = [nodes[source] for source in sources]
        nodes.append(flow.task(noop, name=f"n{number}", after=after))
    return flow


def time_nbflow(cluster: LocalCluster, upstream: list[list[int]], home: Path):
    """Return the seconds that nbflow takes for the graph, and the handle of its run."""
    flow = build(upstream)
    began = time.perf_counter()
    run = flow.run(cluster=cluster, home=home, progress=False)
    return time.perf_counter() - began, run


def hand_over_s(run: nbflow.Run, upstream: list[list[int]]) -> list[float]:
    """Return, for each edge of a chain, the seconds from one node's end to the next one's start."""
    ended: dict[str, float] = {}
    started: dict[str, float] = {}
    for record in run.events():
        if isinstance(record.event, ev.AttemptSucceeded):
            ended[record.event.node] = record.event.ended_at
        elif isinstance(record.event, ev.AttemptStarted):
            started[record.event.node] = record.event.started_at
    return [
        started[f"n{node}"] - ended[f"n{source}"]
        for node, sources in enumerate(upstream)
        for source in sources
    ]


def measure(cluster: LocalCluster, client: Client, shape: str, count: int, rounds: int) -> str:
    """Measure one shape and return its row."""
    upstream = SHAPES[shape](count)
    dask_s, ours_s, grown = [], [], 0
    run = None
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            dask_s.append(time_dask(client, upstream))
            gc.collect()
            before = psutil.Process().memory_info().rss
            seconds, run = time_nbflow(cluster, upstream, Path(folder))
            grown = max(grown, psutil.Process().memory_info().rss - before)
            ours_s.append(seconds)
            if shape == "chain":
                gaps = sorted(hand_over_s(run, upstream))
            assert run.status == "succeeded", run
    ratios = [ours / dask for ours, dask in zip(ours_s, dask_s, strict=True)]
    row = (
        f"| {shape} | {count:,} | {statistics.median(dask_s):.2f} | "
        f"{statistics.median(ours_s):.2f} | {statistics.median(ratios):.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f}) | {grown / count / 1024:.1f} |"
    )
    if shape == "chain":
        middle, worst = gaps[len(gaps) // 2], gaps[int(len(gaps) * 0.99)]
        row += f" {middle * 1e3:.1f} / {worst * 1e3:.1f} |"
    else:
        row += " |"
    return row


@click.command()
@click.option("--nodes", multiple=True, type=int, default=(1_000, 10_000), show_default=True)
@click.option("--shape", "shapes", multiple=True, type=click.Choice(list(SHAPES)))
@click.option("--rounds", default=3, show_default=True)
def graph(nodes: tuple[int, ...], shapes: tuple[str, ...], rounds: int) -> None:
    """Measure no-op function nodes, every event durable, against raw Dask."""
    print("| graph | nodes | Dask, s | nbflow, s | ratio | driver memory, KiB a node |", end="")
    print(" end to start, ms (median / 99%) |")
    print("|---|---|---|---|---|---|---|")
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", host="127.0.0.1"
        ) as cluster,
        Client(cluster) as client,
    ):
        client.get({"warm": (noop,)}, "warm")
        for count in nodes:
            for shape in shapes or SHAPES:
                print(measure(cluster, client, shape, count, rounds), flush=True)
