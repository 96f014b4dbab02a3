"""A pickler whose copies belong to the kernel that they arrive in.

cloudpickle moves a function with a copy of the globals that it uses, and two functions with a
common closure part with it. Here a function of the notebook is bound to the namespace of the
notebook that reads it, whatever stands there, now and later; closures stay common; modules, and
what a module has under a name, are found and not copied; arrays that are views of one memory are so
again.

Everything that goes in goes through `refusal`, so what cannot be moved is not half moved.
"""

import functools
import importlib
import math
import pickle
import sys
import threading
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO

import cloudpickle

from nbflow.guest_namespace.graph import Place, found_by_name, is_mapped
from nbflow.guest_namespace.rules import CACHED, LOCKS, Unmovable, refusal, type_label

#: Under this name the functions below are found while something is read or written.
MOVERS = "nbflow_movers"


class Mover(cloudpickle.Pickler):  # type: ignore[misc]
    """Writes variables.

    Parameters
    ----------
    file
        Is written to.
    namespace
        The notebook's.
    places
        Where values stand that modules have; see `graph.module_values`.
    tables
        The ids of arrays that belong to tables, which see to sharing themselves.
    trial
        Whether nobody reads what is written, so that the content of arrays need not be.
    names
        What `names_of` gives, where that is known already.
    aside
        Is called with large pieces of memory, which are then not written to `file`.
    """

    def __init__(
        self,
        file: BinaryIO,
        namespace: dict[str, Any],
        places: Mapping[int, Place],
        tables: Iterable[int] = (),
        *,
        trial: bool = False,
        names: Mapping[int, tuple[str, ...]] | None = None,
        aside: Callable[[pickle.PickleBuffer], None] | None = None,
    ) -> None:
        super().__init__(file, protocol=5, buffer_callback=aside)
        self._is_trial = trial
        self._places = places
        self._names = names_of(namespace) if names is None else names
        self._nans: dict[int, tuple[tuple[str, str], float]] = {}
        self._namespace = namespace
        self._tables = frozenset(tables)
        #: Types whose objects need not be looked at one by one.
        self._passed: set[int] = set()
        #: Names of modules' values that were found and not copied.
        self.found: set[tuple[str, str]] = set()

    def persistent_id(self, thing: Any) -> tuple[Any, ...] | None:
        """Return by what `thing` is found again; None if it is copied."""
        place = self._places.get(id(thing))
        if place is not None:
            if not place.name:
                return ("namespace", place.module)
            self.found.add((place.module, place.name))
            return ("value", place.module, place.name)
        name = self._names.get(id(thing))
        if name is not None:
            return name
        if type(thing) is float and math.isnan(thing):
            # Only the same one is found in a list or a set.
            number = ("nan", f"{len(self._nans)}")
            return self._nans.setdefault(id(thing), (number, thing))[0]
        return None

    def reducer_override(self, thing: Any) -> Any:
        """Return how `thing` is made again."""
        if isinstance(thing, types.FunctionType):
            return self._function(thing)
        if isinstance(thing, type):
            # The next: `Enum` and its kin are told apart by cloudpickle.
            return super().reducer_override(thing)
        kind = type(thing)
        if kind is types.CellType:
            return _cell(thing)
        if kind in LOCKS:
            return _lock(thing)
        if kind is CACHED:
            return _cached(thing)
        if kind is types.ModuleType:
            raise Unmovable(f"module {thing.__name__!r}: it cannot be imported by this name")
        if id(kind) not in self._passed:
            why = refusal(thing)
            if why:
                raise Unmovable(f"{type_label(kind)}: {why}")
            if not issubclass(kind, BaseException):
                self._passed.add(id(kind))
        return self._array(thing) if kind.__module__ == "numpy" else NotImplemented

    def _function(self, thing: types.FunctionType) -> Any:
        if found_by_name(thing):
            return NotImplemented
        # The globals of neither the notebook nor a module are a dictionary like any other.
        made = (thing.__code__, thing.__globals__, thing.__name__, thing.__closure__)
        named = {name: getattr(thing, name) for name in _FUNCTION_ATTRIBUTES}
        return make_function, made, (dict(vars(thing)), named), None, None, set_function

    def _array(self, thing: Any) -> Any:
        numpy = sys.modules["numpy"]
        if type(thing) is not numpy.ndarray:
            return NotImplemented
        if thing.dtype.hasobject and thing.dtype.kind != "O":
            raise Unmovable("numpy.ndarray: it has records with objects")
        root = owner_of(thing)
        if root is not thing and id(thing) not in self._tables and is_owner(root):
            begin = thing.__array_interface__["data"][0] - root.__array_interface__["data"][0]
            spec = (thing.shape, thing.dtype, begin, thing.strides, thing.flags.writeable)
            return make_view, (root, *spec)
        order = "F" if thing.flags.f_contiguous and not thing.flags.c_contiguous else "C"
        if thing.ndim > 1 and abs(thing.strides[0]) < abs(thing.strides[-1]):
            order = "F"
        if thing.dtype.kind == "O":
            data: Any = thing.ravel(order=order).tolist()
        elif self._is_trial or not thing.nbytes:
            data = b""
        else:
            data = pickle.PickleBuffer(thing.ravel(order=order).view(numpy.uint8))
        return self._maker(thing), (data, thing.shape, thing.dtype, order, thing.flags.writeable)

    def _maker(self, thing: Any) -> Callable[..., Any]:  # noqa: ARG002 - for subclasses
        """Return what makes an array again of its content."""
        return make_array


def names_of(namespace: dict[str, Any]) -> dict[int, tuple[str, ...]]:
    """Return, by its id, under which name each module is found, and the notebook's namespace."""
    names: dict[int, tuple[str, ...]] = {id(namespace): ("here",)}
    for name, module in sys.modules.copy().items():
        if isinstance(module, types.ModuleType):
            # Some have two names; the first is good enough.
            names.setdefault(id(module), ("module", name))
    return names


class Settler(pickle.Unpickler):
    """Reads what `Mover` has written, for a `namespace`; `aside` is what was put aside."""

    def __init__(
        self, file: BinaryIO, namespace: dict[str, Any], aside: Iterable[Any] = ()
    ) -> None:
        super().__init__(file, buffers=aside)
        self._namespace = namespace
        self._nans: dict[str, float] = {}

    def persistent_load(self, name: tuple[str, ...]) -> Any:
        """Return what is found by `name`."""
        match name:
            case ("here",):
                return self._namespace
            case ("module", module):
                return importlib.import_module(module)
            case ("namespace", module):
                return vars(importlib.import_module(module))
            case ("value", module, attribute):
                return vars(importlib.import_module(module))[attribute]
            case ("nan", number):
                return self._nans.setdefault(number, math.nan * 1.0)
        raise pickle.UnpicklingError(f"{name!r} is no name of anything")


_FUNCTION_ATTRIBUTES = (
    "__qualname__",
    "__module__",
    "__doc__",
    "__defaults__",
    "__kwdefaults__",
    "__annotations__",
)


def make_function(
    code: types.CodeType,
    namespace: dict[str, Any],
    name: str,
    closure: tuple[types.CellType, ...] | None,
) -> types.FunctionType:
    """Return a function of a namespace."""
    return types.FunctionType(code, namespace, name, None, closure)


def set_function(thing: types.FunctionType, state: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Give a function what it has besides its code."""
    attributes, named = state
    vars(thing).update(attributes)
    for name, value in named.items():
        setattr(thing, name, value)


def make_cell() -> types.CellType:
    """Return an empty cell of a closure."""
    return types.CellType()


def set_cell(cell: types.CellType, content: tuple[Any]) -> None:
    """Fill a cell."""
    cell.cell_contents = content[0]


def make_lock(is_reentrant: bool) -> Any:
    """Return a lock that nobody holds."""
    return threading.RLock() if is_reentrant else threading.Lock()


def make_cached(function: Callable[..., Any], maxsize: int | None, typed: bool) -> Any:
    """Return a function that remembers results, and has none yet."""
    return functools.lru_cache(maxsize, typed)(function)


def make_array(data: Any, shape: tuple[int, ...], dtype: Any, order: Any, writeable: bool) -> Any:
    """Return an array that owns its memory."""
    numpy = importlib.import_module("numpy")
    array = numpy.empty(shape, dtype=dtype, order=order)
    if array.size and dtype.itemsize:
        flat = array.ravel(order="K")
        if dtype.kind == "O":
            for position, item in enumerate(data):
                flat[position] = item
        else:
            flat[...] = numpy.frombuffer(data, dtype=dtype)
    array.flags.writeable = writeable
    return array


def make_view(
    root: Any,
    shape: tuple[int, ...],
    dtype: Any,
    begin: int,
    strides: tuple[int, ...],
    writeable: bool,
) -> Any:
    """Return an array that looks into the memory of another one."""
    numpy = importlib.import_module("numpy")
    view = numpy.ndarray(shape, dtype, root, begin, strides)
    if not writeable:
        view.flags.writeable = False
    return view


def owner_of(array: Any) -> Any:
    """Return the array at the end of the chain of bases."""
    numpy = sys.modules["numpy"]
    while isinstance(array.base, numpy.ndarray):
        array = array.base
    return array


def is_owner(array: Any) -> bool:
    """Whether an array has memory of its own that a copy can have in the same order."""
    contiguous = array.flags.c_contiguous or array.flags.f_contiguous
    numpy = sys.modules["numpy"]
    is_alone = array.base is None or is_mapped(array.base)
    return type(array) is numpy.ndarray and is_alone and bool(contiguous)


def _cell(thing: types.CellType) -> Any:
    try:
        content = (thing.cell_contents,)
    except ValueError:
        return make_cell, ()
    return make_cell, (), content, None, None, set_cell


def _lock(thing: Any) -> Any:
    is_reentrant = type(thing) is LOCKS[1]
    if "unlocked" not in repr(thing):
        raise Unmovable(f"{type_label(type(thing))}: somebody holds it")
    return make_lock, (is_reentrant,)


def _cached(thing: Any) -> Any:
    info = thing.cache_info()
    if info.hits or info.misses or info.currsize:
        raise Unmovable("functools.lru_cache: it remembers results of earlier calls")
    options = thing.cache_parameters()
    made = (thing.__wrapped__, options["maxsize"], options["typed"])
    own = {name: value for name, value in vars(thing).items() if name != "cache_parameters"}
    return make_cached, made, own
