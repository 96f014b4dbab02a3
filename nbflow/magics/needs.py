"""Which variables of a live session a cell needs, beyond what its text says.

The text is analysed, as every cell is. But in a live session there is more to see: which functions
are really there, which globals these use, and which variables really share a part with one that is
changed.
"""

import ast
import dis
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nbflow.guest_namespace.graph import ATOMS, Reach, module_values
from nbflow.guest_namespace.sharing import Groups

#: Instructions by which a function uses a variable of its module.
_GLOBAL = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "DELETE_GLOBAL"})


class Variables:
    """The variables of a session at one moment.

    Parameters
    ----------
    values
        The user's variables.
    namespace
        The dictionary that they are in.
    """

    def __init__(self, values: Mapping[str, Any], namespace: dict[str, Any]) -> None:
        self.values = values
        self._namespace = namespace
        self._places = module_values()

    def read_by(self, text: str) -> set[str]:
        """Return the variables that a cell's text reads anywhere, also inside functions."""
        return names_read(text) & self.values.keys()

    def can_change(self, name: str) -> bool:
        """Whether the value of a variable can be changed in place, and be moved then."""
        value = self.values[name]
        return type(value) not in ATOMS and not isinstance(value, types.ModuleType)

    def with_globals(self, names: Iterable[str]) -> set[str]:
        """Return `names`, and the variables that functions among their values use, and so on."""
        found: set[str] = set()
        waiting = set(names)
        while waiting:
            found |= waiting
            used: set[str] = set()
            for thing in self._reach(waiting).objects.values():
                if isinstance(thing, types.FunctionType):
                    used.update(_globals_of(thing.__code__))
            waiting = used & self.values.keys() - found
        return found

    def sharing(self, names: Iterable[str]) -> set[str]:
        """Return `names`, and the variables that share with them what can be changed."""
        found = set(names)
        if not found:
            return found
        groups = Groups(self.values, self._reach(self.values))
        leaders = {groups.leader(name) for name in found}
        return found | {name for name in self.values if groups.leader(name) in leaders}

    def _reach(self, names: Iterable[str]) -> Reach:
        return Reach({name: self.values[name] for name in names}, self._namespace, self._places)


def names_read(text: str) -> set[str]:
    """Return the names that a cell's text reads or deletes; none if it is not valid Python."""
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    try:
        tree = compile(text, "<cell>", "exec", flags, dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    return {
        each.id
        for each in ast.walk(tree)
        if isinstance(each, ast.Name) and not isinstance(each.ctx, ast.Store)
    } | {
        # `x += 1` reads what it stores.
        each.target.id
        for each in ast.walk(tree)
        if isinstance(each, ast.AugAssign) and isinstance(each.target, ast.Name)
    }


def _globals_of(code: types.CodeType) -> Iterator[str]:
    for step in dis.get_instructions(code):
        if step.opname in _GLOBAL:
            yield str(step.argval)
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _globals_of(inner)
