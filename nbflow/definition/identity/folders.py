"""Folders that code names: ``".."``, ``os.path.join("..", "src")``, ``str(Path.cwd().parent)``.

Only what has one possible meaning before the code runs is worked out.
"""

# Paths are looked at by the thousand here, and a Path costs ten times more.
# ruff: noqa: PTH111, PTH117, PTH118, PTH120

import ast
import os
from collections.abc import Callable

_KEEPING = frozenset(
    {"str", "Path", "pathlib.Path", "os.fspath", "os.path.abspath", "os.path.realpath"}
    | {"os.path.normpath", "os.path.expanduser", "abspath", "realpath", "normpath"}
)
_JOINING = frozenset({"os.path.join", "Path", "pathlib.Path", "join"})
_HERE = frozenset({"os.getcwd", "Path.cwd", "pathlib.Path.cwd"})
_PARENT = frozenset({"os.path.dirname", "dirname"})
_KEEPING_METHODS = frozenset({"resolve", "absolute", "as_posix", "expanduser", "__str__"})


def folder_of(node: ast.expr, file: str | None) -> str | None:
    """Return the folder that an expression in `file` means; None if it cannot be told.

    A relative one is relative to the working directory of whoever runs the code.
    """
    match node:
        case ast.Constant(value=str() as text):
            return os.path.expanduser(text)
        case ast.Name(id="__file__"):
            return file
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return _joined([folder_of(left, file), folder_of(right, file)])
        case ast.Attribute(value=value, attr="parent"):
            return _parent(folder_of(value, file))
        case ast.Subscript(
            value=ast.Attribute(value=value, attr="parents"), slice=ast.Constant(value=int() as up)
        ):
            folder = folder_of(value, file)
            for _ in range(up + 1):
                folder = _parent(folder)
            return folder
        case ast.Call():
            return _called(node, file)
    return None


def _called(node: ast.Call, file: str | None) -> str | None:
    name = ast.unparse(node.func)
    arguments: Callable[[], list[str | None]] = lambda: [folder_of(it, file) for it in node.args]  # noqa: E731
    if node.keywords:
        return None
    if name in _HERE:
        return "."
    if name in _PARENT:
        return _parent(_joined(arguments()))
    if name in _JOINING or (name in _KEEPING and len(node.args) == 1):
        return _joined(arguments())
    if isinstance(node.func, ast.Attribute):
        if node.func.attr in _KEEPING_METHODS and not node.args:
            return folder_of(node.func.value, file)
        if node.func.attr == "joinpath":
            return _joined([folder_of(node.func.value, file), *arguments()])
    return None


def _joined(parts: list[str | None]) -> str | None:
    known = [part for part in parts if part is not None]
    return os.path.join(*known) if known and len(known) == len(parts) else None


def _parent(folder: str | None) -> str | None:
    if folder is None:
        return None
    # A relative one may already lead upwards: its last part cannot just be left out.
    return os.path.dirname(folder) if os.path.isabs(folder) else os.path.join(folder, "..")
