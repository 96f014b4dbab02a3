"""Notebook files as a check sees them: read once, judged, and asked for kernel and parameters.

A notebook is judged by its raw JSON against its own format's schema. What nbformat mends by
itself (missing or repeated cell ids, unknown extra fields) is no fault here, and older formats
are upgraded.
"""

import ast
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from nbflow._jsonschema import defer_grammar
from nbflow.definition.code_cells import CodeCell, code_cells, source_of, tags_of
from nbflow.definition.faults import Fault, near_file
from nbflow.notebooks.imports import imported_modules

#: Major versions of the notebook format that can be read, and the newest minor of the last.
_OLDEST, _NEWEST = 1, 4
#: The last minor version whose cells need no id: what nbformat adds by itself is not asked for.
_MINOR_WITHOUT_IDS = 4
#: From this major version on, nbformat has a schema.
_FIRST_WITH_SCHEMA = 3

_T = TypeVar("_T")

_SAVE_HINT = "Open and save it in Jupyter, or restore it from a copy"


@dataclass(frozen=True, slots=True)
class Notebook:
    """What a check wants to know of a notebook."""

    #: The kernel that it names, if any.
    kernel: str | None
    #: Its language in lower case, if it names one.
    language: str | None
    #: Source of its cell tagged ``parameters``, if it has one.
    parameters_source: str | None
    #: Modules that its code imports, as far as can be seen; none if it is not in Python.
    imports: frozenset[str] = frozenset()
    cells: tuple[CodeCell, ...] = ()

    @property
    def is_python(self) -> bool:
        """Whether it is in Python, as a notebook is that names no language."""
        return _is_python(self.language)

    def parameter_names(self) -> frozenset[str] | None:
        """Names that the parameters cell assigns; None if there is no way to know."""
        if self.parameters_source is None:
            return frozenset()
        if not self.is_python:
            return None
        try:
            tree = ast.parse(self.parameters_source)
        except SyntaxError:
            # Magics and the like: papermill reads the cell line by line.
            return _names_by_papermill(self.parameters_source)
        return frozenset(_assigned(tree))


class NotebookFiles:
    """The notebooks of one check or run, each read once, so that what is checked is what runs.

    Parameters
    ----------
    contents
        Those that have been read already, because they are no local files, by path.
    """

    def __init__(self, contents: Mapping[str, bytes] = MappingProxyType({})) -> None:
        self._bytes: dict[str, bytes | Fault] = dict(contents)
        self._parsed: dict[str, Notebook | Fault] = {}

    def bytes_of(self, path: str) -> bytes:
        """Return the file's content.

        Raises
        ------
        Fault
            If there is no such file, or it cannot be read.
        """
        if path not in self._bytes:
            self._bytes[path] = _read(Path(path))
        return _or_raise(self._bytes[path])

    def parsed(self, path: str) -> Notebook:
        """Return what the file says as a notebook.

        Raises
        ------
        Fault
            If it cannot be read, or is no valid notebook.
        """
        if path not in self._parsed:
            try:
                self._parsed[path] = parse_notebook(self.bytes_of(path), path)
            except Fault as fault:
                self._parsed[path] = fault
        return _or_raise(self._parsed[path])


def parse_notebook(data: bytes, path: str) -> Notebook:
    """Return what the notebook in `data` says; `path` is for messages.

    Raises
    ------
    Fault
        If it is no valid notebook.
    """
    raw = _json(data, path)
    major = raw.get("nbformat")
    if not isinstance(major, int):
        raise Fault(f"{path} is JSON, but not a notebook (it has no nbformat)", "Check the path")
    if not _OLDEST <= major <= _NEWEST:
        raise Fault(
            f"{path} is in notebook format {major}, which is not known here",
            "Save it in notebook format 4",
        )
    _validate(raw, major, path)
    return _inspected(raw if major == _NEWEST else _upgraded(raw, path))


def _json(data: bytes, path: str) -> dict[str, Any]:
    if not data.strip():
        raise Fault(f"{path} is empty", _SAVE_HINT)
    try:
        raw = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise Fault(f"{path} is not a notebook: it is not text in UTF-8", _SAVE_HINT) from error
    except json.JSONDecodeError as error:
        conflict = b"<<<<<<<" in data
        raise Fault(
            f"{path} is not a notebook: it is not valid JSON (line {error.lineno}: {error.msg})",
            "It holds the marks of an unresolved merge: resolve them" if conflict else _SAVE_HINT,
        ) from error
    except RecursionError as error:
        raise Fault(f"{path} is not a notebook: it is nested too deep", _SAVE_HINT) from error
    if not isinstance(raw, dict):
        raise Fault(f"{path} is JSON, but not a notebook", "Check the path")
    if b"\\ud" in data.lower():
        _refuse_half_characters(raw, path)
    return raw


def _refuse_half_characters(raw: dict[str, Any], path: str) -> None:
    """Refuse what JSON can escape and a kernel cannot be sent."""
    for number, cell in enumerate(raw.get("cells", ()) if raw.get("nbformat") == _NEWEST else ()):
        text = json.dumps(_mapping(cell).get("source"), ensure_ascii=False)
        try:
            text.encode()
        except UnicodeEncodeError as error:
            half = text[error.start].encode("ascii", "backslashreplace").decode()
            raise Fault(
                f"{path} has half a character ({half}) in cells[{number}]",
                "Remove it, or write it as an escape in a string",
            ) from error


def _validate(raw: dict[str, Any], major: int, path: str) -> None:
    if major < _FIRST_WITH_SCHEMA:
        return
    defer_grammar()
    from nbformat.validator import iter_validate  # heavy; a flow of functions needs none of it

    minor = raw.get("nbformat_minor", 0)
    if major == _NEWEST and isinstance(minor, int):
        minor = min(minor, _MINOR_WITHOUT_IDS)
    errors = iter_validate(raw, version=major, version_minor=minor, relax_add_props=True)
    error = next(iter(errors), None)
    if error is not None:
        where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.relative_path)
        reason = error.message.splitlines()[0][:200]
        at = f" at {where.lstrip('.')}" if where else ""
        raise Fault(f"{path} is not a valid notebook{at}: {reason}", _SAVE_HINT)


def _upgraded(raw: dict[str, Any], path: str) -> dict[str, Any]:
    defer_grammar()
    import nbformat

    try:
        old = nbformat.reader.reads(json.dumps(raw))
        upgraded: dict[str, Any] = nbformat.convert(old, _NEWEST)
    except (AttributeError, KeyError, TypeError, ValueError, nbformat.ValidationError) as error:
        raise Fault(
            f"{path} is an old notebook that cannot be upgraded ({error})", _SAVE_HINT
        ) from error
    return upgraded


def _inspected(notebook: Mapping[str, Any]) -> Notebook:
    metadata = notebook.get("metadata", {})
    kernelspec = _mapping(metadata.get("kernelspec"))
    language = kernelspec.get("language") or _mapping(metadata.get("language_info")).get("name")
    language = str(language).lower() if language else None
    kernel = kernelspec.get("name")
    cells = code_cells(notebook)
    return Notebook(
        kernel=kernel if isinstance(kernel, str) else None,
        language=language,
        parameters_source=_parameters_source(notebook),
        imports=frozenset(_imports(cells)) if _is_python(language) else frozenset(),
        cells=cells,
    )


def _is_python(language: str | None) -> bool:
    return language in (None, "python", "python3", "ipython")


def _imports(cells: Sequence[CodeCell]) -> Iterator[str]:
    for cell in cells:
        yield from imported_modules(cell.source)


def _parameters_source(notebook: Mapping[str, Any]) -> str | None:
    """Return the first cell with papermill's tag, as papermill finds it."""
    for cell in notebook.get("cells", ()):
        if "parameters" in tags_of(cell):
            return source_of(cell)
    return None


def _assigned(tree: ast.AST) -> Iterator[str]:
    for part in ast.walk(tree):
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            yield part.id
        elif isinstance(part, ast.alias):
            yield (part.asname or part.name).partition(".")[0]
        elif isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield part.name


def _names_by_papermill(source: str) -> frozenset[str]:
    defer_grammar()
    from nbformat.v4 import new_code_cell
    from papermill.translators import PythonTranslator  # heavy; rarely needed

    cell = new_code_cell(source)
    return frozenset(parameter.name for parameter in PythonTranslator.inspect(cell))


def _read(path: Path) -> bytes | Fault:
    try:
        # Whoever opens a named pipe waits until somebody writes to it.
        if path.is_fifo():
            return Fault(f"{path} is a named pipe, not a notebook", "Name an .ipynb file")
        return path.read_bytes()
    except OSError as error:
        return _unreadable(path, error)


def _unreadable(path: Path, error: OSError) -> Fault:
    if path.is_dir():
        return Fault(f"{path} is a folder, not a notebook", "Name the .ipynb file inside")
    if isinstance(error, FileNotFoundError):
        return Fault(f"there is no notebook {path}", near_file(path))
    return Fault(f"the notebook {path} cannot be read ({error.strerror})", "Check its permissions")


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _or_raise(result: _T | Fault) -> _T:
    if isinstance(result, Fault):
        raise result
    return result
