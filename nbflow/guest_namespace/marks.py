"""What modules look like, so that a module which somebody has changed is told from a fresh one.

Another kernel imports the same modules. What a cell has changed in them (a setting, a function, a
method of a class) is missing there, unless nbflow knows of it (`settings`). So the modules of both
kernels are compared by marks. Of a library's module those are its simple values, its functions and
classes, and its classes' methods; of a module of the user's own, everything.

A library that was there before the first cell changes a little as it is used, too. So of these,
what is not as it was then is found out name by name (`touched_names`), and only that is compared.
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

#: Tables of Python's own modules that fill as they are used, or that `settings` sets again.
#: Which these are was found out with a hundred public notebooks.
_FILLED = frozenset(
    {
        "_ctypes._pointer_type_cache", "_strptime._regex_cache", "_warnings.filters",
        "ctypes._c_functype_cache",
        "ctypes._pointer_type_cache", "encodings._cache", "inspect._filesbymodname",
        "inspect.modulesbyfile", "logging._handlerList", "os.environ", "posix.environ",
        "pydoc.pager", "re._cache", "re._cache2", "sys.last_exc", "sys.last_traceback",
        "sys.last_type", "sys.last_value", "sys.modules", "sys.path", "sys.path_importer_cache",
        "sys.stderr", "sys.stdout",
        "tempfile._name_sequence", "threading._active", "threading._limbo", "threading._dangling",
        "threading._shutdown_locks", "threading._threading_atexits", "warnings.filters",
        "warnings.onceregistry", "weakref._finalizer_registry",
    }
)  # fmt: skip


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
        first = name.partition(".")[0]
        # What Cython shares among the modules that it has compiled grows with them.
        if first in _RESTLESS or first.startswith("_cython_"):
            continue
        if isinstance(module, types.ModuleType):
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
        if not _counts(module.__name__, name, local=local):
            continue
        if not local and (value is None or isinstance(value, types.ModuleType)):
            continue  # What is loaded when it is needed.
        text = _deep(value, module.__name__, name) if local else _shallow(value)
        sum_.update(f"{name}={text}\n".encode(errors="backslashreplace"))
    return sum_.hexdigest()


def name_marks(module: types.ModuleType) -> dict[str, str]:
    """Return a mark of each thing that a module has which is not the user's own.

    Of Python's own modules it is also what their tables have in them. What is None has an empty
    mark.
    """
    own = module.__name__
    look = _table if own.partition(".")[0] in sys.stdlib_module_names else _shallow
    return {
        name: "" if value is None else _digest(look(value))
        for name, value in list(vars(module).items())
        if _counts(own, name, local=False)
        and f"{own}.{name}" not in _FILLED
        and not (isinstance(value, types.ModuleType) and value.__name__ == f"{own}.{name}")
    }


def touched_names(
    young: Mapping[str, Mapping[str, str]],
) -> Iterator[tuple[str, str, str | None]]:
    """Yield module, name and mark of what is not as it was when the kernel was young.

    Mostly libraries have done that themselves, as they were loaded; then it is so in another
    kernel, too, once the same is loaded and set there. What was None is made when it is needed.
    """
    for module, before in young.items():
        now = name_marks(sys.modules[module]) if module in sys.modules else {}
        for name in before.keys() | now.keys():
            if before.get(name) not in ("", now.get(name)):
                yield module, name, now.get(name)


def _counts(module: str, name: str, *, local: bool) -> bool:
    if name in _NAMES or f"{module}.{name}" in _COUNTERS:
        return False
    return local or not (name.startswith("__") and name.endswith("__"))


def mark_of_value(value: Any, module: str, name: str) -> str:
    """Return the mark of a value that a module has; `Unmovable` if its state cannot be told."""
    return _digest(_deep(value, module, name))


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(errors="backslashreplace"), digest_size=8).hexdigest()


def _table(value: Any) -> str:
    """Return `_shallow` of a value, and of what is in it if it is a table or a list."""
    if type(value) is dict:
        return f"{{{','.join(f'{_shallow(k)}:{_shallow(v)}' for k, v in value.items())}}}"
    if type(value) in (list, set):
        return f"[{','.join(sorted(map(_shallow, value)))}]"
    return _shallow(value)


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
