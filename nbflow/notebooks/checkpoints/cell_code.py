"""The code of Python cells as trees, with what IPython's magics hide.

A magic becomes a call of ``get_ipython()``; the body of a cell magic that runs it as Python is
looked into as well.
"""

import ast
from collections.abc import Iterator

import msgspec

#: Cell magics whose body is Python, and runs in the notebook's namespace.
TRANSPARENT = frozenset({"capture", "prun", "time", "timeit"})


class CellCode(msgspec.Struct, frozen=True):
    """What a cell runs. `magics` are the names of its magics, `texts` what they are given."""

    #: As Python is given it.
    source: str
    trees: tuple[ast.Module, ...]
    magics: tuple[str, ...]
    texts: tuple[str, ...]

    def nodes(self) -> Iterator[ast.AST]:
        """Yield all nodes but those that magics have become."""
        for tree in self.trees:
            yield from _without_magics(tree)


def cell_code(source: str) -> CellCode:
    """Return the code of a cell; `SyntaxError` if it is none."""
    # Lazy: a tenth of a second, which few notebooks need.
    from IPython.core.inputtransformer2 import TransformerManager

    transformed = TransformerManager().transform_cell(source)
    trees, magics, texts = [], [], []
    waiting = [transformed]
    while waiting:
        tree = ast.parse(TransformerManager().transform_cell(waiting.pop()))
        trees.append(tree)
        for node in ast.walk(tree):
            call = _magic(node)
            if call is None:
                continue
            kind, arguments = call
            magics.append(arguments[0] if kind.endswith("_magic") and arguments else kind)
            texts += arguments[1:] if kind.endswith("_magic") else arguments
            if kind == "run_cell_magic" and arguments[0] in TRANSPARENT:
                waiting.append(arguments[-1])
            if kind == "run_line_magic" and arguments[0] in TRANSPARENT:
                waiting.append(arguments[-1])
    return CellCode(transformed, tuple(trees), tuple(magics), tuple(texts))


def _magic(node: ast.AST) -> tuple[str, list[str]] | None:
    """Return the method and the texts of a call such as ``get_ipython().run_line_magic(…)``."""
    match node:
        case ast.Call(
            func=ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython")), attr=kind),
            args=args,
        ) if kind in _METHODS:
            return kind, [str(each.value) for each in args if isinstance(each, ast.Constant)]
    return None


_METHODS = frozenset({"run_line_magic", "run_cell_magic", "system", "getoutput"})


def _without_magics(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if _magic(child) is None:
            yield child
            yield from _without_magics(child)
