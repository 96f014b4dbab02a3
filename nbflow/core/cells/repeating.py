"""What of a cell each kernel can repeat for itself: imports and settings.

They are found statement by statement. A cell that does nothing else is *replayed* whole, with the
seeds and the literal constants beside them, which are the same in every kernel. Of a cell that does
other work, too, other kernels repeat that *part* alone.

A setting counts only if nothing that the cell works out goes into it.
"""

import ast
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from nbflow.core.cells.facts import Part
from nbflow.core.cells.ledger import Page
from nbflow.core.cells.memory import Memory

_IMPORTS = (ast.Import, ast.ImportFrom)
#: Statements that end where they stand, and bind nothing on the way.
_PLAIN = (ast.Expr, ast.Assign, ast.AugAssign)
#: What a page has of a cell's doings, the first of each kind.
_DONE = ("writes", "changed", "deletes", "touches")


class Repeatable(NamedTuple):
    """What of a cell can be repeated.

    Parameters
    ----------
    whole
        Whether all of it can.
    part
        What can, if that has all that the cell sets.
    """

    whole: bool = False
    part: Part | None = None


class Repeating:
    """Looks at the statements of one cell, as they are followed.

    Parameters
    ----------
    memory
        Where the cell is being followed.
    repeated
        Earlier cells whose imports each kernel has.
    constants
        Whether constants are what they are written as: parameters are not.
    """

    def __init__(self, memory: Memory, repeated: Collection[int], *, constants: bool) -> None:
        self._memory = memory
        self._repeated = repeated
        self._constants = constants
        self._part: list[ast.stmt] = []
        self._works = False
        #: Whether it looks at a setting, and whether it changes one.
        self._asks = self._sets = False
        #: Whether something is set that a kernel cannot repeat alone.
        self._bound = False

    @contextmanager
    def statement(self, statement: ast.stmt) -> Iterator[None]:
        """Look at what a statement does while it is followed."""
        page = self._memory.page
        has_names = isinstance(statement, _PLAIN) and self._has_names(statement)
        # What it does itself can only be seen if nothing is there from those before.
        done = {name: dict(getattr(page, name)) for name in _DONE}
        for name in _DONE:
            getattr(page, name).clear()
        before = _Extent.of(page)
        try:
            yield
            self._note(statement, _Extent.of(page).beyond(before), has_names=has_names)
        finally:
            for name, acts in done.items():
                now = getattr(page, name)
                for what, act in now.items():
                    acts.setdefault(what, act)
                now.clear()
                now.update(acts)

    def _note(self, statement: ast.stmt, added: "_Extent", *, has_names: bool) -> None:
        settings = [it for it in self._memory.page.touches if it.kind == "setting"]
        sets = any(touch.write for touch in settings)
        if isinstance(statement, _IMPORTS):
            self._part.append(statement)
        elif added == _Extent() and settings:
            self._asks = True
            if sets and has_names:
                self._sets = True
                self._part.append(statement)
            self._bound = self._bound or (sets and not has_names)
        else:
            self._bound = self._bound or sets
            is_constant = added == _Extent(works=1) and self._is_constant(statement)
            self._works = self._works or not (
                is_constant or added in (_Extent(), _Extent(seeds=added.seeds))
            )

    def found(self) -> Repeatable:
        """Return what all of the statements come to."""
        whole = bool(self._part or self._asks) and not self._works
        names = [name for each in self._part for name in _imported(each)]
        if not self._sets or self._bound or not all(map(self._is_import, names)):
            return Repeatable(whole)
        return Repeatable(whole, Part("\n".join(map(ast.unparse, self._part)), tuple(names)))

    def _has_names(self, statement: ast.stmt) -> bool:
        """Whether the names in it are what other kernels have, too: imported, or built in."""
        page, names = self._memory.page, self._memory.globals.names
        known = {*self._repeated, page.cell}
        for node in ast.walk(statement):
            if isinstance(node, ast.Name):
                binding = names.get(node.id)
                if binding is not None and not (
                    binding.replayed and known.issuperset(binding.made)
                ):
                    return False
        return True

    def _is_import(self, name: str) -> bool:
        """Whether a name that the cell has imported is bound to nothing else since."""
        binding = self._memory.globals.names.get(name)
        return (
            binding is not None
            and binding.replayed
            and set(binding.made) == {self._memory.page.cell}
        )

    def _is_constant(self, statement: ast.stmt) -> bool:
        if not self._constants or not isinstance(statement, (ast.Assign, ast.AnnAssign)):
            return False
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        if len(targets) != 1 or not isinstance(targets[0], ast.Name):
            return False
        binding = self._memory.globals.names.get(targets[0].id)
        # What an option was is the same in every kernel.
        is_option = (
            isinstance(statement.value, ast.Attribute)
            and binding is not None
            and binding.value is not None
            and binding.value.type.startswith("setting:")
        )
        return is_option or _is_literal(statement.value)


class _Extent(NamedTuple):
    """How much a cell does, besides settings."""

    works: int = 0
    reads: int = 0
    seeds: int = 0
    others: int = 0

    @classmethod
    def of(cls, page: Page) -> "_Extent":
        touches = [touch for touch in page.touches if touch.kind != "setting"]
        seeds = sum(touch.kind == "random" and touch.fresh for touch in touches)
        return cls(
            works=len(page.writes) + len(page.changed) + len(page.deletes) + len(page.barriers),
            reads=sum(kind != "replay" for _, kind, _ in page.edges),
            seeds=seeds,
            others=len(touches) - seeds,
        )

    def beyond(self, before: "_Extent") -> "_Extent":
        return _Extent(*(now - then for now, then in zip(self, before, strict=True)))


def _imported(statement: ast.stmt) -> list[str]:
    if not isinstance(statement, _IMPORTS):
        return []
    return [alias.asname or alias.name.partition(".")[0] for alias in statement.names]


def _is_literal(value: ast.expr | None) -> bool:
    """Whether an expression is written out, and of a type that never changes."""
    match value:
        case ast.Constant():
            return True
        case ast.UnaryOp(operand=operand):
            return _is_literal(operand)
        case ast.BinOp(left=left, right=right):
            return _is_literal(left) and _is_literal(right)
        case ast.Tuple(elts=elements):
            return all(map(_is_literal, elements))
        case _:
            return False
