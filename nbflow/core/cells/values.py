"""What the analysis knows of a value: its type, where it lies, what it could be changed through.

Memory is cut into *regions*. A region is one object, or several that cannot be told apart, with
everything inside that has no region of its own. A region may hold others: a list its elements, an
instance its class. A value lies in some regions; numbers and texts lie in none, since nothing can
change them. So two names share memory if one's regions can be reached from the other's.
"""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from nbflow.core.cells.effects.language import SCALAR, Touch
from nbflow.core.cells.scopes import FunctionNode, Scope


@dataclass(frozen=True, slots=True)
class Act:
    """Something that a cell does, and where; `via` is the function in which that is written."""

    cell: int
    verb: str
    node: ast.AST | None = None
    via: str = ""


@dataclass(slots=True, eq=False)
class Region:
    """A piece of memory.

    Parameters
    ----------
    writers
        The cells that gave it what it has now: the last change by cell, or its origin.
    serial
        Its number, in the order in which regions are made.
    joiners
        The cells that have since given it another name or holder. Whoever changes it needs
        these, too, so that all names of it move together.
    holds, holders
        Regions that can be reached from here; and from which this one can be.
    made_of
        The region of its class, if it is an instance of one of the notebook's.
    names
        Global variables that have lain here.
    functions
        The notebook's own functions that can be called through it.
    deep
        Whether it may have more inside than what it holds.
    foreign
        Whether code that nobody knows can reach it.
    code
        Whether it is a function or class, which is changed only by name.
    grows
        Whether looking into it may add to it, as into a defaultdict.
    lasting
        Whether more than variables lead to it: it stands for a library's own memory.
    stream
        Whether it cannot be copied, as an iterator or an open file: each use may change it.
    stays
        Whether it cannot leave its process.
    touches
        What outside it stands for: the file that an open file is.
    """

    writers: dict[int, Act]
    serial: int = 0
    joiners: dict[int, Act] = field(default_factory=dict)
    holds: "dict[Region, None]" = field(default_factory=dict)
    holders: "dict[Region, None]" = field(default_factory=dict)
    made_of: "Region | None" = None
    names: dict[str, None] = field(default_factory=dict)
    functions: "dict[Function, None]" = field(default_factory=dict)
    deep: bool = True
    foreign: bool = False
    code: bool = False
    stream: bool = False
    grows: bool = False
    lasting: bool = False
    stays: bool = False
    touches: tuple[Touch, ...] = ()

    def __hash__(self) -> int:
        # Sets of regions have the same order each time, and so have reasons.
        return self.serial


Regions: TypeAlias = frozenset[Region]
NOWHERE: Regions = frozenset()


@dataclass(frozen=True, slots=True)
class Text:
    """A text, or if not `exact` its beginning."""

    text: str
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Value:
    """What is known of a value.

    Parameters
    ----------
    type
        Its type: a name of the tables, ``function``, ``class``, ``instance``, ``module``,
        ``library`` (a function of a module), ``method``, ``setting:…``; empty if unknown.
    regions
        Where it lies.
    about
        The function, the class, or the full dotted name, as the type says.
    owner
        The receiver of a method that has been taken but not called.
    items
        The elements of a tuple, if they are known one by one.
    text
        The text or path that it is, if that is known.
    """

    type: str = ""
    regions: Regions = NOWHERE
    about: "Function | Class | str | None" = None
    owner: "Value | None" = None
    items: "tuple[Value, ...] | None" = None
    text: Text | None = None

    @property
    def dotted(self) -> str:
        """The full name of a module, or of something in it."""
        return self.about if isinstance(self.about, str) else ""


@dataclass(slots=True, eq=False)
class Function:
    """A function that the notebook defines."""

    name: str
    node: FunctionNode
    scope: Scope
    #: The innermost function call in which it was defined; None at the top.
    frame: "Frame | None"
    defaults: dict[str, Value] = field(default_factory=dict)
    #: Whether something was wrapped around it, so that a call may do more than its body.
    decorated: bool = False
    #: The cell that defines it.
    cell: int = -1


@dataclass(slots=True, eq=False)
class Class:
    """A class that the notebook defines."""

    name: str
    members: dict[str, Value] = field(default_factory=dict)
    bases: tuple[Value, ...] = ()
    #: Whether something that the notebook does not define shapes it: a base, a decorator.
    shaped: bool = False
    region: Region | None = None

    def member(self, name: str) -> Value | None:
        """Return what the class or a base of it defines by this name."""
        if name in self.members:
            return self.members[name]
        for base in self.bases:
            if isinstance(base.about, Class):
                found = base.about.member(name)
                if found is not None:
                    return found
        return None

    def all_known(self) -> bool:
        """Whether the class and all its bases are the notebook's alone."""
        return not self.shaped and all(
            isinstance(base.about, Class) and base.about.all_known() for base in self.bases
        )


@dataclass(slots=True)
class Binding:
    """What a name stands for.

    Parameters
    ----------
    value
        Its value; None once it is deleted.
    made
        The cells that bound it, the last of each.
    replayed
        Whether an import bound it, which every kernel repeats for itself.
    maybe
        Cells that have bound it where that may not have come to pass: it may be older than they.
    fresh
        What it was bound to last, and the block in which that was for certain; None if there is
        no such block.
    """

    value: Value | None
    made: dict[int, Act]
    replayed: bool = False
    maybe: frozenset[int] = frozenset()
    fresh: tuple[Value, object] | None = None


@dataclass(slots=True, eq=False)
class Frame:
    """The variables of one call, of a class body, of a comprehension, or of the notebook.

    `kind` is ``call``, ``class``, ``comprehension`` or ``notebook``.
    `made` has the functions that were defined in it. `weak` counts the constructs around the
    current statement that may not run at all, or many times; there, binding a name adds to
    what it may stand for. Each time such a construct is followed, it is another of the `blocks`
    around the current statement.
    """

    kind: Literal["call", "class", "comprehension", "notebook"]
    scope: Scope | None = None
    parent: "Frame | None" = None
    names: dict[str, Binding] = field(default_factory=dict)
    weak: int = 0
    blocks: list[object] = field(default_factory=list)
    returned: list[Value] = field(default_factory=list)
    made: list[tuple[Region, Function]] = field(default_factory=list)


#: Types with which arithmetic makes arrays or tables, the strongest first.
ARITHMETIC = ("DataFrame", "ndarray")
#: Types of values that never change.
FIXED = frozenset({SCALAR, "Path", "library", "module"})
NUMBER = Value(SCALAR)


def reach(regions: Iterable[Region]) -> list[Region]:
    """Return all regions that can be reached from these, these first."""
    found = list(dict.fromkeys(regions))
    # By identity, which costs no call of a method: this is most of what a long notebook costs.
    seen = set(map(id, found))
    stack = found.copy()
    while stack:
        region = stack.pop()
        kind = region.made_of
        for inner in region.holds if kind is None else (*region.holds, kind):
            if id(inner) not in seen:
                seen.add(id(inner))
                found.append(inner)
                stack.append(inner)
    return found


def name_of(region: Region) -> str:
    """Return the name of a variable through which a region can be reached, if there is one."""
    seen = {region: None}
    stack = [region]
    while stack:
        each = stack.pop()
        if each.names:
            return next(iter(each.names))
        new = [holder for holder in each.holders if holder not in seen]
        seen.update(dict.fromkeys(new))
        stack.extend(new)
    return ""


def inside(value: Value) -> Regions:
    """Return where the parts of a value may lie: its elements, its attributes."""
    found: dict[Region, None] = {}
    for region in value.regions:
        if region.deep:
            found[region] = None
        found.update(region.holds)
        if region.made_of is not None:
            # What a class has, its instances have, too.
            found.update((each, None) for each in reach((region.made_of,)) if not each.code)
    return frozenset(found)


def classes_of(value: Value) -> Regions:
    """Return the regions of the classes that a value may be an instance of."""
    return frozenset(each.made_of for each in value.regions if each.made_of is not None)


def union(values: Iterable[Value]) -> Regions:
    """Return all regions of some values."""
    return frozenset(region for value in values for region in value.regions)


def joined(first: Value, second: Value) -> Value:
    """Return a value that may be either."""
    if first == second:
        return first
    items = None
    if first.items and second.items and len(first.items) == len(second.items):
        items = tuple(joined(a, b) for a, b in zip(first.items, second.items, strict=True))
    same_type = first.type == second.type
    same = (same_type and first.about is second.about) or first.about == second.about
    return Value(
        type=first.type if same_type and same else "",
        regions=first.regions | second.regions,
        about=first.about if same else None,
        owner=first.owner if first.owner == second.owner else None,
        items=items,
        text=_common(first.text, second.text),
    )


def any_of(values: Iterable[Value]) -> Value:
    """Return a value that may be any of these; a number if there is none."""
    result: Value | None = None
    for value in values:
        result = value if result is None else joined(result, value)
    return NUMBER if result is None else result


def without_text(value: Value) -> Value:
    """Return a value as it may be anew each time."""
    return replace(value, text=None) if value.text is not None else value


def functions_in(regions: Iterable[Region]) -> Iterator["Function"]:
    """Yield the notebook's functions that can be called through these regions."""
    found: dict[Function, None] = {}
    for region in reach(regions):
        found.update(region.functions)
    yield from found


def _common(first: Text | None, second: Text | None) -> Text | None:
    return first if first == second else None
