"""What is installed here, and what is somebody's own source.

A module that comes with Python, or lies where packages are installed, does not change while people
work: its version stands for it. Any other module is *local*. So are packages that are installed
to be edited: an installer leaves their folder in a ``.pth`` file, or a finder that knows it.

Only what every process of this interpreter would find is looked at here. ``sys.path`` also has the
folder of the program that happens to run, which means nothing to a kernel.
"""

# Paths are looked at by the thousand here, and a Path costs ten times more.
# ruff: noqa: PTH112, PTH118

import os
import site
import sys
import sysconfig
from collections.abc import Iterator
from functools import cached_property
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

#: nbflow is never part of what it runs, even if it is installed to be edited.
_OWN = "nbflow"


class Installation:
    """The interpreter that runs this, and its packages, as they are while this object lives."""

    def __init__(self) -> None:
        self._held: dict[str, bool] = {}
        self._known: dict[str, bool] = {}

    def holds(self, path: str) -> bool:
        """Whether the file or folder belongs to Python or to an installed package."""
        if path not in self._held:
            self._held[path] = any(
                path == place or path.startswith(place + os.sep) for place in self._places
            )
        return self._held[path]

    def knows(self, name: str) -> bool:
        """Whether the top-level module `name` is installed."""
        if name not in self._known:
            self._known[name] = (
                name == _OWN
                or name in sys.stdlib_module_names
                or PathFinder.find_spec(name, self.site_folders) is not None
            )
        return self._known[name]

    def edited(self, name: str) -> ModuleSpec | None:
        """Return where the top-level module `name` lies, if an installer's finder leads to it."""
        for finder in sys.meta_path:
            kind = finder if isinstance(finder, type) else type(finder)
            if "editable" in kind.__module__ and hasattr(finder, "find_spec"):
                spec = finder.find_spec(name, None, None)
                if spec is not None:
                    return spec
        return None

    @cached_property
    def edited_folders(self) -> list[str]:
        """Folders of packages that are installed to be edited, as the ``.pth`` files name them."""
        named = [place for folder in self.site_folders for place in _pth_folders(folder)]
        return [place for place in dict.fromkeys(named) if not self.holds(place)]

    @cached_property
    def site_folders(self) -> list[str]:
        """Folders in which packages are installed."""
        paths = sysconfig.get_paths()
        folders = [paths["purelib"], paths["platlib"], *site.getsitepackages()]
        if site.ENABLE_USER_SITE:
            folders.append(site.getusersitepackages())
        return [folder for folder in dict.fromkeys(folders) if os.path.isdir(folder)]

    @cached_property
    def _places(self) -> tuple[str, ...]:
        paths = sysconfig.get_paths()
        places = [paths["stdlib"], paths["platstdlib"], paths["purelib"], paths["platlib"]]
        places += [*site.getsitepackages(), site.getusersitepackages()]
        return tuple(dict.fromkeys([*places, *map(os.path.realpath, places)]))


def _pth_folders(folder: str) -> Iterator[str]:
    for file in sorted(Path(folder).glob("*.pth")):
        try:
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue  # Python itself passes it by, too
        for line in lines:
            place = os.path.normpath(os.path.join(folder, line.strip()))
            if line.strip() and not line.startswith(("#", "import ", "import\t")):
                yield place
