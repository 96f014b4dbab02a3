"""Follow statements, in the order in which they run.

Where the order is not known, all that may happen is joined: both branches of an ``if``, a
loop's body as often as it finds anything new, the beginning of a ``try`` as far as it may have
come.
"""

import ast
from collections.abc import Callable, Sequence
from typing import Any

from nbflow.core.cells.arguments import Arguments
from nbflow.core.cells.calls import Calls
from nbflow.core.cells.effects import is_known_module
from nbflow.core.cells.expressions import Expressions
from nbflow.core.cells.imports import Imports
from nbflow.core.cells.memory import Memory, TooEntangled
from nbflow.core.cells.values import (
    NUMBER,
    Binding,
    Class,
    Frame,
    Function,
    Value,
    any_of,
    inside,
    reach,
    union,
)

#: A loop brings nothing new after at most as many rounds as there are names to hand values on.
_ROUNDS = 12
#: Context managers that let exceptions through.
_PLAIN_CONTEXTS = frozenset({"file", "settings", "plot", "image"})
#: Decorators that leave a function what it is.
_TRANSPARENT = frozenset({"wraps", "lru_cache", "cache"})


class Statements:
    """Follows statements, and the bodies of functions that they call."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.calls = Calls(memory, self)
        self.expressions = Expressions(memory, self.calls)
        self.expressions.execute = self.run
        self._imports = Imports(memory, self.expressions)
        #: Whether the current statement replays: it imports at the top of a cell.
        self._at_top = False
        self._handlers: dict[type[ast.stmt], Callable[[Any], None]] = {
            ast.Expr: self._expression,
            ast.Assign: self._assign,
            ast.AugAssign: self._augmented,
            ast.AnnAssign: self._annotated,
            ast.Delete: self._delete,
            ast.If: self._if,
            ast.For: self._for,
            ast.AsyncFor: self._for,
            ast.While: self._while,
            ast.Try: self._try,
            ast.TryStar: self._try,
            ast.With: self._with,
            ast.AsyncWith: self._with,
            ast.Match: self._match,
            ast.FunctionDef: self._function,
            ast.AsyncFunctionDef: self._function,
            ast.ClassDef: self._class,
            ast.Return: self._return,
            ast.Raise: self._raise,
            ast.Assert: self._assert,
            ast.Import: lambda node: self._imports.plain(node, at_top=self._at_top),
            ast.ImportFrom: lambda node: self._imports.names(node, at_top=self._at_top),
            ast.Global: _pass,
            ast.Nonlocal: _pass,
            ast.Pass: _pass,
            ast.Break: _pass,
            ast.Continue: _pass,
        }

    @property
    def frame(self) -> Frame:
        """The variables of where we are."""
        return self.expressions.frame

    def top_level(self, statement: ast.stmt) -> None:
        """Follow one statement of a cell."""
        self._at_top = True
        self._statement(statement)

    def run(self, body: Sequence[ast.stmt]) -> None:
        """Follow statements inside others."""
        self._at_top = False
        for statement in body:
            self._statement(statement)

    def run_body(self, function: Function, frame: Frame) -> Value:
        """Follow the body of a function in its frame, and return what it returns."""
        outer, self.expressions.frame = self.frame, frame
        node = function.node
        try:
            if isinstance(node, ast.Lambda):
                return self.expressions(node.body)
            if isinstance(node, ast.GeneratorExp):
                return any_of(self.expressions.comprehend(node.generators, [node.elt]))
            self.run(node.body)
            return any_of(frame.returned)
        finally:
            self.expressions.frame = outer

    def _statement(self, statement: ast.stmt) -> None:
        self._handlers[type(statement)](statement)

    def _value(self, node: ast.expr) -> Value:
        return self.expressions(node)

    # --- plain statements ---------------------------------------------------------------------

    def _expression(self, node: ast.Expr) -> None:
        # The last one of a cell is shown.
        value = self._value(node.value)
        if not isinstance(node.value, ast.Call):
            self.calls.operate([value], node)

    def _assign(self, node: ast.Assign) -> None:
        value = self._value(node.value)
        for target in node.targets:
            self.expressions.assign(target, value, node)

    def _annotated(self, node: ast.AnnAssign) -> None:
        if self.frame.kind != "call":
            self._value(node.annotation)
        if node.value is not None:
            self.expressions.assign(node.target, self._value(node.value), node)

    def _augmented(self, node: ast.AugAssign) -> None:
        target = node.target
        owner = None
        if isinstance(target, ast.Name):
            old = self.expressions.load(target.id, target)
        else:
            owner = self._value(target.value)
            old = Value("", inside(owner) | owner.regions)
            if isinstance(target, ast.Subscript):
                self._value(target.slice)
        value = self._value(node.value)
        self.calls.operate((old, value), node)
        self.memory.change_all(old, node, target.id if isinstance(target, ast.Name) else "")
        self.calls.library.use_up(value, node)
        parts = value.regions | inside(value)
        for region in old.regions:
            if old.type not in ("ndarray", "DataFrame"):
                self.memory.hold(region, parts, node)
        if owner is not None:
            self.expressions.store(owner, value, node, getattr(target, "attr", ""))
        elif isinstance(target, ast.Name):
            self.expressions.bind(target.id, self._sum(old, value, node), node, "changes")

    def _sum(self, old: Value, value: Value, node: ast.AST) -> Value:
        if old.type == value.type == NUMBER.type or not (old.regions or value.regions):
            return Value(old.type if old.type == value.type else "")
        if old.type in ("list", "set", "dict", "DataFrame", "ndarray"):
            return Value(old.type, old.regions)
        made = self.memory.region(node, old.regions | value.regions)
        kind = value.type if value.type in ("DataFrame", "ndarray") else ""
        return Value(kind, old.regions | {made})

    def _delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            self._delete_one(target, node)

    def _delete_one(self, target: ast.expr, node: ast.AST) -> None:
        match target:
            case ast.Name():
                frame, _ = self.expressions.frame_of(target.id)
                self.memory.unbind(frame, target.id, node)
            case ast.Tuple() | ast.List():
                for part in target.elts:
                    self._delete_one(part, node)
            case ast.Attribute() | ast.Subscript():
                self.expressions.store(self._value(target.value), NUMBER, node)
            case _:
                raise AssertionError(f"{type(target).__name__} cannot be deleted")

    def _return(self, node: ast.Return) -> None:
        if node.value is not None:
            self.frame.returned.append(self._value(node.value))

    def _raise(self, node: ast.Raise) -> None:
        for part in (node.exc, node.cause):
            if part is not None:
                self._value(part)

    def _assert(self, node: ast.Assert) -> None:
        self.calls.operate([self._value(node.test)], node)
        if node.msg is not None:
            self._value(node.msg)

    # --- branches and loops -------------------------------------------------------------------

    def _if(self, node: ast.If) -> None:
        self.calls.operate([self._value(node.test)], node)
        self._branches([lambda: self.run(node.body), lambda: self.run(node.orelse)], node)

    def _branches(self, bodies: Sequence[Callable[[], None]], node: ast.AST) -> None:
        frame = self.frame
        before = frame.names
        after: list[dict[str, Binding]] = []
        for body in bodies:
            frame.names = dict(before)
            body()
            after.append(frame.names)
        self.memory.merge(frame, after, node)

    def _match(self, node: ast.Match) -> None:
        subject = self._value(node.subject)
        self.calls.operate([subject], node)
        parts = Value("", frozenset(reach(subject.regions)))

        def follow(case: ast.match_case) -> Callable[[], None]:
            return lambda: self._case(case, subject, parts)

        self._branches([*(follow(case) for case in node.cases), lambda: None], node)

    def _case(self, case: ast.match_case, subject: Value, parts: Value) -> None:
        for pattern in ast.walk(case.pattern):
            match pattern:
                case ast.MatchValue(value=value):
                    self._value(value)
                case ast.MatchClass(cls=value):
                    self._value(value)
                case ast.MatchMapping(keys=keys, rest=rest):
                    for key in keys:
                        self._value(key)
                    if rest is not None:
                        self.expressions.bind(rest, parts, pattern)
                case ast.MatchAs(name=str(name)):
                    whole = pattern is case.pattern
                    self.expressions.bind(name, subject if whole else parts, pattern)
                case ast.MatchStar(name=str(name)):
                    self.expressions.bind(name, parts, pattern)
        if case.guard is not None:
            self.calls.operate([self._value(case.guard)], case.guard)
        self.run(case.body)

    def _for(self, node: ast.For | ast.AsyncFor) -> None:
        source = self._value(node.iter)

        def once() -> None:
            item = self.expressions.each_of(source, node.iter)
            self.expressions.assign(node.target, item, node)
            self.run(node.body)

        self._loop(once)
        self._weakly(lambda: self.run(node.orelse))

    def _while(self, node: ast.While) -> None:
        def once() -> None:
            self.calls.operate([self._value(node.test)], node)
            self.run(node.body)

        self._loop(once)
        self._weakly(lambda: self.run(node.orelse))

    def _loop(self, once: Callable[[], None]) -> None:
        for _ in range(_ROUNDS):
            before = self.memory.changes
            self._weakly(once)
            if self.memory.changes == before:
                return
        raise TooEntangled

    def _weakly(self, body: Callable[[], None]) -> None:
        frame = self.frame
        frame.weak += 1
        frame.blocks.append(object())
        body()
        frame.blocks.pop()
        frame.weak -= 1

    def _try(self, node: ast.Try | ast.TryStar) -> None:
        self._weakly(lambda: self.run(node.body))

        def handled() -> None:
            for handler in node.handlers:
                if handler.type is not None:
                    self._value(handler.type)
                if handler.name is not None:
                    caught = self.memory.region(handler)
                    self.expressions.bind(handler.name, Value("", frozenset({caught})), handler)
                self.run(handler.body)
                if handler.name is not None:
                    frame, _ = self.expressions.frame_of(handler.name)
                    self.memory.unbind(frame, handler.name, handler)
            self.run(node.orelse)

        self._weakly(handled)
        self.run(node.finalbody)

    def _with(self, node: ast.With | ast.AsyncWith) -> None:
        library = self.calls.library
        settings = 0
        plain = True
        library.awaited += 1
        for item in node.items:
            value = self._value(item.context_expr)
            if value.type == "settings":
                settings += 1
            plain = plain and value.type in _PLAIN_CONTEXTS
            self.calls.operate([value], item.context_expr)
            if item.optional_vars is not None:
                entered = value if value.type else Value("", value.regions | inside(value))
                self.expressions.assign(item.optional_vars, entered, node)
        library.awaited -= 1
        library.settings_local += settings
        if plain:
            self.run(node.body)
        else:
            # It may swallow an exception, so what follows may see half of the body.
            self._weakly(lambda: self.run(node.body))
        library.settings_local -= settings

    # --- definitions --------------------------------------------------------------------------

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        decorators = [self._value(each) for each in node.decorator_list]
        args = node.args
        every = (*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg)
        for annotation in (*(arg.annotation for arg in every if arg is not None), node.returns):
            if annotation is not None:
                self._value(annotation)
        plain = all(each.dotted.rpartition(".")[2] in _TRANSPARENT for each in decorators)
        value = self.expressions.function(node.name, node, decorated=not plain)
        if not plain:
            value = self._decorated(value, decorators, node)
        self.expressions.bind(node.name, value, node)

    def _decorated(self, value: Value, decorators: Sequence[Value], node: ast.AST) -> Value:
        for each in reversed(decorators):
            if each.type in ("function", "class"):
                inner = value.about
                if isinstance(inner, Function):
                    inner.decorated = False  # What the decorator calls is the plain function.
                value = self.calls.call(each, Arguments((value,)), node)
            else:
                self.calls.library.unknown(each, Arguments((value,)), node)
                regions = value.regions | each.regions
                value = Value(value.type, regions, about=value.about, owner=value.owner)
        return value

    def _shape(self, made: Class, value: Value, shapers: Sequence[Value], node: ast.AST) -> None:
        """Let the notebook's own decorators, metaclasses and bases do what they do to a class."""
        hook = made.member("__init_subclass__")
        ours = [each for each in (*shapers, hook) if each is not None and each.about is not None]
        functions = [each for it in ours for r in reach(it.regions) for each in r.functions]
        if functions:
            self.calls.run_on_anything(functions, value.regions, node)

    def _class(self, node: ast.ClassDef) -> None:
        bases = tuple(self._value(base) for base in node.bases)
        keywords = [self._value(keyword.value) for keyword in node.keywords]
        decorators = [self._value(each) for each in node.decorator_list]
        plain = all(base.type == "class" or base.dotted == "builtins.object" for base in bases)
        made = Class(node.name, shaped=not plain or bool(keywords) or bool(decorators))
        made.bases = tuple(base for base in bases if base.type == "class")
        shapers = (*bases, *keywords, *decorators)
        region = self.memory.region(node, union(shapers))
        region.code = True
        self.memory.page.classes.append(region)
        outer = self.frame
        inner = self.expressions.frame = Frame("class", None, outer)
        self.run(node.body)
        self.expressions.frame = outer
        self.calls.close(inner)
        made.members = {
            name: binding.value
            for name, binding in inner.names.items()
            if binding.value is not None
        }
        for value in made.members.values():
            self.memory.hold(region, value.regions, node)
            for each in value.regions:
                region.functions.update(each.functions)
        for shaper in shapers:
            if (shaper.type == "library" and not is_known_module(shaper.dotted)) or not shaper.type:
                region.foreign = True
        made.region = region
        value = Value("class", frozenset({region}), about=made)
        self._shape(made, value, [*keywords, *decorators], node)
        self.expressions.bind(node.name, value, node)


def _pass(_node: ast.stmt) -> None:
    """Nothing happens."""
