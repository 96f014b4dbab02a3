"""The local modules that code reaches: which files they are, and what they reach in turn.

Modules are looked for as the interpreter that runs the code would: in the working directory, in
the folders that the code names or PYTHONPATH has, in what is installed to be edited. A module that
is installed is not followed, since its version stands for it. One that is found nowhere may be
found by the worker: then nobody knows whether it has changed, and that is said.

Of a package count the modules that are reached, and every ``__init__`` on the way. Files are known
by the modules' names, so that a project may be moved.
"""

# Paths are looked at by the thousand here, and a Path costs ten times more.
# ruff: noqa: PTH111, PTH112, PTH113, PTH117, PTH118, PTH119, PTH120

import os
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.machinery import EXTENSION_SUFFIXES

from nbflow.definition.identity.scanning import Import, Scan, Script
from nbflow.definition.identity.sources import Sources
from nbflow.definition.installed import Installation

#: What a module's file may be called, in Python's own order of preference.
_SUFFIXES = (*EXTENSION_SUFFIXES, ".py")
_PACKAGE_STARTS = tuple(f"__init__{suffix}" for suffix in _SUFFIXES)

#: Never followed, even if it is installed to be edited.
_OWN = "nbflow"

_NOT_FOUND = (
    "which is found neither among the installed packages nor where the code would look for it",
    "Put it beside the notebook, install it, or set PYTHONPATH in env",
)


@dataclass(frozen=True, slots=True)
class Search:
    """Where the code of a node looks for modules and files."""

    #: Absolute folders of modules, in order.
    folders: tuple[str, ...]
    #: The working directory, if it is known.
    cwd: str | None
    #: Whether it runs in this very installation, so that what is installed can be told.
    here: bool = True


@dataclass(frozen=True, slots=True)
class Found:
    """A module: its full name, its file (a namespace package has none), its folder if it is one."""

    name: str
    file: str | None
    folder: str | None = None


@dataclass(slots=True)
class Reached:
    """The files that some code reaches, by what they are called, and what could not be seen."""

    files: dict[str, bytes] = field(default_factory=dict)
    unseen: list[str] = field(default_factory=list)

    def pieces(self) -> list[bytes]:
        """Return all files as pieces of a digest, in an order of their own."""
        return [piece for name, it in sorted(self.files.items()) for piece in (name.encode(), it)]

    def miss(self, place: str, what: str, fix: str) -> None:
        """Note that something cannot be seen."""
        sentence = f"{place} {what}. {fix}"
        if sentence not in self.unseen:
            self.unseen.append(sentence)


class LocalModules:
    """Follows code to the local modules that it imports and the files that it runs."""

    def __init__(self, sources: Sources, installation: Installation) -> None:
        self._sources = sources
        self._installation = installation

    def reached(self, scans: Iterable[tuple[str, Scan]], search: Search) -> Reached:
        """Return all that pieces of code reach together.

        Parameters
        ----------
        scans
            What they reach themselves, by how messages call the piece (``cell 3``).
        search
            Where the code looks.
        """
        walk = _Walk(self._sources, self._installation, search)
        for place, scan in scans:
            walk.add(place, scan, None)
        return walk.finished()

    def reached_from(self, module: Found, names: Sequence[str], search: Search) -> Reached:
        """Return `module` and all that it reaches; `names` may be modules inside of it."""
        walk = _Walk(self._sources, self._installation, search)
        walk.visit(module)
        walk.visit_inside(module, names)
        return walk.finished()


class _Walk:
    """One walk from code to code, breadth first."""

    def __init__(self, sources: Sources, installation: Installation, search: Search) -> None:
        self._sources = sources
        self._installation = installation
        self._search = search
        self._folders = list(search.folders)
        self._written: set[str] = set()
        self._waiting: deque[tuple[str, Scan, Found | None]] = deque()
        self._visited: set[str] = set()
        self._tops: dict[str, Found | None] = {}
        self._result = Reached()

    def add(self, place: str, scan: Scan, module: Found | None) -> None:
        """Take up what the code at `place`, or of `module`, reaches."""
        self._written.update(filter(None, map(self._absolute, scan.written)))
        for folder in scan.folders:
            absolute = self._absolute(folder)
            if absolute is not None and absolute not in self._folders:
                self._folders.append(absolute)
                # What was not found before may be found now.
                self._tops = {name: top for name, top in self._tops.items() if top is not None}
        for unseen in scan.unseen:
            line = f", line {unseen.line}," if unseen.line else ""
            self._result.miss(place + line, unseen.what, unseen.fix)
        self._waiting.append((place, scan, module))

    def finished(self) -> Reached:
        """Follow everything to its end."""
        while self._waiting:
            place, scan, module = self._waiting.popleft()
            for wanted in scan.imports:
                self._import(place, wanted, module)
            for script in scan.scripts:
                self._script(place, script)
        return self._result

    def visit(self, module: Found) -> None:
        """Take up a module that has been found."""
        if module.name in self._visited:
            return
        self._visited.add(module.name)
        if module.file is not None:
            self._take(module.name, module.file, module)

    def visit_inside(self, package: Found, names: Sequence[str]) -> None:
        """Take up those `names` that are modules in `package`, or in packages inside of it."""
        if package.folder is None:
            return
        for name in names:
            inside = self._in(package.folder, name, f"{package.name}.{name}")
            if inside is not None and inside.name not in self._visited:
                self.visit(inside)
                self.visit_inside(inside, names)

    def _take(self, name: str, file: str, module: Found | None) -> None:
        if file in self._written:
            return  # it will be what the code writes, which counts already
        source = self._sources.read(file)
        if source is None:
            self._result.miss(name, f"cannot be read ({file})", "Check its permissions")
            return
        self._result.files[name] = source.digest
        self.add(os.path.basename(file), source.scan, module)

    def _import(self, place: str, wanted: Import, module: Found | None) -> None:
        if wanted.level:
            start = _around(module, wanted.level)
            if start is None:
                return  # it fails when it runs
        else:
            top, _, rest = wanted.module.partition(".")
            start = self._top(top)
            if start is None:
                self._lack(place, wanted, top)
                return
            self.visit(start)
            wanted = Import(rest, wanted.names, 0, wanted.optional, wanted.line)
        for name in filter(None, wanted.module.split(".")):
            inside = self._in(start.folder, name, f"{start.name}.{name}")
            if inside is None:
                return  # an attribute, or it fails when it runs
            self.visit(inside)
            start = inside
        if start.folder is not None:
            for name in wanted.names:
                inside = self._in(start.folder, name, f"{start.name}.{name}")
                if inside is not None:
                    self.visit(inside)

    def _lack(self, place: str, wanted: Import, top: str) -> None:
        """Say that a module was not found, if that may matter."""
        if wanted.optional or not self._search.here or self._installation.knows(top):
            return
        line = f", line {wanted.line}," if wanted.line else ""
        what, fix = _NOT_FOUND
        self._result.miss(place + line, f"imports {top}, {what}", fix)

    def _top(self, name: str) -> Found | None:
        """Return the local top-level module `name`, if there is one."""
        if name not in self._tops:
            self._tops[name] = None if name == _OWN else self._look_for(name)
        return self._tops[name]

    def _look_for(self, name: str) -> Found | None:
        folders = self._folders
        if self._search.here:
            folders = [*folders, *self._installation.edited_folders]
        namespace: Found | None = None
        for folder in folders:
            found = self._in(folder, name, name)
            if found is not None and found.file is not None:
                return None if self._installation.holds(found.file) else found
            namespace = namespace or found
        if not self._search.here:
            return namespace
        if self._installation.knows(name):
            return None
        return self._edited(name) or namespace

    def _edited(self, name: str) -> Found | None:
        spec = self._installation.edited(name)
        if spec is None:
            return None
        file = spec.origin if spec.origin and os.path.isfile(spec.origin) else None
        folders = list(spec.submodule_search_locations or ())
        return Found(name, file, folders[0] if folders else None)

    def _in(self, folder: str | None, name: str, full_name: str) -> Found | None:
        """Return the module `name` that lies in `folder`, as Python would find it."""
        if folder is None:
            return None
        present = self._sources.names_in(folder)
        files = [name + suffix for suffix in _SUFFIXES if name + suffix in present]
        if name in present:
            place = os.path.join(folder, name)
            inside = self._sources.names_in(place)
            for start in _PACKAGE_STARTS:
                if start in inside:
                    return Found(full_name, os.path.join(place, start), place)
            if not files and os.path.isdir(place):
                return Found(full_name, None, place)
        return Found(full_name, os.path.join(folder, files[0])) if files else None

    def _script(self, place: str, script: Script) -> None:
        path = self._absolute(script.path)
        if path is not None and not os.path.isfile(path) and os.path.isfile(path + ".py"):
            path += ".py"  # as %run does
        if path is None or not os.path.isfile(path):
            if not script.optional and path not in self._written:
                what = f"runs {script.path}, which is not there"
                self._result.miss(place, what, "Write its path relative to the working directory")
            return
        name = f"run:{script.path}"
        if name not in self._visited:
            self._visited.add(name)
            self._take(name, path, None)

    def _absolute(self, path: str) -> str | None:
        expanded = os.path.expanduser(path)
        if os.path.isabs(expanded):
            return os.path.normpath(expanded)
        if self._search.cwd is None:
            return None
        return os.path.normpath(os.path.join(self._search.cwd, expanded))


def _around(module: Found | None, level: int) -> Found | None:
    """Return the package to which so many dots lead from `module`."""
    if module is None:
        return None
    name, folder = module.name, module.folder
    if folder is None:
        name = name.rpartition(".")[0]
        folder = os.path.dirname(module.file or "")
    for _ in range(level - 1):
        name = name.rpartition(".")[0]
        folder = os.path.dirname(folder)
    return Found(name, None, folder) if name else None
