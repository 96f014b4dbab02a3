"""Follow imports.

A module that the tables do not know is one piece of memory with all that it was ever given. An
import at the top of a cell is replayed: each kernel repeats it for itself.
"""

import ast

from nbflow.core.cells.effects import is_known_module, module_object
from nbflow.core.cells.effects.language import Touch
from nbflow.core.cells.effects.lookup import is_module
from nbflow.core.cells.expressions import Expressions
from nbflow.core.cells.memory import Memory
from nbflow.core.cells.values import Value


class Imports:
    """Binds what imports bring."""

    def __init__(self, memory: Memory, expressions: Expressions) -> None:
        self._memory = memory
        self._expressions = expressions

    def plain(self, node: ast.Import, *, at_top: bool) -> None:
        """Follow ``import a.b as c``."""
        self._memory.page.traits["imports"] = None
        for alias in node.names:
            package = alias.name.partition(".")[0]
            full = alias.name if alias.asname else package
            self._imported(alias.asname or package, self._module(full), node, at_top=at_top)

    def names(self, node: ast.ImportFrom, *, at_top: bool) -> None:
        """Follow ``from a import b as c``."""
        self._memory.page.traits["imports"] = None
        module = node.module or ""
        if module == "__future__":
            # IPython compiles all later cells so, too.
            compiler = Touch("setting", "how Python compiles")
            self._memory.page.touch((compiler,), self._memory.act("sets", node))
        for alias in node.names:
            if alias.name == "*":
                act = self._memory.act("stops", node)
                self._memory.page.stop(f"it imports whatever `{module}` has (*)", act)
                self._memory.forget(node)
                continue
            full = f"{module}.{alias.name}"
            if node.level or not is_known_module(module):
                value = self._module(module or ".")
            elif module_object(full) is not None:
                value = Value(module_object(full) or "")
            else:
                value = Value("module" if is_module(full) else "library", about=full)
            self._imported(alias.asname or alias.name, value, node, at_top=at_top)

    def _module(self, name: str) -> Value:
        if is_known_module(name):
            return Value("module" if is_module(name) else "library", about=name)
        return Value("module", frozenset({self._memory.module_region(name)}), about=name)

    def _imported(self, name: str, value: Value, node: ast.AST, *, at_top: bool) -> None:
        replayed = at_top and self._expressions.frame is self._memory.globals
        frame, outside = self._expressions.frame_of(name)
        self._memory.bind(frame, name, value, node, verb="imports", weak=outside, replayed=replayed)
