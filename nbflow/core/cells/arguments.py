"""The arguments of a call, as values."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field

from nbflow.core.cells.effects.language import Argument
from nbflow.core.cells.values import Value, any_of


@dataclass(frozen=True, slots=True)
class Arguments:
    """Positional arguments, keywords, and whether more may be behind ``*`` or ``**``."""

    positional: tuple[Value, ...] = ()
    keywords: Mapping[str, Value] = field(default_factory=dict)
    #: What was spread into the call by ``*`` or ``**``.
    spread: tuple[Value, ...] = ()
    #: The keywords' expressions, for constants.
    written: Mapping[str, ast.expr] = field(default_factory=dict)

    def all(self) -> tuple[Value, ...]:
        """Return every argument."""
        return (*self.positional, *self.keywords.values(), *self.spread)

    def find(self, key: Argument) -> Value | None:
        """Return the argument at a position or of a keyword; None if it is not given."""
        if isinstance(key, str):
            found = self.keywords.get(key)
        else:
            found = self.positional[key] if key < len(self.positional) else None
        return any_of(self.spread) if found is None and self.spread else found

    def is_off(self, keyword: str) -> bool:
        """Whether a keyword is not given, or is plainly False or None."""
        node = self.written.get(keyword)
        if node is None:
            return keyword not in self.keywords and not self.spread
        return isinstance(node, ast.Constant) and not node.value

    def is_given(self, keyword: str) -> bool:
        """Whether a keyword is given, and not plainly None."""
        node = self.written.get(keyword)
        return node is not None and not (isinstance(node, ast.Constant) and node.value is None)
