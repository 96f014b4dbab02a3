"""What the analysis of a notebook says: of each cell, and of each pair that depends.

Cells are known by their *number*, counted from 1 as Jupyter does in ``In [3]`` when a notebook runs
from top to bottom: cells that are empty or are not run have none.
"""

from typing import Literal

import msgspec

from nbflow.core.cells.effects.language import Touch

#: ``data``: the later cell uses a variable of the earlier. ``order``: both touch something
#: outside, or one of them is a barrier. ``replay``: the later cell needs an import or a setting
#: of the earlier, which each kernel repeats for itself, so neither waits for the other.
DependenceKind = Literal["data", "order", "replay"]


#: What is special of a cell, for whoever wants to run it beside others. ``anything``: it may do
#: anything outside, as start programs. ``forgets``: it may use, bind and change any variable.
#: ``history``: it uses what its kernel has kept of all cells before. ``lasting``: it leaves
#: something in its kernel that is no variable, for all cells after. ``background``: work that it
#: has started may go on. ``imports``: it reads modules.
Trait = Literal["anything", "forgets", "history", "lasting", "background", "imports"]


class CellText(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A code cell as plain Python.

    Parameters
    ----------
    number
        Its number, from 1.
    index
        Its place among all cells of the notebook, from 0.
    text
        Its source, line by line as in the notebook; magics and shell lines are calls of
        ``get_ipython()``, as IPython itself makes them.
    source
        Its source as its author wrote it, if that differs.
    tags
        Its tags.
    local
        Whether what it assigns does not stay: the body of ``%%timeit``.
    captures
        The variable into which ``%%capture`` puts its output, if any.
    unsure
        Why its output differs from run to run, if that is known.
    """

    number: int
    index: int
    text: str
    source: str = ""
    tags: tuple[str, ...] = ()
    local: bool = False
    captures: str = ""
    unsure: str = ""


class Reason(msgspec.Struct, frozen=True):
    """Why something holds of a cell: in words, and in which of its lines, from 1."""

    line: int
    words: str


class NameUse(msgspec.Struct, frozen=True):
    """A variable, and where and how a cell uses it."""

    name: str
    line: int
    words: str


class TouchUse(msgspec.Struct, frozen=True):
    """Something outside, and where a cell touches it."""

    touch: Touch
    line: int
    words: str


class Pieces(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a cell does to memory, which is cut into numbered pieces; see `values.Region`.

    Parameters
    ----------
    first
        Pieces from this number on are made in this cell, or later.
    binds
        Where the variables that it binds lie at its end.
    gone
        Variables that do not exist any more at its end.
    holds
        Pairs of pieces: from now on, the second can be reached from the first.
    changes
        Pieces that it may change in place.
    stay
        Pieces that cannot leave their process: iterators, open files, a library's memory.
    classes
        Pieces that are classes of the notebook.
    imports
        Variables that stand for something imported at its end, and the full name of that.
    everything
        The piece of all that code that cannot be seen may have made; 0 if there is none yet.
    """

    first: int = 0
    binds: tuple[tuple[str, tuple[int, ...]], ...] = ()
    gone: tuple[str, ...] = ()
    holds: tuple[tuple[int, int], ...] = ()
    changes: tuple[int, ...] = ()
    stay: tuple[int, ...] = ()
    classes: tuple[int, ...] = ()
    imports: tuple[tuple[str, str], ...] = ()
    everything: int = 0


class Part(msgspec.Struct, frozen=True):
    """What of a cell each kernel does for itself, where the cell sets something beside other work.

    Parameters
    ----------
    text
        The statements that import and set.
    names
        What they bind.
    """

    text: str
    names: tuple[str, ...] = ()


class CellFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What one cell does.

    Parameters
    ----------
    number, index
        Which cell, as in `CellText`.
    first_line
        The beginning of its source, to know it by.
    reads
        Variables of earlier cells that it needs.
    writes
        Variables that it binds.
    changes
        Variables of earlier cells whose value it may change in place.
    deletes
        Variables that it deletes.
    touches
        What it touches outside.
    barriers
        Why nothing may be moved across it; empty for most cells.
    unsure
        Why it does not give the same each time.
    replayed
        Whether all that it does is to import and to set: each kernel does that for itself.
    part
        What of it each kernel does for itself; None unless it sets something beside other work.
    local
        Variables that it binds and no later cell reads.
    needs
        Variables of earlier cells that it uses by name, imported ones, too.
    traits
        What is special of it.
    pieces
        What it does to memory.
    """

    number: int
    index: int
    first_line: str
    reads: tuple[NameUse, ...] = ()
    writes: tuple[NameUse, ...] = ()
    changes: tuple[NameUse, ...] = ()
    deletes: tuple[NameUse, ...] = ()
    touches: tuple[TouchUse, ...] = ()
    barriers: tuple[Reason, ...] = ()
    unsure: tuple[Reason, ...] = ()
    replayed: bool = False
    part: Part | None = None
    local: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    traits: tuple[Trait, ...] = ()
    pieces: Pieces = Pieces()

    @property
    def is_repeated(self) -> bool:
        """Whether each kernel does it for itself, or a part of it."""
        return self.replayed or self.part is not None


class Dependence(msgspec.Struct, frozen=True):
    """`target`, a later cell, depends on `source`.

    Parameters
    ----------
    source, target
        Numbers of the two cells.
    kind
        See `DependenceKind`.
    name
        The variable, or what is touched outside; empty for a barrier.
    why
        The whole reason, as a sentence without a full stop.
    source_line, target_line
        Where, in each of them; from 1, 0 if it is the cell as a whole.
    """

    source: int
    target: int
    kind: DependenceKind
    name: str
    why: str
    source_line: int = 0
    target_line: int = 0


class Analysis(msgspec.Struct, frozen=True):
    """The cells of a notebook in order, and how they depend on each other.

    `language` is set if the notebook is not in Python, in which case nothing is known of its cells.
    """

    cells: tuple[CellFacts, ...]
    dependences: tuple[Dependence, ...]
    language: str = ""

    def between(self, source: int, target: int) -> tuple[Dependence, ...]:
        """Return the reasons for which cell `target` depends on cell `source` directly."""
        return tuple(
            each for each in self.dependences if each.source == source and each.target == target
        )
