"""What a notebook emits by itself, in any language.

Three ways, the first wins where a name comes twice:

1. Files in the folder that ``NBFLOW_OUTPUTS`` names (`nbflow.emit` writes there, too).
   ``NAME.json`` is a value, ``NAME.parquet``, ``NAME.npy`` and ``NAME.pickle`` are values of that
   kind; any other file is handed on as a file. The output's name is the file's name up to its
   first dot. If two files give the same name, the younger one counts. Names that begin
   with a dot are ignored.
2. Scraps, which scrapbook's ``glue`` leaves in the cells' outputs.
3. Names assigned in cells tagged ``outputs`` (Python only; see `tagged_names`).
"""

import ast
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec
from nbformat import NotebookNode

from nbflow.notebooks.errors import OutputProblem
from nbflow.notebooks.masking import MASKED, NO_SECRETS, Mask

_SCRAP_PREFIX = "application/scrapbook.scrap."
_RECORD = "application/papermill.record+json"

FileKind: TypeAlias = Literal["parquet", "npy", "pickle", "file"]


class EmittedValue(msgspec.Struct, frozen=True):
    """A value that the worker holds in memory."""

    value: Any


class EmittedFile(msgspec.Struct, frozen=True):
    """A value or a file that lies on disk."""

    path: Path
    kind: FileKind


class EmittedTable(msgspec.Struct, frozen=True):
    """A table, as the bytes of a Parquet file."""

    data: bytes


Emitted: TypeAlias = EmittedValue | EmittedFile | EmittedTable


def emitted_files(folder: Path) -> dict[str, Emitted | OutputProblem]:
    """Return what lies in the outputs folder, by output name."""
    found: dict[str, Emitted | OutputProblem] = {}
    files = [path for path in folder.iterdir() if not path.name.startswith(".")]
    for path in sorted(files, key=lambda path: (path.stat().st_mtime_ns, path.name)):
        found[path.name.split(".")[0]] = _read_file(path)
    return found


def scraps(notebook: NotebookNode, mask: Mask = NO_SECRETS) -> dict[str, Emitted | OutputProblem]:
    """Return what scrapbook has glued, and papermill's older records; the last of a name counts.

    A scrap comes as an output of its cell. If it held a secret, it has been masked with the
    other outputs, and is not what it was.
    """
    found: dict[str, Emitted | OutputProblem] = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            for mime, payload in output.get("data", {}).items():
                if mime == _RECORD:
                    found.update({name: _glued(name, payload[name], mask) for name in payload})
                elif mime.startswith(_SCRAP_PREFIX):
                    found[payload["name"]] = _scrap(payload, mask)
    return found


def tagged_names(notebook: NotebookNode) -> tuple[str, ...]:
    """Return the names that cells tagged ``outputs`` assign, in order, without private ones."""
    names: dict[str, None] = {}
    for cell in notebook.cells:
        if cell.cell_type == "code" and "outputs" in cell.metadata.get("tags", []):
            names.update(dict.fromkeys(_assigned_names(cell.source)))
    return tuple(name for name in names if not name.startswith("_"))


def _read_file(path: Path) -> Emitted | OutputProblem:
    if not path.is_file():
        return OutputProblem(
            "OutputNotStorable",
            f"{path.name!r} in NBFLOW_OUTPUTS is not a file. Emit an archive of it instead",
        )
    match path.suffix:
        case ".json":
            try:
                return EmittedValue(json.loads(path.read_bytes()))
            except ValueError as error:
                return OutputProblem(
                    "OutputNotStorable",
                    f"{path.name!r} in NBFLOW_OUTPUTS is not JSON ({error}). Write valid JSON, or "
                    f"give the file another suffix to hand it on as a file",
                )
        case ".parquet" | ".npy" | ".pickle":
            kind: Any = path.suffix[1:]
            return EmittedFile(path, kind)
        case _:
            return EmittedFile(path, "file")


def _scrap(payload: dict[str, Any], mask: Mask) -> Emitted | OutputProblem:
    glued = _glued(payload["name"], payload["data"], mask)
    if isinstance(glued, EmittedValue) and payload.get("encoder") == "pandas":
        try:
            return EmittedTable(base64.b64decode(glued.value, validate=True))
        except ValueError as error:
            return OutputProblem(
                "OutputNotStorable", f"scrap {payload['name']!r} is no base64 text ({error})"
            )
    return glued


def _glued(name: str, value: Any, mask: Mask) -> EmittedValue | OutputProblem:
    if mask.active and MASKED in json.dumps(value):
        return OutputProblem(
            "OutputHasSecret",
            f"scrap {name!r} contains a secret, or {MASKED}, by which secrets are masked. Glue "
            f"something without it",
        )
    return EmittedValue(value)


def _assigned_names(source: str) -> Iterator[str]:
    # Lazy: a tenth of a second, which every worker would pay and few notebooks need.
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        tree = ast.parse(TransformerManager().transform_cell(source))
    except SyntaxError:
        # Its execution has said so already, or the cell never ran.
        return
    yield from _targets(tree)


def _targets(node: ast.AST) -> Iterator[str]:
    """Yield what assignments bind, also inside `if` or `with`, but not in functions or classes."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Assign(targets=targets):
                for target in targets:
                    yield from _names(target)
            case ast.AnnAssign(target=target, value=ast.expr()) | ast.AugAssign(target=target):
                yield from _names(target)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                continue
            case ast.stmt() | ast.excepthandler() | ast.match_case():
                yield from _targets(child)


def _names(target: ast.expr) -> Iterator[str]:
    match target:
        case ast.Name(id=name):
            yield name
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            for part in parts:
                yield from _names(part)
        case ast.Starred(value=part):
            yield from _names(part)
