"""What is to be kept of a kernel, and whether it can be.

It works in a fork of the kernel: it pickles, reads again and compares, all of which may run code
of the user's.
"""

import builtins
import gc
import inspect
import io
import json
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloudpickle import cloudpickle as internals

from nbflow.guest_namespace.facts import facts_of
from nbflow.guest_namespace.graph import Reach, module_values, overlapping, user_variables
from nbflow.guest_namespace.marks import (
    is_local,
    mark_of,
    mark_of_value,
    modules_to_compare,
    source_digests,
    touched_names,
    versions,
)
from nbflow.guest_namespace.moving import MOVERS, Mover, Settler
from nbflow.guest_namespace.rules import Unmovable, package_of, type_label
from nbflow.guest_namespace.sameness import Different, Sameness
from nbflow.guest_namespace.settings import environment_changes
from nbflow.guest_namespace.tables import arrays_of_tables, share_apart

VARIABLES, MANIFEST = "variables.pickle", "manifest.json"


def replay(namespace: dict[str, Any], replays: Mapping[str, list[str]]) -> None:
    """Make variables anew by the statements that have made them."""
    for source, file_name in replays.values():
        exec(compile(source, file_name, "exec"), namespace)  # noqa: S102 - pure, as was checked


class KernelState:
    """What is to be kept of a kernel; works in a fork of it."""

    def __init__(
        self,
        shell: Any,
        settings: dict[str, Any],
        files: Mapping[str, Any],
        request: Mapping[str, Any],
        young: Mapping[str, Any],
    ) -> None:
        self._shell = shell
        self._settings = settings
        self._files = files
        #: In a fork, the streams are others.
        self._facts = facts_of(shell)
        self._replays: dict[str, str] = dict(request["replays"])
        self._young_modules = frozenset(young["modules"])
        self._young_names: Mapping[str, Mapping[str, str]] = young["names"]
        self._environment = environment_changes(young["environment"])
        hidden = frozenset(request["hidden"])
        self._variables = {
            name: value for name, value in user_variables(shell).items() if name not in hidden
        }
        self._places = module_values()
        self._tables: frozenset[int] = frozenset()
        self._taken_out: list[Any] = []
        #: Statements, each with the file that its code says it is from.
        self._replayed: dict[str, list[str]] = {}

    def keep(self, folder: Path) -> list[str]:
        """Write everything into `folder`; return why not."""
        problems = self._without_the_unmovable()
        if problems:
            return problems
        reach = Reach(self._variables, self._shell.user_ns, self._places)
        self._tables = arrays_of_tables(reach, self._variables)
        problems = self._shared_memory(reach) or self._held_outside(reach)
        if problems:
            return problems
        early = {name: self._settings.pop(name) for name in _EARLY}
        kept = {"variables": self._variables, "settings": self._settings}
        with Path(folder, VARIABLES).open("wb") as file:
            mover = self._mover(file)
            mover.dump(kept)
        problems = self._copy_differs(Path(folder, VARIABLES), kept)
        if not problems:
            manifest = self._manifest(mover.found, early)
            Path(folder, MANIFEST).write_text(json.dumps(manifest))
        return problems

    def _without_the_unmovable(self) -> list[str]:
        """Take out what cannot be moved; return what of that cannot be made again, either."""
        try:
            self._mover(_Nowhere(), trial=True).dump(self._variables)
        except Exception:  # noqa: BLE001 - foreign reducers raise what they like
            why = {name: self._why_unmovable(name) for name in self._variables}
        else:
            return []
        problems = []
        for name, reason in why.items():
            if not reason:
                continue
            if name in self._replays and is_untouched(self._variables[name]):
                thing = self._variables.pop(name)
                self._taken_out += [thing, *gc.get_referents(thing)]
                code = getattr(thing, "gi_code", None)
                self._replayed[name] = [self._replays[name], code.co_filename if code else ""]
            else:
                label = type_label(type(self._variables[name]))
                problems.append(f"`{name}` ({label}) cannot be stored: {reason}")
        return problems

    def _why_unmovable(self, name: str) -> str:
        try:
            self._mover(_Nowhere(), trial=True).dump(self._variables[name])
        except Unmovable as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - as above
            return f"{type(error).__name__}: {error}"
        return ""

    def _mover(self, file: Any, *, trial: bool = False) -> Mover:
        return Mover(file, self._shell.user_ns, self._places, self._tables, trial=trial)

    def _shared_memory(self, reach: Reach) -> list[str]:
        shared = overlapping(
            reach.arrays(), lambda one, other: share_apart(one, other, self._tables)
        )
        if shared is None:
            return []
        names = " and ".join(f"`{self._name_of(each)}`" for each in shared)
        return [f"{names} share memory, and copies would not"]

    def _held_outside(self, reach: Reach) -> list[str]:
        own = [reach, vars(reach), self, vars(self), self._variables, self._settings, self._places]
        own += [*self._taken_out, self._taken_out, own]
        shell = self._shell
        settled = Reach(self._settings, shell.user_ns, self._places).objects.keys() | {
            id(thing) for thing in self._taken_out
        }
        own += [shell.user_ns_hidden, shell.user_ns.get("Out"), shell.user_ns.get("_oh")]
        if next(reach.holders(own), None) is None and next(reach.strays(settled), None) is None:
            return []
        # What is garbage holds nothing. A figure that was closed is, and has what it shows.
        gc.collect()
        for holder, thing in reach.holders(own):
            by = type_label(type(holder))
            return [
                f"`{self._name_of(thing)}` is also held by something else than variables ({by})"
            ]
        for stray in reach.strays(settled):
            return [
                f"`{stray.__qualname__}` of the notebook is held by something else than variables"
            ]
        return []

    def _name_of(self, thing: Any) -> str:
        for name, value in self._variables.items():
            if value is thing:
                return name
        for name, value in self._variables.items():
            if id(thing) in Reach({name: value}, self._shell.user_ns, self._places).objects:
                return name
        return type(thing).__name__

    def _copy_differs(self, path: Path, kept: dict[str, Any]) -> list[str]:
        """Read what was written, and compare; so must the other kernel be able to."""
        # Otherwise cloudpickle would give back the very classes that it has written.
        internals._DYNAMIC_CLASS_TRACKER_BY_CLASS.clear()  # noqa: SLF001
        internals._DYNAMIC_CLASS_TRACKER_BY_ID.clear()  # noqa: SLF001
        namespace: dict[str, Any] = {"__name__": "__main__", "__builtins__": builtins}
        try:
            with path.open("rb") as file:
                copy = Settler(file, namespace).load()
        except Exception as error:  # noqa: BLE001 - foreign code again
            return [f"a copy cannot be read ({type(error).__name__}: {error})"]
        namespace.update(copy["variables"])
        sameness = Sameness(self._shell.user_ns, namespace, self._places, self._tables)
        for name, value in kept["variables"].items():
            try:
                sameness.check(value, copy["variables"][name])
            except Different as error:
                label = type_label(type(value))
                return [f"`{name}` ({label}): a copy would not be the same ({error})"]
        replay(namespace, self._replayed)
        return []

    def _manifest(self, found: set[tuple[str, str]], early: dict[str, Any]) -> dict[str, Any]:
        modules = [name for name in sys.modules if name not in self._young_modules]
        imports = [name for name in modules if _is_importable(name)]
        others = set(modules).difference(imports, _NO_MODULES)
        # Modules of the user's own are compared whole, also those that were there before any cell.
        own = [name for name in self._young_modules if name in sys.modules and _is_own(name)]
        compared = dict(modules_to_compare([*imports, *own]))
        return {
            "early": early,
            "environment": self._environment,
            "facts": self._facts,
            "files": dict(self._files),
            "imports": imports,
            "versions": versions(),
            "sources": source_digests(compared),
            "marks": {name: mark_of(module) for name, module in compared.items()},
            "found": [
                (module, name, mark_of_value(vars(sys.modules[module])[name], module, name))
                for module, name in sorted(found)
                if _has_state(module, vars(sys.modules[module])[name])
            ],
            "touched": list(touched_names(self._young_names)),
            "others": sorted(others),
            "replayed": self._replayed,
        }


_EARLY = ("working directory", "path")

#: What stands among the modules and is none: nbflow's own, and the notebook itself.
_NO_MODULES = frozenset({"__main__", "__mp_main__", MOVERS})


class _Nowhere(io.RawIOBase):
    """A file that takes everything and keeps nothing."""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        # Large arrays come as they are, and not as bytes.
        return memoryview(data).nbytes


def is_untouched(thing: Any) -> bool:
    """Whether `thing`, made anew, would be the same: nothing has been taken from it yet."""
    if isinstance(thing, types.GeneratorType):
        return inspect.getgeneratorstate(thing) == inspect.GEN_CREATED
    return isinstance(thing, (type({}.keys()), type({}.values()), type({}.items()), memoryview))


def _has_state(module: str, value: Any) -> bool:
    """Whether a value that a module has can have changed; a sentinel cannot."""
    if isinstance(value, (dict, list, set, bytearray)):
        return package_of(type(value)) != "matplotlib"
    package = module.partition(".")[0]
    return package not in _LIBRARIES and package not in sys.stdlib_module_names


#: Other objects at the top of their modules are sentinels, functions, and settings that are kept.
_LIBRARIES = frozenset(
    {"numpy", "pandas", "pyarrow", "scipy", "sklearn", "matplotlib", "ipykernel"}
)


def _is_own(name: str) -> bool:
    return name not in _NO_MODULES and is_local(sys.modules[name])


def _is_importable(name: str) -> bool:
    spec = getattr(sys.modules[name], "__spec__", None)
    return spec is not None and spec.name == name and spec.loader is not None
