"""The stages of a notebook's cells as a graph, so that all formats can draw them.

A stage is drawn as a node is: named by its cells, and described by its first line of work. A
variable that it hands on is an output; where there is only order, the edge is one of order.
"""

import json
from collections.abc import Iterable
from typing import Any

from nbflow.core.cells import Analysis, Dependence, Plan, Stage
from nbflow.core.cells.facts import CellFacts, NameUse
from nbflow.core.graph import Graph
from nbflow.core.spec import FlowSpec, NodeSpec, NotebookCode
from nbflow.core.values import FromOutput
from nbflow.drawing.words import one_line

#: Longest description of a stage, in characters.
_ABOUT = 36


class StageSpec(NodeSpec, frozen=True, kw_only=True):
    """A stage as a node; pictures say what it is by `about`."""

    about: str = ""

    @property
    def kind(self) -> str:
        """What pictures say of the stage: its code, or how many cells it has."""
        return self.about


def stage_name(stage: Stage) -> str:
    """Return the cells of a stage in words.

    >>> stage_name(Stage((3,))), stage_name(Stage((1, 2, 3, 7)))
    ('cell 3', 'cells 1-3, 7')
    """
    runs: list[list[int]] = []
    for cell in stage.cells:
        if runs and runs[-1][-1] == cell - 1:
            runs[-1].append(cell)
        else:
            runs.append([cell])
    shown = [f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    return ("cells " if len(stage.cells) > 1 else "cell ") + ", ".join(shown)


def stage_graph(name: str, analysis: Analysis, plan: Plan) -> Graph:
    """Return the stages of a notebook as a graph.

    Parameters
    ----------
    name
        The notebook's name.
    analysis, plan
        What is known of its cells, and the stages that follow from it.
    """
    facts = {cell.number: cell for cell in analysis.cells}
    names = [stage_name(stage) for stage in plan.stages]
    nodes = []
    for place, stage in enumerate(plan.stages):
        incoming = [edge for edge in plan.edges if edge.target == place]
        # What comes from two stages has a place of its own for each.
        params = {
            f"{output} of {names[edge.source]}": FromOutput(names[edge.source], output)
            for edge in incoming
            for output in edge.names
        }
        after = tuple(names[edge.source] for edge in incoming if not edge.names)
        nodes.append(
            StageSpec(
                name=names[place],
                code=NotebookCode(path=names[place]),
                params=dict(params),
                after=after,
                about=_about(stage, facts, plan, analysis),
            )
        )
    return Graph(FlowSpec(name=name, nodes=tuple(nodes)))


def stages_document(notebook: str, analysis: Analysis, plan: Plan) -> str:
    """Return the stages, cells and dependences of a notebook as one JSON document."""
    facts = {cell.number: cell for cell in analysis.cells}
    names = [stage_name(stage) for stage in plan.stages]
    home = {
        cell: name for name, stage in zip(names, plan.stages, strict=True) for cell in stage.cells
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
                "cells": [facts[cell].index for cell in stage.cells],
            }
            for name, stage in zip(names, plan.stages, strict=True)
        ],
        "edges": [
            {
                "from": names[edge.source],
                "to": names[edge.target],
                "kind": "data" if output else "order",
                "output": output,
                "param": output,
            }
            for edge in plan.edges
            for output in edge.names or (None,)
        ],
        "cells": [_cell(cell, home[cell.number]) for cell in analysis.cells],
        "dependences": [dependence_document(each) for each in analysis.dependences],
        "longest_path": plan.longest,
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


def _about(stage: Stage, facts: dict[int, CellFacts], plan: Plan, analysis: Analysis) -> str:
    if analysis.language:
        return f"all cells, in {analysis.language}"
    working = [cell for cell in stage.cells if cell not in plan.replayed] or list(stage.cells)
    return one_line(facts[working[0]].first_line or "no code", _ABOUT)
