"""What Python code reaches besides itself, as far as its text shows.

Modules that it imports, anywhere; files that it runs; folders that it adds to the places where
modules are looked for. What is only known when the code runs is noted as unseen, in words: nobody
may believe that such code is the same as before.
"""

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from nbflow.definition.identity.folders import folder_of

_BY_NAME = "Import it by its name"
_RUN_LITERALLY = "Import it, or run it by %run with the path of its file"
_FOLDER_LITERALLY = "Add a folder that is written as plain text, or set PYTHONPATH in env"


@dataclass(frozen=True, slots=True)
class Import:
    """``from module import names``; a plain ``import`` has no names."""

    module: str
    names: tuple[str, ...] = ()
    #: Dots before the module.
    level: int = 0
    #: Whether the code goes on without it.
    optional: bool = False
    line: int = 0


@dataclass(frozen=True, slots=True)
class Script:
    """A file that the code runs."""

    path: str
    #: Whether it may be something else that is only called like a file.
    optional: bool = False
    line: int = 0


@dataclass(frozen=True, slots=True)
class Unseen:
    """Something that the code reaches, and its text does not name."""

    what: str
    fix: str
    line: int = 0


@dataclass(frozen=True, slots=True)
class Scan:
    """What a piece of code reaches."""

    imports: tuple[Import, ...] = ()
    scripts: tuple[Script, ...] = ()
    #: Folders in which modules are looked for as well, relative to the working directory.
    folders: tuple[str, ...] = ()
    unseen: tuple[Unseen, ...] = ()
    #: Files that the code itself writes before it uses them.
    written: tuple[str, ...] = ()


def joined(*scans: Scan) -> Scan:
    """Return all that several pieces of code reach."""
    return Scan(
        imports=tuple(it for scan in scans for it in scan.imports),
        scripts=tuple(it for scan in scans for it in scan.scripts),
        folders=tuple(it for scan in scans for it in scan.folders),
        unseen=tuple(it for scan in scans for it in scan.unseen),
        written=tuple(it for scan in scans for it in scan.written),
    )


def parsed(source: str) -> ast.Module | None:
    """Return the tree of `source`; None if it is no Python."""
    with warnings.catch_warnings():
        # Its author is warned where the code runs.
        warnings.simplefilter("ignore")
        try:
            return ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def scanned(tree: ast.AST, file: str | None = None) -> Scan:
    """Return what the code of `tree`, from `file`, reaches."""
    finder = _Finder(file)
    finder.visit(tree)
    return Scan(
        tuple(finder.imports), tuple(finder.scripts), tuple(finder.folders), tuple(finder.unseen)
    )


class _Finder(ast.NodeVisitor):
    def __init__(self, file: str | None) -> None:
        self.imports: list[Import] = []
        self.scripts: list[Script] = []
        self.folders: list[str] = []
        self.unseen: list[Unseen] = []
        self._file = file
        #: How many ``try`` blocks that mend a failed import are around.
        self._mended = 0

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._import(alias.name, (), 0, node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        names = tuple(alias.name for alias in node.names)
        self._import(node.module or "", names, node.level, node)

    def visit_Try(self, node: ast.Try) -> None:
        mends = any(_catches_imports(handler) for handler in node.handlers)
        self._mended += mends
        for statement in node.body:
            self.visit(statement)
        self._mended -= mends
        for part in (*node.handlers, *node.orelse, *node.finalbody):
            self.visit(part)

    def visit_Call(self, node: ast.Call) -> None:
        name = dotted(node.func)
        if name in _IMPORTERS:
            self._import_by_call(node)
        elif name in _RUNNERS:
            self._run(name, node)
        elif name == "exec" and node.args and not isinstance(node.args[0], ast.Constant):
            self._miss(f"runs code by exec({_shown(node.args[0])})", _RUN_LITERALLY, node)
        elif name in _FOLDERS:
            for argument in _folder_arguments(name, node):
                self._folder(argument, node)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if dotted(node.target) == "sys.path":
            for item in _items(node.value):
                self._folder(item, node)
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        if any(_is_path(target) for target in node.targets):
            kept = [item for item in _items(node.value) if not isinstance(item, ast.Starred)]
            for item in kept:
                self._folder(item, node)
        self.generic_visit(node)

    def _import(self, module: str, names: tuple[str, ...], level: int, node: ast.AST) -> None:
        self.imports.append(Import(module, names, level, self._mended > 0, _line(node)))

    def _import_by_call(self, node: ast.Call) -> None:
        module = _constant(node.args[0]) if node.args else None
        if module is None:
            self._miss("imports a module whose name only shows when it runs", _BY_NAME, node)
            return
        plain = module.lstrip(".")
        self._import(plain, (), len(module) - len(plain), node)

    def _run(self, name: str, node: ast.Call) -> None:
        what = _constant(node.args[0]) if node.args else None
        if what is None:
            self._miss("runs a file whose path only shows when it runs", _RUN_LITERALLY, node)
        elif name.endswith("path"):
            self.scripts.append(Script(what, line=_line(node)))
        else:
            self._import(what, ("__main__",), 0, node)

    def _folder(self, argument: ast.expr, node: ast.AST) -> None:
        folder = folder_of(argument, self._file)
        if folder is None:
            what = f"looks for modules in {_shown(argument)}, which only shows when it runs"
            self._miss(what, _FOLDER_LITERALLY, node)
        else:
            self.folders.append(folder)

    def _miss(self, what: str, fix: str, node: ast.AST) -> None:
        self.unseen.append(Unseen(what, fix, _line(node)))


_IMPORTERS = frozenset({"importlib.import_module", "import_module", "__import__"})
_RUNNERS = frozenset({"runpy.run_path", "run_path", "runpy.run_module", "run_module"})
#: Calls that add a place for modules -> the position of their argument.
_FOLDERS = {"sys.path.append": 0, "sys.path.insert": 1, "sys.path.extend": 0}
_FOLDERS |= {"site.addsitedir": 0, "os.chdir": 0}
_IMPORT_ERRORS = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


def dotted(node: ast.AST) -> str:
    """Return ``a.b.c`` of such an expression, and nothing of any other."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return ""


def _folder_arguments(name: str, node: ast.Call) -> Iterator[ast.expr]:
    position = _FOLDERS[name]
    for argument in node.args[position : position + 1]:
        yield from _items(argument) if name == "sys.path.extend" else (argument,)


def _items(node: ast.expr) -> list[ast.expr]:
    """Return the items of a list that is written out, on either side of a ``+`` with sys.path."""
    if isinstance(node, (ast.List, ast.Tuple)):
        return node.elts
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [*_items(node.left), *_items(node.right)]
    return [] if _is_path(node) else [node]


def _is_path(node: ast.AST) -> bool:
    """Whether it is ``sys.path``, or a slice of it."""
    return dotted(node.value if isinstance(node, ast.Subscript) else node) == "sys.path"


def _catches_imports(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(dotted(kind).rpartition(".")[2] in _IMPORT_ERRORS for kind in kinds)


def _constant(node: ast.AST) -> str | None:
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return node.value if is_text else None  # type: ignore[attr-defined]


def _line(node: ast.AST) -> int:
    return getattr(node, "lineno", 0)


def _shown(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 40 else text[:39] + "…"  # noqa: PLR2004 - characters shown
