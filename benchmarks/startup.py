"""What it costs to start: the help text, and one trivial notebook from the command line.

CPU seconds of the whole process tree, since the machine may be busy with other things.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import nbformat


def cost(command: list[str], folder: Path) -> tuple[float, float]:
    """Return (CPU seconds, elapsed seconds) of a command and all its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    elapsed_s = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu_s, elapsed_s


@click.command()
@click.option("--rounds", default=5, show_default=True)
def startup(rounds: int) -> None:
    """Measure `nbflow --help`, and one trivial notebook against papermill."""
    bin_dir = os.path.dirname(sys.executable)  # noqa: PTH120 - a string for the command
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cell = nbformat.v4.new_code_cell("1 + 1")
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel})
        nbformat.write(notebook, folder / "trivial.ipynb")
        commands = {
            "`python -c pass`": [sys.executable, "-c", "pass"],
            "`nbflow --help`": [f"{bin_dir}/nbflow", "--help"],
            "`nbflow run trivial.ipynb`": [f"{bin_dir}/nbflow", "run", "trivial.ipynb"],
            "`papermill trivial.ipynb out.ipynb`": [
                f"{bin_dir}/papermill",
                "trivial.ipynb",
                "out.ipynb",
            ],
        }
        print("| command | CPU, s | elapsed, s |")
        print("|---|---|---|")
        for label, command in commands.items():
            costs = [cost(command, folder) for _ in range(rounds)]
            cpu_s = statistics.median(cpu for cpu, _ in costs)
            elapsed_s = statistics.median(elapsed for _, elapsed in costs)
            print(f"| {label} | {cpu_s:.2f} | {elapsed_s:.2f} |", flush=True)
