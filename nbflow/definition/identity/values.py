"""Values that a function holds, as bytes that are equal for equal values in every process.

Plain data counts by its content, type for type; tables and arrays by theirs. Functions and classes
are left to whoever asks (`Encoder.refer`). Of anything else nobody can tell whether two are equal:
it is `Opaque`.
"""

import collections
import dataclasses
import datetime as dt
import enum
import functools
import logging
import pathlib
import re
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from nbflow import guest
from nbflow.core.fingerprints import digest

#: Deeper values are not compared; they may contain themselves.
_DEPTH_LIMIT = 64


class Opaque(TypeError):
    """A value of which nobody can tell whether it is equal to another one."""


#: Returns bytes for a function, class or module; None if it is none of these.
Refer: TypeAlias = Callable[[Any], bytes | None]


class Encoder:
    """Turns values into bytes.

    Parameters
    ----------
    refer
        Takes what is no data.
    """

    def __init__(self, refer: Refer) -> None:
        self._refer = refer
        self._depth = 0

    def encode(self, value: Any) -> bytes:
        """Return bytes that stand for `value`.

        Raises
        ------
        Opaque
            If that cannot be done.
        """
        if self._depth >= _DEPTH_LIMIT:
            raise Opaque("is nested too deep, or contains itself")
        self._depth += 1
        try:
            return self._encoded(value)
        finally:
            self._depth -= 1

    def _encoded(self, value: Any) -> bytes:
        kind = type(value)
        if kind is str:
            return _tagged(kind, value.encode(errors="surrogatepass"))
        if kind is int:
            return _tagged(kind, hex(value).encode())  # decimals are limited in length
        if value is None or kind in _BY_REPR:
            return _shown(value)
        if kind is bytes or kind is bytearray:
            return _tagged(kind, bytes(value))
        if kind in _SEQUENCES:
            return _tagged(kind, *self._all(value))
        if kind in (set, frozenset):
            return _tagged(kind, *sorted(self._all(value)))
        if kind in _MAPPINGS:
            # The order counts: it is that of iteration.
            extra = self._all([value.default_factory]) if kind is collections.defaultdict else []
            return _tagged(kind, *extra, *self._items(value))
        return self._referred(value)

    def _referred(self, value: Any) -> bytes:
        referred = self._refer(value)
        if referred is not None:
            return referred
        for kinds, parts in _COMPOSED:
            if isinstance(value, kinds):
                return _tagged(kinds, *self._all(parts(value)))
        if dataclasses.is_dataclass(value):
            fields = [getattr(value, field.name) for field in dataclasses.fields(value)]
            return _tagged("dataclass", *self._all([type(value), *fields]))
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return _tagged("named", *self._all([type(value), *value]))
        if isinstance(value, logging.Logger):
            return _tagged("logger", value.name.encode())
        if type(value) is object or type(value).__module__ == "dataclasses":
            return _tagged("sentinel", type(value).__name__.encode())
        if _shows_itself(value):
            return _shown(value)
        content = _scientific(value)
        if content is None:
            raise Opaque(f"is a {guest.type_name(value)}, whose content cannot be compared")
        return _tagged(guest.type_name(value), *self._all(content))

    def _all(self, values: Iterable[Any]) -> list[bytes]:
        return [self.encode(value) for value in values]

    def _items(self, values: Mapping[Any, Any]) -> list[bytes]:
        return [self.encode(part) for item in values.items() for part in item]


_BY_REPR = frozenset(
    {bool, float, complex, range, slice, type(Ellipsis), type(NotImplemented)}
    | {dt.date, dt.datetime, dt.time, dt.timedelta, dt.timezone}
)
#: More of these, of modules that few programs need.
_BY_REPR_TOO = frozenset({"decimal.Decimal", "fractions.Fraction", "uuid.UUID"})
_HINTS = (types.GenericAlias, types.UnionType)
_SEQUENCES = frozenset({list, tuple, collections.deque})
_MAPPINGS = frozenset(
    {dict, collections.OrderedDict, collections.defaultdict, collections.Counter}
    | {types.MappingProxyType}
)

#: Kinds of values that are made of others -> what they are made of.
_COMPOSED: tuple[tuple[type, Callable[[Any], list[Any]]], ...] = (
    (functools.partial, lambda it: [it.func, it.args, it.keywords]),
    (types.MethodType, lambda it: [it.__func__, it.__self__]),
    (types.BuiltinFunctionType, lambda it: [it.__name__, it.__self__]),
    (enum.Enum, lambda it: [type(it), it.name]),
    (re.Pattern, lambda it: [it.pattern, it.flags]),
    (pathlib.PurePath, lambda it: [str(it)]),
    (types.SimpleNamespace, lambda it: [vars(it)]),
    (property, lambda it: [it.fget, it.fset, it.fdel]),
    (staticmethod, lambda it: [it.__func__]),
    (classmethod, lambda it: [it.__func__]),
    (functools.cached_property, lambda it: [it.func]),
)


def _scientific(value: Any) -> list[Any] | None:
    """Return plain data that stands for a table, an array or one of its scalars."""
    origin = type(value).__module__.partition(".")[0]
    name = type(value).__name__
    if origin == "numpy":
        return _of_numpy(value, name)
    if origin == "pandas" and name in ("DataFrame", "Series", "Index", "RangeIndex"):
        return _of_pandas(value, name)
    return None


def _of_numpy(value: Any, name: str) -> list[Any] | None:
    if name == "ufunc":
        return [value.__name__]
    if name.endswith("DType") or name == "dtype":
        return [str(value)]
    dtype = getattr(value, "dtype", None)
    if dtype is None or dtype.hasobject or not (name == "ndarray" or not value.shape):
        return None
    return [dtype.str, repr(dtype), value.shape, value.tobytes()]


def _of_pandas(value: Any, name: str) -> list[Any] | None:
    import pandas as pd

    try:
        rows = pd.util.hash_pandas_object(value, index=True).to_numpy().tobytes()
    except TypeError:
        return None  # objects that have no hash
    if name == "DataFrame":
        columns = [(repr(column), str(kind)) for column, kind in value.dtypes.items()]
        return [rows, columns, repr(value.columns.names), repr(value.index.names)]
    return [rows, repr(getattr(value, "name", None)), str(value.dtype)]


def _shows_itself(value: Any) -> bool:
    """Whether the text of such an object says all about it."""
    is_hint = type(value).__module__ == "typing" or isinstance(value, _HINTS)
    return is_hint or guest.type_name(value) in _BY_REPR_TOO


def _shown(value: Any) -> bytes:
    text = repr(value)
    if " at 0x" in text:
        raise Opaque(f"is a {guest.type_name(value)}, whose content cannot be compared")
    return _tagged(type(value), text.encode(errors="surrogatepass"))


def _tagged(kind: object, *pieces: bytes) -> bytes:
    name = kind if isinstance(kind, str) else getattr(kind, "__qualname__", "")
    # A digest of pieces: no two sequences of them look alike.
    return digest(str(name).encode(), *pieces).encode()
