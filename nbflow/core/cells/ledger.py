"""The book of one analysis: what each cell does, and which earlier cells it depends on for that.

A dependence is kept once for each pair, kind and name: with its first reason. Its words are made
at the end, and only for what was kept.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from nbflow.core.cells.effects.language import Touch
from nbflow.core.cells.facts import DependenceKind, Trait
from nbflow.core.cells.values import Act, Region

#: (source cell, kind, name) -> what was done there, and here.
Edges: TypeAlias = dict[tuple[int, DependenceKind, str], tuple[Act, Act]]


@dataclass(slots=True)
class Page:
    """What one cell does, as it was found.

    A `pure` cell was declared to change nothing and to touch nothing; only what it binds counts.
    """

    cell: int
    pure: bool = False
    edges: Edges = field(default_factory=dict)
    reads: dict[str, Act] = field(default_factory=dict)
    writes: dict[str, Act] = field(default_factory=dict)
    changed: dict[Region, Act] = field(default_factory=dict)
    deletes: dict[str, Act] = field(default_factory=dict)
    touches: dict[Touch, Act] = field(default_factory=dict)
    barriers: dict[str, Act] = field(default_factory=dict)
    unsure: dict[str, Act] = field(default_factory=dict)
    #: See `CellFacts` and `Pieces`.
    needs: dict[str, None] = field(default_factory=dict)
    traits: dict[Trait, None] = field(default_factory=dict)
    first: int = 0
    holds: list[tuple[Region, Region]] = field(default_factory=list)
    stay: list[Region] = field(default_factory=list)
    classes: list[Region] = field(default_factory=list)
    #: The cells before each earlier cell, as bits of a number.
    before: dict[int, int] = field(default_factory=dict)
    #: For each variable: the cells before those from which this one has it.
    covered: dict[str, int] = field(default_factory=dict)

    def depend(
        self, sources: Mapping[int, Act], act: Act, name: str, kind: DependenceKind = "data"
    ) -> bool:
        """Note that this cell depends on others; return whether there is any other."""
        other = False
        for cell, earlier in sources.items():
            if cell != self.cell:
                other = True
                if kind == "data":
                    self.covered[name] = self.covered.get(name, 0) | self.before.get(cell, 0)
                self.edges.setdefault((cell, kind, name), (earlier, act))
        return other

    def covers(self, sources: Mapping[int, Act], name: str) -> bool:
        """Whether this cell has a variable from cells that had it from these."""
        covered = self.covered.get(name, 0)
        for cell in sources:
            if cell >= 0 and cell != self.cell and not covered >> cell & 1:
                return False
        return True

    def close(self) -> None:
        """Remember which cells come before this one."""
        if self.cell < 0:
            return
        above = 0
        for source, kind, _ in self.edges:
            if kind != "replay":
                above |= 1 << source | self.before[source]
        self.before[self.cell] = above

    def read(self, sources: Mapping[int, Act], act: Act, name: str, *, replayed: bool) -> None:
        """Note that this cell needs a variable that others have bound or changed."""
        if self.depend(sources, act, name, "replay" if replayed else "data") and not replayed:
            self.reads.setdefault(name, act)

    def touch(self, touches: Iterable[Touch], act: Act) -> None:
        """Note that this cell touches something outside."""
        for each in touches if not self.pure else ():
            self.touches.setdefault(each, act)

    def stop(self, why: str, act: Act, *traits: Trait) -> None:
        """Note that nothing may be moved across this cell, and what else is special of it."""
        if not self.pure:
            self.barriers.setdefault(why, act)
            self.traits.update(dict.fromkeys(traits))
