"""The code of a function, as a digest that is equal in every process that defines it alike.

What counts is what Python made of the source: comments, lines, the function's own name and
``@flow.task`` do not, and nobody can take the text of a file that has been edited since for what
would run. Another version of Python makes something else of it.

A function is more than itself. Followed are the functions and classes that it uses, those that
these use, and so on; the values of the variables that it takes from around it; the local modules.
What is installed counts by its name. All of that is a graph: each thing is a *part*, worked out
once for all functions of a flow, and a function's digest is that of all parts that it reaches, in
order.
"""

# Paths are looked at by the thousand here, and a Path costs ten times more.
# ruff: noqa: PTH117, PTH120

import builtins
import functools
import inspect
import os
import sys
import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from nbflow.core.fingerprints import digest
from nbflow.definition.functions import becomes_binding, label_of, source_folder
from nbflow.definition.identity.bytecode import CodeReader, Reading
from nbflow.definition.identity.loaded import is_as_loaded
from nbflow.definition.identity.modules import Found, LocalModules, Reached, Search
from nbflow.definition.identity.scanning import Import, Scan
from nbflow.definition.identity.values import Encoder, Opaque
from nbflow.definition.installed import Installation

_ONLY_THEN = "and what that brings only shows when it runs. Import by names"
_OUTSIDE = "Create it inside the function, or pass it as a parameter"

#: What every class has, or has for machinery that its methods show anyway.
_CLASS_MACHINERY = frozenset(
    {"__module__", "__dict__", "__weakref__", "__qualname__", "__firstlineno__", "_abc_impl"}
    | {"__static_attributes__", "__annotate__", "__annotations_cache__", "__classcell__"}
    | {"__dataclass_params__", "__dataclass_fields__", "__annotations__", "__annotate_func__"}
    | {"_generate_next_value_", "_member_map_", "_member_names_", "_value2member_map_"}
    | {"_unhashable_values_", "_unhashable_values_map_", "_hashable_values_", "_new_member_"}
    | {"_use_args_", "_member_type_", "_value_repr_", "_sunder_missing_"}
)
_DESCRIPTORS = (
    types.MemberDescriptorType,
    types.GetSetDescriptorType,
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
    types.MethodWrapperType,
    types.BuiltinFunctionType,
)


@dataclass(frozen=True, slots=True)
class FunctionIdentity:
    """The digests of a function and of the local modules that it reaches."""

    code: str
    modules: str
    unknown: tuple[str, ...]


@dataclass(slots=True)
class _Part:
    """A function, a class, or whatever else a node runs, without what it refers to."""

    #: Itself; references in it are positions in `refers_to`.
    own: bytes = b""
    refers_to: list[Any] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)


class FunctionIdentities:
    """Makes the identities of functions, each once.

    Parameters
    ----------
    modules
        Follows local modules.
    installation
        Tells which modules are local.
    """

    def __init__(self, modules: LocalModules, installation: Installation) -> None:
        self._modules = modules
        self._installation = installation
        self._code = CodeReader()
        # The objects are held as well, so that no identity is used a second time.
        self._parts: dict[int, tuple[Any, _Part]] = {}
        self._done: dict[int, tuple[Any, FunctionIdentity]] = {}
        self._local: dict[str, bool] = {}
        self._searches: dict[str, Search] = {}
        self._reached: dict[object, Reached] = {}

    def of(self, function: Callable[..., Any]) -> FunctionIdentity:
        """Return the identity of a function, or of anything else that can be called."""
        done = self._done.get(id(function))
        if done is None:
            done = (function, self._identified(function))
            self._done[id(function)] = done
        return done[1]

    def _identified(self, function: Callable[..., Any]) -> FunctionIdentity:
        order: dict[int, int] = {}
        waiting = [self._root(function)]
        pieces: list[bytes] = []
        files: dict[str, bytes] = {}
        unknown: dict[str, None] = {}
        for part in waiting:
            for thing in part.refers_to:
                if id(thing) not in order:
                    order[id(thing)] = len(order)
                    waiting.append(self._part(thing))
            places = " ".join(str(order[id(thing)]) for thing in part.refers_to)
            pieces += [part.own, places.encode()]
            files |= part.files
            unknown.update(dict.fromkeys(part.unknown))
        named = [piece for name in sorted(files) for piece in (name.encode(), files[name])]
        return FunctionIdentity(
            digest(b"function", *pieces), digest(b"modules", *named) if named else "", (*unknown,)
        )

    def _root(self, function: Callable[..., Any]) -> _Part:
        """Return the part of what a node runs: a function without what its flow gives it."""
        part = _Part()
        if isinstance(function, types.FunctionType) and self._is_local(function):
            self._fill_function(part, function, is_root=True)
        else:
            self._keep(part, f"what {label_of(function)} holds", function)
        return part

    def _part(self, thing: Any) -> _Part:
        known = self._parts.get(id(thing))
        if known is None:
            part = _Part()
            known = (thing, part)
            self._parts[id(thing)] = known
            if isinstance(thing, type):
                self._fill_class(part, thing)
            else:
                self._fill_function(part, thing, is_root=False)
        return known[1]

    # --- functions ----------------------------------------------------------------------------

    def _fill_function(self, part: _Part, function: types.FunctionType, *, is_root: bool) -> None:
        label = label_of(function)
        code = function.__code__
        for cell_name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            if cell_name != "__class__":
                self._keep_cell(part, f"the variable {cell_name!r} of {label}", cell)
        # What decorators leave there, the decorated function above all.
        self._keep_named(part, label, sorted(vars(function).items()))
        if not self._is_local(function):
            module = str(function.__globals__.get("__name__"))
            part.own = digest(part.own, module.encode(), code.co_qualname.encode()).encode()
            return
        reading = self._code.read(code)
        for default in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            if not (is_root and becomes_binding(default)):
                self._keep(part, f"a default of {label}", default)
        self._keep_variables(part, label, function.__globals__, reading)
        part.own = digest(part.own, reading.token).encode()

    def _keep_variables(
        self, part: _Part, label: str, variables: dict[str, Any], reading: Reading
    ) -> None:
        """Add what the code takes from its module, and what it imports."""
        for name in reading.variables:
            if name in variables:
                place = f"the variable {name!r} that {label} uses"
                self._keep(part, place, variables[name], reading.names)
            elif name in _RUNS_TEXT:
                part.unknown.append(f"{label} uses {name}, {_ONLY_THEN}")
        if "import_module" in reading.names:
            part.unknown.append(f"{label} uses import_module, {_ONLY_THEN}")
        if reading.imports:
            imports = tuple(reading.absolute_imports(variables.get("__package__") or ""))
            self._reach(part, label, imports, self._search(variables.get("__name__", "")))

    def _keep_cell(self, part: _Part, place: str, cell: Any) -> None:
        try:
            content = cell.cell_contents
        except ValueError:
            part.own = digest(part.own, b"an empty cell").encode()
            return
        self._keep(part, place, content)

    def _reach(self, part: _Part, label: str, imports: tuple[Import, ...], search: Search) -> None:
        key = (imports, search)
        if key not in self._reached:
            self._reached[key] = self._modules.reached([(label, Scan(imports=imports))], search)
        part.files |= self._reached[key].files
        part.unknown += self._reached[key].unseen

    # --- classes ------------------------------------------------------------------------------

    def _fill_class(self, part: _Part, kind: type) -> None:
        place = f"{kind.__module__}.{kind.__qualname__}"
        part.own = kind.__qualname__.encode()
        self._keep(part, f"a base of {place}", [type(kind), *kind.__bases__])
        if hasattr(kind, "__members__"):
            members = {name: member.value for name, member in kind.__members__.items()}
            self._keep(part, f"a member of {place}", members)
            hidden = _CLASS_MACHINERY | members.keys()
        else:
            hidden = _CLASS_MACHINERY
        for item in getattr(kind, "__dataclass_fields__", {}).values():
            about = [item.name, item.init, item.repr, item.compare, repr(item.kw_only)]
            self._keep(part, f"a field of {place}", about)
            for default in (item.default, item.default_factory):
                if type(default).__name__ != "_MISSING_TYPE":
                    self._keep(part, f"the default of {item.name!r} of {place}", default)
        hints = inspect.get_annotations(kind)
        self._keep(part, place, [(name, _hint(hint)) for name, hint in hints.items()])
        shown = sorted(item for item in vars(kind).items() if item[0] not in hidden)
        self._keep_named(part, place, shown)

    # --- what they hold -----------------------------------------------------------------------

    def _keep_named(self, part: _Part, label: str, items: Iterable[tuple[str, Any]]) -> None:
        for name, value in items:
            part.own = digest(part.own, name.encode()).encode()
            if not isinstance(value, _DESCRIPTORS) and type(value).__name__ != "_tuplegetter":
                self._keep(part, f"the attribute {name!r} of {label}", value)

    def _keep(self, part: _Part, place: str, value: Any, names: tuple[str, ...] = ()) -> None:
        """Add a value to a part; `names` are what the code may ask of it, if it is a module."""

        def refer(thing: Any) -> bytes | None:
            if isinstance(thing, types.ModuleType):
                return self._keep_module(part, thing, names)
            if isinstance(thing, _DESCRIPTORS):
                return self._named(thing)
            if isinstance(thing, _CACHED):
                return refer(thing.__wrapped__)
            if not isinstance(thing, (type, types.FunctionType)):
                return None
            if isinstance(thing, type) and not self._is_local(thing):
                return f"{thing.__module__}.{thing.__qualname__}".encode()
            part.refers_to.append(thing)
            return b"refers"

        try:
            encoded = Encoder(refer).encode(value)
        except Opaque as error:
            part.unknown.append(f"{place} {error}. {_OUTSIDE}")
            encoded = b"unknown"
        part.own = digest(part.own, encoded).encode()

    def _named(self, thing: Any) -> bytes | None:
        owner = getattr(thing, "__self__", None)
        if owner is not None and not isinstance(owner, (types.ModuleType, type)):
            return None
        module = (
            getattr(thing, "__module__", None) or getattr(thing, "__objclass__", builtins).__name__
        )
        return f"{module}.{thing.__qualname__}".encode()

    def _keep_module(self, part: _Part, module: types.ModuleType, names: tuple[str, ...]) -> bytes:
        name = module.__name__
        file = getattr(module, "__file__", None)
        if file is None or not self._is_local_module(name, file) or name == "__main__":
            return f"module {name}".encode()
        file = os.path.realpath(file)
        folder = os.path.dirname(file) if hasattr(module, "__path__") else None
        key = (name, file, names)
        if key not in self._reached:
            found = Found(name, file, folder)
            reached = self._modules.reached_from(found, names, self._search(name))
            if not is_as_loaded(module, file):
                reached.miss(file, "has been edited since it was imported", "Start Python again")
            self._reached[key] = reached
        part.files |= self._reached[key].files
        part.unknown += self._reached[key].unseen
        return f"module {name}".encode()

    # --- where things come from ---------------------------------------------------------------

    def _is_local(self, thing: Any) -> bool:
        if isinstance(thing, types.FunctionType):
            # Decorators put the decorated function's module on what they return.
            variables = thing.__globals__
            return self._is_local_module(str(variables.get("__name__")), variables.get("__file__"))
        module = sys.modules.get(thing.__module__)
        return self._is_local_module(thing.__module__, getattr(module, "__file__", None))

    def _is_local_module(self, name: str, file: str | None) -> bool:
        if name == "nbflow" or name.startswith("nbflow."):
            return False
        if file is None:
            spec = getattr(sys.modules.get(name), "__spec__", None)
            return name == "__main__" or spec is None
        if file not in self._local:
            self._local[file] = not self._installation.holds(os.path.realpath(file))
        return self._local[file]

    def _search(self, module: str) -> Search:
        """Return where the code of a module looks for others: in this process."""
        if module not in self._searches:
            own = source_folder(module)
            places = [place for place in sys.path if os.path.isabs(place)]
            local = [place for place in places if not self._installation.holds(place)]
            folders = tuple(dict.fromkeys(filter(None, [own, *local])))
            self._searches[module] = Search(folders, own or None)
        return self._searches[module]


#: What `functools.lru_cache` makes of a function.
_CACHED = type(functools.lru_cache(len))

#: Built-in functions that run text.
_RUNS_TEXT = frozenset({"exec", "__import__"})


def _hint(hint: Any) -> str:
    return hint if isinstance(hint, str) else getattr(hint, "__qualname__", None) or repr(hint)
