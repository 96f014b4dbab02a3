"""What it costs to lose nothing: durable steps a second, syncs and bytes a step, and a resume.

*Steps*: functions that do nothing, one at a time (a chain) and 64 in flight (a fan), by DBOS on its
embedded default, by plain SQLite with a commit for each of three events a step (the floor
of whoever records them one by one), by nbflow on its embedded cluster, and by nbflow's journal and
driver alone. See `durable_programs` for what counts. All files lie in one temporary
folder: its disk decides what a sync costs, and ``TMPDIR`` which disk that is.

*Syncs*: the same, counted by ``strace`` (which must be installed), and what is left on the disk.

*Resume*: a run of which all nodes but one have succeeded, up to the record of the
first new attempt. The definition is read again on the way.
"""

import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import msgspec

from benchmarks.durable_programs import IN_FLIGHT, Shape, Spent
from benchmarks.measuring import cost, installed

#: What is compared with, first.
PEERS = {
    "dbos": "DBOS on SQLite",
    "floor": "plain SQLite, a commit an event",
    "nbflow": "nbflow",
    "engine": "nbflow, journal and driver alone",
}
SHAPES: dict[Shape, str] = {"chain": "1 at a time", "fan": f"{IN_FLIGHT} in flight"}

_SYNC = re.compile(r"(?:fsync|fdatasync)\(\d+<([^>]*)>")


def spent(name: str, shape: Shape, count: int, folder: Path, around: Sequence[str] = ()) -> Spent:
    """Run a program of `durable_programs` in a fresh process and folder."""
    place = tempfile.mkdtemp(dir=folder)
    command = [sys.executable, "-m", "benchmarks.durable_programs", name, shape, str(count), place]
    done = subprocess.run([*around, *command], check=True, stdout=subprocess.PIPE, text=True)
    shutil.rmtree(place)
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Spent)


def steps(folder: Path, count: int, rounds: int) -> None:
    """Compare steps a second; both sides of a ratio are of one round."""
    print("| durable steps | by | a second | times DBOS | times the floor | CPU, ms a step |")
    print("|---|---|---|---|---|---|")
    for shape, label in SHAPES.items():
        found: dict[str, list[Spent]] = {name: [] for name in PEERS}
        for _ in range(rounds):
            for name in PEERS:
                found[name].append(spent(name, shape, count, folder))
        for name, title in PEERS.items():
            per_s = statistics.median(count / each.wall_s for each in found[name])
            cpu_s = statistics.median(each.cpu_s for each in found[name])
            print(
                f"| {label} | {title} | {per_s:.0f} | {_times(found['dbos'], found[name])} | "
                f"{_times(found['floor'], found[name])} | {cpu_s / count * 1e3:.2f} |",
                flush=True,
            )


def syncs(folder: Path, count: int, rounds: int) -> None:
    """Count what each asks of the disk for a step."""
    if shutil.which("strace") is None:
        raise click.ClickException("strace counts the syncs. Install it, or leave out this row")
    print("| durable steps | by | syncs a step | bytes a step on the disk |")
    print("|---|---|---|---|")
    for shape, label in SHAPES.items():
        for name, title in PEERS.items():
            trace = folder / "trace"
            strace = ["strace", "-f", "-qq", "-y", "-e", "trace=fsync,fdatasync", "-o", str(trace)]
            counted, stored = [], []
            for _ in range(rounds):
                cost_of_all = spent(name, shape, count, folder, strace)
                counted.append(_between_marks(trace.read_text()) / count)
                stored.append(cost_of_all.stored_bytes / count)
            print(
                f"| {label} | {title} | {statistics.median(counted):.2f} | "
                f"{statistics.median(stored):,.0f} |",
                flush=True,
            )


def resume(folder: Path, count: int, rounds: int) -> None:
    """Measure a resume up to its first attempt, and `nbflow resume` as a whole."""
    print(f"| resume of a run with {count:,} recorded nodes | CPU, s | elapsed, s |")
    print("|---|---|---|")
    program = [sys.executable, "-m", "benchmarks.durable_resume"]
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(rounds):
        for shape in ("chain", "fan", "layers"):
            place = tempfile.mkdtemp(dir=folder)
            subprocess.run([*program, "record", shape, str(count), place], check=True)
            done = subprocess.run(
                [*program, "resume", place], check=True, stdout=subprocess.PIPE, text=True
            )
            for label, cpu_s, wall_s in msgspec.json.decode(
                done.stdout.splitlines()[-1], type=list[tuple[str, float, float]]
            ):
                found.setdefault(f"{shape}: {label}", []).append((cpu_s, wall_s))
            subprocess.run([*program, "record", shape, str(count), f"{place}/again"], check=True)
            whole = cost([[installed("nbflow"), "resume", "run", "--home", f"{place}/again/home"]])
            label = f"{shape}: `nbflow resume`, all processes to their end"
            found.setdefault(label, []).append((whole.cpu_s, whole.wall_s))
            shutil.rmtree(place)
    for label, costs in found.items():
        cpu_s, wall_s = (statistics.median(each[at] for each in costs) for at in (0, 1))
        print(f"| {label} | {cpu_s:.2f} | {wall_s:.2f} |", flush=True)


def _times(theirs: Sequence[Spent], ours: Sequence[Spent]) -> str:
    ratios = [peer.wall_s / own.wall_s for peer, own in zip(theirs, ours, strict=True)]
    return f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"


def _between_marks(trace: str) -> int:
    """Count the syncs of a trace between the marks that `measured` leaves."""
    files = [Path(path).name for path in _SYNC.findall(trace)]
    return files.index("end") - files.index("begin") - 1


ROWS: dict[str, Callable[[Path, int, int], None]] = {
    "steps": steps,
    "syncs": syncs,
    "resume": resume,
}
#: Steps, or recorded nodes, of each row.
_COUNTS = {"steps": 500, "syncs": 200, "resume": 10_000}


@click.command()
@click.option("--row", "rows", multiple=True, type=click.Choice(list(ROWS)), help="Default: all.")
@click.option("--count", type=int, help="Of steps or nodes; by default what suits the row.")
@click.option("--rounds", default=3, show_default=True)
def durable(rows: tuple[str, ...], count: int | None, rounds: int) -> None:
    """Measure durable steps against DBOS and plain SQLite, and a resume."""
    for name in rows or ROWS:
        with tempfile.TemporaryDirectory() as folder:
            ROWS[name](Path(folder), count or _COUNTS[name], rounds)
        print()
