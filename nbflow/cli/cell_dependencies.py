"""What the analysis of cells says: ``why``, and ``--cells`` of ``graph`` and ``check``."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nbflow.cli.options import examples, json_option
from nbflow.core.errors import DefinitionError

if TYPE_CHECKING:
    from nbflow.core.cells import Analysis, Dependence
    from nbflow.drawing import Format
    from nbflow.drawing.cells import Portrait

# The analysis is imported where a command runs: help must not wait for it.


@click.command(epilog=examples("nbflow why analysis.ipynb 3 7"))
@click.argument("notebook", metavar="NOTEBOOK")
@click.argument("first", type=click.IntRange(min=1), metavar="CELL")
@click.argument("second", type=click.IntRange(min=1), metavar="CELL")
@json_option
def why(*, notebook: str, first: int, second: int, as_json: bool) -> None:
    """Say why one cell of a notebook depends on another.

    Cells are counted from 1 as in Jupyter's In [3], when the notebook runs from top to bottom. If
    the later cell depends on the earlier through others, each step is told.
    """
    from nbflow.cli.text import print_json
    from nbflow.drawing.cells import dependence_document

    analysis = analysis_of(notebook)
    source, target = sorted((first, second))
    numbers = [cell.number for cell in analysis.cells]
    if source == target or target not in numbers:
        said = f"{notebook} has {len(numbers)} cells that run"
        raise click.UsageError("name two different cells" if source == target else said)
    path = _path(analysis, source, target)
    if as_json:
        print_json(
            {
                "notebook": notebook,
                "cells": [source, target],
                "language": analysis.language or "python",
                "waits": bool(analysis.language) or any(each.kind != "replay" for each in path),
                "dependences": [dependence_document(each) for each in path],
            }
        )
    else:
        for line in _told(analysis, path, source, target):
            print(line)


def analysis_of(target: str) -> "Analysis":
    """Return what is known of the cells of a notebook.

    Raises
    ------
    DefinitionError
        If it is no notebook, or cannot be read.
    """
    from nbflow.definition.cell_text import analyze_notebook
    from nbflow.definition.faults import Fault
    from nbflow.definition.notebook_file import NotebookFiles

    if not target.endswith(".ipynb"):
        raise DefinitionError([Fault("this is not a notebook", "Name an .ipynb file").at(target)])
    try:
        return analyze_notebook(NotebookFiles().parsed(target))
    except Fault as fault:
        raise DefinitionError([fault.at(target)]) from fault


def draw_cells(target: str, fmt: "Format") -> str:
    """Return the picture of a notebook's stages in a format."""
    from nbflow.drawing import render
    from nbflow.drawing.cells import Portrait, stage_graph, stages_document

    portrait = Portrait(analysis_of(target))
    if fmt == "json":
        return stages_document(target, portrait)
    return render(stage_graph(Path(target).name, portrait), fmt)


def check_cells(target: str, *, as_json: bool) -> None:
    """Print what keeps a notebook's cells from running side by side, cell by cell."""
    from nbflow.cli.text import print_json
    from nbflow.core.cells import hindrances
    from nbflow.drawing.cells import Portrait

    analysis = analysis_of(target)
    portrait = Portrait(analysis)
    found = hindrances(analysis)
    if as_json:
        print_json(
            {
                "target": target,
                "language": analysis.language or "python",
                "cells": len(analysis.cells),
                "stages": len(portrait.staging.stages),
                "longest_path": portrait.longest,
                "hindrances": [
                    {"cell": each.cell, "line": each.line, "what": each.what, "fix": each.fix}
                    for each in found
                ],
            }
        )
        return
    for each in found:
        place = f"cell {each.cell}" + (f", line {each.line}" if each.line else "")
        print(f"{place}: {each.what}" + (f". {each.fix}" if each.fix else ""))
    print(_verdict(target, portrait))


def _verdict(target: str, portrait: "Portrait") -> str:
    from nbflow.drawing.words import plural

    analysis, longest = portrait.analysis, portrait.longest
    cells = f"{target}: {plural(len(analysis.cells), 'cell')}"
    if analysis.language:
        return f"{cells} in {analysis.language}, which is not analysed: one stage"
    working = len(portrait.working)
    idle = len(analysis.cells) - working
    replayed = f" ({idle} replayed)" if idle else ""
    bound = working / longest if working else 1.0
    return (
        f"{cells}{replayed} in {plural(len(portrait.staging.stages), 'stage')}; the longest path "
        f"has {plural(longest, 'cell')}: at most {bound:.1f} times faster, if all took as long"
    )


def _path(analysis: "Analysis", source: int, target: int) -> "list[Dependence]":
    """Return the direct dependences; else those along a shortest way; else none."""
    direct = list(analysis.between(source, target))
    if any(each.kind != "replay" for each in direct):
        return direct
    incoming: dict[int, list[Dependence]] = {}
    for each in analysis.dependences:
        if each.kind != "replay":
            incoming.setdefault(each.target, []).append(each)
    via: dict[int, Dependence] = {}
    queue = [target]
    for cell in queue:
        for each in incoming.get(cell, ()):
            if each.source not in via and each.source != target:
                via[each.source] = each
                queue.append(each.source)
    if source not in via:
        return direct
    way = [via[source]]
    while way[-1].target != target:
        way.append(via[way[-1].target])
    return [*direct, *way]


def _told(
    analysis: "Analysis", path: "Sequence[Dependence]", source: int, target: int
) -> Iterator[str]:
    if analysis.language:
        language = analysis.language
        yield f"the notebook is in {language}, which is not analysed: its cells run in order"
        return
    through = [each.source for each in path if each.kind != "replay"][1:]
    if not path:
        yield f"cell {target} does not depend on cell {source}: they may run side by side"
        return
    indirect = any(each.target != target for each in path)
    if indirect:
        cells = ", ".join(str(cell) for cell in through)
        yield f"cell {target} depends on cell {source} by way of cell {cells}:"
    for each in path:
        yield ("  " if indirect else "") + each.why
    if all(each.kind == "replay" for each in path):
        yield "each kernel repeats that for itself, so neither cell waits for the other"
