"""Which variables can be made anew by running their defining statement again.

Only statements of a few forms count, which do nothing but bind one name to a new object that was
not used yet: a generator expression, a call of a generator function of the notebook's own, a view
of a dictionary or of bytes. And every name in them must have one meaning in the whole notebook:
bound once, so that it stands for the same as then. Whether the object has been used meanwhile is
seen in the kernel (`guest_namespace.keeping.is_untouched`).
"""

import ast
from collections.abc import Mapping

from nbflow.notebooks.checkpoints.cell_code import CellCode
from nbflow.notebooks.checkpoints.fitness import bound_names

_VIEWS = frozenset({"items", "keys", "values"})
#: What binds names behind the back of the text.
_HIDDEN_BINDERS = frozenset({"eval", "exec", "globals", "setattr", "vars", "__import__"})


def replays(codes: Mapping[int, CellCode]) -> dict[str, str]:
    """Return the statements that make variables anew, by name; `codes` are all cells there are."""
    if any(code.magics or _binds_unseen(code) for code in codes.values()):
        return {}
    counts = bound_names(codes.values())
    once = {name for name, count in counts.items() if count == 1}
    generators = {
        node.name
        for code in codes.values()
        for tree in code.trees
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name in once and _is_generator(node)
    }
    found = {}
    for code in codes.values():
        for statement in (each for tree in code.trees for each in tree.body):
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=value) if name in once:
                    if _is_pure(value, generators) and _names(value) <= once:
                        found[name] = _in_its_place(code.source, statement)
    return found


def _in_its_place(source: str, statement: ast.stmt) -> str:
    """Return a statement so that tracebacks show it where it stands."""
    text = ast.get_source_segment(source, statement, padded=True)
    return "\n" * (statement.lineno - 1) + (text or ast.unparse(statement)).lstrip()


def _is_pure(value: ast.expr, generators: set[str]) -> bool:
    match value:
        case ast.GeneratorExp(generators=[first, *_]):
            # Nothing but the first source is looked at before somebody asks.
            return isinstance(first.iter, ast.Name)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in generators:
            return all(isinstance(each, (ast.Constant, ast.Name)) for each in args)
        case ast.Call(func=ast.Name(id="memoryview"), args=[ast.Name()], keywords=[]):
            return True
        case ast.Call(func=ast.Attribute(value=ast.Name(), attr=attr), args=[], keywords=[]):
            return attr in _VIEWS
    return False


def _names(value: ast.expr) -> set[str]:
    """Return the names that a statement takes from around it, but for its own and `memoryview`."""
    named = [node for node in ast.walk(value) if isinstance(node, ast.Name)]
    if isinstance(value, ast.GeneratorExp):
        # What it asks for later is looked up later, in the same namespace.
        return (
            {value.generators[0].iter.id}
            if isinstance(value.generators[0].iter, ast.Name)
            else {""}
        )
    return {node.id for node in named} - {"memoryview"}


def _is_generator(function: ast.FunctionDef) -> bool:
    """Whether a call runs nothing of a function, since it is a generator without decorators."""
    if function.decorator_list:
        return False
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.Yield, ast.YieldFrom)):
            return True
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            waiting += ast.iter_child_nodes(node)
    return False


def _binds_unseen(code: CellCode) -> bool:
    return any(
        (isinstance(node, ast.ImportFrom) and any(each.name == "*" for each in node.names))
        or (isinstance(node, ast.Name) and node.id in _HIDDEN_BINDERS)
        for node in code.nodes()
    )
