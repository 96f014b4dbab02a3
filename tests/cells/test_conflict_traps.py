# ruff: noqa: E501 - a trap is a line, a cell is a string
"""What no analysis can see is seen when it happens: then the notebook is run in order, or refused."""

import pytest
from staged_cells import Trap

#: Seen by nobody before, and by the kernel when it happens.
TRAPS = [
    Trap("a name read through a frame", "x = [1, 2]", "y = 5", "import sys\nnames = sys._getframe().f_globals\nprint(names['x'], y)"),
    Trap("a library that reads its caller's names", "x = [1, 2]", "y = 5", "import sys\nread = sys.modules['operator'].getitem\nframe = getattr(sys, '_get' + 'frame')()\nprint(read(getattr(frame, 'f_globals'), 'x'), y)"),
    Trap("a name bound through a frame", "a = 1", "import sys\nsys._getframe().f_globals['hidden'] = 5", "b = a", "hidden + b"),
    Trap("a name bound through inspect", "import inspect", "inspect.currentframe().f_globals['a'] = 2", "b = 1", "a, b"),
    Trap("__main__ by import", "import __main__\nx = 1", "__main__.x = 2", "y = 3", "x, y"),
    Trap("__main__ by sys.modules", "import sys\nx = 1", "sys.modules['__main__'].x = 2", "y = 3", "x, y"),
    Trap("changed through the garbage collector", "x = ['mark', 1]", "y = 2", "import gc\n[o for o in gc.get_objects() if type(o) is list and len(o) == 2 and o[0] == 'mark'][0].append(3)", "print(x)"),
    Trap("changed through its referrers", "x = [[1]]\ny = x[0]", "import gc\nd = [o for o in gc.get_referrers(y) if type(o) is list and o and o[0] is y][0]\nd.append(5)", "z = 1", "x, z"),
    Trap("globals of a function", "x = 1\ndef f():\n    return x", "f.__globals__['x'] = 2", "y = 1", "f(), x, y"),
    Trap("a method that is not what its name says", "class Box:\n    def __init__(self):\n        self.l = []\n    def __len__(self):\n        self.l.append(1)\n        return len(self.l)\nb = Box()", "len(b)", "x = 1", "len(b), x"),
    Trap("a library patched by name", "import importlib\nx = [1]", "importlib.import_module('text' + 'wrap').shorten = lambda v: 'patched'", "import textwrap", "textwrap.shorten(x)"),
    Trap("monkey-patch by setattr", "import textwrap\nname = 'shorten'", "setattr(textwrap, name, lambda v: 'patched')", "x = 1", "textwrap.shorten(x)"),
    Trap("a file through ctypes", "import ctypes\nlibc = ctypes.CDLL(None)", "f = libc.open(b'native.txt', 0o101, 0o644)\nlibc.write(f, b'1', 1)\nlibc.close(f);", "x = 1", "open('native.txt').read(), x"),
    Trap("a seed by ctypes' way", "import random\nrandom.seed(1)", "getattr(random, 'se' + 'ed')(2)", "x = 5", "random.random(), x"),
    Trap("a generator behind a name", "import random\nrandom.seed(1)\nd = {'draw': random.random}", "a = d['draw']()", "b = 1", "c = d['draw']()", "a, b, c"),
    Trap("a cell that says it is pure, and writes", "x = 1", ("open('a.txt', 'w').write('1')", ["nbflow:pure"]), "y = 2", "import os\nos.path.exists('a.txt'), x, y"),
    Trap("settings by another name", "import decimal\nc = decimal.getcontext()", "c.prec = 4", "x = 1", "decimal.Decimal(1) / 3, x"),
    Trap("a class of a library gets an attribute", "import fractions\nF = fractions.Fraction", "F.mine = 5", "x = 1", "fractions.Fraction(1, 2).mine, x"),
    Trap("a module's list", "import sys\nx = 1", "sys.argv.append('more')", "y = 2", "'more' in sys.argv, x, y", "sys.argv.pop();"),
    Trap("an object that forgets when copied", "class Odd:\n    def __init__(self):\n        self.v = 5\n    def __reduce__(self):\n        return (Odd, ())\no = Odd()\no.v = 7", "a = o.v", "b = 1", "o.v, a, b"),
    Trap("an object that cannot be copied", "class Odd:\n    def __reduce__(self):\n        raise TypeError('never')\no = Odd()\no.v = 7", "a = o.v", "b = 1", "o.v, a, b"),
    Trap("an object that hides what it has", "class Odd:\n    def __init__(self):\n        self.v = []\n    def __getstate__(self):\n        return {'v': []}\no = Odd()\no.v.append(1)", "a = len(o.v)", "b = 1", "o.v, a, b"),
]  # fmt: skip


@pytest.mark.parametrize("trap", TRAPS, ids=str)
def test_what_nobody_could_know(workshop, trap):
    """It is given up where that is seen; and where it cannot be run again, it says so."""
    trap.gives_the_same(workshop, (0, 1), may_refuse=True)
