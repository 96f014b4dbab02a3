"""Stages of a notebook as nodes of a flow: what each is told, and what it brings.

A notebook with ``cells=True`` becomes several nodes: its *stages*, each of which runs some of its
cells in a kernel of its own, and the *assembly*, which has the notebook's name. It comes after all
stages, however they end, checks that together they did what a run from top to bottom would have
done, and puts the executed notebook together. Where that does not hold, it runs the notebook in
order.

Why the answer is the same: a stage may only do what was found out about its cells before (read
these variables, change those, touch these files), and is watched. As long as each stage keeps to
that, the order in which independent stages run cannot be told from their results. A stage that does
not keep to it fails with a *conflict*, whatever its cells gave.

A variable that stages hand on is an output under its own name. Variables that share memory are one
artifact under several names, and move as one. The state of a global random generator is an output,
too, under the words by which the analysis calls it, which are no identifier.
"""

import msgspec

#: Place of the cell that injects parameters, where the notebook has no cell of its own for it.
INJECTED = -1


class StageCell(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A cell as a stage runs it.

    Parameters
    ----------
    index
        Its place among all cells of the notebook as it was written; see `INJECTED`.
    number
        As Jupyter counts it when the notebook runs from top to bottom without injected parameters.
    replayed
        Whether it only imports and sets: each stage repeats it, and another one keeps its results.
    part
        What is run instead of its own text, if it is replayed only in part.
    takes
        Variables that get their values from other stages right before it.
    hides
        Variables that the kernel has, but not as they would be here in a run from top to bottom:
        they are taken away before the cell, so that it cannot see them.
    changes
        Variables whose values it may change in place.
    writes
        Variables that it may bind or delete.
    """

    index: int
    number: int
    replayed: bool = False
    part: str = ""
    takes: tuple[str, ...] = ()
    hides: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()


class StageSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a stage runs, and what it may do.

    Parameters
    ----------
    cells
        In the order of the notebook, with those that are replayed.
    generators
        Global random generators whose state it may change; the names are those of the analysis.
    settings
        Whether one of its cells may change settings other than in cells that are replayed.
    writes_files
        Files that it may write: paths as the notebook has them.
    writes_anything
        Whether it may have other effects outside: unknown files, programs, the network.
    background
        Whether it may leave threads and the like behind.
    injected
        Whether the notebook gets parameters, which makes a cell that counts.
    optional
        Variables that may stay behind where they cannot be moved; without that, it is a conflict.
    origin
        Tells its functions and classes from those of other stages; by default its own cells do.
    """

    cells: tuple[StageCell, ...]
    generators: tuple[str, ...] = ()
    settings: bool = False
    writes_files: tuple[str, ...] = ()
    writes_anything: bool = False
    background: bool = False
    injected: bool = False
    optional: tuple[str, ...] = ()
    origin: str = ""

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the cells whose results it keeps."""
        return tuple(cell.number for cell in self.cells if not cell.replayed)

    @property
    def has_effects(self) -> bool:
        """Whether it may write outside: then all before it must have kept to what is known."""
        return bool(self.writes_files) or self.writes_anything


class StagePlace(msgspec.Struct, frozen=True):
    """A stage as the assembly sees it.

    Parameters
    ----------
    node
        Its name in the flow.
    cells
        Indices of the cells whose results it keeps; see `StageCell.index`.
    before
        Places, in the assembly's list, of all stages that end before it begins.
    changes
        Variables whose values its cells may change in place.
    effects
        Whether its cells may do something outside that cannot be undone.
    """

    node: str
    cells: tuple[int, ...]
    before: tuple[int, ...] = ()
    changes: tuple[str, ...] = ()
    effects: bool = False
