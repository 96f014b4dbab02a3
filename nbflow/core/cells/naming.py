"""What names stand for, seen from where we are, and what they are bound to."""

import ast

from nbflow.core.cells.calls import Calls
from nbflow.core.cells.effects import function_effect
from nbflow.core.cells.effects.python import IPYTHON_NAMES
from nbflow.core.cells.memory import Memory
from nbflow.core.cells.values import (
    NUMBER,
    Frame,
    Value,
)

_HISTORY = "it uses IPython's history of the session"


class Naming:
    """Reads and binds names in the frame that is current."""

    def __init__(self, memory: Memory, calls: Calls) -> None:
        self.memory = memory
        self.calls = calls
        self.frame = memory.globals

    def load(self, name: str, node: ast.AST) -> Value:
        """Return what a name stands for in the current frame."""
        frame: Frame | None = self.frame
        while frame is not None and frame is not self.memory.globals:
            scope = frame.scope
            if scope is not None and name in scope.declared_global:
                break
            hidden = frame.kind == "class" and frame is not self.frame
            binding = None if hidden else frame.names.get(name)
            if binding is not None and binding.value is not None:
                self.memory.read(binding.value.regions, node, "")
                return binding.value
            if scope is not None and name in scope.own and frame is self.frame:
                return NUMBER  # It will fail: a local variable before its assignment.
            frame = frame.parent
        return self._load_global(name, node)

    def frame_of(self, name: str) -> tuple[Frame, bool]:
        """Return the frame in which assigning a name binds it, and whether from outside of it."""
        frame = self.frame
        scope = frame.scope
        if scope is None:
            return frame, False
        if name in scope.declared_global:
            return self.memory.globals, True
        if name in scope.own:
            return frame, False
        outer = frame.parent
        while outer is not None and (
            outer.kind == "class" or outer.scope is None or name not in outer.scope.own
        ):
            outer = outer.parent
        return outer or self.memory.globals, True

    def bind(self, name: str, value: Value, node: ast.AST, verb: str = "defines") -> None:
        """Let a name stand for a value."""
        frame, from_outside = self.frame_of(name)
        self.memory.bind(frame, name, value, node, verb=verb, weak=from_outside)

    def _load_global(self, name: str, node: ast.AST) -> Value:
        memory = self.memory
        value = memory.load_global(name, node)
        if value is not None:
            return value
        if name in IPYTHON_NAMES or (name[:1] == "_" and name.lstrip("_i").isdigit()):
            memory.page.stop(_HISTORY, memory.act("uses", node), "history")
            memory.forget(node)
        if function_effect(f"builtins.{name}") is not None:
            return Value("library", about=f"builtins.{name}")
        if name in ("__name__", "__doc__", "__file__"):
            return NUMBER
        if name == "get_ipython":
            act = memory.act("uses", node)
            memory.page.stop("it talks to IPython", act, "anything", "history", "lasting")
            memory.forget(node)
        if memory.anything is not None:
            memory.read(frozenset({memory.anything}), node, name)
            return Value("", frozenset({memory.anything}))
        return Value("", frozenset({memory.module_region("?")}))
