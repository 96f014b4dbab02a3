"""The stages of a notebook's cells as a graph, so that all formats can draw them.

They are the stages that there would be if each were worth a kernel (`Portrait`). A stage is drawn
as a node is: named by its cells, and described by its first line of work. A variable that it hands
on is an output; where there is only order, the edge is one of order.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from nbflow.core.cells import Analysis, Dependence
from nbflow.core.cells.facts import CellFacts, NameUse
from nbflow.core.cells.staging import ALWAYS, StagePlan, Worth, stage_cells
from nbflow.core.graph import Graph
from nbflow.core.spec import FlowSpec, NodeSpec, NotebookCode
from nbflow.core.values import FromOutput
from nbflow.drawing.words import one_line

#: Longest description of a stage, in characters.
_ABOUT = 36
#: Not worth any kernel but the first.
_ONE = Worth(heads=frozenset())


class DrawnStage(NodeSpec, frozen=True, kw_only=True):
    """A stage as a node; pictures say what it is by `about`."""

    about: str = ""

    @property
    def kind(self) -> str:
        """What pictures say of the stage: its code, or how many cells it has."""
        return self.about


class Portrait:
    """What a notebook's cells could be cut into, if every stage were worth a kernel.

    Parameters
    ----------
    analysis
        What is known of the cells.
    """

    def __init__(self, analysis: Analysis) -> None:
        self.analysis = analysis
        self.staging = stage_cells(analysis, worth=ALWAYS)
        #: Cells that do work: the others are repeated by every kernel that needs them.
        self.working = frozenset(cell.number for cell in analysis.cells if not cell.replayed)
        counted = self.working or {cell.number for cell in analysis.cells}
        #: Cells on the longest way; by how many there are, this bounds what can be won.
        self.longest = self.staging.longest(counted)
        if self.longest == len(counted):
            # Nothing can run beside anything else: there is nothing to choose.
            self.staging = stage_cells(analysis, worth=_ONE)

    @property
    def names(self) -> list[str]:
        """The stages' names."""
        return [stage_name(stage.spec.numbers) for stage in self.staging.stages]


def stage_name(numbers: Sequence[int]) -> str:
    """Return the cells of a stage in words.

    >>> stage_name([3]), stage_name([1, 2, 3, 7])
    ('cell 3', 'cells 1-3, 7')
    """
    runs: list[list[int]] = []
    for cell in numbers:
        if runs and runs[-1][-1] == cell - 1:
            runs[-1].append(cell)
        else:
            runs.append([cell])
    shown = [f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    return ("cells " if len(numbers) > 1 else "cell ") + ", ".join(shown)


def stage_graph(name: str, portrait: Portrait) -> Graph:
    """Return the stages of a notebook, by the notebook's name, as a graph."""
    names = portrait.names
    nodes = []
    for place, stage in enumerate(portrait.staging.stages):
        edges = list(_edges(stage))
        # What comes from two stages has a place of its own for each.
        params = {
            f"{output} of {names[source]}": FromOutput(names[source], output)
            for source, output in edges
            if output is not None
        }
        nodes.append(
            DrawnStage(
                name=names[place],
                code=NotebookCode(path=names[place]),
                params=dict(params),
                after=tuple(names[source] for source, output in edges if output is None),
                about=_about(stage, portrait),
            )
        )
    return Graph(FlowSpec(name=name, nodes=tuple(nodes)))


def stages_document(notebook: str, portrait: Portrait) -> str:
    """Return the stages, cells and dependences of a notebook as one JSON document."""
    analysis, stages, names = portrait.analysis, portrait.staging.stages, portrait.names
    facts = {cell.number: cell for cell in analysis.cells}
    home = {
        cell: name for name, stage in zip(names, stages, strict=True) for cell in stage.spec.numbers
    }
    document = {
        "flow": notebook,
        "kind": "cells",
        "language": analysis.language or "python",
        "nodes": [
            {
                "name": name,
                "kind": "stage",
                "notebook": notebook,
                "cells": [facts[cell].index for cell in stage.spec.numbers],
            }
            for name, stage in zip(names, stages, strict=True)
        ],
        "edges": [
            {
                "from": names[source],
                "to": names[target],
                "kind": "data" if output else "order",
                "output": output,
                "param": output,
            }
            for target, stage in enumerate(stages)
            for source, output in _edges(stage)
        ],
        "cells": [_cell(cell, home[cell.number]) for cell in analysis.cells],
        "dependences": [dependence_document(each) for each in analysis.dependences],
        "longest_path": portrait.longest,
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def dependence_document(each: Dependence) -> dict[str, Any]:
    """Return a dependence as JSON has it."""
    return {
        "from": each.source,
        "to": each.target,
        "kind": each.kind,
        "name": each.name,
        "why": each.why,
        "from_line": each.source_line,
        "to_line": each.target_line,
    }


def _cell(cell: CellFacts, stage: str) -> dict[str, Any]:
    return {
        "cell": cell.number,
        "index": cell.index,
        "stage": stage,
        "first_line": cell.first_line,
        "reads": _names(cell.reads),
        "writes": _names(cell.writes),
        "changes": _names(cell.changes),
        "deletes": _names(cell.deletes),
        "local": list(cell.local),
        "touches": [
            {"kind": use.touch.kind, "name": use.touch.name, "write": use.touch.write}
            for use in cell.touches
        ],
        "barriers": [reason.words for reason in cell.barriers],
        "not_the_same_each_time": [reason.words for reason in cell.unsure],
        "replayed": cell.replayed,
    }


def _names(uses: Iterable[NameUse]) -> list[str]:
    return sorted(use.name for use in uses)


def _edges(stage: StagePlan) -> Iterator[tuple[int, str | None]]:
    """Yield the stages that a stage waits for, with what each gives; None: nothing but order."""
    given = {(source, name) for name, source in stage.sources.items() if name.isidentifier()}
    yield from sorted(given)
    # States of generators are handed on as well: for people, that is order.
    order = {*stage.after, *stage.sources.values()} - {source for source, _ in given}
    yield from ((source, None) for source in sorted(order))


def _about(stage: StagePlan, portrait: Portrait) -> str:
    analysis = portrait.analysis
    if analysis.language:
        return f"all cells, in {analysis.language}"
    facts = {cell.number: cell for cell in analysis.cells}
    numbers = stage.spec.numbers
    first = next((cell for cell in numbers if cell in portrait.working), numbers[0])
    return one_line(facts[first].first_line or "no code", _ABOUT)
