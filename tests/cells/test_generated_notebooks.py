# ruff: noqa: E501 - a piece of a notebook is a string
"""Notebooks put together at random give by cells what they give in order, however they are cut.

Pieces share few names, so that they alias, mutate, close over and rebind each other's variables. A
few run by default; ``--hypothesis-seed=random`` and ``NOTEBOOKS=500`` run many others.
"""

import os
import re

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from staged_cells import Trap

#: How many notebooks are tried.
NOTEBOOKS = int(os.environ.get("NOTEBOOKS", "8"))
#: `a` to `e` are filled in with variables, `f` with a function, `C` with a class.
PIECES = (
    "a = [1, 2]",
    "a = {'k': [3], 'l': 4}",
    "a = (b, c)",
    "a = b",
    "a = [b, c]",
    "a, b = b, a",
    "a = list(b)",
    "a = b[0]",
    "a = b[:1]",
    "a[0] = len(str(b))",
    "a.append(len(str(b)))",
    "a['k'] = len(str(b))",
    "a.setdefault('k', []).append(7)",
    "a += [9]",
    "b = a.pop()",
    "del a[0]",
    "a.sort(key=str)",
    "if len(str(a)) % 2:\n    b = [0]",
    "for i in range(2):\n    a = b\n    b = c\n    c = [i]",
    "for x in a:\n    x.append(1)",
    "try:\n    a = b[0]\n    c = 1\nexcept Exception as error:\n    d = str(type(error))",
    "a = [x for x in b]",
    "a = [(y := x) for x in b]",
    "match a:\n    case [b, *c]:\n        pass\n    case {'k': d}:\n        pass\n    case _:\n        b = 0",
    "a = iter([1, 2, 3])",
    "b = next(a)",
    "b = list(a)",
    "print(a, b)",
    "a",
    "def f(x=None):\n    return a",
    "def f(x=[]):\n    x.append(1)\n    return x",
    "def f(x=None):\n    global b\n    b = a\n    return b",
    "def f(x=0):\n    a.append(x)\n    return a",
    "def make():\n    n = [0]\n    def add(x=0):\n        n.append(len(str(a)))\n        return n\n    return add\nf = make()",
    "f = lambda x=0: [a, x]",
    "a = f()",
    "f(1)",
    "a = list(map(f, [1, 2]))",
    "b = {'f': f}",
    "class C:\n    shared = a\n    def __init__(self, x=0):\n        self.x = x\n    def get(self):\n        return [self.x, b]\n    def __repr__(self):\n        return f'C({self.x!r}, {c!r})'",
    "class C(C):\n    def get(self):\n        return [super().get(), a]",
    "a = C(b)",
    "b = a.get()",
    "a.x = b",
    "C.shared = a",
    "isinstance(a, C), type(a) is C",
    "import copy\na = copy.copy(b)",
    "from collections import defaultdict\na = defaultdict(list)\na['k'].append(1)",
    "exec('a = b')",
    "globals()['a'] = b",
    "import random\nrandom.seed(3)",
    "import random\na = random.random()",
    "import random\nrandom.shuffle(a)",
    "a = random.Random(1)",
    "b = a.random()",
    "a is b, a == b",
    "open('a.txt', 'a').write('a')",
    "print(open('a.txt').read())",
    "_",
    "from IPython.display import display\ndisplay(a)",
    "%%time\na = len(str(b))",
    "a = np.arange(6)",
    "a = np.array([1, 2]) + 1",
    "b = a[:2]",
    "b = a.reshape(-1)",
    "a[0] = 7",
    "a += 1",
    "np.add(a, 1, out=a)",
    "np.random.seed(5)",
    "a = np.random.rand(3)",
    "a = pd.DataFrame({'k': [3, 1, 2], 'l': [1.5, None, 2.5]})",
    "a['m'] = 1",
    "b = a['k']",
    "a.loc[0, 'k'] = 9",
    "a.fillna(0, inplace=True)",
    "a = b.sum()",
    "b = a.groupby('k').sum()",
    "a.sort_values('k', inplace=True)",
)  # fmt: skip
START = (
    "import random\nimport numpy as np\nimport pandas as pd\nrandom.seed(0)\nnp.random.seed(0)",
    "p = [1, [2]]\nq = {'k': [3], 'x': 1}",
    "r = np.arange(4.0)\ns = [[0], [4, 5]]",
    "def u(x=0):\n    return [x]",
    "v = lambda x=0: [p, x]",
    "class C:\n    def __init__(self, x=0):\n        self.x = x",
)
VARIABLES, FUNCTIONS = ("p", "q", "r", "s"), ("u", "v")
_PLACES = re.compile(r"(?<![\w'.\\])([a-f])(?![\w'])")


@st.composite
def cells(draw):
    pieces = draw(st.lists(st.sampled_from(PIECES), min_size=1, max_size=2))
    source = []
    for piece in pieces:
        names = {key: draw(st.sampled_from(VARIABLES)) for key in "abcde"}
        names["f"] = draw(st.sampled_from(FUNCTIONS))
        source.append(_PLACES.sub(lambda match, names=names: names[match[1]], piece))
    magic_first = sorted(source, key=lambda text: not text.startswith("%%"))
    return "\n".join(magic_first)


@settings(
    max_examples=NOTEBOOKS,
    deadline=None,
    derandomize="NOTEBOOKS" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
@given(
    body=st.lists(cells(), min_size=3, max_size=9),
    goes_on=st.booleans(),
    cut=st.integers(1, 99),
)
def test_any_notebook(workshop, body, goes_on, cut):
    # Where a cell may fail, and the notebook goes on, the last ones show what has become of all.
    tags = ("raises-exception",) if goes_on else ()
    shown = [(source, tags) for source in (*body, *VARIABLES, "u()", "v()")]
    trap = Trap("a notebook made at random", *START, *shown)
    trap.gives_the_same(workshop, (0, cut), may_refuse=True)
