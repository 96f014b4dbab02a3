"""What runs a node, as a digest: the interpreter, the kernel, its variables, declared packages.

Variables are hashed, and never kept in the clear. Of packages count the versions of those that
are declared: what else is installed may change. A package's version is that in the environment that
runs the node; where that cannot be told here, it is said.
"""

import hashlib
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nbflow.core.fingerprints import digest
from nbflow.core.spec import NotebookCode

#: The kernel whose interpreter is taken for this one.
DEFAULT_KERNEL = "python3"

_ELSEWHERE = "Name the environment by python= instead, so that its packages can be looked up"
_INSTALL = "Install it, correct its name, or leave it out of packages"


@dataclass(frozen=True, slots=True)
class Environment:
    """The digest of an environment, and what could not be told of it."""

    digest: str
    unknown: tuple[str, ...] = ()
    #: Declared packages that are not installed in it.
    missing: tuple[str, ...] = ()


class Environments:
    """The environments of the nodes of one flow, each looked at once."""

    def __init__(self) -> None:
        self._known: dict[object, Environment] = {}
        self._versions: dict[tuple[str, str | None], str | None] = {}

    def of_function(self, packages: Sequence[str]) -> Environment:
        """Return the environment of a function: this very interpreter."""
        key = ("function", tuple(packages))
        if key not in self._known:
            versions, missing = self._of_packages(packages, None)
            self._known[key] = Environment(
                digest(b"function", _this_python(), *versions), _absent(missing), missing
            )
        return self._known[key]

    def of_notebook(
        self, code: NotebookCode, kernel: str | None, cwd: str, packages: Sequence[str]
    ) -> Environment:
        """Return the environment of a notebook.

        Parameters
        ----------
        code
            The notebook.
        kernel
            The kernel that it runs in, unless an interpreter is given; None is Python's.
        cwd
            Its working directory.
        packages
            Names of declared packages.
        """
        env = tuple(sorted(code.env.items()))
        key = (code.python, kernel, cwd, env, tuple(packages))
        if key not in self._known:
            self._known[key] = self._of(code.python, kernel or DEFAULT_KERNEL, cwd, env, packages)
        return self._known[key]

    def _of(
        self,
        python: str | None,
        kernel: str,
        cwd: str,
        env: Iterable[tuple[str, str]],
        packages: Sequence[str],
    ) -> Environment:
        unknown: list[str] = []
        pieces = [b"notebook", cwd.encode()]
        folder: str | None = None
        if python is not None:
            interpreter, folder = _other_python(python)
            if folder is None:
                unknown.append(f"its interpreter {python} is not here. Check the path")
            pieces.append(interpreter)
        else:
            pieces += [kernel.encode(), _this_python() if kernel == DEFAULT_KERNEL else b""]
        if packages and python is None and kernel != DEFAULT_KERNEL:
            unknown.append(f"its packages are those of the kernel {kernel!r}. {_ELSEWHERE}")
            packages = ()
        versions, missing = self._of_packages(packages, folder)
        variables = [_sealed(name, value) for name, value in env]
        return Environment(
            digest(*pieces, b"env", *variables, b"packages", *versions),
            (*unknown, *_absent(missing)),
            missing,
        )

    def _of_packages(
        self, packages: Iterable[str], folder: str | None
    ) -> tuple[list[bytes], tuple[str, ...]]:
        """Return names with versions, and the names of those that are missing."""
        versions = {name: self._version(name, folder) for name in sorted(set(packages))}
        missing = tuple(name for name, version in versions.items() if version is None)
        return [f"{name}=={version}".encode() for name, version in versions.items()], missing

    def _version(self, name: str, folder: str | None) -> str | None:
        key = (name, folder)
        if key not in self._versions:
            self._versions[key] = _version_in(name, folder)
        return self._versions[key]


def _version_in(name: str, folder: str | None) -> str | None:
    """Return the version of an installed package, of this interpreter or beneath a prefix."""
    from importlib.metadata import Distribution  # slow to import; few nodes declare packages

    if folder is None:
        found = Distribution.discover(name=name)
    else:
        places = [str(place) for place in Path(folder).glob("lib*/python*/site-packages")]
        found = Distribution.discover(name=name, path=places)
    first = next(iter(found), None)
    return None if first is None else str(first.version)


def _this_python() -> bytes:
    release = platform.python_version()
    return f"{sys.implementation.name} {release}".encode()


def _other_python(python: str) -> tuple[bytes, str | None]:
    """Return another interpreter as bytes, and the prefix of its environment if it is there.

    To ask it for its version would take a process. Its file tells as much: installing another one
    replaces it.
    """
    place = Path(python)
    program = place / "bin" / "python" if place.is_dir() else place
    try:
        status = program.stat()
        settings = program.parent.parent / "pyvenv.cfg"
        words = settings.read_bytes() if settings.is_file() else b""
    except OSError:
        return digest(b"python", str(program).encode()).encode(), None
    marks = f"{os.path.realpath(program)} {status.st_size} {status.st_mtime_ns}"
    whole = digest(b"python", str(program).encode(), marks.encode(), words)
    return whole.encode(), str(program.parent.parent)


def _sealed(name: str, value: str) -> bytes:
    return name.encode() + b"=" + hashlib.blake2b(value.encode(errors="replace")).digest()


def _absent(missing: Iterable[str]) -> tuple[str, ...]:
    return tuple(
        f"the package {name} is declared, but not installed here. {_INSTALL}" for name in missing
    )
