"""Turn what a task names into Python objects: its function, and its parameters."""

import copy
import pickle
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from nbflow.artifacts import load_value, under_its_name
from nbflow.core.spec import FunctionCode
from nbflow.core.values import Artifact, Binding, Fields, Inline, Items
from nbflow.ports import ArtifactStore


def load_function(code: FunctionCode, store: ArtifactStore) -> Callable[..., Any]:
    """Return the function, unpickled once per process as long as it is in use."""
    function = _functions.get(code.digest)
    if function is None:
        data = store.get(code.digest)
        try:
            function = pickle.loads(data)
        except Exception as error:
            error.add_note(
                f"while the function {code.label!r} was loaded: the worker's environment must hold "
                f"what it imports"
            )
            raise
        _functions.put(code.digest, function)
    return function


def load_params(params: Mapping[str, Binding], store: ArtifactStore) -> dict[str, Any]:
    """Return the values of `params`, as objects that the function may change as it likes."""
    loaded = {}
    for name, value in params.items():
        try:
            loaded[name] = _load(value, store)
        except Exception as error:
            error.add_note(f"while parameter {name!r} was loaded")
            raise
    return loaded


def _load(value: Binding, store: ArtifactStore) -> Any:
    match value:
        case Inline(value=list() | dict()):
            # The task may be shared with whoever sent it, in the same process.
            return copy.deepcopy(value.value)
        case Inline():
            return value.value
        case Artifact(kind="json" | "parquet" | "npy" | "pickle"):
            return load_value(value, store)
        case Artifact():
            return str(under_its_name(store.path(value.digest), value))
        case Items(items):
            return [_load(item, store) for item in items]
        case Fields(fields):
            return {key: _load(item, store) for key, item in fields.items()}
    raise AssertionError(f"not resolved: {value!r}")


class _Cache:
    """The functions that were used last, by digest. Thread-safe."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, Callable[..., Any]] = OrderedDict()

    def get(self, digest: str) -> Callable[..., Any] | None:
        with self._lock:
            if digest in self._entries:
                self._entries.move_to_end(digest)
            return self._entries.get(digest)

    def put(self, digest: str, function: Callable[..., Any]) -> None:
        with self._lock:
            self._entries[digest] = function
            if len(self._entries) > self._size:
                self._entries.popitem(last=False)


#: Shared by all attempts of the process: a digest means the same bytes to all of them.
_functions = _Cache(256)
