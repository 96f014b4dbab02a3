# ruff: noqa: E501 - a piece of a notebook is a string
"""A cell, run after nothing but the cells that it depends on, does what it does in the whole notebook.

Notebooks are put together from small pieces that share few names, so that they alias, mutate, close
over and rebind each other's variables;
and run in plain `exec`. Cells that would fail are left out.
"""

import contextlib
import io
import random
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbflow.core.cells import CellText, analyze

#: `a` to `e` are filled in with variables, `f` and `g` with functions, `C` with a class.
PIECES = (
    "a = [1, 2]",
    "a = {'k': [3], 'l': 4}",
    "a = 5",
    "a = (b, c)",
    "a = b",
    "a = [b, c]",
    "a = {'x': b}",
    "a, b = b, a",
    "a = list(b)",
    "a = b[0]",
    "a = b['k']",
    "a = b[:1]",
    "a[0] = b",
    "a.append(b)",
    "a.append(len(str(b)))",
    "a['k'] = b",
    "a.update(x=1)",
    "a.setdefault('k', []).append(7)",
    "a += [9]",
    "a += b",
    "a = a + 1",
    "b = a.pop()",
    "del a[0]",
    "del a\na = b",
    "a.sort(key=str)",
    "if len(str(a)) % 2:\n    b = [0]\n",
    "if len(str(a)) % 2:\n    b = c\nelse:\n    b = d",
    "for a in b:\n    c = a",
    "for i in range(2):\n    a = b\n    b = c\n    c = [i]",
    "for x in a:\n    x.append(1)",
    "while len(a) < 4:\n    a.append(b)",
    "try:\n    a = b[0]\n    c = 1\nexcept Exception as error:\n    d = str(type(error))",
    "a = [x for x in b]",
    "a = {str(x): y for x, y in zip(b, c)}",
    "a = [(y := x) for x in b]",
    "if (a := b):\n    pass",
    "match a:\n    case [b, *c]:\n        pass\n    case {'k': d}:\n        pass\n    case _:\n        b = 0",
    "a = (x for x in b)",
    "a = iter(b)",
    "b = next(a)",
    "b = list(a)",
    "print(b, *a)",
    "a = zip(b, c)\n",
    "def f(x=None):\n    return a",
    "def f(x=[]):\n    x.append(1)\n    return x",
    "def f(x=None):\n    global b\n    b = a\n    return b",
    "def f(x=a):\n    return [x, b]",
    "def f(x=0):\n    a.append(x)\n    return a",
    "def f(x=0):\n    def inner():\n        return g(x)\n    return inner()",
    "def make():\n    n = [0]\n    def get(x=0):\n        return n\n    def add(x=0):\n        n.append(a)\n        return n\n    return get, add\nf, g = make()",
    "def f(x=0):\n    yield a\n    yield b",
    "f = lambda x=0: [a, x]",
    "f = g",
    "a = f",
    "b = a()",
    "a = f()",
    "a = f(b)",
    "f(a)",
    "a = [f, g]",
    "b = [x() for x in a]",
    "a = list(map(f, b))",
    "a = sorted(b, key=lambda x: (c, str(x)))",
    "b = {'f': f}",
    "c = b['f'](a)",
    "def wrap(h):\n    def inner(*args, **kwargs):\n        a.append(1)\n        return h(*args, **kwargs)\n    return inner\n@wrap\ndef f(x=0):\n    return b",
    "class C:\n    shared = a\n    def __init__(self, x=0):\n        self.x = x\n    def get(self):\n        return [self.x, b]\n    def put(self, x):\n        self.x = x\n        return self\n    def __repr__(self):\n        return f'C({c!r})'",
    "class C:\n    count = 0\n    def __init__(self, x=0):\n        C.count += 1\n        self.items = []\n    @property\n    def all(self):\n        return [self.items, a]\n    def get(self):\n        self.items.append(b)\n        return self.items\n    def put(self, x):\n        self.items.append(x)",
    "class C(C):\n    def get(self):\n        return [super().get(), a]",
    "a = C()",
    "a = C(b)",
    "b = a.get()",
    "a.put(b)",
    "b = a.all",
    "a.x = b",
    "b = a.x",
    "C.shared = a",
    "b = a.shared",
    "print(a)",
    "print(f'{a} {b!r}')",
    "a == b",
    "b = getattr(a, 'x', None)",
    "setattr(a, 'x', b)",
    "import copy\na = copy.copy(b)",
    "import copy\na = copy.deepcopy(b)",
    "from functools import partial\na = partial(f, b)",
    "from collections import defaultdict\na = defaultdict(list)\na['k'].append(b)",
    "a = len(repr(b).split('0x')[0])",
    "a, *b = c",
    "a[0], b = b, c",
    "with contextlib.suppress(Exception):\n    a = b['k']\n    c = 1",
    "exec('a = b')",
    "globals()['a'] = b",
    "import random\nrandom.seed(3)",
    "import random\na = random.random()",
    "import random\na = random.choice(b)",
    "import random\nrandom.shuffle(a)",
    "a = random.Random(1)",
    "b = a.random()",
)  # fmt: skip
#: Pieces with arrays and tables, from notebooks as people write them.
DATA_PIECES = (
    "a = np.arange(6)",
    "a = np.zeros((2, 3))",
    "a = np.array(b)",
    "a = np.asarray(b)",
    "a = b.reshape(-1)",
    "a = b.T",
    "a = b[:2]",
    "a = b[b > 1]",
    "a[0] = 7",
    "a[:2] = b",
    "a += 1",
    "a = a + b",
    "np.add(a, 1, out=a)",
    "np.add(a, 1, a)",
    "np.sqrt(abs(a), a)",
    "np.fill_diagonal(a, 3)",
    "np.copyto(a, 2)",
    "a.sort()",
    "a.fill(4)",
    "a = np.sort(b)",
    "a = [b, np.sum(b)]",
    "a = b[0]",
    "for x in a:\n    x += 1",
    "a = {'k': b}",
    "a = b['k']",
    "a = pd.DataFrame({'k': [3, 1, 2], 'l': [1.5, None, 2.5]})",
    "a = pd.DataFrame({'k': np.arange(3), 'l': [1, 1, 2]})",
    "a = pd.Series([1, 2, 3], name='k')",
    "a = pd.DataFrame({'k': b})",
    "a = b.copy()",
    "a = b.head(2)",
    "a = b[['k']]",
    "a = b.k",
    "a = b.values",
    "a = b.to_numpy()",
    "a['m'] = 1",
    "a['m'] = b",
    "a.loc[0, 'k'] = 9",
    "a.iloc[0] = 0",
    "a.columns = ['k' + str(i) for i in range(len(a.columns))]",
    "a.drop(columns='k', inplace=True)",
    "a.fillna(0, inplace=True)",
    "a = b.fillna(0)",
    "a.sort_values('k', inplace=True)",
    "a = b.sort_values('k')",
    "a.rename(columns={'k': 'z'}, inplace=True)",
    "a = b.rename(columns={'z': 'k'})",
    "a.insert(0, 'n', 5)",
    "b = a.pop('k')",
    "del a['k']",
    "a = b.groupby('k')",
    "a = b.sum()",
    "a = b.groupby('k').sum()",
    "a = pd.concat([b, c])",
    "a = pd.concat([b, c], axis=1)",
    "a = b.apply(lambda x: x * d)",
    "a = b.assign(m=lambda t: t['k'] + d)",
    "a = b.pipe(f)",
    "a = b.apply(f)",
    "a = b.query('k > @d')",
    "a = b.to_dict()",
    "a = b.index",
    "a.index = range(len(a))",
    "a = b.reset_index()",
    "for i, x in a.iterrows():\n    b = x",
    "a = b.set_index('k')",
    "a.update(b)",
    "np.random.seed(5)",
    "a = np.random.rand(3)",
    "np.random.shuffle(a)",
    "a = b.sample(2)",
    "a = b.sample(2, random_state=1)",
    "a = np.random.default_rng(0)",
    "b = a.random()",
    "b = a.normal(size=3)",
    "a.shuffle(b)",
    "a = int(np.sum(b))",
    "def f(x=None):\n    return x",
    "def f(x=0):\n    return x * a",
    "def f(x=0):\n    a.iloc[0] = 1\n    return x",
    "def f(x=a):\n    x[0] = 1\n    return x",
    "a = f(b)",
    "a = [f(b), c]",
    "a, b = b, a",
    "a = b",
    "print(a)",
    "a = np.vectorize(lambda x: x + d)(b)",
    "a = b.clip(0, 2)",
    "a = np.where(b > 1, b, 0)",
    "a = np.split(b, 2)",
    "a = np.concatenate([b, c])",
    "a = b.flatten()",
    "a = b.ravel()",
    "a = b.astype(float)",
    "a = b.map(lambda x: x)",
    "a.flags.writeable = False",
    "a.flat[0] = 1",
    "a.name = 'k'",
    "a.attrs['x'] = b",
    "a = b.attrs",
    "c = a.at[0, 'k']",
    "a.at[0, 'k'] = 4",
    "a.resize((3,), refcheck=False)",
    "np.put(a, [0], [9])",
    "a = np.broadcast_to(b, (2,) + b.shape)",
    "a = np.nditer(b)",
    "a = LinearRegression()",
    "a.fit(b, c)",
    "d = a.predict(b)",
    "a = StandardScaler().fit(b)",
    "d = a.transform(b)",
    "d = a.fit_transform(b)",
    "a, b = train_test_split(c, random_state=0)",
    "a, b = train_test_split(c)",
    "a = make_pipeline(StandardScaler(), c)",
)  # fmt: skip
DATA_START = (
    (
        "import numpy as np\nimport pandas as pd\n"
        "from sklearn.linear_model import LinearRegression\n"
        "from sklearn.model_selection import train_test_split\n"
        "from sklearn.pipeline import make_pipeline\n"
        "from sklearn.preprocessing import StandardScaler"
    ),
    "p = np.arange(6.0).reshape(2, 3)\nq = pd.DataFrame({'k': [3, 1, 2], 'l': [1.5, None, 2.5]})",
    "r = pd.Series([3, 1, 2], name='k')\ns = 2",
    "def u(x=0):\n    return x",
    "v = lambda x=0: [p, x]",
    "class C:\n    pass",
)
SHOW = "print({name} if not hasattr({name}, '__next__') else list({name}))"
VARIABLES = ("p", "q", "r", "s")
FUNCTIONS = ("u", "v")

START = (
    "import contextlib\nimport random",
    "p = [1, [2]]\nq = {'k': [3], 'x': 1}",
    "r = [[0], [4, 5]]\ns = 6",
    "def u(x=0):\n    return [x]",
    "v = lambda x=0: [p, x]",
    "class C:\n    def __init__(self, x=0):\n        self.x = x",
)


@st.composite
def cells(draw, pieces):
    piece = draw(st.sampled_from(pieces))
    names = {key: draw(st.sampled_from(VARIABLES)) for key in "abcde"}
    names |= {key: draw(st.sampled_from(FUNCTIONS)) for key in "fg"}
    return _filled(piece, names)


def _filled(piece, names):

    return re.sub(r"(?<![\w'.])([a-g])(?![\w'])", lambda match: names[match[1]], piece)


def notebooks(pieces):
    cell = st.lists(cells(pieces), min_size=1, max_size=2).map("\n".join)
    return st.lists(cell, min_size=3, max_size=16)


def _run(sources):
    """Return what each source prints, until one fails."""
    namespace = {"__name__": "__main__"}
    printed = []
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - the global generator is what notebooks use
    for source in sources:
        out = io.StringIO()
        try:
            with contextlib.redirect_stdout(out):
                exec(compile(source, "<cell>", "exec"), namespace)
        except Exception:  # noqa: BLE001 - a notebook ends at its first error
            break
        printed.append(out.getvalue())
    return printed


def _valid(candidates, start):
    """Return the cells that run, one after the other."""
    kept = list(start)
    for each in candidates:
        if len(_run([*kept, each])) > len(kept):
            kept.append(each)
    return kept


def _ancestors(analysis, number):
    found, wanted = set(), {number}
    sources = {}
    for each in analysis.dependences:
        sources.setdefault(each.target, set()).add(each.source)
    while wanted:
        each = wanted.pop()
        found.add(each)
        wanted |= sources.get(each, set()) - found
    return sorted(found)


def check(sources, start=START):
    sources = _valid(sources, start)
    valid = len(sources)
    # What there is at the end counts, too: each variable is shown by a cell of its own.
    shows = [SHOW.format(name=name) for name in (*VARIABLES, "u()", "v()")]
    sources = [*sources, *shows]
    analysis = analyze(
        [CellText(number=i, index=i, text=text) for i, text in enumerate(sources, start=1)]
    )
    for number in range(1, len(sources) + 1):
        if number > valid:
            before = [*sources[:valid], sources[number - 1]]
            whole = _run(before)
            if len(whole) < len(before):
                continue
        else:
            whole = _run(sources[:number])
        cells = [each for each in _ancestors(analysis, number) if each <= valid or each == number]
        part = _run([sources[each - 1] for each in cells])
        told = "\n\n".join(f"# {i}\n{text}" for i, text in enumerate(sources, start=1))
        assert len(part) == len(cells), f"cell {number} fails after {cells}\n{told}"
        assert _plain(part[-1]) == _plain(whole[-1]), f"cell {number} differs after {cells}\n{told}"


def _plain(text):

    return re.sub(r"0x[0-9a-fA-F]+", "0x", text)


_SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@_SETTINGS
@given(notebooks(PIECES))
def test_a_cell_needs_nothing_but_what_it_depends_on(sources):
    check(sources)


@_SETTINGS
@given(notebooks(DATA_PIECES))
@pytest.mark.filterwarnings("ignore")
def test_cells_with_arrays_and_tables(sources):
    check(sources, DATA_START)
