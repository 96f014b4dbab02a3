"""How variables leave this kernel, and how those of other kernels come into it.

It is done by what does the same in the kernels of stages, in the very form in which it travels
there: a module of its own, in which functions are found while something is read or written.
"""

import sys
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from nbflow.guest_namespace import STAGE_MODULES
from nbflow.guest_namespace.moving import MOVERS
from nbflow.magics.errors import Refused
from nbflow.notebooks.guest_text import joined_modules


class Outgoing(msgspec.Struct, frozen=True):
    """Variables in files, each group that shares something in one; and why some are in none."""

    files: dict[str, Path]
    problems: dict[str, str]


class KernelVariables:
    """The variables of this kernel, for the time of a session.

    Parameters
    ----------
    shell
        IPython's.
    origin
        Tells the functions and classes of this kernel from those of all others.
    """

    def __init__(self, shell: Any, origin: str) -> None:
        self._namespace: dict[str, Any] = shell.user_ns
        self._guest: Any = types.ModuleType(MOVERS)
        text = joined_modules(STAGE_MODULES)
        exec(compile(text, "<nbflow>", "exec"), vars(self._guest))  # noqa: S102 - our own modules
        # Functions and classes that come back are those that were sent.
        self._tracks = self._guest.Tracks(origin)

    def give(self, names: Iterable[str], folder: Path) -> Outgoing:
        """Write variables, and states of random generators, into files of `folder`."""
        wanted = dict.fromkeys(names)
        with self._at_work() as guest:
            found = {name: self._namespace[name] for name in wanted if name in self._namespace}
            for name, generator in guest.GENERATORS.items():
                if name in wanted and generator.library in sys.modules:
                    found[name] = generator.read()
            given = guest.Giver(folder, self._namespace, self._tracks).give(found, [])
        problems = {name: "there is none" for name in wanted if name not in found}
        return Outgoing(
            {name: Path(path) for name, path in given.files.items()},
            {**problems, **given.refused},
        )

    def take(self, files: Mapping[str, Path]) -> dict[str, Any]:
        """Return the values of variables in files; several may be in one.

        Raises
        ------
        Refused
            If something cannot be read here.
        """
        loaded: dict[Path, dict[str, Any]] = {}
        with self._at_work() as guest:
            for path in dict.fromkeys(files.values()):
                try:
                    loaded[path], _ = guest.read_variables(path, self._namespace, self._tracks)
                except Exception as error:  # foreign code makes the values
                    raise Refused(
                        f"what has come back cannot be read here ({type(error).__name__}: {error})"
                    ) from error
        return {name: loaded[path][name] for name, path in files.items()}

    def is_generator(self, name: str) -> bool:
        """Whether a name stands for the state of a global random generator."""
        return name in self._guest.GENERATORS

    def generator_marks(self, names: Sequence[str]) -> dict[str, Any]:
        """Return marks of the states of generators, which differ once they have been used."""
        marks: dict[str, Any] = self._guest.generator_marks()
        return {name: marks.get(name) for name in names}

    def set_generator(self, name: str, state: Any) -> None:
        """Give a generator a state."""
        generator = self._guest.GENERATORS[name]
        __import__(generator.library)
        generator.write(state)

    @contextmanager
    def _at_work(self) -> Iterator[Any]:
        """Let the functions be found under their name; whoever had it gets it back."""
        before = sys.modules.get(MOVERS)
        sys.modules[MOVERS] = self._guest
        try:
            yield self._guest
        finally:
            if before is None:
                del sys.modules[MOVERS]
            else:
                sys.modules[MOVERS] = before
