"""Whether a copy of variables is the same: value for value, and part for part.

Two graphs of objects are walked side by side. Where one has the same object in two places, so must
the other. Functions are the same if their code, closures and defaults are, and if both belong
to the namespace of their notebook. The order of a set counts: programs depend on it.
"""

import sys
import types
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any

from nbflow.guest_namespace.graph import ATOMS, found_by_name, is_array, is_foreign
from nbflow.guest_namespace.moving import owner_of
from nbflow.guest_namespace.rules import CACHED, LOCKS, TRUSTED, is_value, package_of, type_label


class Different(Exception):
    """A copy is not the same; the text says what of it is not."""


class Sameness:
    """Compares what belongs to one namespace with what belongs to another.

    Parameters
    ----------
    before, after
        The two namespaces.
    places
        What is found and not copied; see `graph.module_values`.
    tables
        The ids of arrays that belong to tables.
    trusted
        The ids of arrays whose content need not be looked at.
    """

    def __init__(
        self,
        before: dict[str, Any],
        after: dict[str, Any],
        places: Container[int],
        tables: Iterable[int] = (),
        trusted: Container[int] = (),
    ) -> None:
        self._before = before
        self._after = after
        self._places = places
        self._tables = frozenset(tables)
        self._trusted = trusted
        self._there: dict[int, int] = {id(before): id(after)}
        self._back: dict[int, int] = {id(after): id(before)}
        self._waiting: list[tuple[Any, Any]] = []
        #: Values that are no partners, and are compared all the same.
        self._pairs: set[tuple[int, int]] = set()
        #: What was made for the comparison, and must not have its id taken by something else.
        self._kept: list[Any] = []

    def check(self, one: Any, other: Any) -> None:
        """Raise `Different` if `other` is no copy of `one`."""
        self._waiting.append((one, other))
        while self._waiting:
            self._pair(*self._waiting.pop())

    def _pair(self, one: Any, other: Any) -> None:
        kind = type(one)
        if kind in ATOMS:
            if kind is not type(other) or not _equal_atoms(one, other):
                raise Different(f"{kind.__name__} values differ")
            return
        if id(one) in self._places or is_foreign(one, self._before):
            if one is not other and one is not self._before:
                raise Different(f"{type_label(kind)}: it is another one")
            return
        if self._is_seen(one, other):
            return
        if kind is not type(other):
            if found_by_name(kind):
                # Not compared any further: who goes through an endless iterator finds no end.
                raise Different(f"{type_label(kind)}: it is a {type_label(type(other))}")
            self._later(kind, type(other))
        for handles, compare in _HANDLERS:
            if handles(one):
                compare(self, one, other)
                return
        self._by_parts(one, other)

    def _is_seen(self, one: Any, other: Any) -> bool:
        """Note that the two belong together; whether that is known. They must be partners."""
        there, back = self._there.get(id(one)), self._back.get(id(other))
        if there is None and back is None:
            self._there[id(one)], self._back[id(other)] = id(other), id(one)
            self._kept += (one, other)
            return False
        if (there != id(other) or back != id(one)) and not is_value(one):
            raise Different(f"{type_label(type(one))}: what was one object is two, or the reverse")
        # Values may be shared more or less than before; what is in them is looked at again, but
        # once for each pair: there may be a way from it back to them.
        pair = (id(one), id(other))
        if there == id(other) or pair in self._pairs:
            return True
        self._pairs.add(pair)
        self._kept += (one, other)
        return False

    def _later(self, one: Any, other: Any) -> None:
        self._waiting.append((one, other))

    def _each(self, ones: Iterable[Any], others: Iterable[Any], what: str) -> None:
        ones, others = list(ones), list(others)
        if len(ones) != len(others):
            raise Different(f"{what}: there are {len(others)} parts, not {len(ones)}")
        self._kept += (ones, others)
        self._waiting += zip(ones, others, strict=True)

    def _mapping(self, one: Mapping[Any, Any], other: Mapping[Any, Any], what: str) -> None:
        self._each(one.keys(), other.keys(), what)
        self._each(one.values(), other.values(), what)

    def _sequence(self, one: Any, other: Any) -> None:
        self._each(one, other, type_label(type(one)))

    def _dictionary(self, one: Any, other: Any) -> None:
        self._mapping(one, other, "dict")

    def _function(self, one: types.FunctionType, other: types.FunctionType) -> None:
        if one.__code__ != other.__code__:
            raise Different(f"function {one.__qualname__}: its code differs")
        if one.__globals__ is self._before:
            if other.__globals__ is not self._after:
                raise Different(f"function {one.__qualname__}: it belongs elsewhere")
        elif one.__globals__ is not other.__globals__:
            if one.__globals__.get("__name__") in sys.modules:
                raise Different(f"function {one.__qualname__}: it belongs elsewhere")
            self._later(one.__globals__, other.__globals__)
        for name in ("__defaults__", "__kwdefaults__", "__closure__", "__dict__", "__qualname__"):
            self._later(getattr(one, name), getattr(other, name))

    def _cell(self, one: types.CellType, other: types.CellType) -> None:
        self._each(_contents(one), _contents(other), "closure")

    def _class(self, one: type, other: type) -> None:
        if one.__qualname__ != other.__qualname__ or not isinstance(other, type):
            raise Different(f"class {one.__qualname__}: it is another one")
        self._later(one.__bases__, other.__bases__)
        mine, theirs = _members(one), _members(other)
        if mine.keys() != theirs.keys():
            raise Different(f"class {one.__qualname__}: it has other members")
        for name, member in mine.items():
            self._later(member, theirs[name])

    def _wrapped(self, one: Any, other: Any) -> None:
        self._later(one.__func__, other.__func__)

    def _property(self, one: property, other: property) -> None:
        self._each(
            (one.fget, one.fset, one.fdel, one.__doc__),
            (other.fget, other.fset, other.fdel, other.__doc__),
            "property",
        )

    def _method(self, one: types.MethodType, other: types.MethodType) -> None:
        self._later(one.__func__, other.__func__)
        self._later(one.__self__, other.__self__)

    def _bound(self, one: types.BuiltinMethodType, other: types.BuiltinMethodType) -> None:
        self._later(one.__name__, other.__name__)
        self._later(one.__self__, other.__self__)

    def _cached(self, one: Any, other: Any) -> None:
        self._later(one.__wrapped__, other.__wrapped__)
        self._later(one.cache_parameters(), other.cache_parameters())

    def _array(self, one: Any, other: Any) -> None:
        what = type_label(type(one))
        if one.dtype != other.dtype or one.shape != other.shape:
            raise Different(f"{what}: type or shape differs")
        if one.dtype.kind == "O":
            self._each(one.ravel().tolist(), other.ravel().tolist(), what)
        elif id(one) not in self._trusted and not _equal_bytes(one, other):
            raise Different(f"{what}: values differ")
        if one.flags.writeable != other.flags.writeable:
            raise Different(f"{what}: only one of the two can be written to")
        if id(one) in self._tables:
            return
        if one.strides != other.strides:
            raise Different(f"{what}: it lies in another order in memory")
        root = owner_of(one)
        if (root is one) != (owner_of(other) is other):
            raise Different(f"{what}: only one of the two is a view")
        if root is not one:
            self._later(root, owner_of(other))
        if hasattr(one, "__dict__"):
            self._later(vars(one), vars(other))

    def _by_parts(self, one: Any, other: Any) -> None:
        """Compare objects by their attributes; those of libraries by what they would pickle."""
        kind = type(one)
        if package_of(kind) in TRUSTED or not hasattr(kind, "__mro__"):
            self._by_reduction(one, other)
            return
        attributes = False
        for name in _slots(kind):
            attributes = True
            missing = object()
            values = getattr(one, name, missing), getattr(other, name, missing)
            if (values[0] is missing) != (values[1] is missing):
                raise Different(f"{type_label(kind)}: attribute {name!r} differs")
            if values[0] is not missing:
                self._later(*values)
        if hasattr(one, "__dict__"):
            attributes = True
            self._mapping(vars(one), vars(other), type_label(kind))
        if isinstance(one, BaseException):
            self._later(one.args, other.args)
        elif isinstance(one, dict):
            self._mapping(one, other, type_label(kind))
        elif isinstance(one, (list, tuple, set, frozenset)):
            self._each(one, other, type_label(kind))
        elif not attributes or kind.__base__ is not object:
            self._by_reduction(one, other)

    def _by_reduction(self, one: Any, other: Any) -> None:
        if type_label(type(one)) == _SERIES_MANAGER:
            # What comes first in its state is for older versions, and made anew each time.
            self._later(one.__getstate__()[-1], other.__getstate__()[-1])
            return
        mine, theirs = one.__reduce_ex__(4), other.__reduce_ex__(4)
        if isinstance(mine, str) or isinstance(theirs, str):
            if mine != theirs:
                raise Different(f"{type_label(type(one))}: it is another one")
            return
        self._each(map(_listed, mine), map(_listed, theirs), type_label(type(one)))


_SERIES_MANAGER = "pandas.core.internals.managers.SingleBlockManager"


def _listed(part: Any) -> Any:
    """Return a part of a reduction; those that are iterators as lists."""
    return list(part) if hasattr(part, "__next__") else part


def _equal_atoms(one: Any, other: Any) -> bool:
    if isinstance(one, (float, complex)):
        return repr(one) == repr(other)
    return bool(one == other)


def _equal_bytes(one: Any, other: Any) -> bool:
    # Between the fields of a record may be memory that nobody has written.
    if one.dtype.names:
        return all(_equal_bytes(one[name], other[name]) for name in one.dtype.names)
    numpy = sys.modules["numpy"]
    flat = [numpy.asarray(each).ravel(order="K") for each in (one, other)]
    if not one.size or one.strides != other.strides or not one.dtype.itemsize:
        return bool(one.tobytes() == other.tobytes())
    return bool(numpy.array_equal(*(each.view(numpy.uint8) for each in flat)))


def _contents(cell: types.CellType) -> list[Any]:
    try:
        return [cell.cell_contents]
    except ValueError:
        return []


def _slots(kind: type) -> list[str]:
    """Return the names of fields that a class statement has declared."""
    return [
        name
        for base in kind.__mro__
        for name, member in vars(base).items()
        if isinstance(member, types.MemberDescriptorType) and base.__module__ != "builtins"
    ]


#: What Python itself puts into classes, and computes anew.
_COMPUTED = frozenset(
    {
        "__dict__",
        "__weakref__",
        "__annotate_func__",
        "__annotations_cache__",
        "__slotnames__",
        "_abc_impl",
    }
)


def _members(kind: type) -> dict[str, Any]:
    descriptors = (types.MemberDescriptorType, types.GetSetDescriptorType)
    return {
        name: member
        for name, member in vars(kind).items()
        if name not in _COMPUTED and not isinstance(member, descriptors)
    }


#: Which objects are compared how; the first that fits.
_HANDLERS: tuple[tuple[Callable[[Any], bool], Callable[[Sameness, Any, Any], None]], ...] = (
    (lambda it: type(it) in (tuple, list, set, frozenset), Sameness._sequence),  # noqa: SLF001
    (lambda it: type(it) is dict, Sameness._dictionary),  # noqa: SLF001
    (lambda it: isinstance(it, types.FunctionType), Sameness._function),  # noqa: SLF001
    (lambda it: type(it) is types.CellType, Sameness._cell),  # noqa: SLF001
    (lambda it: isinstance(it, type), Sameness._class),  # noqa: SLF001
    (lambda it: type(it) in (staticmethod, classmethod), Sameness._wrapped),  # noqa: SLF001
    (lambda it: type(it) is property, Sameness._property),  # noqa: SLF001
    (lambda it: type(it) is types.MethodType, Sameness._method),  # noqa: SLF001
    (lambda it: isinstance(it, types.BuiltinMethodType), Sameness._bound),  # noqa: SLF001
    (lambda it: type(it) in LOCKS, lambda *_: None),
    (lambda it: type(it) is CACHED, Sameness._cached),  # noqa: SLF001
    (is_array, Sameness._array),  # noqa: SLF001
)
