"""Which notebooks there are."""

import json
import os
from collections.abc import Collection, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from nbflow.notebooks.reading import DEFAULT_KERNEL

#: nbclient's tag of cells that may raise an error.
_MAY_FAIL = "raises-exception"
_HIDDEN = frozenset({".ipynb_checkpoints", ".git", ".nbflow", "node_modules"})


def notebooks_below(folder: Path) -> list[Path]:
    """Return all notebooks in a folder and below it, in a fixed order."""
    found: list[Path] = []
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in _HIDDEN]
        found += [Path(where, name) for name in names if name.endswith(".ipynb")]
    return sorted(found)


def make_ready(notebook: Path, kernels: Collection[str], *, allow_errors: bool = False) -> None:
    """Change a copy of a notebook so that as much of it runs as can.

    The cells that had raised an error when their author ran them are tagged, so that they may:
    textbooks are full of such cells, and what comes after them would never run. With
    `allow_errors`, all cells are. A notebook in Python whose kernel is not among `kernels` gets the
    usual one. A file that cannot be read as a notebook stays as it is: it is left out for that.
    """
    try:
        content = json.loads(notebook.read_bytes())
        changes = [
            _let_fail(content, all_of_them=allow_errors),
            _ask_for_what_is_here(content, kernels),
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        return
    if any(changes):
        notebook.write_text(json.dumps(content), "utf-8")


def _let_fail(content: dict[str, Any], *, all_of_them: bool) -> bool:
    code = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    may = [cell for cell in code if all_of_them or any(map(_is_error, cell.get("outputs", ())))]
    for cell in may:
        tags = cell.setdefault("metadata", {}).setdefault("tags", [])
        tags += [] if _MAY_FAIL in tags else [_MAY_FAIL]
    return bool(may)


def _ask_for_what_is_here(content: dict[str, Any], kernels: Collection[str]) -> bool:
    asked = content["metadata"].get("kernelspec", {})
    wants_another = asked.get("language") == "python" and asked.get("name") not in kernels
    if wants_another:
        asked["name"] = DEFAULT_KERNEL
    return wants_another


def _is_error(output: dict[str, object]) -> bool:
    return output.get("output_type") == "error"


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
