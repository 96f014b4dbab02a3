"""Modules of `nbflow.guest_namespace` as one text, or as code, for a kernel that has no nbflow."""

import ast
import functools
import importlib
import importlib.util
import inspect
import marshal

from nbflow import guest_namespace


@functools.cache
def joined_modules(names: tuple[str, ...]) -> str:
    """Return modules of `nbflow.guest_namespace` as one text, without imports of one another."""
    body: list[ast.stmt] = []
    for name in names:
        module = importlib.import_module(f"{guest_namespace.__name__}.{name}")
        body += [each for each in ast.parse(inspect.getsource(module)).body if not _is_ours(each)]
    return ast.unparse(ast.Module(body, []))


@functools.cache
def compiled_modules(names: tuple[str, ...]) -> bytes:
    """Return the same as code; it begins with the number of the Python that can load it."""
    code = compile(joined_modules(names), "<nbflow>", "exec", dont_inherit=True)
    return importlib.util.MAGIC_NUMBER + marshal.dumps(code)


def _is_ours(statement: ast.stmt) -> bool:
    """Whether a statement imports one of the modules from another."""
    return (
        isinstance(statement, ast.ImportFrom)
        and statement.module is not None
        and statement.module.startswith(guest_namespace.__name__)
    )
