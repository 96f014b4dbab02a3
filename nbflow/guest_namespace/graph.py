"""What the variables of a kernel consist of, and who else holds a part of it.

Python's garbage collector knows of every container what it refers to. From the variables on, that
gives all objects that a copy of them would have to stand for. Where something *else* in the process
refers to one of these (a module's registry, a library that was patched, a callback), a copy would
leave that behind: it would go on with the old object, or with none.
"""

import functools
import gc
import mmap
import sys
import traceback
import types
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from nbflow.guest_namespace.rules import is_value, is_written_in_python

#: Values of these types are the same wherever they are.
ATOMS = frozenset(
    {
        bool, bytes, complex, float, int, str, range, slice,
        type(None), type(Ellipsis), type(NotImplemented),
        types.CodeType, types.GetSetDescriptorType,
        types.MemberDescriptorType, types.MethodDescriptorType, types.WrapperDescriptorType,
    }
)  # fmt: skip

_VALUES = ATOMS | {tuple, frozenset}

#: Who may hold an object only in passing, or to show it: what runs now, and IPython's history.
_PASSING = (
    types.FrameType,
    types.TracebackType,
    types.CoroutineType,
    types.GeneratorType,
    types.AsyncGeneratorType,
)


class Mapped(mmap.mmap):
    """A file in memory: an array that lies in it counts as one that owns its memory."""


def is_mapped(memory: Any) -> bool:
    """Whether `memory` is a part of such a file."""
    return isinstance(memory, memoryview) and isinstance(memory.obj, Mapped)


def user_variables(shell: Any) -> dict[str, Any]:
    """Return the user's variables in their order, without IPython's own."""
    hidden, missing = shell.user_ns_hidden, object()
    return {
        name: value
        for name, value in shell.user_ns.items()
        if hidden.get(name, missing) is not value and name not in _INTERNAL
    }


_INTERNAL = frozenset({"__name__", "__doc__", "__loader__", "__spec__", "__builtins__"}) | {
    "__builtin__",
    "__package__",
    "_i",
    "_ii",
    "_iii",
    "_",
    "__",
    "___",
    "In",
    "Out",
    "_ih",
    "_oh",
    "_dh",
}


def is_main(kind: type) -> bool:
    """Whether a class was made by the notebook."""
    return getattr(kind, "__module__", None) == "__main__"


def is_foreign(thing: Any, namespace: dict[str, Any]) -> bool:
    """Whether `thing` belongs to a module: it is found there again, and not copied."""
    if isinstance(thing, types.ModuleType) or thing is namespace:
        return True
    if isinstance(thing, types.BuiltinFunctionType):
        return thing.__self__ is None or isinstance(thing.__self__, types.ModuleType)
    if isinstance(thing, type):
        return not is_main(thing) and (found_by_name(thing) or not is_written_in_python(thing))
    if isinstance(thing, types.FunctionType):
        return thing.__globals__ is not namespace and found_by_name(thing)
    return False


def found_by_name(thing: Any) -> bool:
    """Whether a module has `thing`, a function or a class, under its own name."""
    place: Any = sys.modules.get(getattr(thing, "__module__", None) or "")
    if place is None or place.__name__ == "__main__":
        return False
    for part in thing.__qualname__.split("."):
        place = getattr(place, part, None)
    return place is thing


class Place(NamedTuple):
    """Where a value stands, or a module's namespace (without a name).

    The value itself is kept, or another could take its id.
    """

    module: str
    name: str
    value: Any


def module_values() -> dict[int, Place]:
    """Return, by its id, where each value stands that a module has as one of its own names.

    A sentinel, a logger or a library's registry is what it is by being that very object.
    """
    places: dict[int, Place] = {}
    new = tuple.__new__
    for module_name, module in sys.modules.copy().items():
        if getattr(module, "__name__", "__main__") == "__main__" or not _is_module(module):
            continue
        space = vars(module)
        places.setdefault(id(space), Place(module_name, "", space))
        for name, value in space.copy().items():
            # There are a hundred thousand of them.
            if type(value) in _PASSED or id(value) in places or name == "__path__":
                continue
            is_nan = type(value) is float and value != value  # noqa: PLR0124 - only a NaN is not
            if is_nan or not isinstance(value, _ELSEWHERE):
                places[id(value)] = new(Place, (module_name, name, value))
    return places


#: What is found by its own name, or is the same wherever it is.
_ELSEWHERE = (float, types.ModuleType, type, types.FunctionType)
_PASSED = frozenset((_VALUES - {float}) | {types.ModuleType, type, types.FunctionType})


def _is_module(thing: Any) -> bool:
    """Whether `thing` is a module; ``sys.modules`` may hold anything."""
    return isinstance(thing, types.ModuleType)


def is_array(thing: Any) -> bool:
    """Whether `thing` is an array of NumPy, or of a kind of it."""
    return any(
        base.__module__ == "numpy" and base.__name__ == "ndarray" for base in type(thing).__mro__
    )


class Reach:
    """All objects that variables consist of.

    Parameters
    ----------
    variables
        The user's.
    namespace
        The dictionary that they are in.
    places
        See `module_values`.
    """

    def __init__(
        self,
        variables: Mapping[str, Any],
        namespace: dict[str, Any],
        places: Mapping[int, Place],
    ) -> None:
        self._namespace = namespace
        self._places = places
        self.objects: dict[int, Any] = {}
        waiting = list(variables.values())
        while waiting:
            thing = waiting.pop()
            if id(thing) not in self.objects and not self._is_outside(thing):
                self.objects[id(thing)] = thing
                waiting += parts(thing)

    def _is_outside(self, thing: Any) -> bool:
        if type(thing) in ATOMS or id(thing) in self._places:
            return True
        if isinstance(thing, types.BuiltinMethodType) and isinstance(thing.__self__, type):
            return is_foreign(thing.__self__, self._namespace)
        return is_foreign(thing, self._namespace)

    def arrays(self) -> Iterator[Any]:
        """Yield NumPy's arrays among the objects."""
        numpy = sys.modules.get("numpy")
        if numpy is not None:
            yield from (it for it in self.objects.values() if isinstance(it, numpy.ndarray))

    def strays(self, settled: Container[int]) -> Iterator[Any]:
        """Yield functions and classes of the notebook that are no part of any variable.

        Those whose id is `settled` are not meant: a setting that is kept has them.
        """
        running = {id(frame.f_code) for frame, _ in traceback.walk_stack(None)}
        for thing in gc.get_objects():
            if id(thing) in self.objects or id(thing) in settled:
                continue
            if isinstance(thing, types.FunctionType):
                if thing.__globals__ is self._namespace and id(thing.__code__) not in running:
                    yield thing
            elif isinstance(thing, type) and is_main(thing):
                yield thing

    def holders(self, own: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        """Yield what holds an object from outside, and the object; `own` are holders of ours."""
        wanted = {
            key
            for key, it in self.objects.items()
            if not (isinstance(it, _PASSING) or is_value(it))
        }
        known = {id(self), id(vars(self)), id(self.objects), id(self._namespace)}
        known |= {id(each) for each in own} | self.objects.keys()
        for holder in gc.get_objects():
            if id(holder) in known or isinstance(holder, _PASSING) or type(holder) in ATOMS:
                continue
            for thing in gc.get_referents(holder):
                if id(thing) in wanted and not _is_harmless(holder):
                    yield holder, thing
                    break


def parts(thing: Any) -> list[Any]:
    """Return what `thing` refers to; arrays do not tell the garbage collector."""
    if isinstance(thing, functools._lru_cache_wrapper):  # noqa: SLF001 - its only name
        # The rest is common to all of them.
        return [vars(thing), thing.__wrapped__]
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(thing, numpy.ndarray):
        return gc.get_referents(thing)
    found = [] if thing.base is None or is_mapped(thing.base) else [thing.base]
    if thing.dtype.hasobject and thing.dtype.kind == "O":
        found += thing.ravel().tolist()
    return found + list(getattr(thing, "__dict__", {}).values())


def _is_harmless(holder: Any) -> bool:
    """Whether a holder only remembers what it has made of a class, such as ``list[Mine]``."""
    if isinstance(holder, functools._lru_cache_wrapper):  # noqa: SLF001 - its only name
        return holder.__module__ == "typing"
    if isinstance(holder, types.BuiltinMethodType):
        return isinstance(holder.__self__, type)
    # IPython keeps what the last cell has given; nothing asks for it but the history.
    return type(holder).__module__.startswith(("IPython.core.interactiveshell", "weakref"))


def overlapping(
    arrays: Iterable[Any], is_apart: Callable[[Any, Any], bool]
) -> tuple[Any, Any] | None:
    """Return two arrays that share memory, of those that `is_apart` does not let pass."""
    spans = sorted(((*memory_span(array), array) for array in arrays), key=lambda span: span[:2])
    open_spans: list[tuple[int, int, Any]] = []
    for begin, end, array in spans:
        open_spans = [span for span in open_spans if span[1] > begin]
        for _, _, other in open_spans:
            if end > begin and other is not array and not is_apart(other, array):
                return other, array
        open_spans.append((begin, end, array))
    return None


def memory_span(array: Any) -> tuple[int, int]:
    """Return where the memory of an array begins and ends."""
    begin = end = array.__array_interface__["data"][0]
    if array.size == 0:
        return begin, begin
    for length, step in zip(array.shape, array.strides, strict=True):
        if step > 0:
            end += (length - 1) * step
        else:
            begin += (length - 1) * step
    return begin, end + array.itemsize
