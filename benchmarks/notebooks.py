"""Whole notebooks, in fresh processes, against papermill and nbclient on the same machine.

Each way of running them is a whole program, from its start to the end of its last process.
"""

import statistics
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import nbformat

from benchmarks.measuring import Side, compare, installed, print_head, program

_KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
_IMPORTS = ["import numpy as np\nimport pandas as pd", "pd.DataFrame({'a': np.arange(3)})"]
_LINES = "for i in range(100_000):\n    print(f'line {i} of a hundred thousand')"
#: 20 MB of text each.
_BULK = "print(('x' * 99 + '\\n') * 200_000)"


def written(folder: Path, count: int, sources: Sequence[str]) -> list[str]:
    """Write `count` notebooks of such cells, and return their paths."""
    folder.mkdir()
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": _KERNEL})
    paths = [str(folder / f"n{number:03}.ipynb") for number in range(count)]
    for path in paths:
        nbformat.write(notebook, path)
    return paths


def by_papermill(paths: Sequence[str], *, processes: int = 1) -> Side:
    """Run notebooks with papermill's own engine, in so many processes at once."""
    name = "papermill" if processes == 1 else f"papermill, {processes} processes at once"
    shares = [paths[start::processes] for start in range(processes)]
    return Side(name, lambda out: [program("papermill", "nbclient", out, *s) for s in shares])


def by_engine(paths: Sequence[str]) -> Side:
    """Run notebooks with papermill, on nbflow's engine."""
    return Side(
        "papermill --engine nbflow", lambda out: [program("papermill", "nbflow", out, *paths)]
    )


def by_nbclient(paths: Sequence[str]) -> Side:
    """Run notebooks with nbclient."""
    return Side("nbclient", lambda out: [program("nbclient", out, *paths)])


def by_flow(paths: Sequence[str]) -> Side:
    """Run notebooks as nodes of a flow, from Python."""
    return Side("nbflow, from Python", lambda out: [program("flow", out, *paths)])


def by_command(paths: Sequence[str]) -> Side:
    """Run notebooks as nodes of a flow file, from the command line."""
    target = Path(paths[0])
    if len(paths) > 1:
        target = target.with_name("flow.yaml")
        nodes = "".join(f"  {Path(path).stem}: {{notebook: {path}}}\n" for path in paths)
        target.write_text(f"flow: bench\nnodes:\n{nodes}", encoding="utf-8")
    command = [installed("nbflow"), "run", str(target)]
    return Side("`nbflow run`", lambda out: [[*command, "-o", str(out), "--home", f"{out}/home"]])


def trivial(folder: Path, count: int, rounds: int) -> None:
    paths = written(folder / "trivial", 1, [f"{number} + 1" for number in range(200)])
    sides = [by_papermill(paths), by_engine(paths), by_command(paths)]
    compare("a notebook of 200 trivial cells, whole process", sides, rounds, folder)
    both = [
        (calls("nbclient", paths[0], folder), calls("nbflow", paths[0], folder))
        for _ in range(rounds)
    ]
    for at, label in enumerate(("the first call", "the next call")):
        theirs = statistics.median(peer[at] for peer, _ in both)
        ours = statistics.median(own[at] for _, own in both)
        ratio = statistics.median(peer[at] / own[at] for peer, own in both)
        print(f"| the same, {label} of `execute_notebook` | papermill | {theirs:.2f} | 1.0 | | | |")
        print(f'| | `engine_name="nbflow"` | {ours:.2f} | {ratio:.1f} | | | |', flush=True)


def calls(engine: str, notebook: str, folder: Path) -> tuple[float, float]:
    """Return the seconds of two calls of papermill, one after the other in a fresh process."""
    command = program("papermill_calls", engine, folder, notebook)
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    first, second = (float(it.split()[1]) for it in printed.splitlines() if it.startswith("call "))
    return first, second


def imports(folder: Path, count: int, rounds: int) -> None:
    paths = written(folder / "imports", 24, _IMPORTS)
    work = "24 notebooks with numpy and pandas"
    ours = [by_flow(paths), by_command(paths), by_engine(paths)]
    both = [by_papermill(paths), by_papermill(paths, processes=2), *ours]
    compare(work, both, rounds, folder)


def empty(folder: Path, count: int, rounds: int) -> None:
    # Fewer of them as well: memory is not to grow with their number.
    for number in (count // 4, count):
        paths = written(folder / f"empty-{number}", number, [""])
        sides = [by_nbclient(paths), by_flow(paths), by_command(paths)]
        compare(f"{number} empty notebooks", sides, rounds, folder)


def printing(folder: Path, count: int, rounds: int) -> None:
    paths = written(folder / "printing", 1, [_LINES])
    sides = [by_papermill(paths), by_engine(paths), by_command(paths)]
    compare("100,000 printed lines", sides, rounds, folder)


def bulky(folder: Path, count: int, rounds: int) -> None:
    paths = written(folder / "bulky", 1, [_BULK] * 10)
    sides = [by_papermill(paths), by_engine(paths), by_command(paths)]
    compare("200 MB of output", sides, rounds, folder)


ROWS: dict[str, Callable[[Path, int, int], None]] = {
    "trivial": trivial,
    "imports": imports,
    "empty": empty,
    "printing": printing,
    "bulky": bulky,
}


@click.command()
@click.option("--row", "rows", multiple=True, type=click.Choice(list(ROWS)), help="Default: all.")
@click.option("--count", default=100, show_default=True, help="Of empty notebooks.")
@click.option("--rounds", default=3, show_default=True)
def notebooks(rows: tuple[str, ...], count: int, rounds: int) -> None:
    """Measure whole notebooks against papermill and nbclient."""
    print_head()
    for name in rows or ROWS:
        with tempfile.TemporaryDirectory() as folder:
            ROWS[name](Path(folder), count, rounds)
