"""From a cell of a live session to a stage that can run elsewhere, or to why it cannot.

The stage has the cells that set what the session has set (they are replayed), and then the cell
itself. It takes every variable that the cell can see from the session's kernel, and brings back
every variable that the cell binds or may change.
"""

from collections.abc import Collection, Sequence

import msgspec

from nbflow.core.cells import Analysis, CellFacts, CellText, analyze
from nbflow.core.stages import StageCell, StageSpec
from nbflow.magics.errors import Refused
from nbflow.magics.needs import Variables

#: Global random generators whose state can be moved, as the analysis calls them.
GENERATORS = ("Python's random generator", "numpy's random generator")


class ReadyCell(msgspec.Struct, frozen=True, kw_only=True):
    """A cell that is ready to be sent.

    Parameters
    ----------
    sources
        The cells of the stage's notebook: those that are replayed, and the cell itself.
    spec
        The stage.
    needs
        Variables without which it cannot begin.
    helps
        Variables that are sent besides, if they can be, as functions that the cell sees use them;
        and the states of generators.
    binds
        Variables that the cell binds, or deletes.
    deletes
        Those of them that it may delete.
    changes
        Variables that the session has, and the cell may change in place.
    """

    sources: tuple[str, ...]
    spec: StageSpec
    needs: tuple[str, ...]
    helps: tuple[str, ...]
    binds: tuple[str, ...]
    deletes: tuple[str, ...]
    changes: tuple[str, ...]

    @property
    def brings(self) -> tuple[str, ...]:
        """What the stage is asked for at its end."""
        return (*self.binds, *self.changes, *self.spec.generators)

    def without(self, names: Collection[str]) -> "ReadyCell":
        """Return it with some of `helps` left out."""
        helps = tuple(name for name in self.helps if name not in names)
        return msgspec.structs.replace(self, spec=without(self.spec, names), helps=helps)


def without(spec: StageSpec, names: Collection[str]) -> StageSpec:
    """Return a stage that does not take some variables."""
    cells = tuple(
        msgspec.structs.replace(cell, takes=tuple(it for it in cell.takes if it not in names))
        for cell in spec.cells
    )
    return msgspec.structs.replace(spec, cells=cells)


def ready_cell(texts: Sequence[CellText], variables: Variables, number: int) -> ReadyCell:
    """Return the last of some cells, ready to be sent.

    Parameters
    ----------
    texts
        The cells that the session has executed, and the one to be sent.
    variables
        As the session has them now.
    number
        What Jupyter's counter shows for it.

    Raises
    ------
    Refused
        If only the session's own kernel can run it.
    """
    analysis = analyze(texts)
    facts, text = analysis.cells[-1], texts[-1]
    refuse_unmovable(facts)
    read = variables.read_by(text.text) | (
        {use.name for use in facts.reads} & variables.values.keys()
    )
    binds = {use.name for use in (*facts.writes, *facts.deletes)}
    changes = changed_names(facts, variables) - binds
    needs = read | changes
    helps = variables.with_globals(needs) - needs
    generators = drawn_generators(facts)
    replayed = _replayed(analysis, facts.number)
    by_number = {each.number: each for each in texts}
    cells = [
        _replayed_cell(place, analysis.cells[_place(analysis, cell)])
        for place, cell in enumerate(replayed)
    ]
    bound = {name for cell in cells for name in cell.writes}
    own = StageCell(
        index=len(cells),
        number=number,
        takes=(*sorted(needs | helps), *generators),
        hides=tuple(sorted(bound - needs - helps)),
        changes=tuple(sorted(changes)),
        writes=tuple(sorted(binds)),
    )
    return ReadyCell(
        sources=(
            *(_repeated(analysis.cells[_place(analysis, it)], by_number[it]) for it in replayed),
            _source(text),
        ),
        spec=StageSpec(
            cells=(*cells, own),
            generators=generators,
            writes_anything=True,
            optional=tuple(sorted(binds)),
        ),
        needs=tuple(sorted(needs)),
        helps=(*sorted(helps), *generators),
        binds=tuple(sorted(binds)),
        deletes=tuple(use.name for use in facts.deletes),
        changes=tuple(sorted(changes)),
    )


def refuse_unmovable(facts: CellFacts) -> None:
    """Refuse a cell that does what only its own kernel can do."""
    for barrier in facts.barriers:
        raise Refused(f"line {barrier.line}: {barrier.words}; run this cell here")
    for use in facts.touches:
        if use.touch.kind == "setting" and use.touch.write:
            raise Refused(
                f"line {use.line}: it sets {use.touch.name or 'something'}, which would not reach "
                "this session; run this cell here"
            )


def changed_names(facts: CellFacts, variables: Variables) -> set[str]:
    """Return the session's variables that a cell may change in place, and what shares with them."""
    changes = {use.name for use in facts.changes} & variables.values.keys()
    return variables.sharing(name for name in changes if variables.can_change(name))


def drawn_generators(facts: CellFacts) -> tuple[str, ...]:
    """Return the global random generators that a cell may draw from."""
    touched = {use.touch.name for use in facts.touches if use.touch.kind == "random"}
    return tuple(name for name in GENERATORS if name in touched or "" in touched)


def _replayed(analysis: Analysis, number: int) -> list[int]:
    """Return the cells that set what a cell needs set, and what these need, in order."""
    by_target: dict[int, list[int]] = {}
    for each in analysis.dependences:
        if each.kind == "replay":
            by_target.setdefault(each.target, []).append(each.source)
    found: set[int] = set()
    waiting = [number]
    while waiting:
        new = set(by_target.get(waiting.pop(), ())) - found
        found |= new
        waiting += new
    cells = {number: analysis.cells[_place(analysis, number)] for number in found}
    return sorted(it for it, facts in cells.items() if facts.is_repeated)


def _replayed_cell(place: int, facts: CellFacts) -> StageCell:
    names = {use.name for use in facts.writes} if facts.part is None else facts.part.names
    return StageCell(
        index=place, number=facts.index, replayed=True, writes=tuple(sorted(set(names)))
    )


def _repeated(facts: CellFacts, text: CellText) -> str:
    return _source(text) if facts.part is None else facts.part.text


def _place(analysis: Analysis, number: int) -> int:
    """Return where in the analysis the cell of a number is."""
    return next(i for i, cell in enumerate(analysis.cells) if cell.number == number)


def _source(text: CellText) -> str:
    return text.source or text.text
