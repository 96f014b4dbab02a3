"""The command ``bench``: how long a notebook takes in order and by cells."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from nbflow.cli.options import (
    ClusterChoice,
    cluster_options,
    examples,
    json_option,
    parameter_options,
    quiet_option,
)

if TYPE_CHECKING:
    from nbflow.session.both_ways import Bench

# The session is imported where a command runs: help must not wait for it.

#: Cells that are listed: those that take longest.
_LISTED = 20


@click.command(epilog=examples("nbflow bench analysis.ipynb --rounds 5"))
@click.argument("notebook", metavar="NOTEBOOK")
@parameter_options
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    metavar="N",
    help="How often it is run each way.",
)
@cluster_options
@json_option
@quiet_option
def bench(
    *,
    notebook: str,
    params: dict[str, Any],
    rounds: int,
    choice: ClusterChoice,
    as_json: bool,
    quiet: bool,
) -> None:
    """Time a notebook in order and by cells.

    Each run has a copy of the notebook's folder. The stages are those of a notebook that has run
    before. Besides the times: what each cell takes, the critical path, which is the longest chain
    of cells that need each other, and how much faster the notebook could be at most.
    """
    from nbflow.cli.as_papermill import PapermillOptions
    from nbflow.cli.driving import Manner, warnings_for_people
    from nbflow.cli.interrupts import stopping_in_good_order
    from nbflow.cli.single import planned
    from nbflow.cli.text import print_json
    from nbflow.cli.verifying_cells import both_ways_of
    from nbflow.session.both_ways import bench as measured

    manner = Manner(choice=choice, home=None, as_json=as_json, progress=not quiet)
    asked = both_ways_of(planned(notebook, None, params, PapermillOptions(), None), manner)
    with stopping_in_good_order(), warnings_for_people():
        found = measured(asked, rounds)
    if as_json:
        print_json(bench_document(found))
        return
    for line in bench_lines(found):
        print(line)


def bench_lines(found: "Bench") -> Iterator[str]:
    """Say how long a notebook takes both ways, and what bounds that."""
    from nbflow.cli.text import table
    from nbflow.drawing.words import duration, one_line, plural

    longest = sorted(found.cells, key=lambda cell: -cell.seconds)[:_LISTED]
    if longest:
        rows = [("cell", "takes", "critical", "")]
        rows += [
            (
                str(cell.number),
                duration(cell.seconds),
                "yes" if cell.is_critical else "",
                one_line(cell.first_line, 50),
            )
            for cell in sorted(longest, key=lambda cell: cell.number)
        ]
        yield from table(rows)
        if len(longest) < len(found.cells):
            yield f"and {plural(len(found.cells) - len(longest), 'cell')} that take less"
        yield ""
    stages = plural(found.stages, "stage")
    conflicts = f", {plural(found.conflicts, 'conflict')}" if found.conflicts else ""
    yield from table(
        [
            ("in order", f"{found.in_order_s:.2f} s", f"median of {found.rounds}, one kernel"),
            (
                "by cells",
                f"{found.by_cells_s:.2f} s",
                f"{_gain(found.gain)}; {stages}, {found.at_once} at once{conflicts}",
            ),
            (
                "critical path",
                f"{found.critical_s:.2f} s",
                f"at most {found.bound:.2f} times faster, if kernels and moving cost nothing",
            ),
        ]
    )
    if found.outcome != "succeeded":
        yield f"the notebook has {found.outcome}"


def _gain(times: float) -> str:
    return f"{times:.2f} times faster" if times >= 1 else f"{1 / times:.2f} times slower"


def bench_document(found: "Bench") -> dict[str, Any]:
    """Return the same as plain JSON."""
    return {
        "notebook": found.notebook,
        "outcome": found.outcome,
        "rounds": found.rounds,
        "in_order_s": round(found.in_order_s, 3),
        "by_cells_s": round(found.by_cells_s, 3),
        "gain": round(found.gain, 3),
        "critical_path_s": round(found.critical_s, 3),
        "bound": round(found.bound, 3),
        "stages": found.stages,
        "at_once": found.at_once,
        "conflicts": found.conflicts,
        "cells": [
            {
                "cell": cell.number,
                "first_line": cell.first_line,
                "duration_s": round(cell.seconds, 4),
                "critical": cell.is_critical,
            }
            for cell in found.cells
        ],
    }
