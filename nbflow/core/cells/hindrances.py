"""What keeps cells from running side by side, cell by cell, and how to free them."""

from collections.abc import Iterator

import msgspec

from nbflow.core.cells.facts import Analysis, CellFacts

#: Part of a reason -> what to do about it; the first that fits counts.
_ADVICE = (
    ("not valid Python", "Mend the cell"),
    ("shell command", "Move it to the top of the notebook, or do it in Python"),
    (
        "beside other work",
        "Move the setting into a cell of its own, with imports and settings only",
    ),
    (
        "magic that nbflow does not know",
        "Move it to the top of the notebook, or into a cell of its own",
    ),
    ("history of the session", "Give the result a name, and use that"),
    ("imports whatever", "Import the names that are used"),
    ("by name at run time", "Use a dictionary instead of variables that are made by name"),
    ("text that may name variables", "Write the text as a literal, with variables as @name"),
    ("asks for input", "Make it a parameter of the notebook"),
    ("of a library", "Pass an argument instead of changing the library"),
    ("background", "Wait for the work in the same cell, by a `with` block"),
    ("too entangled", "Split the cell"),
    ("nbflow:barrier", "Remove the tag if it is not needed"),
)


class Hindrance(msgspec.Struct, frozen=True):
    """Something that keeps a cell from running beside others.

    Parameters
    ----------
    cell, line
        Where: a cell's number, a line from 1, or 0 for the cell as a whole.
    what
        What it is, in words without a full stop.
    fix
        What frees the cell.
    """

    cell: int
    line: int
    what: str
    fix: str


def hindrances(analysis: Analysis) -> tuple[Hindrance, ...]:
    """Return what hinders parallelism, in the order of the cells; advice may not fit each case."""
    return tuple(found for cell in analysis.cells for found in _of(cell))


def _of(cell: CellFacts) -> Iterator[Hindrance]:
    for reason in cell.barriers:
        fix = next((fix for part, fix in _ADVICE if part in reason.words), "")
        yield Hindrance(
            cell.number, reason.line, f"nothing is moved across it: {reason.words}", fix
        )
    seen: set[str] = set()
    for use in cell.touches:
        touch = use.touch
        kind = touch.kind if touch.kind != "file" or not touch.name else ""
        if kind and kind != "setting" and touch.write and kind not in seen:
            seen.add(kind)
            yield _touched(cell, kind, touch.name, use.line, use.words)


def _touched(cell: CellFacts, kind: str, name: str, line: int, code: str) -> Hindrance:
    match kind:
        case "random":
            what = f"it draws from {name or 'a global random generator'} by {code}"
            fix = "Use a generator of its own (numpy.random.default_rng(seed), random_state=…)"
        case "file":
            what = f"it may write any file, by {code}"
            fix = "Write the path as plain text, or tag the cell nbflow:writes=PATH"
        case _:
            what = f"it depends on {name or 'code that is not known'}, by {code}"
            fix = "Tag the cell nbflow:pure if the order does not matter"
    return Hindrance(cell.number, line, what, fix)
