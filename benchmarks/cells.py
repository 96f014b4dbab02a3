"""One notebook, its cells as nodes: whole commands, against papermill and a run in order.

The notebooks have been run once before, as notebooks that people run have: how long their cells
took stands in their metadata, by which nbflow decides what is worth a kernel of its own.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import click
from papermill import execute_notebook

from benchmarks.measuring import Side, compare, installed, print_head
from benchmarks.notebooks import by_papermill, written

#: About two seconds of one core.
_SLOW = "total = 0\nfor i in range(N_STEPS):\n    total += (i ^ K) % 7\nbranch_K = total\nbranch_K"
_CHAIN = (
    "import pandas as pd\nimport numpy as np",
    "df = pd.DataFrame({'a': np.arange(10_000), 'b': np.arange(10_000) % 7})",
    *(f"df['c{n}'] = df['a'] * {n} + df['b']\ndf['c{n}'].sum()" for n in range(28)),
)
_TABLE = (
    "import pandas as pd\nimport numpy as np",
    "df = pd.DataFrame({f'c{n}': np.arange(1_250_000, dtype='f8') * n for n in range(10)})",
)


def by_order(path: str) -> Side:
    """Run a notebook from top to bottom."""
    command = [installed("nbflow"), "run", path]
    return Side("`nbflow run`", lambda out: [[*command, "-o", str(out), "--home", f"{out}/home"]])


def by_cells(path: str) -> Side:
    """Run a notebook's cells as nodes."""
    command = [installed("nbflow"), "run", path, "--cells"]
    return Side(
        "`nbflow run --cells`", lambda out: [[*command, "-o", str(out), "--home", f"{out}/home"]]
    )


def slow(steps: int) -> list[str]:
    """Return the cells of four branches that have nothing to do with one another."""
    cells = [_SLOW.replace("K", str(k)).replace("N_STEPS", str(steps)) for k in range(4)]
    # Each has names of its own.
    own = [cell.replace("total", f"total{k}") for k, cell in enumerate(cells)]
    return [*own, "print(branch_0, branch_1, branch_2, branch_3)"]


def branches(folder: Path, rounds: int) -> None:
    for steps, about in ((15_000_000, "about 1 s"), (75_000_000, "about 5 s")):
        path = _known(folder / f"branches-{steps}", slow(steps))
        sides = [by_order(path), by_cells(path), by_papermill([path])]
        compare(f"four branches of {about} each", sides, rounds, folder)


def chain(folder: Path, rounds: int) -> None:
    path = _known(folder / "chain", _CHAIN)
    compare(
        "30 cells, each after the one before",
        [by_papermill([path]), by_order(path), by_cells(path)],
        rounds,
        folder,
    )


def table(folder: Path, rounds: int) -> None:
    # Long enough to be worth a kernel each.
    steps = 150_000_000
    uses = [
        f"for i in range({steps}):\n    pass\nsum_{k} = float(df['c{k}'].sum())"
        for k in range(1, 4)
    ]
    uses = [use.replace("for i", f"for i{k}") for k, use in enumerate(uses)]
    path = _known(folder / "table", [*_TABLE, *uses, "print(sum_1, sum_2, sum_3)"])
    compare("100 MB handed to three branches", [by_order(path), by_cells(path)], rounds, folder)


ROWS: dict[str, Callable[[Path, int], None]] = {
    "chain": chain,
    "branches": branches,
    "table": table,
}


def _known(folder: Path, cells: Sequence[str]) -> str:
    """Write a notebook that has been run once, and return its path."""
    (path,) = written(folder, 1, cells)
    execute_notebook(path, path, progress_bar=False)
    return path


@click.command()
@click.option("--row", "rows", multiple=True, type=click.Choice(list(ROWS)), help="Default: all.")
@click.option("--rounds", default=3, show_default=True)
def cells(rows: tuple[str, ...], rounds: int) -> None:
    """Measure notebooks whose cells are nodes."""
    print_head()
    for name in rows or ROWS:
        with tempfile.TemporaryDirectory() as folder:
            ROWS[name](Path(folder), rounds)
