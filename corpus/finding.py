"""Which notebooks there are."""

import json
import os
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

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


def let_fail_what_failed(notebook: Path) -> None:
    """Tag the cells that had raised an error when their author ran them, so that they may.

    Textbooks are full of such cells, and what comes after them would never run. A file that
    cannot be read as a notebook stays as it is: it is left out for that.
    """
    try:
        content = json.loads(notebook.read_bytes())
        cells = content["cells"]
        failed = [cell for cell in cells if any(map(_is_error, cell.get("outputs", ())))]
        for cell in failed:
            tags = cell.setdefault("metadata", {}).setdefault("tags", [])
            tags += [] if _MAY_FAIL in tags else [_MAY_FAIL]
    except (ValueError, KeyError, TypeError, AttributeError):
        return
    if failed:
        notebook.write_text(json.dumps(content), "utf-8")


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
