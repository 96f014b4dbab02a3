"""Whether a notebook has checkpoints, where, and what can be told of them from its text."""

import re
from collections.abc import Mapping, Sequence

import msgspec
from nbformat import NotebookNode

from nbflow.core.values import Secret, SecretText, Value
from nbflow.notebooks.checkpoints.cell_code import CellCode, cell_code
from nbflow.notebooks.checkpoints.fitness import bound_names, unfit
from nbflow.notebooks.checkpoints.purity import replays

#: The tag of a cell after which variables are stored.
TAG = "checkpoint"
#: Both words stand in a notebook that calls `nbflow.checkpoint`, by whatever name.
_WORDS = tuple(re.compile(rf"\b{word}\b") for word in ("nbflow", "checkpoint"))


class Plan(msgspec.Struct, frozen=True):
    """Checkpoints of one notebook.

    Parameters
    ----------
    unfit
        Why there can be none; empty if there can.
    replays
        Statements that make variables anew.
    hidden
        Names of variables that hold secrets.
    every_s
        Seconds between two checkpoints; None is only where the notebook asks.
    """

    unfit: str = ""
    replays: dict[str, str] = {}
    hidden: tuple[str, ...] = ()
    every_s: float | None = None


def plan_checkpoints(
    notebook: NotebookNode,
    *,
    every_s: float | None,
    python: bool,
    hidden: Mapping[str, Value],
) -> Plan | None:
    """Return the plan of a notebook that may ask for checkpoints; None if it does not.

    Parameters
    ----------
    notebook
        With its injected cell.
    every_s
        Seconds between two of them, if they come by themselves.
    python
        Whether it is in Python.
    hidden
        Parameters that hold secrets.
    """
    if every_s is None and not (any(map(is_marked, notebook.cells)) or _may_call(notebook)):
        return None
    if not python:
        return Plan("only notebooks in Python have checkpoints")
    codes = {
        index: cell.source for index, cell in enumerate(notebook.cells) if cell.cell_type == "code"
    }
    try:
        parsed = {index: cell_code(source) for index, source in codes.items()}
    except SyntaxError:
        return Plan("a cell is no Python, so nobody can tell what it uses")
    why = unfit(parsed) or _secret_is_changed(notebook.cells, parsed, hidden)
    return Plan(why, replays(parsed), tuple(hidden), every_s)


def is_marked(cell: NotebookNode) -> bool:
    """Whether a tag asks for a checkpoint after a cell."""
    return TAG in cell.metadata.get("tags", [])


def _may_call(notebook: NotebookNode) -> bool:
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    return all(word.search(code) for word in _WORDS)


def _secret_is_changed(
    cells: Sequence[NotebookNode], codes: Mapping[int, CellCode], hidden: Mapping[str, Value]
) -> str:
    """Return why a variable that holds a secret cannot be set again; empty if it can."""
    tags = {index: cells[index].metadata.get("tags", []) for index in codes}
    bound = bound_names(code for index, code in codes.items() if "parameters" not in tags[index])
    for name, value in hidden.items():
        if name in bound:
            return f"the parameter {name!r} is secret, and a cell sets it anew"
        if not isinstance(value, (Secret, SecretText)):
            return f"the parameter {name!r} has a secret inside, and a cell may have changed it"
    return ""
