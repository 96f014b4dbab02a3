"""The words in which the tables say what calls do.

An `Effect` says what one call does: to its receiver, to its arguments, outside, and what its
result shares with them. A `Library` has the effects of a module's functions, a `Type` those of the
methods of its values. Both have a default for what is not listed; without one, that is
unknown, and may change whatever it can reach.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

#: An argument: its position, or its keyword.
Argument: TypeAlias = int | str

TouchKind: TypeAlias = Literal["file", "random", "setting", "world"]

#: The type of values that never change and share nothing: numbers, texts, dates, None.
SCALAR = "scalar"
#: The receiver, in `Effect.mutates`.
SELF = "self"


class Touch(msgspec.Struct, frozen=True):
    """Something beyond the notebook's variables that a call reads, or also changes.

    Parameters
    ----------
    kind
        ``random``: the state of a global generator. ``setting``: an option of this process.
        ``world``: the clock, the network. ``file``: `name` is a path.
    name
        Which one, in words; of a file its path, or its folder and ``/``. An empty path is any.
    write
        Whether it may be changed.
    fresh
        Whether it is set to something that does not depend on what it was.
    """

    kind: TouchKind
    name: str
    write: bool = True
    fresh: bool = False


class Effect(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one call does.

    Parameters
    ----------
    returns
        Type of the result; empty if it is not known.
    result
        ``fresh`` shares nothing with receiver and arguments; a ``view`` may share memory with
        them, ``holder`` is a new object that holds the arguments, ``elements`` is a new
        container of what they hold; ``element`` is something that they hold, ``total`` what
        adding that up gives; ``iterator`` goes through them later.
    mutates
        What it may change: ``self``, or arguments.
    inplace
        Keyword that makes it change its receiver, unless it is False.
    stores
        Whether the receiver holds the arguments afterwards.
    iterates
        Whether it goes through its arguments, and so uses iterators up.
    reads, writes
        Where the path of a file stands that it reads or writes.
    mode
        Where the mode stands that says whether that file is written, as for `open`.
    touches
        What else outside it touches.
    unless
        Keyword whose value, if it is given and not None, is used instead of a global generator.
    plots
        Whether it draws on pyplot's current figure.
    barrier
        Why nothing may be moved across it.
    namespace
        Whether it may also read and define any variable.
    background
        Whether it leaves work behind that goes on beside later cells.
    kernel
        Whether it may use and leave what its kernel alone has, besides variables.
    pinned
        Why its result cannot leave its process.
    owns
        Whether its receiver must own its memory, and so must be where it was made.
    grows
        Whether looking into its result may add to it, as into a defaultdict.
    unsure
        Why its result is not the same each time, if it is for nothing that cells share.
    """

    returns: str = ""
    result: Literal["fresh", "view", "holder", "elements", "element", "total", "iterator"] = "fresh"
    mutates: tuple[Argument, ...] = ()
    inplace: str = ""
    stores: bool = False
    iterates: bool = False
    reads: tuple[Argument, ...] = ()
    writes: tuple[Argument, ...] = ()
    mode: tuple[Argument, ...] = ()
    touches: tuple[Touch, ...] = ()
    unless: str = ""
    plots: bool = False
    barrier: str = ""
    namespace: bool = False
    background: bool = False
    kernel: bool = False
    pinned: str = ""
    owns: bool = False
    grows: bool = False
    unsure: str = ""


Effects: TypeAlias = Mapping[str, Effect]


class Library(msgspec.Struct, frozen=True, kw_only=True):
    """The functions and classes of a module, by their names in it.

    Parameters
    ----------
    module
        Its dotted name; the submodules that are not listed themselves are meant, too.
    functions
        What is called. A dotted name is that of a class and its method.
    default
        The effect of what is not listed; None if that is unknown.
    objects
        What is no function: name to the type of the value.
    out
        Keywords that name an argument which every function may change.
    """

    module: str
    functions: Effects = {}
    default: Effect | None = None
    objects: Mapping[str, str] = {}
    out: tuple[str, ...] = ()


class Type(msgspec.Struct, frozen=True, kw_only=True):
    """The methods of values of one type.

    Parameters
    ----------
    name
        The type's name in these tables.
    methods
        Effects by method.
    default
        The effect of methods that are not listed; None if that is unknown.
    attributes
        Attributes that are values: name to their type. Others share memory with their owner.
    consumed
        Whether each use may change the value: iterators, files, generators of random numbers.
    copies
        Whether storing an array or a number into it copies it.
    pinned
        Why its values cannot leave their process.
    """

    name: str
    methods: Effects = {}
    default: Effect | None = None
    attributes: Mapping[str, str] = {}
    consumed: bool = False
    copies: bool = False
    pinned: str = ""
    out: tuple[str, ...] = ()


def table(*rows: tuple[Effect, str]) -> dict[str, Effect]:
    """Return the effects by name; a row has one effect and the names that share it."""
    found: dict[str, Effect] = {}
    for effect, names in rows:
        for name in names.split():
            assert name not in found, f"{name} is listed twice"
            found[name] = effect
    return found


def reads_file(*path: Argument, returns: str = "", **others: object) -> Effect:
    """Return the effect of reading the file whose path is that argument."""
    return msgspec.structs.replace(Effect(returns=returns, reads=path), **others)


def writes_file(*path: Argument, returns: str = SCALAR, **others: object) -> Effect:
    """Return the effect of writing the file whose path is that argument."""
    return msgspec.structs.replace(Effect(returns=returns, writes=path), **others)


def sets(setting: str, returns: str = SCALAR) -> Effect:
    """Return the effect of changing a setting of the process."""
    return Effect(returns=returns, touches=(Touch("setting", setting),))


def draws(generator: str, returns: str = SCALAR, unless: str = "") -> Effect:
    """Return the effect of drawing from a global generator."""
    return Effect(returns=returns, touches=(Touch("random", generator),), unless=unless)


PURE = Effect(returns=SCALAR)
#: A result of a type that the tables do not know, which shares nothing with anything.
FRESH = Effect()
VIEW = Effect(result="view")
#: Why nothing may be moved across a call that looks names up in a text.
EVALUATES = "it evaluates text that may name variables"
