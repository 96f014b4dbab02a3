"""What modules look like, so that a module which somebody has changed is told from a fresh one.

Another kernel imports the same modules. What a cell has changed in them (a setting, a function, a
method of a class) is missing there, unless nbflow knows of it (`settings`). So the modules of both
kernels are compared by marks. Of a library's module those are its simple values, its functions and
classes, and its classes' methods; of a module of the user's own, everything.
"""

import datetime as dt
import decimal
import enum
import hashlib
import logging
import pathlib
import re
import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nbflow.guest_namespace.rules import Unmovable, is_plain, type_label

_SIMPLE = (type(None), bool, int, float, complex, str, bytes)
_CODE = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.ModuleType,
    staticmethod,
    classmethod,
    property,
)
_PRINTED = (dt.date, dt.time, dt.timedelta, decimal.Decimal, pathlib.PurePath,
            re.Pattern, range, slice, types.GenericAlias)  # fmt: skip

#: Modules that belong to the kernel and its debugger, or count and remember by themselves.
_RESTLESS = (
    "IPython", "_pydevd_bundle", "_pydevd_frame_eval", "asyncio", "comm", "debugpy", "executing",
    "ipykernel", "jedi", "jupyter_client", "parso", "prompt_toolkit", "pure_eval", "pygments",
    "pydevd", "stack_data", "tornado", "traitlets", "zmq", "nbflow", "nbflow_movers", "linecache",
    "matplotlib_inline", "cloudpickle",
)  # fmt: skip
#: Names of a library's modules that change without a change of what they do.
_NAMES = frozenset({"__warningregistry__", "__builtins__", "__cached__", "__doc__"})
_COUNTERS = frozenset(
    {
        "PIL.Image._initialized",
        "joblib._multiprocessing_helpers.name",
        "numpy.f2py.rules.generationtime",
        "scipy.sparse._data.name",
    }
)


def is_local(module: types.ModuleType) -> bool:
    """Whether a module is the user's own: no installed package, and not Python's."""
    path = getattr(module, "__file__", None)
    if not path or not path.endswith(".py") or module.__name__.partition(".")[0] in _RESTLESS:
        return False
    if "site-packages" in path or "dist-packages" in path:
        return False
    return not path.startswith((sys.prefix, sys.base_prefix, sys.exec_prefix))


def modules_to_compare(names: Iterable[str]) -> Iterator[tuple[str, types.ModuleType]]:
    """Yield those of the modules `names` that are no part of the kernel itself."""
    for name in names:
        module = sys.modules.get(name)
        if isinstance(module, types.ModuleType) and name.partition(".")[0] not in _RESTLESS:
            yield name, module


def mark_of(module: types.ModuleType) -> str:
    """Return the mark of a module.

    Raises
    ------
    Unmovable
        If it is the user's own, and has something whose state nobody can tell.
    """
    sum_ = hashlib.blake2b(digest_size=8)
    local = is_local(module)
    for name, value in sorted(vars(module).items()):
        if (
            name in _NAMES
            or f"{module.__name__}.{name}" in _COUNTERS
            or (name.startswith("__") and name.endswith("__") and not local)
        ):
            continue
        if not local and (value is None or isinstance(value, types.ModuleType)):
            continue  # What is loaded when it is needed.
        text = _deep(value, module.__name__, name) if local else _shallow(value)
        sum_.update(f"{name}={text}\n".encode(errors="backslashreplace"))
    return sum_.hexdigest()


def mark_of_value(value: Any, module: str, name: str) -> str:
    """Return the mark of a value that a module has; `Unmovable` if its state cannot be told."""
    return hashlib.blake2b(
        _deep(value, module, name).encode(errors="backslashreplace"), digest_size=8
    ).hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of the packages that are loaded, as they tell them."""
    return {
        name: str(vars(module)["__version__"])
        for name, module in sys.modules.copy().items()
        if "." not in name and isinstance(getattr(module, "__dict__", {}).get("__version__"), str)
    }


def source_digests(names: Iterable[str]) -> dict[str, str]:
    """Return a digest of the file of each module that is the user's own."""
    digests = {}
    for name, module in modules_to_compare(names):
        if is_local(module):
            data = pathlib.Path(str(module.__file__)).read_bytes()
            digests[name] = hashlib.blake2b(data, digest_size=16).hexdigest()
    return digests


def _shallow(value: Any) -> str:
    if type(value) in _SIMPLE:
        return repr(value)
    if isinstance(value, type):
        members = (
            f"{name}:{_member(member)}"
            for name, member in sorted(vars(value).items())
            if name not in _ADDED
        )
        return f"{value.__module__}.{value.__qualname__}({','.join(members)})"
    if isinstance(value, _CODE):
        return _code(value)
    if type(value) in (tuple, frozenset) and all(type(item) in _SIMPLE for item in value):
        return repr(sorted(map(repr, value)))
    return type_label(type(value))


#: What Python adds to a class when it is used.
_ADDED = frozenset({"__doc__", "__slotnames__", "__annotations_cache__", "__abstractmethods__"})


def _member(value: Any) -> str:
    """Return what counts of a member of a library's class; what it remembers does not."""
    if type(value) in _SIMPLE and value is not None:
        return repr(value)
    return _code(value) if isinstance(value, _CODE) else ""


def _code(value: Any) -> str:
    if type(value) in _SIMPLE:
        return type(value).__name__
    value = getattr(value, "__func__", value)
    if isinstance(value, property):
        value = value.fget
    module = getattr(value, "__module__", "")
    return f"{module}.{getattr(value, '__qualname__', type(value).__name__)}"


def _deep(value: Any, module: str, name: str, seen: Mapping[int, Any] | None = None) -> str:
    seen = seen or {}
    if id(value) in seen:
        return "again"
    seen = {**seen, id(value): value}
    if type(value) in _SIMPLE or isinstance(value, _PRINTED):
        return repr(value)
    if isinstance(value, (type, *_CODE)):
        return _code_deep(value, module, name, seen)
    if isinstance(value, (logging.Logger, enum.Enum)):
        return repr(value)
    if type(value) in (list, tuple):
        return f"{type(value).__name__}[{','.join(_deep(it, module, name, seen) for it in value)}]"
    if type(value) in (set, frozenset):
        return f"set[{','.join(sorted(_deep(it, module, name, seen) for it in value))}]"
    if isinstance(value, dict):
        pairs = (
            f"{_deep(k, module, name, seen)}:{_deep(v, module, name, seen)}"
            for k, v in value.items()
        )
        return f"{type_label(type(value))}{{{','.join(pairs)}}}"
    if is_plain(type(value)) and hasattr(value, "__dict__"):
        return f"{type_label(type(value))}{_deep(vars(value), module, name, seen)}"
    if type(value) is object:
        return "object"
    raise Unmovable(
        f"module {module}: nobody can tell the state of its {name!r} ({type_label(type(value))})"
    )


def _code_deep(value: Any, module: str, name: str, seen: Mapping[int, Any]) -> str:
    if isinstance(value, types.FunctionType) and value.__module__ == module:
        state = (value.__defaults__, value.__kwdefaults__, dict(vars(value)))
        return f"{_code(value)}{_deep(state, module, name, seen)}"
    if isinstance(value, type) and value.__module__ == module:
        members = {
            key: member
            for key, member in vars(value).items()
            if not key.startswith("__") and not isinstance(member, _DESCRIPTORS)
        }
        return f"{_code(value)}{_deep(members, module, name, seen)}"
    return _code(value) if not isinstance(value, types.ModuleType) else value.__name__


_DESCRIPTORS = (
    types.MemberDescriptorType,
    types.GetSetDescriptorType,
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
)
