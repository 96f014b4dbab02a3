"""Notebooks out of other projects' tests of dataflow: ``python -m corpus.cases FILE… FOLDER``.

Tests of reactive notebooks are sequences of cells that are hard to follow. They are read as text,
never imported, and only the cells are taken: ``run_cell("…")`` as ipyflow has it, one notebook for
each test function, and ``code={"0": "…"}`` with a name beside it as marimo has it. What the cells
should give is not asked of those tests: a run in order says it.

Most of these cells show nothing. So what they log is printed, and each variable is shown at the end
by a cell of its own, which may fail, since the variable may be gone.
"""

import ast
import re
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import nbformat
from nbformat.v4 import new_code_cell, new_notebook

#: Calls whose first argument is a cell.
_RUNS = frozenset({"run_cell", "run_cell_", "run_reactively"})
_KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
#: What ipyflow adds to Python: ``$x`` and ``$:x`` are ``x``.
_REACTIVE = re.compile(r"\$:?(?=[^\W\d])")
_LOGGED = re.compile(r"\blogg(?:ing|er)\.(?:info|warning|error)\(")
_NOT_A_NAME = re.compile(r"\W+")


def cases_in(source: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the name and the cells of each case in a Python file of tests."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
            cells = tuple(_cells_run(node))
            if cells:
                yield node.name, cells
        elif isinstance(node, ast.Call):
            named = {each.arg: each.value for each in node.keywords}
            name, code = _text(named.get("name")), named.get("code")
            if name and isinstance(code, ast.Dict):
                cells = tuple(text for each in code.values if (text := _text(each)) is not None)
                if len(cells) == len(code.values):
                    yield name, cells


def notebook_of(cells: Sequence[str]) -> nbformat.NotebookNode:
    """Return a notebook with these cells, which shows what they have made."""
    plain = [_REACTIVE.sub("", _LOGGED.sub("print(", cell)) for cell in cells]
    made = [new_code_cell(text) for text in plain]
    made += [
        new_code_cell(name, metadata={"tags": ["raises-exception"]})
        for name in dict.fromkeys(name for text in plain for name in _bound(text))
    ]
    for number, cell in enumerate(made):
        cell["id"] = f"cell-{number}"
    return new_notebook(cells=made, metadata={"kernelspec": _KERNEL})


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def main(files: tuple[Path, ...], folder: Path) -> None:
    """Write the cases in FILES into FOLDER, a notebook each."""
    for file in files:
        below = folder / file.stem
        below.mkdir(parents=True, exist_ok=True)
        count = 0
        for count, (name, cells) in enumerate(cases_in(file.read_text()), start=1):
            title = _NOT_A_NAME.sub("-", name).strip("-")
            nbformat.write(notebook_of(cells), below / f"{count:03d}-{title}.ipynb")
        print(f"{below}: {count} notebooks")


def _cells_run(function: ast.FunctionDef) -> Iterator[str]:
    """Yield the cells that a test runs, in the order of its text; what it computes is left out."""
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    for call in sorted(calls, key=lambda it: (it.lineno, it.col_offset)):
        if isinstance(call.func, ast.Name) and call.func.id in _RUNS and call.args:
            text = _text(call.args[0])
            if text is not None:
                yield text


def _text(node: ast.expr | None) -> str | None:
    """Return the text that an expression is, or that it takes the margin of."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return textwrap.dedent(node.value).strip("\n")
    wraps = isinstance(node, ast.Call) and ast.unparse(node.func).endswith("dedent") and node.args
    return _text(node.args[0]) if isinstance(node, ast.Call) and wraps else None


def _bound(text: str) -> Iterator[str]:
    """Yield the variables that a cell binds at its top level, as far as its text says so."""
    try:
        body = ast.parse(text).body
    except SyntaxError:
        return
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
            elif isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda):
                break


if __name__ == "__main__":
    main()
