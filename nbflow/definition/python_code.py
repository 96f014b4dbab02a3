"""Objects out of people's Python files and modules: ``path.py:name`` and ``module:name``.

A file runs as a module of its own (its ``__name__`` is not ``__main__``, so what stands under
``if __name__ == "__main__"`` does not run), with its folder first on ``sys.path`` as Python does
for a program. Whatever it raises becomes a `Fault` that names its type, its message and the line
in the author's file.
"""

import contextlib
import importlib
import importlib.util
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from nbflow.definition.faults import Fault, did_you_mean, near_file

#: What a flow's file is called in ``sys.modules``, so that it never hides a module of its name.
_MODULE_PREFIX = "nbflow_file_"


class PythonCode:
    """Loads modules, each file once, so that functions of one file share their globals.

    Parameters
    ----------
    folder
        Folder to which relative paths refer, and from which modules can be imported.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, ModuleType] = {}

    def attribute(self, target: str) -> Any:
        """Return what ``path.py:name`` or ``module:name`` means.

        Raises
        ------
        Fault
            If there is no such file, module or attribute, or the code raises.
        """
        source, _, name = target.rpartition(":")
        module = self.module(source)
        found: Any = module
        for part in name.split("."):
            if not hasattr(found, part):
                names = [known for known in vars(module) if not known.startswith("_")]
                raise Fault(
                    f"{source} has no {name!r}", did_you_mean(part, names) or "Check the name"
                )
            found = getattr(found, part)
        return found

    def module(self, source: str) -> ModuleType:
        """Return the module of a ``.py`` file, or the importable module of that name.

        Raises
        ------
        Fault
            If there is none, or it raises while it is imported.
        """
        if source.endswith(".py"):
            if source not in self._files:
                self._files[source] = _run_file((self._folder / source).resolve(), source)
            return self._files[source]
        return _import_module(source, self._folder)


def _run_file(path: Path, shown: str) -> ModuleType:
    if not path.is_file():
        raise Fault(f"there is no file {shown}", near_file(path))
    name = _MODULE_PREFIX + "".join(c if c.isalnum() else "_" for c in path.stem)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    _put_first_on_path(path.parent)
    # Dataclasses and pickle look a class's module up here.
    sys.modules[name] = module
    try:
        with _results_kept_clean():
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _fault_of(error, path, shown) from error
    return module


def _import_module(name: str, folder: Path) -> ModuleType:
    _put_first_on_path(folder)
    try:
        with _results_kept_clean():
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise Fault(
                f"there is no module {error.name!r}",
                "Install it, or write a file as path.py:name",
            ) from error
        raise _fault_of(error, None, name) from error
    except (Exception, SystemExit) as error:
        raise _fault_of(error, None, name) from error


def _results_kept_clean() -> contextlib.AbstractContextManager[Any]:
    """Send what the author's code prints to standard error: standard output is for results."""
    return contextlib.redirect_stdout(sys.stderr)


def _put_first_on_path(folder: Path) -> None:
    # It stays there: functions of the file may import their helpers when they run.
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _fault_of(error: BaseException, path: Path | None, shown: str) -> Fault:
    """Say what an author's module raised, and where in their code."""
    if isinstance(error, SyntaxError) and error.filename is not None:
        place = f"{_near(error.filename)}, line {error.lineno}"
    else:
        frames = traceback.extract_tb(error.__traceback__)
        theirs = [frame for frame in frames if not _is_machinery(frame.filename)]
        own = [frame for frame in theirs if path is not None and Path(frame.filename) == path]
        frame = next(reversed(own or theirs), None)
        place = f"{_near(frame.filename)}, line {frame.lineno}" if frame is not None else ""
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    raised = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return Fault(
        f"{shown} cannot be loaded: {raised}" + (f" ({place})" if place else ""),
        "Mend that line; the file must run by itself as a module",
    )


def _is_machinery(file: str) -> bool:
    return file.startswith("<frozen importlib") or file in (__file__, importlib.__file__)


def _near(file: str) -> str:
    return file.removeprefix(str(Path.cwd()) + os.sep)
