"""How variables get from one stage of a notebook into another, by whichever way.

A variable may arrive in a kernel by way of several others, and its class or a function that it
refers to by several ways. These keep their identity: each has a number that is the same in all
kernels, by which a kernel knows it again. The first to arrive stays; whether those that come later
are the same is looked at (`Tracks.check`), since otherwise nobody could say which one to take.
"""

import enum
import pickle
import sys
import types
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from cloudpickle import cloudpickle as tracking

from nbflow.guest_namespace.graph import Mapped, Place, Reach, is_main, module_values
from nbflow.guest_namespace.moving import Mover, Settler, make_array, make_function
from nbflow.guest_namespace.parcels import LARGE_BYTES, Parcel, open_parcel, write_parcel
from nbflow.guest_namespace.rules import Unmovable
from nbflow.guest_namespace.sameness import Different, Sameness
from nbflow.guest_namespace.sources import Sources, show_sources, unpacked_code

_FUNCTION_FIELDS = (
    "__qualname__",
    "__module__",
    "__doc__",
    "__defaults__",
    "__kwdefaults__",
    "__annotations__",
)


class Tracks:
    """Which functions and classes of notebooks a kernel knows, by their numbers.

    Parameters
    ----------
    origin
        What the numbers of those that this kernel makes begin with; no other kernel has the same.
    """

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._count = 0
        self._numbers: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
        self._functions: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()
        self._settled: weakref.WeakSet[Any] = weakref.WeakSet()
        #: What has come once more, and what it would have been.
        self._again: list[tuple[Any, Any]] = []

    def number(self, function: types.FunctionType) -> str:
        """Return the number of a function, a new one if it has none."""
        number = self._numbers.get(function)
        if number is None:
            self.enter(number := self._new_number(), function)
        return number

    def name_class(self, kind: type) -> None:
        """Give a class a number by which cloudpickle knows it, if it has none."""
        if kind not in tracking._DYNAMIC_CLASS_TRACKER_BY_CLASS:  # noqa: SLF001 - as below
            number = self._new_number()
            tracking._DYNAMIC_CLASS_TRACKER_BY_CLASS[kind] = number  # noqa: SLF001
            tracking._DYNAMIC_CLASS_TRACKER_BY_ID[number] = kind  # noqa: SLF001

    def _new_number(self) -> str:
        self._count += 1
        return f"{self._origin}/{self._count}"

    def enter(self, number: str, function: types.FunctionType) -> types.FunctionType:
        """Note the number of a function, and return it."""
        self._numbers[function] = number
        self._functions[number] = function
        return function

    def known(self, number: str) -> types.FunctionType | None:
        """Return the function of that number, if it is here."""
        return self._functions.get(number)

    def is_first(self, thing: Any, state: Any) -> bool:
        """Whether `thing` has just come into being, and is to be given its state."""
        if thing in self._settled:
            self._again.append((thing, state))
            return False
        self._settled.add(thing)
        return True

    def check(self, namespace: dict[str, Any], loaded: Mapping[str, Any]) -> None:
        """Raise `Unmovable` if what has come once more is not what is here."""
        again, self._again = self._again, []
        if not again:
            return
        places = module_values()
        # What is known by its number is one and the same, and is looked at by itself.
        known: dict[int, Any] = {**places, **dict.fromkeys(map(id, self._settled))}
        for thing, state in again:
            now = _state_of(thing)
            try:
                Sameness(namespace, namespace, known).check(now, state)
            except Different as error:
                raise Unmovable(
                    f"`{thing.__qualname__}` has come from two stages, and is not the same in "
                    f"both ({error})"
                ) from error
            _check_dropped(thing, now, state, loaded, Outside(namespace, places))


class Outside:
    """What a copy does not stand for; see `Reach`."""

    def __init__(self, namespace: dict[str, Any], places: Mapping[int, Place]) -> None:
        self._namespace = namespace
        self._places = places

    def reach(self, *things: Any) -> dict[int, Any]:
        """Return all objects that `things` consist of, by their ids."""
        return Reach(dict(enumerate(things)), self._namespace, self._places).objects  # type: ignore[arg-type]


def _check_dropped(
    thing: Any, now: Any, state: Any, loaded: Mapping[str, Any], outside: Outside
) -> None:
    """Raise `Unmovable` if what is dropped of a class is also reached without it."""
    dropped = outside.reach(state)
    kept = outside.reach(thing, now)
    lost = {key: it for key, it in dropped.items() if key not in kept and can_be_changed(it)}
    lost.pop(id(state), None)
    for part in state:
        lost.pop(id(part), None)
    if lost and lost.keys() & outside.reach(*loaded.values()).keys():
        raise Unmovable(
            f"`{thing.__qualname__}` has come from two stages, and one of the variables holds a "
            f"part of it"
        )


#: What cannot be changed, or is known again wherever it comes from.
_UNCHANGING = (
    types.FunctionType, types.MethodType, types.BuiltinMethodType, types.GenericAlias,
    tuple, frozenset, property, staticmethod, classmethod, type, weakref.ReferenceType,
    enum.Enum,
)  # fmt: skip
_UNCHANGING_MODULES = (
    "_abc", "pandas._libs.internals", "pandas._libs.tslibs", "pandas.core.dtypes",
    "pandas.core.indexes", "pyarrow", "pytz", "zoneinfo", "dateutil.tz", "datetime", "decimal",
    "fractions", "re",
)  # fmt: skip


_CONSTANTS = frozenset(
    {
        ("numpy", "dtype"),
        ("numpy", "generic"),
        ("pandas", "Index"),
        ("pandas.core.indexes.base", "Index"),
        ("pandas.api.extensions", "ExtensionDtype"),
        ("pandas.core.dtypes.base", "ExtensionDtype"),
    }
)


def can_be_changed(thing: Any) -> bool:
    """Whether it can be told whether two variables have one `thing` or two equal ones."""
    kind = type(thing)
    if isinstance(thing, _UNCHANGING) or kind.__module__.startswith(_UNCHANGING_MODULES):
        return False
    if kind is types.CellType:
        try:
            return not isinstance(thing.cell_contents, type)
        except ValueError:
            return True
    return not any((base.__module__, base.__name__) in _CONSTANTS for base in kind.__mro__)


class Carrier(Mover):
    """Writes variables of a stage; see `Mover`.

    Parameters
    ----------
    names
        See `moving.names_of`; `tracks` is to have the name ``("tracks",)``.
    tracks
        What the kernel knows.
    """

    def __init__(
        self,
        file: BinaryIO,
        namespace: dict[str, Any],
        places: Mapping[int, Place],
        tables: Iterable[int] = (),
        *,
        names: Mapping[int, tuple[str, ...]],
        tracks: Tracks,
        trial: bool = False,
        aside: Callable[[pickle.PickleBuffer], Any] | None = None,
    ) -> None:
        super().__init__(file, namespace, places, tables, trial=trial, names=names, aside=aside)
        self._tracks = tracks
        #: Of the functions that were written.
        self.sources = Sources()

    def reducer_override(self, thing: Any) -> Any:
        """Return how `thing` is made again."""
        if isinstance(thing, type) and is_main(thing):
            self._tracks.name_class(thing)
        made = super().reducer_override(thing)
        if isinstance(thing, type) and isinstance(made, tuple) and made[-1] is _SET_CLASS:
            state = (self._tracks, _without_caches(made[2]))
            return *made[:2], state, None, None, settle_class
        return made

    def _function(self, thing: types.FunctionType) -> Any:
        made = super()._function(thing)
        if made is NotImplemented:
            return made
        code = self.sources.packed(thing.__code__)
        state = (self._tracks, _function_state(thing, code))
        arguments = (self._tracks, self._tracks.number(thing), code, *made[1][1:])
        return make_tracked, arguments, state, None, None, settle_function

    def _maker(self, thing: Any) -> Callable[..., Any]:
        return map_array if thing.nbytes >= LARGE_BYTES else make_array


class Receiver(Settler):
    """Reads what `Carrier` has written."""

    def __init__(self, parcel: Parcel, namespace: dict[str, Any], tracks: Tracks) -> None:
        super().__init__(parcel.stream, namespace, parcel.pieces)
        self._tracks = tracks

    def persistent_load(self, name: tuple[str, ...]) -> Any:
        """Return what is found by `name`."""
        return self._tracks if name == ("tracks",) else super().persistent_load(name)


_SET_CLASS = tracking._class_setstate  # noqa: SLF001 - there is no other way


def _function_state(thing: types.FunctionType, code: types.CodeType) -> tuple[Any, ...]:
    named = {name: getattr(thing, name) for name in _FUNCTION_FIELDS}
    return dict(vars(thing)), named, thing.__closure__, code


def _state_of(thing: Any) -> tuple[Any, ...]:
    if isinstance(thing, types.FunctionType):
        return _function_state(thing, thing.__code__)
    reduced = tracking._dynamic_class_reduce(thing)  # noqa: SLF001 - as above
    return _without_caches(reduced[2])


def _without_caches(state: tuple[dict[str, Any], Any]) -> tuple[Any, ...]:
    """Return the state of a class without what Python adds to it when it is used."""
    members, slots = state
    return {name: it for name, it in members.items() if name not in _CACHES}, slots


_CACHES = frozenset({"__slotnames__", "__annotations_cache__"})


def make_tracked(
    tracks: Tracks,
    number: str,
    code: types.CodeType,
    namespace: dict[str, Any],
    name: str,
    closure: tuple[types.CellType, ...] | None,
) -> types.FunctionType:
    """Return the function of that number."""
    known = tracks.known(number)
    if known is not None:
        return known
    return tracks.enter(number, make_function(unpacked_code(code), namespace, name, closure))


def settle_function(thing: types.FunctionType, told: tuple[Tracks, tuple[Any, ...]]) -> None:
    """Give a function what it has besides its code."""
    tracks, state = told
    if tracks.is_first(thing, state):
        attributes, named, *_ = state
        vars(thing).update(attributes)
        for name, value in named.items():
            setattr(thing, name, value)


def settle_class(kind: type, told: tuple[Tracks, Any]) -> None:
    """Give a class its members."""
    tracks, state = told
    if tracks.is_first(kind, state):
        _SET_CLASS(kind, state)


def map_array(data: Any, shape: tuple[int, ...], dtype: Any, order: Any, writeable: bool) -> Any:
    """Return an array that lies in a file."""
    array = sys.modules["numpy"].ndarray(shape, dtype, data, 0, None, order)
    array.flags.writeable = writeable
    return array


def write_variables(
    path: Path, variables: Mapping[str, Any], carrier: Callable[..., Carrier]
) -> None:
    """Write variables that share memory into one file."""

    def write(file: BinaryIO, aside: Callable[[pickle.PickleBuffer], bool]) -> None:
        made = carrier(file, aside=aside)
        made.dump(dict(variables))
        pickle.dump(made.sources.told(), file, protocol=5)

    write_parcel(path, write)


def read_variables(
    path: Path, namespace: dict[str, Any], tracks: Tracks
) -> tuple[dict[str, Any], Mapped | None]:
    """Read a file; return its variables, and the memory in which they lie.

    Raises
    ------
    Unmovable
        If a class or function has come another way already, and was not the same.
    """
    parcel = open_parcel(path)
    with parcel.stream:
        variables: dict[str, Any] = Receiver(parcel, namespace, tracks).load()
        show_sources(pickle.load(parcel.stream))
    tracks.check(namespace, variables)
    return variables, parcel.mapping


@contextmanager
def as_a_stranger() -> Iterator[Tracks]:
    """Know no class by its number meanwhile, as another kernel."""
    known = (
        tracking._DYNAMIC_CLASS_TRACKER_BY_CLASS,  # noqa: SLF001
        tracking._DYNAMIC_CLASS_TRACKER_BY_ID,  # noqa: SLF001
    )
    before = [dict(each) for each in known]
    for each in known:
        each.clear()
    try:
        yield Tracks("")
    finally:
        for each, content in zip(known, before, strict=True):
            each.clear()
            each.update(content)
