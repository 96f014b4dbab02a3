"""The tracer: runs inside the kernel, as a text of its own; see `corpus.oracle`.

A dictionary of a class of our own is namespace and globals of all cells. For such a one the
interpreter asks `__getitem__` for every global name, also inside functions.
"""

import hashlib
import json
import os
import pickle
import sys
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

#: Bytes of one value that are pickled at most.
LIMIT_BYTES = 64_000_000
#: Seconds for the values of all variables, after each cell.
LIMIT_S = 2.0

_CONSTANT = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, type)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_PROGRAMS = ("subprocess.Popen", "os.system", "os.posix_spawn", "os.fork", "socket.connect")
_PATHS = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "shutil.rmtree", "sqlite3.connect")


class TooLargeError(Exception):
    """A value is not looked at to its end."""


class Sink:
    """A file that keeps only a digest of what is written."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._left = LIMIT_BYTES

    def write(self, data: Any) -> None:
        """Take some bytes."""
        view = memoryview(data).cast("B")
        self._left -= view.nbytes
        if self._left < 0:
            raise TooLargeError
        self._hash.update(view)

    def digest(self) -> str:
        """Return the digest of all of them."""
        return self._hash.hexdigest()


def mark(value: Any) -> str | None:
    """Return a digest of a value; None if it cannot be told."""
    if isinstance(value, _CONSTANT):
        return "constant"
    import cloudpickle

    sink = Sink()

    def take(buffer: pickle.PickleBuffer) -> None:
        try:
            sink.write(buffer.raw())
        except BufferError:
            # Not contiguous.
            sink.write(bytes(buffer))

    try:
        cloudpickle.Pickler(sink, protocol=5, buffer_callback=take).dump(value)
    except Exception:  # noqa: BLE001 - a value's own code, or one that cannot be pickled
        return None
    return sink.digest()


def is_of_a_module(value: Any) -> bool:
    """Whether each kernel could import a value for itself."""
    if isinstance(value, types.ModuleType):
        return True
    here = getattr(value, "__module__", None)
    return isinstance(value, _CONSTANT) and here not in (None, "__main__")


class Names(dict[str, Any]):
    """The variables of the notebook; tells which of them are read."""

    def __init__(self, names: dict[str, Any], read: Callable[[str, Any], None]) -> None:
        super().__init__(names)
        self._read = read

    def __getitem__(self, name: str) -> Any:
        value = super().__getitem__(name)
        self._read(name, value)
        return value

    def get(self, name: str, default: Any = None) -> Any:
        """Return a variable."""
        try:
            return self[name]
        except KeyError:
            return default


class Tracer:
    """Notes what each cell does, a line of JSON for each.

    Parameters
    ----------
    shell
        IPython's.
    path
        The file of the notes.
    """

    def __init__(self, shell: Any, path: str) -> None:
        self._shell = shell
        self._path = path
        self._runs = False
        self._before: dict[str, Any] = {}
        self._marks: dict[str, str | None] = {}
        self._generators: dict[str, str] = generator_states()
        self._forget("")
        #: What IPython itself has put there.
        self._young = dict(shell.user_ns)
        self._names = Names(shell.user_ns, self._read)
        self._ignored = {os.path.realpath(each) for each in (sys.prefix, sys.base_prefix)}

    def begin(self) -> None:
        """Take the place of the shell's namespace, and watch from here on."""
        shell, names = self._shell, self._names
        shell.user_ns = names
        type(shell).user_global_ns = property(lambda _shell: names)
        # What looks into the module itself (pickle, for one) finds the variables as before.
        sys.modules["__main__"].__getattr__ = lambda name: _attribute(names, name)  # type: ignore[method-assign]
        shell.events.register("pre_run_cell", self._begins)
        shell.events.register("post_run_cell", self._ends)
        sys.addaudithook(self._audit)

    def _forget(self, source: str) -> None:
        self._source = source
        self._reads: dict[str, None] = {}
        self._read_files: dict[str, None] = {}
        self._written_files: dict[str, None] = {}
        self._programs = False

    def _begins(self, info: Any) -> None:
        self._forget(info.raw_cell)
        self._before = dict(self._names)
        self._runs = True

    def _ends(self, result: Any) -> None:
        self._runs = False
        shown = {name: value for name, value in self._names.items() if self._is_shown(name)}
        changes = [name for name in self._looked_at(shown) if shown[name] is self._old(name)]
        binds = [name for name, value in shown.items() if value is not self._old(name)]
        states = generator_states()
        note = {
            "cell": result.execution_count,
            "reads": [name for name in self._reads if self._is_shown(name)],
            "binds": [name for name in binds if not is_of_a_module(shown[name])],
            "changes": changes,
            "deletes": [it for it in self._before if self._is_shown(it) and it not in shown],
            "reads_files": list(self._read_files),
            "writes_files": list(self._written_files),
            "programs": self._programs,
            "generators": [
                it for it in states if self._generators.get(it, states[it]) != states[it]
            ],
            "seeds": "seed(" in self._source,
            "unknown": [name for name in shown if self._marks.get(name) is None],
        }
        self._generators = states
        self._before = {}
        with open(self._path, "a", encoding="utf-8") as file:  # noqa: PTH123 - as a notebook has it
            file.write(json.dumps(note) + "\n")

    def _looked_at(self, shown: dict[str, Any]) -> Iterator[str]:
        """Look at all values, and yield the names whose values are not what they were."""
        until = time.monotonic() + LIMIT_S
        old, self._marks = self._marks, {}
        for name, value in shown.items():
            if hasattr(value, "__next__"):
                self._marks[name] = "iterator"
                if name in self._reads:
                    yield name
            elif time.monotonic() < until:
                self._marks[name] = mark(value)
                if (
                    None not in (before := (old.get(name), self._marks[name]))
                    and len(set(before)) > 1
                ):
                    yield name

    def _old(self, name: str) -> Any:
        return self._before.get(name, self)

    def _is_shown(self, name: str) -> bool:
        value = dict.get(self._names, name, self)
        return not name.startswith("_") and (
            name not in self._young or value is not self._young[name]
        )

    def _read(self, name: str, value: Any) -> None:
        if self._runs and value is self._old(name):
            self._reads[name] = None

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._runs:
            return
        if event in _PROGRAMS:
            self._programs = True
        elif event == "open":
            path, mode, flags = arguments
            writes = any(it in mode for it in "wax+") if mode else bool((flags or 0) & _WRITING)
            self._touch(path, writes=writes)
        elif event in _PATHS:
            self._touch(arguments[0], writes=True)

    def _touch(self, path: Any, *, writes: bool) -> None:
        if not isinstance(path, (str, bytes, os.PathLike)):
            return
        text = os.path.realpath(os.fsdecode(path))
        inside = any(
            text.startswith(it + os.sep) for it in (*self._ignored, "/proc", "/sys", "/dev")
        )
        if not inside and not text.endswith((".py", ".pyc", ".so")):
            (self._written_files if writes else self._read_files)[text] = None


def generator_states() -> dict[str, str]:
    """Return the states of the global generators of random numbers, by their library."""
    import random

    states: dict[str, Any] = {"random": random.getstate()}
    numpy = sys.modules.get("numpy")
    if numpy is not None and hasattr(numpy, "random"):
        states["numpy"] = [str(part) for part in numpy.random.get_state(legacy=True)[2:]] + [
            numpy.random.get_state(legacy=True)[1].tobytes().hex()
        ]
    return {
        name: hashlib.sha256(repr(state).encode()).hexdigest() for name, state in states.items()
    }


def _attribute(names: dict[str, Any], name: str) -> Any:
    if name in names:
        return names[name]
    raise AttributeError(f"module '__main__' has no attribute {name!r}")


def watch(path: str) -> None:
    """Watch the cells of this kernel from here on, and write what they do to `path`."""
    from IPython import get_ipython

    Tracer(get_ipython(), path).begin()
