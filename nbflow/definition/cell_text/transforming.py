"""IPython's own syntax as plain Python: what IPython itself would run.

Magics and shell lines become calls of ``get_ipython()``, by IPython's own transformer. Where
the cell below a magic is Python, as under ``%%time``, IPython hides it in a string; here it stays
Python.
"""

import ast
import re
from collections.abc import Callable

import msgspec

#: Cell magics whose body is Python of this kernel, and whether what it assigns stays.
_PYTHON_BODIES = {
    "time": True,
    "capture": True,
    "nbflow_node": True,
    "prun": False,
    "timeit": False,
    "memit": False,
}
#: Cell magics whose line is Python too: code that runs first.
_WITH_SETUP = frozenset({"timeit"})
_TIMED = frozenset({"time", "timeit", "prun", "memit"})
_OPTIONS = re.compile(r"^(?:\s*-(?:[nrtp]\s*\d+|\w+))*")


class PlainText(msgspec.Struct, frozen=True):
    """A cell as plain Python; the fields are those of `nbflow.core.cells.CellText`."""

    text: str
    local: bool = False
    captures: str = ""
    unsure: str = ""


def plain_python(source: str, transform: Callable[[str], str] | None = None) -> PlainText:
    """Return a cell as plain Python, line by line where IPython keeps lines.

    What is not valid Python even so stays as it is: the analysis says so.

    Parameters
    ----------
    source
        The cell as its author wrote it.
    transform
        IPython's transformer of whole cells; by default one is made if it is needed.
    """
    if _is_python(source):
        return PlainText(source)
    lines = source.splitlines(keepends=True)
    blank = 0
    while blank < len(lines) and not lines[blank].strip():
        blank += 1
    first = lines[blank] if blank < len(lines) else ""
    name = first[2:].split(maxsplit=1)[0] if first.startswith("%%") and first[2:].strip() else ""
    if name in _PYTHON_BODIES:
        rest = first[2:].strip()[len(name) :].strip()
        body = plain_python("".join(lines[blank + 1 :]), transform)
        return _with_magic(name, rest, body, blank)
    transform = transform or cell_transformer()
    try:
        # IPython drops the blank lines at the top.
        return PlainText("\n" * blank + transform(source))
    except (SyntaxError, ValueError):
        return PlainText(source)


def cell_transformer() -> Callable[[str], str]:
    """Return IPython's transformer of whole cells."""
    from IPython.core.inputtransformer2 import TransformerManager  # heavy; rarely needed

    manager = TransformerManager()
    return lambda source: str(manager.transform_cell(source))


def _with_magic(name: str, line: str, body: PlainText, blank: int) -> PlainText:
    setup = _OPTIONS.sub("", line).strip() if name in _WITH_SETUP else ""
    words = [word for word in line.split() if not word.startswith("-")]
    captured = words[-1] if name == "capture" and words and words[-1].isidentifier() else ""
    timed = "how long it takes" if name in _TIMED else ""
    return PlainText(
        text="\n" * blank + setup + "\n" + body.text,
        local=body.local or not _PYTHON_BODIES[name],
        captures=captured or body.captures,
        unsure=timed or body.unsure,
    )


def _is_python(source: str) -> bool:
    try:
        compile(source, "<cell>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
