"""Which notebooks there are."""

import os
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

_HIDDEN = frozenset({".ipynb_checkpoints", ".git", ".nbflow", "node_modules"})


def notebooks_below(folder: Path) -> list[Path]:
    """Return all notebooks in a folder and below it, in a fixed order."""
    found: list[Path] = []
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in _HIDDEN]
        found += [Path(where, name) for name in names if name.endswith(".ipynb")]
    return sorted(found)


def installed_notebooks() -> Iterator[tuple[str, Path]]:
    """Yield the notebooks that ship inside installed packages: name of the package, and file.

    They are found by the lists of files that packages have; nothing is searched or imported.
    """
    for distribution in sorted(metadata.distributions(), key=lambda it: it.name):
        for file in sorted(distribution.files or (), key=str):
            if file.suffix == ".ipynb" and not _HIDDEN.intersection(file.parts):
                path = Path(str(distribution.locate_file(file)))
                if path.is_file():
                    yield distribution.name, path
