"""Parts of values: attributes, elements, and what is put into a value."""

import ast
from dataclasses import replace

from nbflow.core.cells.effects import attribute_type, module_object
from nbflow.core.cells.effects.language import SCALAR
from nbflow.core.cells.effects.lookup import is_module, type_named
from nbflow.core.cells.naming import Naming
from nbflow.core.cells.values import (
    ARITHMETIC,
    FIXED,
    NOWHERE,
    NUMBER,
    Class,
    Function,
    Regions,
    Text,
    Value,
    any_of,
    classes_of,
    functions_in,
    inside,
)


class Parts(Naming):
    """Takes parts out of values, and puts others in."""

    def attribute(self, owner: Value, name: str, node: ast.AST) -> Value:
        """Return an attribute of a value."""
        if owner.type in ("module", "library"):
            return self._member_of_library(owner, name, node)
        if owner.type.startswith("setting:"):
            self.calls.library.touch_setting(owner.type.partition(":")[2], node, write=False)
            return owner
        if owner.type in ("instance", "class") and isinstance(owner.about, Class):
            return self._member(owner, owner.about, name, node)
        self.memory.read(owner.regions, node, "")
        kind = attribute_type(owner.type, name)
        if kind == SCALAR:
            return NUMBER
        known = type_named(owner.type)
        if kind is None and known is not None and (name in known.methods or known.default):
            regions = owner.regions | inside(owner)
            return Value("method", regions, about=name, owner=owner, text=_path_part(owner, name))
        kinds = classes_of(owner) if name == "__class__" else NOWHERE
        if owner.type == "":
            kinds |= self._run_properties(owner, node)
        text = owner.text if owner.type == "Path" else None
        return Value(
            kind or "",
            owner.regions | inside(owner) | kinds,
            text=text and replace(text, exact=False),
        )

    def _member_of_library(self, owner: Value, name: str, node: ast.AST) -> Value:
        full = f"{owner.dotted}.{name}"
        kind = module_object(full)
        if kind is not None:
            if kind.startswith("setting:"):
                self.calls.library.touch_setting(kind.partition(":")[2], node, write=False)
            return Value(kind)
        if owner.regions:
            # A module that nobody knows: what it has may be anything of it.
            return Value("", owner.regions)
        return Value("module" if is_module(full) else "library", about=full)

    def _member(self, owner: Value, kind: Class, name: str, node: ast.AST) -> Value:
        self.memory.read(owner.regions, node, "")
        member = kind.member(name)
        if member is None:
            kinds = classes_of(owner) if name == "__class__" else NOWHERE
            if not kind.all_known() or kind.member("__getattr__"):
                kinds |= self._run_properties(owner, node)
            return Value("", owner.regions | inside(owner) | kinds)
        if isinstance(member.about, Function):
            if member.about.decorated:
                given = owner.regions
                returned = self.calls.run_on_anything([member.about], given, node)
                return Value("", given | inside(owner) | returned)
            bound = owner if owner.type == "instance" else None
            return replace(member, owner=bound, regions=member.regions | owner.regions)
        return Value("", member.regions | owner.regions | inside(owner))

    def _run_properties(self, owner: Value, node: ast.AST) -> Regions:
        ours = [
            each
            for each in functions_in(owner.regions)
            if each.decorated or each.name == "__getattr__"
        ]
        return self.calls.run_on_anything(ours, owner.regions, node) if ours else NOWHERE

    def part_of(self, owner: Value, *, sliced: bool = False) -> Value:
        """Return an element of a value, nobody knows which, or a slice of it."""
        if owner.type in (*ARITHMETIC, "plot"):
            return Value(owner.type, owner.regions)
        if sliced and owner.type in ("list", "tuple"):
            return Value(owner.type, owner.regions)
        regions = inside(owner)
        if owner.type in FIXED or (owner.type in ("list", "dict", "set", "tuple") and not regions):
            return NUMBER
        return any_of(owner.items) if owner.items else Value("", regions)

    def each_of(self, value: Value, node: ast.AST) -> Value:
        """Return what going through a value brings, one after the other."""
        self.calls.library.use_up(value, node)
        returned = self.calls.operate((value,), node)
        if value.type == "iterator":
            inner = inside(value)
            return Value("", inner | inside(Value("", inner)) | returned)
        part = self.part_of(value)
        return replace(part, regions=part.regions | returned) if returned else part

    def store(self, owner: Value, value: Value, node: ast.AST, attribute: str = "") -> None:
        """Put a value into another one."""
        if owner.type.startswith("setting:"):
            self.calls.library.touch_setting(owner.type.partition(":")[2], node, write=True)
            return
        memory = self.memory
        if owner.type in ("module", "library"):
            act = memory.act("changes", node)
            why = f"it changes `{owner.dotted}.{attribute}` of a library"
            memory.page.stop(why, act, "lasting")
            memory.forget(node)
            return
        self._run_properties(owner, node)
        memory.change(owner.regions, node, "")
        known = type_named(owner.type)
        copied = known is not None and known.copies and value.type in (*ARITHMETIC, *FIXED)
        for region in owner.regions if not copied else ():
            memory.hold(region, value.regions, node)


def _path_part(owner: Value, name: str) -> Text | None:
    """Return what is known of an attribute of a path: its parent is a folder."""
    if owner.type != "Path" or owner.text is None or name != "parent":
        return None
    return Text(owner.text.text.rpartition("/")[0] or ".", owner.text.exact)
