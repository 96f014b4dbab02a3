"""Which objects a copy in another process can stand for.

Three kinds of objects can, and nothing else: values whose types are listed here; objects that are
nothing but their attributes and, perhaps, a built-in container (most classes written in Python, the
notebook's own among them); and objects of a few libraries that have been tried. Whether the copy
*is* the same is looked at besides (`sameness`). What merely pickles is no criterion: iterators,
memory maps and open text files all do, and come back as something else.
"""

import datetime as dt
import enum
import functools
import threading
import types
from typing import Any

#: Types of single values and containers, by their names, that come back as they were.
_KNOWN = frozenset(
    {
        "builtins.NotImplementedType", "builtins.builtin_function_or_method",
        "builtins.getset_descriptor", "builtins.member_descriptor", "builtins.method_descriptor",
        "builtins.wrapper_descriptor", "_collections._tuplegetter", "_decimal.Decimal",
        "decimal.Decimal", "_random.Random", "array.array",
        "builtins.bytearray", "builtins.cell", "builtins.classmethod",
        "builtins.classmethod_descriptor",
        "builtins.code", "builtins.complex", "builtins.dict", "builtins.ellipsis",
        "builtins.frozenset",
        "builtins.function", "builtins.list", "builtins.method", "builtins.object",
        "builtins.property",
        "builtins.range", "builtins.set", "builtins.slice", "builtins.staticmethod",
        "builtins.tuple",
        "collections.OrderedDict", "collections.defaultdict", "collections.deque",
        "datetime.date", "datetime.datetime", "datetime.time", "datetime.timedelta",
        "datetime.timezone", "fractions.Fraction", "functools.partial", "operator.attrgetter",
        "operator.itemgetter", "operator.methodcaller", "random.Random", "re.Pattern",
        "types.GenericAlias", "types.SimpleNamespace", "types.UnionType", "typing.TypeVar",
        "zoneinfo.ZoneInfo",
    }
)  # fmt: skip

#: Containers that a class in Python may be built upon, and values.
_BASES = (
    object, BaseException, bytes, bytearray, complex, dict, float, frozenset, int, list, set, str,
    tuple, dt.date, dt.time, dt.timedelta, dt.tzinfo,
)  # fmt: skip

#: Libraries whose objects have been tried, but for those below.
TRUSTED = frozenset({"numpy", "pandas", "pyarrow", "scipy", "sklearn"})

_NEVER = {
    "numpy.memmap": "it is a file's content",
    "numpy.flatiter": "it is an iterator",
    "numpy.nditer": "it is an iterator",
    "numpy.broadcast": "it is an iterator",
    "builtins.traceback": "it is where an error came from",
}

#: Modules whose objects hold something of the process, or of a display.
_PINNED = (
    "IPython", "asyncio", "concurrent", "contextvars", "ctypes", "distributed", "http", "ipykernel",
    "ipywidgets", "logging", "mmap", "multiprocessing", "selectors", "socket", "socketserver",
    "ssl", "sqlite3", "subprocess", "tempfile", "tqdm", "weakref", "zipfile",
)  # fmt: skip

#: ``threading`` has locks, which can be had anew, and threads.
_PINNED_THREADS = (threading.Thread, threading.Barrier, threading.local)

_MEMBERS = (
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
)
LOCKS = (type(threading.Lock()), type(threading.RLock()))
CACHED = type(functools.lru_cache(len))


class Unmovable(TypeError):
    """No copy can stand for an object."""


def type_label(kind: type) -> str:
    """Return the dotted name of a type."""
    return f"{kind.__module__}.{kind.__qualname__}"


def package_of(kind: type) -> str:
    """Return the top-level package that a type says it belongs to."""
    return str(kind.__module__).partition(".")[0]


def refusal(thing: Any) -> str:
    """Return why no copy can stand for `thing`; empty if one may."""
    kind = type(thing)
    label = type_label(kind)
    if label in _NEVER:
        return _NEVER[label]
    if label in _KNOWN or isinstance(thing, (type, enum.Enum)):
        return ""
    if label == "IPython.utils.text.SList":
        return ""  # a list of lines, which is what ``!command`` gives
    if package_of(kind) in _PINNED or isinstance(thing, _PINNED_THREADS):
        return "it belongs to the process"
    if isinstance(thing, BaseException) and thing.__traceback__ is not None:
        return "it remembers where it was raised"
    if "__del__" in dir(kind):
        return "what happens at its end would happen in each process"
    if package_of(kind) in TRUSTED or is_plain(kind):
        return ""
    return "nobody knows whether a copy would be the same"


def is_value(thing: Any) -> bool:
    """Whether `thing` cannot change, so that two of them are as good as one."""
    if isinstance(thing, (tuple, frozenset, *_DATES)) or type_label(type(thing)) in _VALUES_BY_NAME:
        return True
    return any(
        base.__module__ == "numpy" and base.__name__ in _NUMPY for base in type(thing).__mro__
    )


_DATES = (dt.date, dt.time, dt.timedelta, dt.tzinfo)
_NUMPY = frozenset({"dtype", "generic"})
_VALUES_BY_NAME = frozenset({"decimal.Decimal", "fractions.Fraction", "re.Pattern"})


def is_plain(kind: type) -> bool:
    """Whether objects of a class are nothing but attributes, and perhaps a built-in container."""
    for base in kind.__mro__:
        if base in _BASES or type_label(base) in _KNOWN:
            continue
        if base.__module__ == "builtins" and issubclass(base, BaseException):
            continue
        if not is_written_in_python(base):
            return False
    return True


def is_written_in_python(kind: type) -> bool:
    """Whether a class statement has made a class: then it has no fields but those it names."""
    if not kind.__flags__ & _HEAP_TYPE or kind.__flags__ & _IMMUTABLE_TYPE:
        return False
    return not any(
        isinstance(member, _MEMBERS)
        or (isinstance(member, types.GetSetDescriptorType) and name not in _EVERYWHERE)
        or (name == "__new__" and isinstance(member, types.BuiltinFunctionType))
        for name, member in vars(kind).items()
    )


_HEAP_TYPE, _IMMUTABLE_TYPE = 1 << 9, 1 << 8
_EVERYWHERE = frozenset({"__dict__", "__weakref__"})
