"""Apply what the tables say of a call to the memory and the page of the current cell."""

import ast
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from nbflow.core.cells import paths
from nbflow.core.cells.arguments import Arguments
from nbflow.core.cells.effects import SCALAR, SELF, Effect, Touch, function_effect
from nbflow.core.cells.effects.language import PURE, Argument
from nbflow.core.cells.effects.lookup import type_named
from nbflow.core.cells.memory import Memory
from nbflow.core.cells.values import (
    ARITHMETIC,
    NOWHERE,
    NUMBER,
    Region,
    Regions,
    Text,
    Value,
    classes_of,
    inside,
    reach,
    union,
)

#: Types whose methods change the value itself and nothing that it holds.
_SHALLOW = frozenset({"list", "dict", "set"})
#: Types of which an iterator over them surely brings nothing but what they hold.
_PLAIN = frozenset({"list", "dict", "set", "tuple", "ndarray", "DataFrame", SCALAR})
#: What code that is not known may touch.
_ANYTHING_OUTSIDE = (
    Touch("file", paths.ANY),
    Touch("world", ""),
    Touch("random", ""),
    Touch("setting", "", write=False),
)
#: ``(values, node)``: let the functions that these values carry be called; where results may lie.
Runs = Callable[[Iterable[Value], ast.AST], Regions]


class LibraryCalls:
    """Calls of what the tables speak of.

    Parameters
    ----------
    memory
        The variables, and the page of the current cell.
    runs
        Called with arguments that may be or have functions of the notebook.
    """

    def __init__(self, memory: Memory, runs: Runs) -> None:
        self._memory = memory
        self._runs = runs
        #: pyplot's current figures: those of the cell, or of all once they outlive cells.
        self._figures = Region({}, memory.next_serial(), lasting=True)
        self.figures_stay = False
        #: How many ``with`` blocks are open that put settings back.
        self.settings_local = 0
        #: How many ``with`` blocks are open around a call that starts work in the background.
        self.awaited = 0
        #: Whether work has been left running in the background.
        self.left_running = False

    def turn_to_next_cell(self) -> None:
        """Close the figures of the last cell, as the inline backend does."""
        if not self.figures_stay:
            self._figures = Region({}, self._memory.next_serial(), lasting=True)

    def apply(
        self,
        effect: Effect,
        receiver: Value | None,
        args: Arguments,
        node: ast.AST,
        out: Sequence[str] = (),
    ) -> Value:
        """Note what one call does, and return its result."""
        returned = self._call_arguments(effect, receiver, args, node)
        self._change(effect, receiver, args, node, out)
        if effect.result == "element":
            looked_into = (region for region in union(args.all()) if region.grows)
            self._memory.change(looked_into, node, "")
        for region in receiver.regions if effect.owns and receiver is not None else ():
            self._memory.keep_here(region)
        file = self._touch(effect, receiver, args, node)
        self._stop(effect, node)
        result = self._result(effect, receiver, args, node, file)
        if not (result.regions and returned):
            return result
        # The result may hold what functions have returned, or be that itself.
        for region in result.regions & self._own(node) or result.regions:
            self._memory.hold(region, returned, node)
        if result.type in _PLAIN:
            return result
        return replace(result, regions=result.regions | returned)

    def unknown(self, receiver: Value | None, args: Arguments, node: ast.AST) -> Value:
        """Note a call of which nothing is known: it may change and keep all that it is given."""
        given = [*args.all(), *([receiver] if receiver is not None else [])]
        for value in given:
            self._memory.change_all(value, node, "")
        self._entangle(given, node)
        if any(region.foreign for region in reach(union(given))):
            self.anything_outside(node)
        made = self._memory.region(node, union(given))
        return Value("", frozenset({made}) | union(given))

    def anything_outside(self, node: ast.AST) -> None:
        """Note that a call may touch whatever there is outside."""
        self._memory.page.touch(_ANYTHING_OUTSIDE, self._memory.act("calls unknown code", node))

    def touch_setting(self, setting: str, node: ast.AST, *, write: bool) -> None:
        """Note that a setting of the process is read or changed."""
        if not (write and self.settings_local):
            self._memory.page.touch(
                (Touch("setting", setting, write),),
                self._memory.act("sets" if write else "reads", node),
            )

    # --- parts of an effect -------------------------------------------------------------------

    def _call_arguments(
        self, effect: Effect, receiver: Value | None, args: Arguments, node: ast.AST
    ) -> Regions:
        """Let functions among the arguments be called; those of libraries with what they do."""
        given = [*args.all(), *([receiver] if receiver is not None else [])]
        stored = effect.stores or effect.result == "iterator"
        returned = NOWHERE if stored else self._runs(given, node)
        for value in given:
            known = function_effect(value.dotted) if value.type == "library" else PURE
            if known is None:
                self.anything_outside(node)
            elif known.touches or known.reads or known.writes or known.barrier:
                self._touch(known, None, Arguments(), node)
                self._stop(known, node)
        return returned

    def _change(
        self,
        effect: Effect,
        receiver: Value | None,
        args: Arguments,
        node: ast.AST,
        out: Sequence[str],
    ) -> None:
        memory = self._memory
        changed: list[Argument] = [
            *effect.mutates,
            *(name for name in out if name in args.keywords),
        ]
        if effect.inplace and not args.is_off(effect.inplace):
            changed.append(SELF)
        for key in changed:
            value = receiver if key == SELF else args.find(key)
            if value is None:
                continue
            if key == SELF and value.type in _SHALLOW:
                memory.change(value.regions, node, "")
            else:
                memory.change_all(value, node, "")
        if effect.plots:
            memory.change((self._figures,), node, "pyplot")
        if effect.stores and receiver is not None:
            self._store(receiver, args, node)
        elif effect.stores and args.positional:
            self._store(args.positional[0], args, node)
        if effect.iterates:
            for value in args.all():
                self.use_up(value, node)

    def use_up(self, value: Value, node: ast.AST) -> None:
        """Note that a value is gone through: an iterator is not the same afterwards."""
        for region in reach(value.regions):
            if region.stream or region.foreign:
                self._memory.change((region,), node, "")
        if value.type in ("iterator", ""):
            returned = self._runs((value,), node)
            for region in value.regions if returned else ():
                self._memory.hold(region, returned, node)

    def _store(self, keeper: Value, args: Arguments, node: ast.AST) -> None:
        for region in keeper.regions:
            for value in args.all():
                self._memory.hold(region, value.regions, node)
                if value.type in ("iterator", ""):
                    self._memory.hold(region, inside(value), node)

    def _touch(
        self, effect: Effect, receiver: Value | None, args: Arguments, node: ast.AST
    ) -> tuple[Touch, ...]:
        """Note what is touched outside; return the files among it."""
        page, uses = self._memory.page, self._memory.act("uses", node)
        if effect.unsure:
            page.unsure.setdefault(effect.unsure, uses)
        given = args.find(effect.unless) if args.is_given(effect.unless) else None
        if given is not None:
            self._memory.change_all(given, node, "")
        else:
            for touch in effect.touches:
                if touch.kind == "setting":
                    self.touch_setting(touch.name, node, write=touch.write)
                elif touch.fresh and not args.all():
                    # A seed that is not given is the system's chance.
                    page.touch(
                        (Touch(touch.kind, touch.name), Touch("world", "the system's chance")),
                        self._memory.act("sets", node),
                    )
                else:
                    page.touch((touch,), uses)
        return self._files(effect, receiver, args, node)

    def _files(
        self, effect: Effect, receiver: Value | None, args: Arguments, node: ast.AST
    ) -> tuple[Touch, ...]:
        found: list[Touch] = []
        writes_too = bool(effect.mode) and _may_write(effect.mode, args)
        for keys, write in ((effect.reads, writes_too), (effect.writes, True)):
            given = (receiver if key == SELF else args.find(key) for key in keys)
            for value in (each for each in given if each is not None):
                if value.regions:
                    # An open file, or a name that may stand for one.
                    self._memory.change_all(value, node, "")
                if value.type != "file":
                    path = paths.path_of(value.text)
                    network = Touch("world", "the network")
                    found.append(network if paths.is_remote(path) else Touch("file", path, write))
        self._memory.page.touch(found, self._memory.act("uses", node))
        return tuple(found)

    def _stop(self, effect: Effect, node: ast.AST) -> None:
        memory = self._memory
        if effect.background:
            if not self.awaited:
                self.left_running = True
            act = memory.act("stops", node)
            memory.page.stop(effect.barrier, act, "anything", "lasting", "background")
            memory.forget(node)
        elif effect.barrier:
            memory.page.stop(effect.barrier, memory.act("stops", node), "anything")
        if effect.kernel:
            memory.page.stop(effect.barrier, memory.act("stops", node), "history", "lasting")
        if effect.namespace:
            memory.forget(node)

    # --- results ------------------------------------------------------------------------------

    def _result(
        self,
        effect: Effect,
        receiver: Value | None,
        args: Arguments,
        node: ast.AST,
        file: tuple[Touch, ...],
    ) -> Value:
        given = [*args.all(), *([receiver] if receiver is not None else [])]
        if effect.plots:
            drawn = {self._figures, self._memory.region(node)}
            self._memory.keep_here(self._memory.region(node))
            regions = frozenset(drawn) | union(
                args.keywords.get(key, NUMBER) for key in ("ax", "fig")
            )
            return Value(effect.returns, regions)
        regions = self._shared(effect, args, given, node)
        if effect.namespace and self._memory.anything is not None:
            return Value("", frozenset({self._memory.anything}))
        text = self._text(effect, receiver, args)
        if effect.returns in (SCALAR, "Path") or effect.returns.startswith("setting"):
            return Value(effect.returns, text=text)
        known = type_named(effect.returns)
        own = regions & self._own(node)
        pinned = effect.pinned or (known is not None and (known.consumed or known.pinned))
        for region in own if pinned else ():
            region.stream = True
            if effect.pinned or (known is not None and known.pinned):
                self._memory.keep_here(region)
            region.touches = file or region.touches
        if effect.grows or any(region.grows for region in reach(union(given))):
            for region in own:
                region.grows = True
        return Value(effect.returns, regions, text=text)

    def _own(self, node: ast.AST) -> Regions:
        memory = self._memory
        return frozenset((memory.region(node), memory.region(node, deep=False)))

    def _shared(
        self,
        effect: Effect,
        args: Arguments,
        given: list[Value],
        node: ast.AST,
    ) -> Regions:
        """Return where the result lies."""
        memory = self._memory
        if effect.returns == SCALAR:
            return NOWHERE
        everything = union(given)
        parts = frozenset().union(*(inside(value) for value in given)) if given else NOWHERE
        match effect.result:
            case "view":
                kinds = frozenset().union(*(classes_of(value) for value in given))
                return (everything | parts | kinds) or frozenset({memory.region(node)})
            case "holder":
                return frozenset({memory.region(node, everything)})
            case "elements":
                own = union(args.keywords.values()) | union(args.spread)
                twice = (
                    frozenset().union(*(region.holds for region in parts), parts, own)
                    if given
                    else NOWHERE
                )
                return frozenset({memory.region(node, twice, deep=False)})
            case "element":
                outer = union(args.all()) | parts
                return outer or (NOWHERE if _all_plain(given) else frozenset({memory.region(node)}))
            case "total":
                held = frozenset() if all(it.type in ARITHMETIC for it in given) else parts
                plain = _all_plain(given) and not held
                return NOWHERE if plain else frozenset({memory.region(node, held)})
            case "iterator":
                made = memory.region(node, everything, deep=not _all_plain(given))
                made.stream = True
                memory.keep_here(made)
                made.touches = tuple(_touched_by(given))
                return frozenset({made})
            case _:
                return frozenset({memory.region(node)})

    @staticmethod
    def _text(effect: Effect, receiver: Value | None, args: Arguments) -> Text | None:
        if effect.returns != "Path":
            return None
        return paths.joined_paths([*([receiver] if receiver is not None else []), *args.positional])

    def _entangle(self, values: Sequence[Value], node: ast.AST) -> None:
        """Let every value hold all others: whoever has seen them may have put them together."""
        everything = union(values)
        for region in everything:
            if not region.code:
                self._memory.hold(region, everything, node)


def _touched_by(values: Iterable[Value]) -> Iterable[Touch]:
    """Yield what library functions among these values touch whenever they are called."""
    for value in values:
        effect = function_effect(value.dotted) if value.type == "library" else PURE
        yield from _ANYTHING_OUTSIDE if effect is None else effect.touches


def _all_plain(values: Iterable[Value]) -> bool:
    return all(value.type in _PLAIN for value in values)


def _may_write(mode: Sequence[Argument], args: Arguments) -> bool:
    for key in mode:
        value = args.find(key)
        if value is not None:
            return (
                value.text is None
                or not value.text.exact
                or bool(set("wax+") & set(value.text.text))
            )
    return False
