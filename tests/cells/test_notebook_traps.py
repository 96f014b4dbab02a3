# ruff: noqa: E501 - a trap is a line, a cell is a string
"""What belongs to notebooks: parameters, tags, errors half-way, kernels that die, odd notebooks."""

import time

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output, new_raw_cell
from staged_cells import Trap, written

from nbflow.core.states import NodeState

_N = {"params": {"n": 3}}

PARAMETERS = [
    Trap("without a cell for them", "a = n + 1", "b = n * 2", "a, b", **_N),
    Trap("with a cell for them", ("n = 1", ["parameters"]), "a = n + 1", "b = n * 2", "a, b", **_N),
    Trap("with one in the middle", "before = 1", ("n = 1\nm = [n]", ["parameters"]), "a = n, m", "b = before", "a, b", **_N),
    Trap("changed afterwards", "x = n", "n = n + 1", "y = n", "n = 'text'", "x, y, n", **_N),
    Trap("changed in place", ("rows = []", ["parameters"]), "a = len(rows)", "rows.append(4)", "b = len(rows)", "a, b, rows", params={"rows": [1, 2]}),
    Trap("not used at all", "a = 1", "b = 2", "a, b", **_N),
    Trap("default of another", ("n = 1\nm = n * 2", ["parameters"]), "a = m", "b = n", "a, b", **_N),
    Trap("given, and never declared", ("m = 1", ["parameters"]), "m", "n", "n + m", **_N),
    Trap("an older injected cell", ("n = 1", ["parameters"]), ("n = 2", ["injected-parameters"]), "a = n", "b = n + 1", "a, b", **_N),
    Trap("only an older injected cell", ("n = 2", ["injected-parameters"]), "a = n", "b = n + 1", "a, b", **_N),
    Trap("read by a function", "def f():\n    return n", "a = f()", "b = 1", "f(), a, b", **_N),
    Trap("deleted", "a = n", "del n", ("n", ["raises-exception"]), "a", in_order=True, **_N),
    Trap("an import comes first", "import math", "a = math.sqrt(n)", "b = math.floor(n)", "a, b", **_N),
    Trap("not given", ("n = 1", ["parameters"]), "a = n", "b = n", "a, b"),
    Trap("handed on as an output", ("n = 1", ["parameters"]), "a = n + 1", "b = 2", "b", outputs=("n", "a"), **_N),
]  # fmt: skip

TAGS = [
    Trap("an error that is expected", "a = 1", ("1 / 0", ["raises-exception"]), "b = 2", "a, b"),
    Trap("bound before an expected error", "x = 1", ("x = 2\n1 / 0\nx = 3", ["raises-exception"]), "y = 5", "x, y"),
    Trap("changed before an expected error", "x = []", ("x.append(1)\nx.append(1 / 0)", ["raises-exception"]), "y = 5", "x, y"),
    Trap("not run at all", "a = 1", ("a = 2", ["skip-execution"]), "b = a", "a, b"),
    Trap("an expected error that does not come", "a = 1", ("b = 2", ["raises-exception"]), "a, b"),
    Trap("text between cells", new_markdown_cell("# Title"), "a = 1", new_raw_cell("raw"), "b = 2", new_markdown_cell("end"), "a, b"),
    Trap("old outputs", new_code_cell("a = 1", outputs=[new_output("stream", text="old")], execution_count=7), new_code_cell("a + 1", outputs=[new_output("stream", text="older")], execution_count=9), "2"),
    Trap("a cell for outputs", "a = 1", ("total = a + 1\nname = 'x'", ["outputs"]), "b = 5", "b"),
    Trap("a barrier by tag", "a = []", ("a.append(1)", ["nbflow:barrier"]), "b = len(a)", "a, b"),
    Trap("after, by tag", ("a = 1", ["first"]), ("b = 2", ["nbflow:after=first"]), "a, b"),
    Trap("told to be pure, and is", "x = [1]", ("n = max(x)", ["nbflow:pure"]), "x.append(2)", "n, x"),
    Trap("told to be pure, and is not", "x = [1]", ("x.append(2)", ["nbflow:pure"]), "y = sum(x)", "x, y", in_order=True),
    Trap("slow cells and quick ones", "import time", "time.sleep(0.05)\na = 1", "time.sleep(0.01)\nb = 2", "a, b"),
]  # fmt: skip

ERRORS = [
    Trap("in the first cell", "1 / 0", "a = 1", "b = 2"),
    Trap("in one of two branches", "a = 1", "b = 2\nprint(b)", "c = a / 0", "d = b + 1\nprint(d)"),
    Trap("two branches fail: the first counts", "a = 0", "b = 1 / a", "c = [][a]", "d = 5"),
    Trap("a later branch fails first", "import time\na = 0", "time.sleep(0.3)\nb = 1 / a", "c = {}[a]", "d = 5"),
    Trap("files after it are not there", "a = 0", "b = 1", "1 / a", "open('after.txt', 'w').write('x')", "open(f'after-{b}.txt', 'w').write('x')"),
    Trap("files before it are", "open('before.txt', 'w').write('x')", "a = 0", "1 / a", "open('after.txt', 'w').write('x')"),
    Trap("programs after it have not run", "a = 0", "b = 1", "1 / a", "!touch after.txt"),
    Trap("a file that is written and then the error", "x = 1", "open('half.txt', 'w').write('a')\n1 / 0", "y = 2\nprint(y)"),
    Trap("emitted after it is not", "import nbflow\na = 0", "nbflow.emit('before', 1)", "1 / a", "nbflow.emit('after', 2)"),
    Trap("environ after it", "import os\na = 0", "1 / a", "os.environ['AFTER'] = '1'", "b = 1"),
    Trap("syntax", "a = 1", "print(a)", "def f(:", "b = 2\nprint(b)"),
    Trap("indentation", "a = 1\nprint(a)", "  b = 2\n c = 3", "d = 4"),
    Trap("an unknown magic", "a = 1\nprint(a)", "%no_such_magic", "b = 2\nprint(b)"),
    Trap("sys.exit", "a = 1", "import sys\nsys.exit(3)", "b = 2\nprint(b)"),
    Trap("exit()", "a = 1\nprint(a)", "exit()", "b = 2\nprint(b)"),
    Trap("raise SystemExit in a branch", "a = 1", "b = a + 1\nprint(b)", "raise SystemExit('enough')", "c = a\nprint(c)"),
    Trap("KeyboardInterrupt", "a = 1", "raise KeyboardInterrupt", "b = 2\nprint(b)"),
    Trap("an assertion with values", "a = [1, 2]", "assert len(a) == 3, f'{a} is short'", "b = 2"),
    Trap("a chain of errors", "def f():\n    try:\n        {}['k']\n    except KeyError as e:\n        raise ValueError('bad') from e", "a = 1", "f()", "b = 2"),
    Trap("a long traceback", "def f(n):\n    return 1 / n if n == 0 else f(n - 1)", "a = 1", "f(5)"),
    Trap("an exception group", "a = 1", "raise ExceptionGroup('many', [ValueError(1), KeyError('k')])", "b = 2"),
    Trap("recursion without end", "def f():\n    return f()", "a = 1", ("try:\n    f()\nexcept RecursionError:\n    print('deep')", []), "a"),
    Trap("an await that fails", "async def f():\n    raise OSError('no')", "a = 1", "await f()", "b = 2"),
    Trap("an undefined name is no conflict", "a = 1\nprint(a)", "b = 2", "print(not_there)", "c = 3\nprint(c)"),
    Trap("in a display", "class A:\n    def __repr__(self):\n        raise ValueError('no repr')\na = A()", "b = 1", "a", "b"),
    Trap("in a rich display", "class A:\n    def _repr_html_(self):\n        raise ValueError('no html')\na = A()", "b = 1", "a", "b"),
    Trap("two outputs and then the error", "a = 1", "print(a)\ndisplay(a)\n1 / 0", "b = 2"),
    Trap("custom traceback", "class Oops(Exception):\n    def _render_traceback_(self):\n        return ['mine']", "a = 1", "raise Oops('x')"),
]  # fmt: skip

#: What a kernel has begun to say is lost with it: so the last one says that a cell begins, first.
DEATHS = [
    Trap("os._exit", "a = 1\nprint(a)", "import os, time\ntime.sleep(0.5)\nos._exit(1)", "b = 2\nprint(b)"),
    Trap("SIGKILL", "a = 1\nprint(a)", "b = 5\nprint(b)", "import os, signal, time\ntime.sleep(0.5)\nos.kill(os.getpid(), signal.SIGKILL)", "c = 2\nprint(c)"),
    Trap("in a branch beside others", "a = 1", "b = a + 1\nprint(b)", "import os, time\ntime.sleep(0.5)\nif a:\n    os._exit(3)", "c = a + 2\nprint(c)"),
]  # fmt: skip

ODD = [
    Trap("no cell at all"),
    Trap("an empty cell", ""),
    Trap("only text", new_markdown_cell("text")),
    Trap("only imports", "import math", "import json"),
    Trap("one cell", "1 + 1"),
    Trap("one line in two cells is no line", "a = (1 +", "2)"),
    Trap("the same cell many times", "x = []", "x.append(len(x))", "x.append(len(x))", "x.append(len(x))", "x"),
    Trap("very long lines", "s = '" + "x" * 100_000 + "'", "t = len(s)", "u = s[:5]", "t, u"),
    Trap("text beyond ASCII", "größe = 'ß'\n名 = '🎉'", "x = größe * 2", "y = 名", "x, y, '\\uff58'"),
    Trap("names that are one after NFKC", "ﬁ = 1", "fi + 1", "x = 2", "ﬁ, x"),
    Trap("windows line ends", "a = 1\r\nb = 2\r\n", "a + b", "c = 3"),
    Trap("tabs and form feeds", "if True:\n\ta = 1", "\x0cb = 2", "a, b"),
    Trap("a lone surrogate", "s = '\\ud800'", "len(s)", "a = 1"),
    Trap("from __future__", "from __future__ import annotations\nx: Undefined = 1", "def f(a: AlsoUndefined): return a", "f(x)", "f.__annotations__"),
    Trap("a printed megabyte", "a = 1", "print('x' * 1_000_000)", "b = 2", "a, b"),
]  # fmt: skip

TRAPS = [*PARAMETERS, *TAGS, *ERRORS, *ODD]


@pytest.mark.parametrize("trap", TRAPS, ids=str)
def test_notebooks(workshop, trap):
    trap.holds(workshop)


@pytest.mark.parametrize("trap", DEATHS, ids=str)
def test_a_kernel_that_dies_is_no_answer_that_differs(workshop, trap):
    expected = trap.holds(workshop)
    assert expected.state is NodeState.FAILED
    assert "kernel_died" in expected.error


def test_a_run_has_the_notebook_that_it_began_with(workshop):
    book = written(
        "a = 1",
        "from pathlib import Path\nPath('book.ipynb').write_text('{}')",
        "b = a + 1",
        "print(b)",
    )
    _trap_of(book).holds(workshop)


def _trap_of(book):
    trap = Trap("a notebook of its own")
    trap.notebook = book
    return trap


def test_another_language_is_one_node(workshop):
    book = written(
        "x <- 1", "print(x)", kernelspec={"name": "ir", "language": "R", "display_name": "R"}
    )
    spec = workshop.stages_of(book, 0)
    assert [node.name for node in spec.nodes] == ["book"]


def test_a_thousand_tiny_cells(workshop):
    cells = ["x0 = 1", *(f"x{i} = x{i - 1} + 1" for i in range(1, 999)), "x998"]
    book = written(*cells)
    began = time.monotonic()
    spec = workshop.stages_of(book, 0)
    assert time.monotonic() - began < 10
    assert len(spec.nodes) >= 1
    _trap_of(book).holds(workshop, seeds=(0,))


def test_a_notebook_of_50_megabytes(workshop):
    big = new_output("stream", text="x" * 999 + "\n")
    big["text"] *= 50_000
    book = written(new_code_cell("a = 1", outputs=[big]), "b = 2", "c = a + b", "d = a - b", "c, d")
    assert len(nbformat.writes(book)) > 50_000_000
    _trap_of(book).holds(workshop, seeds=(0,))
