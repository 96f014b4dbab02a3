"""Python functions as nodes: which parameters they take, and how they become bytes.

A function travels as a cloudpickle, made when a flow is prepared (not when it is
written: a function may use helpers that are defined further down). What a worker can
import is pickled by reference. What only this process can see is pickled by value: the main
program, and the modules that lie beside the function's own file, because nothing but nbflow
and the installed packages is assumed in a worker's environment.

Parameters whose defaults are references (``def score(model=train["model"])``) are
always given by the flow, so those defaults do not travel.
"""

import inspect
import os
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbflow import guest
from nbflow.core.spec import FunctionCode
from nbflow.definition.bindings import holds_reference
from nbflow.definition.faults import Fault, did_you_mean, listed, sentences
from nbflow.definition.installed import Installation

#: Stands where a default was that the flow gives anyway.
_GIVEN_BY_FLOW = None


@dataclass(frozen=True, slots=True)
class Signature:
    """The parameters of a function, as far as a flow can give them (by keyword)."""

    required: tuple[str, ...]
    #: Defaults that become bindings: references and plain JSON.
    defaults: Mapping[str, Any]
    #: Names of all parameters.
    names: frozenset[str]
    #: Whether it takes any other keyword (``**kwargs``).
    open: bool

    def faults(self, given: Mapping[str, Any]) -> Iterator[Fault]:
        """Yield what does not fit between `given` parameters and the function's own."""
        for name in self.required:
            if name not in given:
                yield Fault(
                    f"its parameter {name!r} is not bound",
                    "Give it in params, or give it a default",
                )
        for name in given:
            if name not in self.names and not self.open:
                known = listed(self.names) or "it takes none"
                yield Fault(
                    f"the function has no parameter {name!r}",
                    sentences(did_you_mean(name, self.names), f"Parameters: {known}"),
                )


def signature_of(function: Callable[..., Any]) -> Signature:
    """Return the parameters of `function`.

    Raises
    ------
    Fault
        If it cannot be a node: a generator, or parameters that cannot be given by name.
    """
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise Fault("the function is a generator", "Return a list instead of yielding its items")
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:
        raise Fault(
            f"the parameters of {label_of(function)} cannot be found out ({error})",
            "Wrap it in a function of your own",
        ) from error
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    unnamed = [p for p in parameters if p.kind is p.POSITIONAL_ONLY and p.default is p.empty]
    if unnamed:
        raise Fault(
            f"its parameter {unnamed[0].name!r} is positional-only, and a flow gives parameters "
            "by name",
            "Remove the / from its signature",
        )
    return Signature(
        required=tuple(p.name for p in named if p.default is p.empty),
        defaults={p.name: p.default for p in named if becomes_binding(p.default)},
        names=frozenset(p.name for p in named),
        open=any(p.kind is p.VAR_KEYWORD for p in parameters),
    )


def label_of(function: Callable[..., Any]) -> str:
    """Return the function's dotted name."""
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return f"{module_name_of(function)}.{name}"


def module_name_of(function: Callable[..., Any]) -> str:
    """Return the name of the module in which the function was written."""
    inner = getattr(function, "func", function)  # a functools.partial
    return getattr(inner, "__module__", None) or type(inner).__module__


class FunctionPickler:
    """Pickles the functions of one flow, each distinct one once.

    Parameters
    ----------
    keep
        Takes the bytes and returns their digest.
    """

    def __init__(self, keep: Callable[[bytes], str]) -> None:
        self._keep = keep
        # Functions are held as well, so that no identity is used a second time.
        self._done: dict[int, tuple[Callable[..., Any], FunctionCode]] = {}
        #: By the name of a module, the modules that lie beside it.
        self._beside: dict[str, list[types.ModuleType]] = {}
        self._installation = Installation()

    def code(self, function: Callable[..., Any]) -> FunctionCode:
        """Return the function's code, with the digest of its pickle.

        Raises
        ------
        Fault
            If it cannot be pickled.
        """
        done = self._done.get(id(function))
        if done is not None:
            return done[1]
        code = FunctionCode(label_of(function), self._keep(self._pickled(function)))
        self._done[id(function)] = (function, code)
        return code

    def _pickled(self, function: Callable[..., Any]) -> bytes:
        module = module_name_of(function)
        if module not in self._beside:
            self._beside[module] = list(modules_beneath(source_folder(module), self._installation))
        with _by_value(self._beside[module]):
            try:
                return guest.dumps(_without_references(function))[1]
            except guest.Unstorable as error:
                # The value that cannot be pickled is the cause; that a function holds it is ours.
                cause = error.__cause__
                raise Fault(
                    f"the function {label_of(function)} cannot be sent to a worker "
                    f"({type(cause).__name__}: {cause})",
                    "Create what cannot be pickled (locks, connections, open files) inside the "
                    "function",
                ) from error


def becomes_binding(default: Any) -> bool:
    """Whether a parameter's default is the flow's to give: a reference, or plain JSON."""
    if default is inspect.Parameter.empty:
        return False
    return holds_reference(default) or guest.is_plain_json(default)


def _without_references(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function`, or a copy of it without the defaults that are references."""
    if not isinstance(function, types.FunctionType):
        return function
    defaults = function.__defaults__ or ()
    keywords = function.__kwdefaults__ or {}
    if not any(holds_reference(default) for default in (*defaults, *keywords.values())):
        return function
    copy = types.FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        tuple(_GIVEN_BY_FLOW if holds_reference(default) else default for default in defaults),
        function.__closure__,
    )
    copy.__kwdefaults__ = {
        name: _GIVEN_BY_FLOW if holds_reference(default) else default
        for name, default in keywords.items()
    }
    copy.__module__, copy.__qualname__ = function.__module__, function.__qualname__
    copy.__doc__, copy.__annotations__ = function.__doc__, function.__annotations__
    copy.__dict__.update(function.__dict__)
    return copy


def source_folder(module_name: str) -> str:
    """Return the folder from which the module was imported; of a session without file, the cwd."""
    module = sys.modules.get(module_name)
    file = getattr(module, "__file__", None)
    if file is None:
        return str(Path.cwd()) if module_name == "__main__" else ""
    depth = module_name.count(".") + (Path(file).stem == "__init__")
    parents = Path(file).resolve().parents
    return str(parents[min(depth, len(parents) - 1)])


def modules_beneath(folder: str, installation: Installation) -> Iterator[types.ModuleType]:
    """Yield the loaded Python modules under `folder` that no worker can be assumed to have."""
    if not folder or installation.holds(folder):
        return
    # A copy is made in one go, whatever another thread imports meanwhile; a list of pairs is not.
    for name, module in sys.modules.copy().items():
        file = getattr(module, "__file__", None)
        is_own = name == "__main__" or name.partition(".")[0] == "nbflow"
        if is_own or not isinstance(file, str) or not file.endswith(".py"):
            continue
        path = os.path.realpath(file)
        is_beneath = path.startswith(folder + os.sep) and not installation.holds(path)
        # A module under an alias cannot be registered with cloudpickle, and need not be.
        if is_beneath and module.__name__ == name:
            yield module


@contextmanager
def _by_value(modules: list[types.ModuleType]) -> Iterator[None]:
    """Let cloudpickle pickle what is defined in `modules` by value, for the time being."""
    import cloudpickle  # heavy; only flows with functions need it

    registered = cloudpickle.list_registry_pickle_by_value()
    ours = [module for module in modules if module.__name__ not in registered]
    for module in ours:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in ours:
            cloudpickle.unregister_pickle_by_value(module)
