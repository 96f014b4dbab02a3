"""Which names are a function's own: Python's scoping rules, read off the syntax tree.

The standard library's `symtable` answers the same for a whole source, but its tables cannot be
joined with nodes of a tree. A test compares the two.
"""

import ast
from collections.abc import Iterable, Iterator
from typing import TypeAlias

import msgspec

FunctionNode: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.GeneratorExp
_INNER = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class Scope(msgspec.Struct, frozen=True):
    """The names of one function: its own, and those that it declares to be somebody else's."""

    own: frozenset[str]
    declared_global: frozenset[str]
    declared_nonlocal: frozenset[str]
    yields: bool


def scope_of(node: FunctionNode) -> Scope:
    """Return the names of a function, or of a generator expression."""
    if isinstance(node, ast.GeneratorExp):
        targets = (name for part in node.generators for name in _bound(part.target))
        return Scope(frozenset(targets), frozenset(), frozenset(), yields=True)
    body: list[ast.AST] = [node.body] if isinstance(node, ast.Lambda) else list(node.body)
    bound = set(parameters(node.args))
    outer: set[str] = set()
    enclosing: set[str] = set()
    yields = False
    for part in _parts(body):
        if isinstance(part, ast.Global):
            outer.update(part.names)
        elif isinstance(part, ast.Nonlocal):
            enclosing.update(part.names)
        elif isinstance(part, (ast.Yield, ast.YieldFrom)):
            yields = True
        else:
            bound.update(_names_bound_by(part))
    return Scope(
        frozenset(bound - outer - enclosing), frozenset(outer), frozenset(enclosing), yields
    )


def parameters(args: ast.arguments) -> Iterator[str]:
    """Yield the names of all parameters."""
    for arg in (*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg):
        if arg is not None:
            yield arg.arg


def comprehension_targets(generators: Iterable[ast.comprehension]) -> frozenset[str]:
    """Return the names that a comprehension has for itself."""
    return frozenset(name for part in generators for name in _bound(part.target))


def _parts(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield all nodes of a body, without those of the scopes inside it."""
    stack = list(nodes)
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, _INNER):
            stack.extend(_outside(node))
        elif isinstance(node, _COMPREHENSIONS):
            # A comprehension's targets are its own; what `:=` binds in it is ours.
            stack.extend(inner for inner in ast.walk(node) if isinstance(inner, ast.NamedExpr))
        else:
            stack.extend(ast.iter_child_nodes(node))


def _outside(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what of an inner function or class is evaluated outside of it."""
    yield from getattr(node, "decorator_list", ())
    if isinstance(node, ast.ClassDef):
        yield from node.bases
        yield from (keyword.value for keyword in node.keywords)
    else:
        args: ast.arguments = getattr(node, "args")  # noqa: B009 - three classes have it
        yield from args.defaults
        yield from (default for default in args.kw_defaults if default is not None)


def _names_bound_by(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Name(ctx=ast.Store() | ast.Del()):
            yield node.id
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield node.name
        case ast.Import() | ast.ImportFrom():
            for alias in node.names:
                yield (alias.asname or alias.name).partition(".")[0]
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
            yield name
        case ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
            yield name
        case _:
            return


def _bound(target: ast.AST) -> Iterator[str]:
    for node in ast.walk(target):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
