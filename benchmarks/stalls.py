"""Whether stalls are named right, and how soon; and whether healthy notebooks are left alone."""

import statistics
import tempfile
from pathlib import Path

import click

from benchmarks.stall_cases import (
    HEALTHY,
    STALLS,
    StalledRun,
    false_findings,
    healthy_run,
    slow_server,
)


@click.command()
@click.option("--rounds", default=3, show_default=True)
def stalls(rounds: int) -> None:
    """Measure how soon stalls are named, and how often a healthy notebook is."""
    after: dict[str, list[float]] = {name: [] for name in STALLS}
    told: dict[str, str] = {}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder, StalledRun(Path(folder)) as stalled:
            for name, seconds in stalled.named_after().items():
                after[name].append(seconds)
        with tempfile.TemporaryDirectory() as folder, slow_server() as port:
            told |= false_findings(healthy_run(Path(folder), port))[0]
    print("| stall | is called | s after it can be known, median | longest |")
    print("|---|---|---|---|")
    for name, seconds in after.items():
        middle = statistics.median(seconds)
        print(f"| {name} | {STALLS[name].kind} | {middle:.1f} | {max(seconds):.1f} |")
    print(f"\nHealthy notebooks: {len(HEALTHY)}; findings about them: {len(told)}")
    for node, text in told.items():
        print(f"{node}: {text}")
