"""Whether a notebook can go on in another kernel at all, as far as its text tells.

Some cells ask for what no other kernel has: the history of inputs and results, the list of all
names, the handle of a display that an earlier cell has made, the number of an object, of the
process or of a thread. It does not matter where they stand: a function of an earlier cell may be
called by a later one.
"""

import ast
import re
from collections.abc import Iterable, Mapping

from nbflow.notebooks.checkpoints.cell_code import TRANSPARENT, CellCode

_HISTORY = re.compile(r"(_{1,3}|_i{1,3}|_i?\d+|_[io]h|_dh|In|Out)\Z")
_HISTORY_IN_MAGICS = re.compile(r"[{$]\s*(_{1,3}|_i{1,3}|_i?\d+|In|Out)\b")
#: Calls without arguments that list all names.
_LISTING = frozenset({"dir", "globals", "locals", "vars"})
#: Where an exception that nobody has caught is found again.
_LAST = frozenset({"last_exc", "last_traceback", "last_type", "last_value"})
#: Builtin functions that give objects a number, which is another one in another process.
_IDENTITIES = frozenset({"hash", "id"})
#: Functions that give the process, or a thread of it, a number.
_NUMBERS = frozenset({"get_ident", "get_native_id", "getpid", "getppid", "gettid"})
#: Magics that look at nothing but what they are given, and what is compared or set again.
_MAGICS = TRANSPARENT | {
    "%", "autoreload", "bash", "cd", "config", "env", "getoutput", "html", "javascript", "js",
    "latex",
    "load_ext", "markdown", "matplotlib", "pip", "precision", "pwd", "reload_ext", "script",
    "set_env",
    "sh", "svg", "sx", "system", "writefile",
}  # fmt: skip


def unfit(codes: Mapping[int, CellCode]) -> str:
    """Return why checkpoints would be of no use, and where; empty if they may be."""
    for index, code in codes.items():
        why = _unfit(code)
        if why:
            return f"cell {index} {why}, which another kernel does not have"
    return _numbered(codes)


def bound_names(codes: Iterable[CellCode]) -> dict[str, int]:
    """Return how often each name is bound or deleted, anywhere, also within functions."""
    counts: dict[str, int] = {}
    for code in codes:
        for node in code.nodes():
            for name in _bound(node):
                counts[name] = counts.get(name, 0) + 1
    return counts


def _unfit(code: CellCode) -> str:
    unknown = [name for name in code.magics if name not in _MAGICS]
    if unknown:
        return f"uses the magic command {unknown[0]!r}"
    if any(_HISTORY_IN_MAGICS.search(text) for text in code.texts):
        return "uses the history of results"
    for node in code.nodes():
        why = _asks(node)
        if why:
            return why
    return ""


def _asks(node: ast.AST) -> str:
    match node:
        case ast.Name(id=name, ctx=ast.Load()) if _HISTORY.match(name):
            return f"uses the history of results ({name})"
        case ast.Name(id="get_ipython"):
            return "uses get_ipython()"
        case ast.Call(func=ast.Name(id=name), args=[], keywords=[]) if name in _LISTING:
            return f"lists all names ({name}())"
        case ast.Name(id=name) | ast.Attribute(attr=name) if name == "update_display":
            return "updates a display"
        case ast.keyword(arg="display_id"):
            return "uses the handle of a display"
        case ast.Attribute(attr=name) if name in _LAST:
            return f"uses the last exception ({name})"
    return ""


def _numbered(codes: Mapping[int, CellCode]) -> str:
    """Return which cells may ask again for a number that is another one in another kernel.

    A number that one cell alone asks for stays what it was, since it is stored. A function may be
    called by a later cell, so one that asks is enough.
    """
    bound = bound_names(codes.values())
    asked: int | None = None
    for index, code in codes.items():
        for name, in_function in _asked_numbers(code, bound):
            if in_function or asked not in (None, index):
                where = "within a function" if in_function else f"as does cell {asked}"
                return (
                    f"cell {index} asks for a number that is another one in each process ({name}), "
                    f"{where}"
                )
            asked = index
    return ""


def _asked_numbers(code: CellCode, bound: Mapping[str, int]) -> Iterable[tuple[str, bool]]:
    """Yield the functions by which a cell asks for such numbers, and whether within a function.

    A name that the notebook binds is a variable of its own. Where a method ``__hash__`` makes its
    number of others, nobody keeps it: tables are made anew with what is in them.
    """
    nodes = list(code.nodes())
    functions = [node for node in nodes if isinstance(node, _FUNCTIONS)]
    inside = {inner for function in functions for inner in ast.walk(function)}
    hashing = {
        inner
        for function in functions
        if getattr(function, "name", "") == "__hash__"
        for inner in ast.walk(function)
    }
    for node in nodes:
        match node:
            case ast.Name(id=name, ctx=ast.Load()) if name in _IDENTITIES and name not in bound:
                if node not in hashing:
                    yield name, node in inside
            case ast.Name(id=name) | ast.Attribute(attr=name) if name in _NUMBERS:
                yield name, node in inside


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def _bound(node: ast.AST) -> Iterable[str]:
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
            return (name,)
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return (name,)
        case ast.arg(arg=name) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            return (name,)
        case ast.ExceptHandler(name=str(name)):
            return (name,)
        case ast.alias(name=name, asname=alias):
            return (alias or name.partition(".")[0],)
        case ast.Global(names=names) | ast.Nonlocal(names=names):
            return names
    return ()
