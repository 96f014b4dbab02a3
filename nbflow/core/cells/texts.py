"""Code inside texts: IPython's magics, shell lines, and queries of tables."""

import ast
import re
from collections.abc import Callable, Sequence
from typing import Protocol

from nbflow.core.cells.arguments import Arguments
from nbflow.core.cells.calls import Calls
from nbflow.core.cells.effects.language import EVALUATES, SCALAR, Effect
from nbflow.core.cells.effects.magics import (
    CELL_MAGICS,
    LINE_MAGICS,
    PYTHON_LINES,
    QUIET_EXTENSIONS,
)
from nbflow.core.cells.memory import Memory
from nbflow.core.cells.values import NUMBER, Frame, Text, Value

#: What IPython puts into shell lines and magics: ``{name}``, ``{name.part}``, ``$name``.
_INSERTED = re.compile(r"(?<!\\)\$\{?([A-Za-z_]\w*)|\{([A-Za-z_]\w*)[^{}]*\}")
_QUERIED = re.compile(r"@([A-Za-z_]\w*)")
#: Variables into which ``%%bash --out name`` puts what a program prints.
_CAUGHT = re.compile(r"--(?:out|err|proc)[ =]([A-Za-z_]\w*)")
_METHODS = frozenset({"run_line_magic", "run_cell_magic", "system", "getoutput"})
_SHELL = Effect(barrier="it runs a shell command")
_UNKNOWN = Effect(barrier="it uses a magic that nbflow does not know", namespace=True, kernel=True)


class Follower(Protocol):
    """Who follows expressions."""

    memory: Memory
    calls: Calls
    frame: Frame
    execute: Callable[[Sequence[ast.stmt]], None]

    def load(self, name: str, node: ast.AST) -> Value:
        """Read a name."""
        ...


def is_magic(node: ast.Call) -> bool:
    """Whether a call is what IPython makes of a magic or a shell line."""
    return (
        isinstance(node.func, ast.Attribute)
        and node.func.attr in _METHODS
        and isinstance(node.func.value, ast.Call)
        and isinstance(node.func.value.func, ast.Name)
        and node.func.value.func.id == "get_ipython"
        and all(isinstance(part, ast.Constant) for part in node.args)
    )


def follow_magic(follower: Follower, node: ast.Call) -> Value:
    """Follow a magic or a shell line, as IPython writes it; see `is_magic`."""
    assert isinstance(node.func, ast.Attribute)
    words = [str(part.value) for part in node.args if isinstance(part, ast.Constant)]
    method = node.func.attr
    if method in ("system", "getoutput"):
        _insert(follower, words, node)
        _apply(follower, _SHELL, "", node)
        made = follower.memory.region(node, deep=False)
        return Value("list", frozenset({made})) if method == "getoutput" else NUMBER
    name, line = words[0], words[1]
    if method == "run_cell_magic":
        _insert(follower, words[1:], node)
        _apply(follower, CELL_MAGICS.get(name, _UNKNOWN), line, node)
        memory = follower.memory
        for variable in _CAUGHT.findall(line):
            text = Value("", frozenset({memory.region(node)}))
            memory.bind(memory.globals, variable, text, node)
    elif name in PYTHON_LINES:
        _follow_python(follower, line, node, stays=PYTHON_LINES[name])
    else:
        _insert(follower, [line], node)
        _apply(follower, _line_effect(follower, name, line), line, node)
    return NUMBER


def follow_query(follower: Follower, node: ast.Call) -> None:
    """Read the variables that ``df.query("x > @limit")`` and ``df.eval`` name."""
    text = node.args[0] if node.args else None
    if isinstance(text, ast.Constant) and isinstance(text.value, str):
        for name in _QUERIED.findall(text.value):
            follower.load(name, node)
        return
    memory = follower.memory
    memory.page.stop(EVALUATES, memory.act("uses", node))
    memory.forget(node)


def _line_effect(follower: Follower, name: str, line: str) -> Effect:
    if name == "matplotlib" and line.strip() not in ("inline", ""):
        follower.calls.library.figures_stay = True
    if name in ("load_ext", "reload_ext"):
        quiet = line.strip() in QUIET_EXTENSIONS
        return LINE_MAGICS["config"] if quiet else _UNKNOWN
    if name in ("env", "set_env") and not line.strip():
        return Effect()
    return LINE_MAGICS.get(name, _UNKNOWN)


def _follow_python(follower: Follower, line: str, node: ast.Call, *, stays: bool) -> None:
    # Options come first: `%timeit -n 10 f(x)`.
    code = re.sub(r"^(?:\s*-\w+(?:\s*\d+)?\s)*", "", line).strip()
    try:
        body = ast.parse(code).body
    except SyntaxError:
        _apply(follower, _UNKNOWN, "", node)
        return
    for part in ast.walk(ast.Module(body, [])):
        # Where the whole stands in its cell.
        ast.copy_location(part, node)
    follower.memory.page.unsure["how long it takes"] = follower.memory.act("uses", node)
    outer = follower.frame
    if not stays:
        # It runs in a function of its own, where what it assigns is local.
        follower.frame = Frame("class", None, outer)
    follower.execute(body)
    follower.frame = outer


def _insert(follower: Follower, words: Sequence[str], node: ast.Call) -> None:
    for word in words:
        for dollar, braces in _INSERTED.findall(word):
            name = dollar or braces
            if name in follower.memory.globals.names:
                follower.load(name, node)


def _apply(follower: Follower, effect: Effect, line: str, node: ast.Call) -> None:
    paths = [word for word in line.split() if not word.startswith("-")]
    text = Value(SCALAR, text=Text(paths[-1])) if paths else NUMBER
    follower.calls.library.apply(effect, None, Arguments((text,)), node)
