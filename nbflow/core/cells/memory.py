"""The variables of a notebook while its cells are followed: who bound, who shares, who changed.

Kernels have memory of their own, so for variables only *reading what another wrote* makes an
order. Whoever loads a name depends on the cells that bound it and on those that last changed
what it can reach. Whoever changes a region depends on those as well, and on whoever has
given it another name since: all names of one piece of memory move together.
"""

import ast
from collections.abc import Collection, Iterable
from dataclasses import replace

from nbflow.core.cells.ledger import Page
from nbflow.core.cells.values import (
    Act,
    Binding,
    Frame,
    Function,
    Region,
    Regions,
    Value,
    joined,
    name_of,
    reach,
    union,
)

#: How many looks at regions a cell may cost. Most cost some hundreds; these are about 0.1 s.
_STEPS_A_CELL = 20_000


class TooEntangled(Exception):
    """What a cell does has so many ways that it is not followed to the end."""


class Memory:
    """All that is known of variables at one place of the notebook."""

    def __init__(self, kept: Collection[tuple[int, str]] = ()) -> None:
        self.globals = Frame("notebook")
        #: Cells that may leave a variable as it was, where somebody reads it afterwards: they
        #: hand it on, and so they need it. Found out by following the notebook once more.
        self.kept = frozenset(kept)
        self.found_kept: set[tuple[int, str]] = set()
        self.page = Page(-1)
        #: Counts what has changed: a loop is followed until that stands still.
        self.changes = 0
        #: The calls into the notebook's own functions that are being followed, outermost first.
        self.calls: list[tuple[ast.AST, Function]] = []
        #: The one region of everything that code by name could have made; None before a barrier.
        self.anything: Region | None = None
        self._modules: dict[str, Region] = {}
        self._regions: dict[tuple[object, ...], Region] = {}
        self._seen: set[tuple[Region, str]] = set()
        self._steps = 0
        self._serial = 0

    def turn_to(self, cell: int, *, pure: bool = False) -> Page:
        """Begin with the next cell and return its page."""
        self._drop_dead()
        self.page.close()
        self.page = Page(cell, pure=pure, before=self.page.before, first=self._serial + 1)
        self._regions.clear()
        self._seen.clear()
        self._steps = 0
        self.calls.clear()
        return self.page

    def spend(self, steps: int) -> None:
        """Count what following a cell costs.

        Raises
        ------
        TooEntangled
            If that is too much.
        """
        self._steps += steps
        if self._steps > _STEPS_A_CELL:
            raise TooEntangled

    def act(self, verb: str, node: ast.AST | None) -> Act:
        """Return an act of the current cell, placed where the cell itself is."""
        if self.calls:
            return Act(self.page.cell, verb, self.calls[0][0], self.calls[-1][1].name)
        return Act(self.page.cell, verb, node)

    # --- regions ------------------------------------------------------------------------------

    def region(self, node: ast.AST, holds: Iterable[Region] = (), *, deep: bool = True) -> Region:
        """Return the region of what this place makes; the same one each time a cell comes by."""
        key = (node, deep, tuple(call for call, _ in self.calls))
        found = self._regions.get(key)
        if found is None:
            act = self.act("makes", node)
            found = self._regions[key] = Region(
                {self.page.cell: act}, self.next_serial(), deep=deep
            )
            self.changes += 1
        self.hold(found, holds, node)
        return found

    def module_region(self, module: str) -> Region:
        """Return the region of a library that the tables do not know, with all it was given."""
        package = module.partition(".")[0]
        if package not in self._modules:
            found = Region({}, self.next_serial(), foreign=True, stays=True)
            self._modules[package] = found
            self.page.stay.append(found)
        return self._modules[package]

    def next_serial(self) -> int:
        """Return the number of the next region."""
        self._serial += 1
        return self._serial

    def keep_here(self, region: Region) -> None:
        """Note that what lies in a region cannot leave its process."""
        if not region.stays:
            region.stays = True
            self.page.stay.append(region)

    def hold(self, region: Region, regions: Iterable[Region], node: ast.AST) -> None:
        """Let other regions be reached from this one."""
        for other in regions:
            if other is not region and other not in region.holds:
                region.holds[other] = None
                other.holders[region] = None
                other.joiners.setdefault(self.page.cell, self.act("shares", node))
                self.page.holds.append((region, other))
                self.changes += 1

    def change(self, regions: Iterable[Region], node: ast.AST, name: str) -> None:
        """Note that what lies in these regions may be changed here."""
        for region in regions:
            if self.page.pure and self.page.cell not in region.writers:
                continue
            act = self.act("changes", node)
            label = name or name_of(region)
            for other in self._unit(region):
                self.page.read(other.writers, act, label, replayed=False)
                self.page.depend(other.joiners, act, label)
            if self.page.changed.setdefault(region, act) is act:
                self.changes += 1
            region.writers = {self.page.cell: act}
            region.joiners = {}
            self.page.touch(region.touches, act)

    def _unit(self, region: Region) -> list[Region]:
        """Return what must be in the kernel that changes a region: all that moves along with it.

        Whoever holds the region gets the change with it, and so must come along with all else
        that it holds.
        """
        seen = {region: None}
        stack = [region]
        while stack:
            for holder in stack.pop().holders:
                if holder not in seen:
                    seen[holder] = None
                    stack.append(holder)
        if len(seen) == 1:
            return [region]
        unit = reach(each for each in seen if each is region or self._is_named(each))
        self.spend(len(seen) + len(unit))
        return unit

    def _is_named(self, region: Region) -> bool:
        """Whether a global variable lies in a region now."""
        for name in region.names:
            binding = self.globals.names.get(name)
            value = None if binding is None else binding.value
            if value is not None and region in value.regions:
                return True
        return False

    def _drop_dead(self) -> None:
        """Forget what was made on the way and cannot be reached any more."""
        if self.anything is not None:
            self._let_go(self.anything)
        stack = [each for each in self._regions.values() if not (each.names or each.holders)]
        while stack:
            dead = stack.pop()
            for held in list(dead.holds):
                held.holders.pop(dead, None)
                if not (held.names or held.holders or held.foreign):
                    stack.append(held)
            dead.holds = {}

    def change_all(self, value: Value, node: ast.AST, name: str) -> None:
        """Note that everything that a value can reach may be changed here."""
        direct = value.regions
        self.change((each for each in reach(direct) if each in direct or not each.code), node, name)

    def read(self, regions: Regions, node: ast.AST, name: str) -> None:
        """Note that what can be reached from these regions is needed here."""
        if not regions:
            return
        found = reach(regions)
        self.spend(len(found))
        for region in found:
            if region not in regions and self.page.covers(region.writers, name):
                continue
            # Within a cell, what others wrote does not change.
            if (region, name) not in self._seen:
                known = (region, "") in self._seen
                self._seen |= {(region, name), (region, "")}
                if name or not known:
                    label = name or name_of(region)
                    self.page.read(region.writers, self.act("reads", node), label, replayed=False)
            if region.stream:
                self.change((region,), node, name)

    # --- names --------------------------------------------------------------------------------

    def load_global(self, name: str, node: ast.AST) -> Value | None:
        """Return what a global variable is; None if no cell binds it."""
        binding = self.globals.names.get(name)
        if binding is None:
            if self.anything is not None:
                self.page.needs.setdefault(name)
            return None
        value = binding.value
        if binding.fresh is not None and binding.fresh[1] in self.globals.blocks:
            # Within the block that has bound it, it is nothing else.
            value = binding.fresh[0]
        else:
            self._want_kept(name, binding)
        self._need(name, binding)
        act = self.act("reads", node)
        self.page.read(binding.made, act, name, replayed=binding.replayed)
        if value is not None and not binding.replayed:
            self.read(value.regions, node, name)
        return value

    def _want_kept(self, name: str, binding: Binding) -> None:
        """Note that somebody reads what cells may have left as it was."""
        self.found_kept.update((cell, name) for cell in binding.maybe)

    def _is_kept(self, name: str) -> bool:
        return (self.page.cell, name) in self.kept

    def _need(self, name: str, binding: Binding) -> None:
        if any(cell != self.page.cell for cell in binding.made):
            self.page.needs.setdefault(name)

    def bind(
        self,
        frame: Frame,
        name: str,
        value: Value,
        node: ast.AST,
        *,
        verb: str = "defines",
        weak: bool = False,
        replayed: bool = False,
    ) -> None:
        """Let a name of a frame stand for a value; weakly, for what it stood for as well."""
        act = self.act(verb, node)
        old = frame.names.get(name)
        maybe: frozenset[int] = frozenset()
        fresh = None
        if (weak or frame.weak) and old is not None:
            if frame.blocks and not weak:
                fresh = (value, frame.blocks[-1])
            value = self._kept(frame, name, old, value, act)
            replayed = replayed and old.replayed
            maybe = old.maybe | {self.page.cell}
        at_top = frame is self.globals
        made = {self.page.cell: act}
        frame.names[name] = Binding(value, made, replayed and at_top, maybe, fresh)
        if at_top:
            self.page.writes.setdefault(name, act)
            for region in value.regions:
                region.names[name] = None
                if self.page.cell not in region.writers:
                    region.joiners.setdefault(self.page.cell, act)

    def replay(self, names: Iterable[str]) -> None:
        """Note that every kernel binds these global variables for itself, to the same."""
        for name in names:
            binding = self.globals.names.get(name)
            if binding is not None:
                self.globals.names[name] = replace(binding, replayed=True)

    def unbind(self, frame: Frame, name: str, node: ast.AST) -> None:
        """Delete a name."""
        act = self.act("deletes", node)
        old = frame.names.get(name)
        if frame is self.globals:
            if old is not None:
                self._want_kept(name, old)
                self._need(name, old)
                self.page.read(old.made, act, name, replayed=False)
            self.page.deletes.setdefault(name, act)
        kept = old.value if frame.weak and old is not None else None
        frame.names[name] = Binding(kept, {self.page.cell: act})

    def merge(self, frame: Frame, branches: list[dict[str, Binding]], node: ast.AST) -> None:
        """Let a frame be as one of several branches has left it, nobody knows which."""
        merged = dict(branches[0])
        for other in branches[1:]:
            for name in [*merged, *(each for each in other if each not in merged)]:
                mine, theirs = merged.get(name), other.get(name)
                if mine is not theirs:
                    merged[name] = self._either(frame, name, mine, theirs, node)
        frame.names = merged

    def _either(
        self,
        frame: Frame,
        name: str,
        first: Binding | None,
        second: Binding | None,
        node: ast.AST,
    ) -> Binding:
        act = self.act("may define", node)
        for old in (first, second):
            if frame is self.globals and old is not None and self._is_kept(name):
                # What it was may stay, so this cell hands it on.
                self._need(name, old)
                self.page.read(old.made, act, name, replayed=old.replayed)
                if old.value is not None:
                    self.read(old.value.regions, node, name)
        values = [it.value for it in (first, second) if it is not None and it.value is not None]
        value = None if not values else values[0]
        for each in values[1:]:
            value = joined(values[0], each)
        both = first is not None and second is not None
        replayed = both and all(it is not None and it.replayed for it in (first, second))
        maybe = frozenset({self.page.cell}).union(
            *(it.maybe for it in (first, second) if it is not None)
        )
        return Binding(value, {self.page.cell: act}, replayed, maybe)

    def _kept(self, frame: Frame, name: str, old: Binding, value: Value, act: Act) -> Value:
        is_kept = frame is self.globals and self._is_kept(name)
        if is_kept:
            self._need(name, old)
            self.page.read(old.made, act, name, replayed=old.replayed)
        if old.value is None:
            return value
        both = joined(old.value, value)
        if is_kept and act.node is not None:
            self.read(old.value.regions, act.node, name)
        if both != old.value:
            self.changes += 1
        return both

    # --- everything ---------------------------------------------------------------------------

    def forget(self, node: ast.AST) -> None:
        """Know nothing of any variable any more: code that nobody sees may have done anything."""
        if self.page.pure:
            return
        self.page.traits["forgets"] = None
        for name, binding in self.globals.names.items():
            self._want_kept(name, binding)
        act = self.act("may change any variable", node)
        everything = self.anything
        if everything is None:
            everything = Region({}, self.next_serial(), foreign=True)
            self.anything = everything
        bindings = self.globals.names
        known = (it.value for it in bindings.values() if it.value is not None)
        self.hold(everything, union(known), node)
        self.hold(everything, self._modules.values(), node)
        everything.writers = {self.page.cell: act}
        everything.joiners = {}
        # All names share one binding: a notebook of such cells would take long otherwise.
        shared = Binding(Value("", frozenset({everything})), {self.page.cell: act})
        everything.names.update(dict.fromkeys(bindings))
        self.globals.names = dict.fromkeys(bindings, shared)

    def _let_go(self, everything: Region) -> None:
        """Forget the regions that only a lost name has led to: they are part of everything now."""
        stack = list(everything.holds)
        while stack:
            region = stack.pop()
            only = len(region.holders) == 1 and everything in region.holders
            special = region.code or region.stream or region.foreign or region.lasting
            if not only or special or self._is_named(region):
                continue
            del everything.holds[region]
            inner = [*region.holds, *([region.made_of] if region.made_of is not None else [])]
            for each in inner:
                each.holders.pop(region, None)
                each.holders[everything] = None
                if each not in everything.holds:
                    everything.holds[each] = None
                    stack.append(each)
            region.holds = {}
