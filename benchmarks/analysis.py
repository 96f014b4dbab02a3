"""What it costs to find out which cells of a notebook depend on which.

CPU seconds of this process, since the machine may be busy with other things.
"""

import statistics
import time
from collections.abc import Callable
from typing import TypeVar

import click

from nbflow.core.cells import CellText, analyze
from nbflow.core.cells.staging import ALWAYS, stage_cells

#: A part of a notebook, as analyses have it; `N` is its number.
_PART = (
    "dfN = pd.read_csv('data/N.csv')\ndfN.head()",
    "cN = clean(dfN)\ncN['z'] = cN['x'] * 2 + cN['y']",
    "fig, ax = plt.subplots(figsize=(8, 4))\nax.plot(cN['x'], cN['y'], label='a')\nplt.legend()",
    (
        "mN = LinearRegression()\nmN.fit(cN[['x']], cN['y'])\n"
        "results[N] = mN.score(cN[['x']], cN['y'])"
    ),
    (
        "rows = [r * 2 for r in range(10) if r % 2]\n"
        "for r in rows:\n    total = sum(rows)\n    print(r)"
    ),
)
_HEAD = (
    (
        "import pandas as pd\nimport matplotlib.pyplot as plt\n"
        "from sklearn.linear_model import LinearRegression"
    ),
    (
        "def clean(df, limit=3):\n    out = df.dropna()\n    for c in out.columns:\n"
        "        if out[c].dtype == object:\n            out[c] = out[c].str.strip()\n"
        "    return out[out['x'] > limit]"
    ),
    "results = {}",
)


def branches(count: int) -> list[str]:
    """Return the cells of a notebook with many branches that share functions and a result."""
    parts = (cell.replace("N", str(n)) for n in range(count) for cell in _PART)
    return [*_HEAD, *parts][:count]


def chain(count: int) -> list[str]:
    """Return the cells of a notebook in which each cell changes what the one before has."""
    return ["x = []", *(f"x.append({n})" for n in range(count - 1))]


def growing(count: int) -> list[str]:
    """Return the cells of a notebook that gathers everything in one list."""
    return ["found = []", *(f"a{n} = [{n}]\nfound.append(a{n})" for n in range(count - 1))]


def barriers(count: int) -> list[str]:
    """Return the cells of a notebook of which nothing can be seen."""
    return [f"exec('a{n} = 1')\nb{n} = [a{n}]" for n in range(count)]


@click.command()
@click.option("--cells", default=1000, show_default=True)
@click.option("--rounds", default=3, show_default=True)
def analysis(cells: int, rounds: int) -> None:
    """Measure the analysis of notebooks of many cells."""
    print("| notebook | cells | analysis, CPU s | stages, CPU s | dependences | stages |")
    print("|---|---|---|---|---|---|")
    for make in (branches, chain, growing, barriers):
        texts = [
            CellText(number=number, index=number, text=text)
            for number, text in enumerate(make(cells), start=1)
        ]
        followed_s, found = _measured(lambda: analyze(texts), rounds)  # noqa: B023 - called at once
        planned_s, stages = _measured(lambda: stage_cells(found, worth=ALWAYS), rounds)  # noqa: B023 - called at once
        counts = f"{len(found.dependences):,} | {len(stages.stages):,}"
        print(f"| {make.__name__} | {len(texts)} | {followed_s:.2f} | {planned_s:.2f} | {counts} |")


_T = TypeVar("_T")


def _measured(body: Callable[[], _T], rounds: int) -> tuple[float, _T]:
    times: list[float] = []
    for _ in range(rounds):
        began = time.process_time()
        result = body()
        times.append(time.process_time() - began)
    return statistics.median(times), result
