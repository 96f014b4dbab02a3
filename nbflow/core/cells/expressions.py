"""Follow expressions: what they read, change and call, and what their value may be."""

import ast
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from nbflow.core.cells import paths
from nbflow.core.cells.arguments import Arguments
from nbflow.core.cells.calls import Calls
from nbflow.core.cells.effects.language import SCALAR
from nbflow.core.cells.memory import Memory
from nbflow.core.cells.parts import Parts
from nbflow.core.cells.scopes import Scope, comprehension_targets, scope_of
from nbflow.core.cells.texts import follow_magic, follow_query, is_magic
from nbflow.core.cells.values import (
    ARITHMETIC,
    FIXED,
    NOWHERE,
    NUMBER,
    Frame,
    Function,
    Text,
    Value,
    any_of,
    functions_in,
    inside,
    joined,
    union,
)


class Expressions(Parts):
    """Follows expressions in the frame that is current."""

    def __init__(self, memory: Memory, calls: Calls) -> None:
        super().__init__(memory, calls)
        #: Follows statements; set by who does that.
        self.execute: Callable[[Sequence[ast.stmt]], None] = _nothing
        self._handlers: dict[type[ast.expr], Callable[[Any], Value]] = {
            ast.Constant: self._constant,
            ast.Name: self._name,
            ast.JoinedStr: self._formatted,
            ast.FormattedValue: lambda node: self._shown([node.value], node),
            ast.List: lambda node: self._container("list", node.elts, node),
            ast.Set: lambda node: self._container("set", node.elts, node),
            ast.Tuple: self._tuple,
            ast.Dict: lambda node: self._container("dict", [*node.keys, *node.values], node),
            ast.BinOp: self._binary,
            ast.UnaryOp: lambda node: self._computed([self(node.operand)], node),
            ast.BoolOp: self._either,
            ast.Compare: self._compared,
            ast.Call: self._call,
            ast.Attribute: self._attribute,
            ast.Subscript: self._subscript,
            ast.Starred: lambda node: self(node.value),
            ast.Slice: self._slice,
            ast.IfExp: self._conditional,
            ast.Lambda: lambda node: self.function("<lambda>", node),
            ast.ListComp: lambda node: self._comprehension("list", node, [node.elt]),
            ast.SetComp: lambda node: self._comprehension("set", node, [node.elt]),
            ast.DictComp: lambda node: self._comprehension("dict", node, [node.key, node.value]),
            ast.GeneratorExp: self._generator,
            ast.NamedExpr: self._walrus,
            ast.Await: lambda node: self(node.value),
            ast.Yield: self._yielded,
            ast.YieldFrom: self._yielded,
        }

    def __call__(self, node: ast.expr) -> Value:
        """Follow an expression and return its value."""
        return self._handlers[type(node)](node)

    # --- names --------------------------------------------------------------------------------

    def _name(self, node: ast.Name) -> Value:
        return self.load(node.id, node)

    # --- plain values -------------------------------------------------------------------------

    def _constant(self, node: ast.Constant) -> Value:
        return Value(SCALAR, text=Text(node.value)) if isinstance(node.value, str) else NUMBER

    def _formatted(self, node: ast.JoinedStr) -> Value:
        text: Text | None = Text("")
        for part in node.values:
            value = self(part)
            known = value.text if isinstance(part, ast.Constant) else self._inserted(part)
            text = paths.join(text, known, between="")
        return Value(SCALAR, text=text)

    def _inserted(self, part: ast.expr) -> Text | None:
        plain = (
            isinstance(part, ast.FormattedValue) and part.conversion == -1 and not part.format_spec
        )
        return self(part.value).text if plain and isinstance(part, ast.FormattedValue) else None

    def _shown(self, parts: Iterable[ast.expr], node: ast.AST) -> Value:
        self.calls.operate([self(part) for part in parts], node)
        return NUMBER

    def _container(self, kind: str, parts: Sequence[ast.expr | None], node: ast.AST) -> Value:
        values = [self._element(part) for part in parts if part is not None]
        return Value(kind, frozenset({self.memory.region(node, union(values), deep=False)}))

    def _element(self, part: ast.expr) -> Value:
        value = self(part)
        return self.each_of(value, part) if isinstance(part, ast.Starred) else value

    def _tuple(self, node: ast.Tuple) -> Value:
        values = tuple(self._element(part) for part in node.elts)
        starred = any(isinstance(part, ast.Starred) for part in node.elts)
        regions = union(values)
        if regions or starred:
            regions = frozenset({self.memory.region(node, regions, deep=False)})
        return Value("tuple", regions, items=None if starred else values)

    def _either(self, node: ast.BoolOp) -> Value:
        values = [self(part) for part in node.values]
        self.calls.operate(values, node)
        return any_of(values)

    def _conditional(self, node: ast.IfExp) -> Value:
        self.calls.operate([self(node.test)], node)
        return joined(self(node.body), self(node.orelse))

    def _compared(self, node: ast.Compare) -> Value:
        values = [self(node.left), *(self(part) for part in node.comparators)]
        for operator, right in zip(node.ops, values[1:], strict=True):
            if isinstance(operator, (ast.In, ast.NotIn)):
                self.calls.library.use_up(right, node)
        if all(isinstance(operator, (ast.Is, ast.IsNot)) for operator in node.ops):
            return NUMBER
        return self._computed(values, node, fresh=True)

    def _binary(self, node: ast.BinOp) -> Value:
        left, right = self(node.left), self(node.right)
        result = self._computed([left, right], node)
        if isinstance(node.op, ast.Div) and "Path" in (left.type, right.type):
            return Value("Path", text=paths.join(left.text, right.text))
        if isinstance(node.op, ast.Add) and left.type == right.type == SCALAR:
            return replace(result, text=paths.join(left.text, right.text, between=""))
        return result

    def _computed(self, values: Sequence[Value], node: ast.AST, *, fresh: bool = False) -> Value:
        """Return what arithmetic with some values gives."""
        returned = self.calls.operate(values, node)
        types = {value.type for value in values}
        if types <= FIXED:
            return NUMBER
        if returned:
            values = [*values, Value("", returned)]
        for kind in ARITHMETIC:
            if kind in types:
                return Value(kind, frozenset({self.memory.region(node)}))
        ours = any(True for value in values for _ in functions_in(value.regions))
        if fresh and not ours:
            return Value("", frozenset({self.memory.region(node)}))
        held = union(Value("", inside(value)) for value in values)
        kind = next(iter(types)) if len(types) == 1 and types <= {"list", "set", "dict"} else ""
        shared = union(values) if ours or "" in types else NOWHERE
        made = self.memory.region(node, held | shared, deep=kind == "")
        return Value(kind, frozenset({made}) | shared)

    def _slice(self, node: ast.Slice) -> Value:
        for part in (node.lower, node.upper, node.step):
            if part is not None:
                self(part)
        return NUMBER

    def _walrus(self, node: ast.NamedExpr) -> Value:
        value = self(node.value)
        frame = self.frame
        # What `:=` binds in a comprehension is of the function around it.
        while self.frame.kind == "comprehension" and self.frame.parent is not None:
            self.frame = self.frame.parent
        self.frame.weak += frame is not self.frame
        self.bind(node.target.id, value, node)
        self.frame.weak -= frame is not self.frame
        self.frame = frame
        return value

    def _yielded(self, node: ast.Yield | ast.YieldFrom) -> Value:
        if node.value is not None:
            self.frame.returned.append(self(node.value))
        return Value("", frozenset({self.memory.region(node)}))

    # --- parts of values ----------------------------------------------------------------------

    def _attribute(self, node: ast.Attribute) -> Value:
        return self.attribute(self(node.value), node.attr, node)

    def _subscript(self, node: ast.Subscript) -> Value:
        owner = self(node.value)
        key = self(node.slice)
        if owner.type.startswith("setting:"):
            self.calls.library.touch_setting(owner.type.partition(":")[2], node, write=False)
            return NUMBER
        returned = self.calls.operate((owner, key), node)
        self.memory.change((each for each in owner.regions if each.grows), node, "")
        constant = node.slice.value if isinstance(node.slice, ast.Constant) else None
        if (
            owner.items
            and isinstance(constant, int)
            and -len(owner.items) <= constant < len(owner.items)
        ):
            return owner.items[constant]
        part = self.part_of(owner, sliced=isinstance(node.slice, ast.Slice))
        return replace(part, regions=part.regions | returned) if returned else part

    # --- calls and functions ------------------------------------------------------------------

    def _call(self, node: ast.Call) -> Value:
        if is_magic(node):
            return follow_magic(self, node)
        if isinstance(node.func, ast.Attribute):
            owner = self(node.func.value)
            if node.func.attr in ("query", "eval") and owner.type in ("DataFrame", ""):
                follow_query(self, node)
            if owner.type not in ("module", "library"):
                return self.calls.call_method(owner, node.func.attr, self.arguments(node), node)
            callee = self.attribute(owner, node.func.attr, node.func)
        else:
            callee = self(node.func)
        result = self.calls.call(callee, self.arguments(node), node)
        if callee.dotted == "os.path.join":
            return replace(result, text=paths.joined_paths([self(part) for part in node.args]))
        return result

    def arguments(self, node: ast.Call) -> Arguments:
        """Follow the arguments of a call."""
        positional: list[Value] = []
        spread: list[Value] = []
        for part in node.args:
            value = self(part)
            if isinstance(part, ast.Starred):
                spread.append(joined(value, self.each_of(value, part)))
            elif spread:
                spread.append(value)
            else:
                positional.append(value)
        keywords: dict[str, Value] = {}
        written: dict[str, ast.expr] = {}
        for keyword in node.keywords:
            value = self(keyword.value)
            if keyword.arg is None:
                spread.append(joined(value, self.part_of(value)))
            else:
                keywords[keyword.arg] = value
                written[keyword.arg] = keyword.value
        return Arguments(tuple(positional), keywords, tuple(spread), written)

    def function(
        self,
        name: str,
        node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.GeneratorExp,
        *,
        decorated: bool = False,
    ) -> Value:
        """Return the function that a definition makes; its defaults are followed now."""
        defaults: dict[str, Value] = {}
        if not isinstance(node, ast.GeneratorExp):
            args = node.args
            named = [*args.posonlyargs, *args.args]
            pairs = [*zip(named[len(named) - len(args.defaults) :], args.defaults, strict=True)]
            pairs += [(a, d) for a, d in zip(args.kwonlyargs, args.kw_defaults, strict=True) if d]
            defaults = {arg.arg: self(default) for arg, default in pairs}
        inner = self.frame
        while inner.kind == "class" and inner.parent is not None:
            inner = inner.parent
        region = self.memory.region(node, union(defaults.values()))
        made = Function(
            name, node, scope_of(node), inner, defaults, decorated, self.memory.page.cell
        )
        known = next((each for each in region.functions if each.node is node), None)
        if known is not None and known.frame is inner:
            known.defaults = defaults
            made = known
        region.code = True
        region.functions[made] = None
        frame = self.frame
        while frame is not self.memory.globals and frame.parent is not None:
            frame.made.append((region, made))
            frame = frame.parent
        if frame is not self.memory.globals:
            frame.made.append((region, made))
        return Value("function", frozenset({region}), about=made)

    def _comprehension(
        self, kind: str, node: ast.ListComp | ast.SetComp | ast.DictComp, parts: Sequence[ast.expr]
    ) -> Value:
        values = self.comprehend(node.generators, parts)
        return Value(kind, frozenset({self.memory.region(node, union(values), deep=False)}))

    def comprehend(
        self, generators: Sequence[ast.comprehension], parts: Sequence[ast.expr]
    ) -> list[Value]:
        """Follow a comprehension, in a frame of its own, and return its elements' values."""
        outer = self.frame
        targets = comprehension_targets(generators)
        inner = Frame(
            "comprehension", Scope(targets, frozenset(), frozenset(), yields=False), outer
        )
        values: list[Value] = []
        for turn, generator in enumerate(generators):
            # The first is gone through outside, before there is a frame.
            self.frame = outer if turn == 0 else inner
            source = self.each_of(self(generator.iter), generator.iter)
            self.frame = inner
            self.assign(generator.target, source, generator.target)
            for condition in generator.ifs:
                self.calls.operate([self(condition)], condition)
        values = [self(part) for part in parts]
        self.frame = outer
        self.calls.close(inner)
        return values

    def _generator(self, node: ast.GeneratorExp) -> Value:
        # Followed now, and again where it is gone through: its names are read then.
        values = self.comprehend(node.generators, [node.elt])
        function = self.function("<generator>", node)
        made = self.memory.region(node, union([*values, function]))
        made.stream = True
        self.memory.keep_here(made)
        return Value("iterator", frozenset({made}))

    # --- assignments --------------------------------------------------------------------------

    def assign(self, target: ast.expr, value: Value, node: ast.AST) -> None:
        """Assign a value to a target."""
        match target:
            case ast.Name():
                self.bind(target.id, value, node)
            case ast.Tuple() | ast.List():
                self._unpack(target.elts, value, node)
            case ast.Starred():
                held = self.memory.region(target, value.regions, deep=False)
                self.assign(target.value, Value("list", frozenset({held})), node)
            case ast.Attribute():
                self.store(self(target.value), value, node, target.attr)
            case ast.Subscript():
                owner = self(target.value)
                key = self(target.slice)
                self.calls.operate((owner, key), node)
                self.store(owner, value, node)
            case _:
                raise AssertionError(f"{type(target).__name__} is no target")

    def _unpack(self, targets: Sequence[ast.expr], value: Value, node: ast.AST) -> None:
        starred = any(isinstance(target, ast.Starred) for target in targets)
        if value.items is not None and len(value.items) == len(targets) and not starred:
            for target, item in zip(targets, value.items, strict=True):
                self.assign(target, item, node)
            return
        part = self.each_of(value, node)
        for target in targets:
            self.assign(target, part, node)


def _nothing(_body: Sequence[ast.stmt]) -> None:
    raise AssertionError("nobody follows statements")
