"""A flow of notebooks that all ran before, against running such notebooks.

Raw execution is a sample: nbclient runs some no-op notebooks one after the other, as a program of
its own, and the ratio is that of the time for a notebook. nbflow's time is that of a whole
program, too: it loads the flow, starts its cluster, looks every node up, lays every
executed notebook out, journals it all. Its results were made by a run before, which is not part
of the time.
"""

import statistics
import tempfile
from pathlib import Path

import click

from benchmarks.measuring import cost, program
from benchmarks.notebooks import written


def noops(folder: Path, count: int) -> list[str]:
    """Write notebooks that do nothing, each in its own way, so that none has another's result."""
    folder.mkdir()
    return [path for n in range(count) for path in written(folder / f"{n:04}", 1, [f"# {n}"])]


@click.command()
@click.option("--nodes", default=1_000, show_default=True)
@click.option("--sample", default=20, show_default=True, help="Notebooks that run raw.")
@click.option("--rounds", default=3, show_default=True)
def caching(nodes: int, sample: int, rounds: int) -> None:
    """Measure a fully cached flow of notebooks against raw execution."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = noops(folder / "noop", nodes)
        first = cost([program("cached_flow", folder, 0, *paths)])
        raw_s: list[float] = []
        cached_s: list[float] = []
        for number in range(rounds):
            out = folder / f"raw-{number}"
            out.mkdir()
            raw_s.append(cost([program("nbclient", out, *paths[:sample])]).wall_s / sample)
            again = cost([program("cached_flow", folder, nodes, *paths)])
            cached_s.append(again.wall_s / nodes)
    ratios = [raw / cached for raw, cached in zip(raw_s, cached_s, strict=True)]
    print("| by | notebooks | ms each | times faster |")
    print("|---|---|---|---|")
    print(f"| nbclient | {sample:,} | {statistics.median(raw_s) * 1e3:,.1f} | 1.0 |")
    print(f"| nbflow, nothing cached | {nodes:,} | {first.wall_s / nodes * 1e3:,.1f} | |")
    print(
        f"| nbflow, all cached | {nodes:,} | {statistics.median(cached_s) * 1e3:,.2f} | "
        f"{statistics.median(ratios):.0f} ({min(ratios):.0f} to {max(ratios):.0f}) |"
    )
