"""Calls: of the notebook's own functions and classes, of libraries, and of what is not known.

A function of the notebook is followed into its body with the arguments that it is given, each time
that it is called: so it reads what its free names stand for *then*. Where it is only handed on,
to somebody who may call it with anything, it is *run on anything*: its body is followed with
parameters that may be whatever came along, until nothing new is found.
"""

import ast
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Protocol

from nbflow.core.cells.arguments import Arguments
from nbflow.core.cells.effects import function_effect, is_known_module, method_effects, out_keywords
from nbflow.core.cells.effects.lookup import UNKNOWN, type_named
from nbflow.core.cells.library import LibraryCalls
from nbflow.core.cells.memory import Memory, TooEntangled
from nbflow.core.cells.values import (
    NOWHERE,
    NUMBER,
    Class,
    Frame,
    Function,
    Regions,
    Value,
    any_of,
    functions_in,
    inside,
    joined,
    reach,
    union,
)

#: How many calls of the notebook's functions are followed in one cell, and how deep.
_CALLS_A_CELL = 250
_DEPTH = 20
#: By what an attribute of a module can be changed.
_PATCHES = frozenset({"builtins.setattr", "builtins.delattr"})
#: What a logger is for; its other methods set something.
_LOGS = frozenset({"debug", "info", "warning", "error", "critical", "exception", "log"})


class Runner(Protocol):
    """Follows the statements of a function's body."""

    def run_body(self, function: Function, frame: Frame) -> Value:
        """Follow a body and return what it returns."""
        ...


class Calls:
    """What happens at a call.

    Parameters
    ----------
    memory
        The variables, and the page of the current cell.
    runner
        Follows bodies.
    """

    def __init__(self, memory: Memory, runner: Runner) -> None:
        self._memory = memory
        self._runner = runner
        self.library = LibraryCalls(memory, self._run_library_arguments)
        self._followed = 0
        #: While functions are run on anything: which, and where their parameters may lie.
        self._on_anything: dict[Function, Regions] | None = None
        #: What functions that were run on anything in this cell have returned.
        self._returned: dict[Function, Regions] = {}

    def turn_to_next_cell(self) -> None:
        """Begin to count anew."""
        self._followed = 0
        self._on_anything = None
        self._returned.clear()
        self.library.turn_to_next_cell()

    # --- calls --------------------------------------------------------------------------------

    def call(self, callee: Value, args: Arguments, node: ast.AST) -> Value:
        """Note a call of a value, and return its result."""
        about = callee.about
        match callee.type:
            case "library":
                return self._call_library(callee.dotted, args, node)
            case "method" if callee.owner is not None:
                return self.call_method(callee.owner, callee.dotted, args, node)
            case "function" if isinstance(about, Function):
                if callee.owner is not None:
                    args = _with_first(callee.owner, args)
                return self._call_function(about, callee, args, node)
            case "class" if isinstance(about, Class):
                return self._instantiate(about, callee, args, node)
            case "module":
                return self.library.unknown(callee, args, node)
            case _:
                return self._call_anything(callee, args, node)

    def call_method(self, receiver: Value, name: str, args: Arguments, node: ast.AST) -> Value:
        """Note a call of a method, and return its result."""
        if isinstance(receiver.about, Class) and receiver.type in ("instance", "class"):
            return self._call_member(receiver, receiver.about, name, args, node)
        if receiver.type == "setting:logging" and name in _LOGS:
            return NUMBER
        if receiver.type.startswith("setting:"):
            self.library.touch_setting(receiver.type.partition(":")[2], node, write=True)
            for value in args.all():
                self._memory.change_all(value, node, "")
            return Value(receiver.type)
        effects = method_effects(receiver.type, name)
        known = type_named(receiver.type)
        if receiver.type == "" and self._may_be_ours(receiver):
            return self._call_anything(receiver, args, node)
        if not effects:
            return self.library.unknown(receiver, args, node)
        out = ("out", "ax") if known is None else known.out
        results = [self.library.apply(each, receiver, args, node, out) for each in effects]
        result = any_of(results)
        if receiver.type == "":
            # Of all the types that have such a method, it may be none.
            self._memory.hold(self._memory.region(node), result.regions | receiver.regions, node)
            return joined(result, Value("", frozenset({self._memory.region(node)})))
        return result

    def operate(self, values: Iterable[Value], node: ast.AST) -> Regions:
        """Note that values are computed with, compared or shown: their classes may say how.

        Returned is where what they answer may lie.
        """
        found = NOWHERE
        for value in values:
            if value.regions and value.type not in ("function", "class", "library"):
                self._memory.spend(len(value.regions))
                special = [
                    each
                    for each in functions_in(value.regions)
                    if each.name.startswith("_") and each.name != "__init__"
                ]
                if special:
                    found |= self.run_on_anything(special, value.regions, node)
        return found

    def run_on_anything(
        self, functions: Iterable[Function], given: Regions, node: ast.AST
    ) -> Regions:
        """Note that functions may be called by somebody, with anything that lies in `given`.

        Returned is where their results may lie.
        """
        functions = list(functions)
        if self._on_anything is not None:
            for each in functions:
                known = self._on_anything.get(each, NOWHERE)
                if not given <= known or each not in self._on_anything:
                    self._on_anything[each] = known | given
                    self._memory.changes += 1
            return self._returned_by(functions)
        self._on_anything = dict.fromkeys(functions, given)
        try:
            before = -1
            while before != self._memory.changes:
                before = self._memory.changes
                for function in list(self._on_anything):
                    self._run_one_on_anything(function, self._on_anything[function], node)
        finally:
            self._on_anything = None
        return self._returned_by(functions)

    def _returned_by(self, functions: Iterable[Function]) -> Regions:
        return frozenset(
            region for each in functions for region in self._returned.get(each, NOWHERE)
        )

    def close(self, frame: Frame) -> None:
        """Let the functions that a call has made hold what they can reach of its variables."""
        for region, function in frame.made:
            for name, binding in frame.names.items():
                if binding.value is not None and name not in function.scope.own:
                    self._memory.hold(region, binding.value.regions, function.node)

    # --- the notebook's own -------------------------------------------------------------------

    def _call_function(
        self, function: Function, callee: Value, args: Arguments, node: ast.AST
    ) -> Value:
        self._memory.read(callee.regions, node, function.name)
        if function.decorated:
            return self._call_anything(callee, args, node)
        return self._follow(function, self._parameters(function, args), args, node)

    def _follow(
        self, function: Function, names: Mapping[str, Value], args: Arguments, node: ast.AST
    ) -> Value:
        memory = self._memory
        if any(each is function for _, each in memory.calls) or len(memory.calls) >= _DEPTH:
            # A recursive call: its own body is followed already, but with other arguments.
            for value in args.all():
                memory.change_all(value, node, "")
            everything = union(args.all()) | union(function.defaults.values())
            return Value("", everything | {memory.region(node, everything)})
        self._followed += 1
        if self._followed > _CALLS_A_CELL:
            raise TooEntangled
        frame = Frame("call", function.scope, function.frame)
        memory.calls.append((node, function))
        for name, value in names.items():
            memory.bind(frame, name, value, function.node)
        result = self._runner.run_body(function, frame)
        self.close(frame)
        if function.scope.yields:
            local = (it.value for it in frame.names.values() if it.value is not None)
            result = self._generator(function, union([*local, result]), node)
        memory.calls.pop()
        return result

    def _generator(self, function: Function, regions: Regions, node: ast.AST) -> Value:
        made = self._memory.region(node, regions)
        made.stream = True
        self._memory.keep_here(made)
        made.functions[function] = None
        return Value("iterator", frozenset({made}))

    def _parameters(self, function: Function, args: Arguments) -> dict[str, Value]:
        """Return what the parameters stand for."""
        if not hasattr(function.node, "args"):
            return {}
        spec: ast.arguments = function.node.args
        names = [arg.arg for arg in (*spec.posonlyargs, *spec.args)]
        rest = any_of(args.spread) if args.spread else None
        loose = None if rest is None else Value("", rest.regions | inside(rest))
        found = dict(function.defaults)
        if loose is not None:
            known = {*names, *(arg.arg for arg in spec.kwonlyargs)}
            for name in known:
                found[name] = joined(found[name], loose) if name in found else loose
        found.update(zip(names, args.positional, strict=False))
        accepted = {*names, *(arg.arg for arg in spec.kwonlyargs)}
        found.update((key, value) for key, value in args.keywords.items() if key in accepted)
        extra = [*args.positional[len(names) :], *([loose] if loose is not None else [])]
        if spec.vararg is not None:
            held = self._memory.region(spec.vararg, union(extra), deep=False)
            found[spec.vararg.arg] = Value("tuple", frozenset({held}))
        if spec.kwarg is not None:
            others = [value for key, value in args.keywords.items() if key not in accepted]
            others += [loose] if loose is not None else []
            held = self._memory.region(spec.kwarg, union(others), deep=False)
            found[spec.kwarg.arg] = Value("dict", frozenset({held}))
        for name in accepted - found.keys():
            found[name] = NUMBER  # The call will fail.
        return found

    def _run_one_on_anything(self, function: Function, given: Regions, node: ast.AST) -> None:
        if any(each is function for _, each in self._memory.calls):
            return
        anything = Value("", given)
        names = dict.fromkeys(function.scope.own, anything)
        if hasattr(function.node, "args"):
            spec: ast.arguments = function.node.args
            names = {
                arg.arg: anything
                for arg in (
                    *spec.posonlyargs,
                    *spec.args,
                    *spec.kwonlyargs,
                    spec.vararg,
                    spec.kwarg,
                )
                if arg is not None
            }
            for name, default in function.defaults.items():
                names[name] = joined(names.get(name, default), default)
        else:
            names = {}
        result = self._follow(function, names, Arguments((anything,)), node)
        known = self._returned.get(function, NOWHERE)
        if not result.regions <= known:
            self._returned[function] = known | result.regions
            self._memory.changes += 1

    def _instantiate(self, made: Class, callee: Value, args: Arguments, node: ast.AST) -> Value:
        memory = self._memory
        memory.read(callee.regions, node, made.name)
        region = memory.region(node)
        if region.made_of is not made.region and made.region is not None:
            memory.page.holds.append((region, made.region))
        region.made_of = made.region
        instance = Value("instance", frozenset({region}), about=made)
        init = made.member("__init__")
        if not made.all_known() or made.member("__new__") is not None or init is None:
            memory.hold(region, union(args.all()), node)
        if not made.all_known():
            # Somebody else's code, a base or a decorator, has a say in what happens.
            self.run_on_anything(
                functions_in(callee.regions), instance.regions | union(args.all()), node
            )
            if any(each.foreign for each in reach(callee.regions)):
                return self.library.unknown(instance, args, node)
        if init is not None:
            self._call_member(instance, made, "__init__", args, node)
        return instance

    def _call_member(
        self, receiver: Value, owner: Class, name: str, args: Arguments, node: ast.AST
    ) -> Value:
        member = owner.member(name)
        if member is None or not isinstance(member.about, Function):
            return self._call_anything(receiver, args, node)
        function = member.about
        if function.decorated:
            return self._call_anything(receiver, args, node)
        if receiver.type == "instance":
            args = _with_first(receiver, args)
        self._memory.read(receiver.regions, node, "")
        return self._call_function(function, member, args, node)

    # --- others' ------------------------------------------------------------------------------

    def _call_library(self, name: str, args: Arguments, node: ast.AST) -> Value:
        effect = function_effect(name)
        target = args.find(0)
        if name in _PATCHES and target is not None and target.type in ("module", "library"):
            act = self._memory.act("stops", node)
            why = f"it changes `{target.dotted}` of a library"
            self._memory.page.stop(why, act, "lasting")
            self._memory.forget(node)
        if effect is None:
            module = Value("", frozenset({self._memory.module_region(name)}))
            if is_known_module(name):
                # A library that we know, but not this function of it: it keeps nothing.
                return self.library.apply(UNKNOWN, None, args, node, out_keywords(name))
            return self._call_anything(module, args, node)
        return self.library.apply(effect, None, args, node, out_keywords(name))

    def _call_anything(self, callee: Value, args: Arguments, node: ast.AST) -> Value:
        """Note a call of what is not known: any function that it may be is run on anything."""
        given = callee.regions | union(args.all())
        functions = list(functions_in(given))
        returned = self.run_on_anything(functions, given, node)
        if not functions:
            self.library.anything_outside(node)
        result = self.library.unknown(callee, args, node)
        return replace(result, regions=result.regions | returned)

    def _may_be_ours(self, value: Value) -> bool:
        """Whether a value may be of a class of the notebook, or somebody else's."""
        return any(region.functions or region.foreign for region in reach(value.regions))

    def _run_library_arguments(self, values: Iterable[Value], node: ast.AST) -> Regions:
        """Run the functions that a library is given, and return where their results may lie."""
        values = list(values)
        found = NOWHERE
        functions: dict[Function, None] = {}
        for value in values:
            if value.type in ("list", "dict", "set", "tuple", "instance"):
                found |= self.operate([value], node)
            else:
                functions.update(dict.fromkeys(functions_in(value.regions)))
        if functions:
            found |= self.run_on_anything(functions, union(values), node)
        return found


def _with_first(first: Value, args: Arguments) -> Arguments:
    return Arguments((first, *args.positional), args.keywords, args.spread, args.written)
