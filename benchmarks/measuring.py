"""Run a command in fresh processes, and say what it cost: all of them together.

The measuring process adopts orphans (Linux), so that the CPU time of kernels and fork servers
whose parents have ended is counted too. Memory is PSS, in which what forked processes share counts
once; it is looked at twice a second.
"""

import ctypes
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

#: Adding up shared pages takes the system a while: more often would slow down what is measured.
_SAMPLE_S = 0.5
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Cost:
    """What commands that ran at once have cost."""

    wall_s: float
    cpu_s: float
    peak_bytes: int


@dataclass(frozen=True)
class Side:
    """One way to do some work: a name, and what starts it in an empty folder."""

    name: str
    commands: Callable[[Path], Sequence[Sequence[str]]]


def program(*arguments: object) -> list[str]:
    """Return the command that runs a function of `benchmarks.programs`."""
    return [sys.executable, "-m", "benchmarks.programs", *map(str, arguments)]


def installed(name: str) -> str:
    """Return the path of a command of this environment."""
    return str(Path(sys.executable).with_name(name))


def cost(commands: Iterable[Sequence[str]]) -> Cost:
    """Run commands at once, to the end of all their processes."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    with _Watch() as watch:
        running = [
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            for command in commands
        ]
        for process in running:
            _, errors = process.communicate()
            if process.returncode != 0:
                raise RuntimeError(f"{process.args} failed: {errors.decode()[-2000:]}")
        wall_s = time.perf_counter() - began
        _end_orphans()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall_s, cpu_s, watch.peak_bytes)


def compare(work: str, sides: Sequence[Side], rounds: int, folder: Path) -> None:
    """Run all sides in turn, `rounds` times, and print a row for each against the first."""
    costs: dict[str, list[Cost]] = {side.name: [] for side in sides}
    for _ in range(rounds):
        for side in sides:
            place = Path(tempfile.mkdtemp(dir=folder))
            costs[side.name].append(cost(side.commands(place)))
    for side in sides:
        print(_row(work, side.name, costs[side.name], costs[sides[0].name]), flush=True)


def print_head() -> None:
    """Print the head of the table whose rows `compare` prints."""
    print("| work | by | elapsed, s | times faster | CPU, s | times less | memory peak, MB |")
    print("|---|---|---|---|---|---|---|")


def _row(work: str, name: str, ours: Sequence[Cost], peers: Sequence[Cost]) -> str:
    wall_s = statistics.median(each.wall_s for each in ours)
    cpu_s = statistics.median(each.cpu_s for each in ours)
    peak = statistics.median(each.peak_bytes for each in ours)
    # Both sides of a ratio are of one round: a machine is not as busy at all times.
    faster = [peer.wall_s / each.wall_s for each, peer in zip(ours, peers, strict=True)]
    less = [peer.cpu_s / each.cpu_s for each, peer in zip(ours, peers, strict=True)]
    spread = f"({min(faster):.1f} to {max(faster):.1f})"
    return (
        f"| {work} | {name} | {wall_s:.2f} | {statistics.median(faster):.1f} {spread} | "
        f"{cpu_s:.2f} | {statistics.median(less):.1f} | {peak / 1e6:.0f} |"
    )


class _Watch:
    """Samples the memory of all descendants of this process."""

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        here = psutil.Process()
        while not self._ended.wait(_SAMPLE_S):
            used = sum(_pss_bytes(child.pid) for child in here.children(recursive=True))
            self.peak_bytes = max(self.peak_bytes, used)


def _pss_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0  # It has just ended.
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def _end_orphans() -> None:
    """Wait for processes that outlive their parents, and end those that would do so for long."""
    _, alive = psutil.wait_procs(psutil.Process().children(), timeout=5)
    for process in alive:
        process.send_signal(signal.SIGKILL)
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            break
