# ruff: noqa: E501 - a trap is a line, a cell is a string
"""Tables, arrays, plots and models: views, changes in place, state that hides in objects."""

import pytest
from staged_cells import Trap

_DF = "import numpy as np\nimport pandas as pd\ndf = pd.DataFrame({'k': ['a', 'b', 'a', 'c'], 'v': [3, 1, 2, 4], 'w': [1.5, None, 2.5, 0.0]})"
_NP = "import numpy as np\na = np.arange(12.0).reshape(3, 4)"
_PLT = "import matplotlib.pyplot as plt\nimport numpy as np\nx = np.linspace(0, 1, 5)"
_SK = "import numpy as np\nfrom sklearn.linear_model import LinearRegression, Ridge\nfrom sklearn.preprocessing import StandardScaler\nfrom sklearn.pipeline import make_pipeline\nX = np.arange(20.0).reshape(10, 2)\ny = X @ [1, 2] + 3"

PANDAS = [
    Trap("a new column", _DF, "df['z'] = df.v * 2", "df.groupby('k').v.sum()", "df.columns.tolist()"),
    Trap("a column in a branch", _DF, "m = df.v.mean()", "df['z'] = 1", "s = df.shape", "m, s"),
    Trap("inplace", _DF, "df.drop(columns='w', inplace=True)", "df.sort_values('v', inplace=True)", "df.rename(columns={'v': 'n'}, inplace=True)", "df", "df.reset_index(drop=True, inplace=True)", "df.index"),
    Trap("not in place", _DF, "a = df.sort_values('v')", "b = df.drop(columns='w')", "c = df.rename(columns={'v': 'n'})", "df, a, b, c"),
    Trap("copy on write", _DF, "s = df['v']", "s.iloc[0] = 99", "df", "t = df[['v']]", "t.iloc[0, 0] = 77", "df, s, t"),
    Trap("a view by values", _DF, "n = df['v'].to_numpy()", "n.flags.writeable", "m = df[['v', 'w']].values.copy()", "m[0] = 0", "df"),
    Trap("a table around an array", "import numpy as np\nimport pandas as pd\na = np.zeros((2, 2))", "df = pd.DataFrame(a, copy=False)", "a[0, 0] = 5", "df", "df.iloc[1, 1] = 7", "a"),
    Trap("loc and iloc", _DF, "df.loc[df.k == 'a', 'v'] = 0", "df.iloc[0, 1] = 9", "df.at[1, 'v'] = 8", "df.iat[2, 1] = 7", "df"),
    Trap("popped and inserted", _DF, "p = df.pop('w')", "df.insert(0, 'n', p)", "p.iloc[0] = 100.0", "df, p"),
    Trap("groupby object", _DF, "g = df.groupby('k')", "a = g.v.sum()", "b = g.v.mean()", "df['v'] = 0", "g.v.sum(), a, b", in_order=True),
    Trap("group by group", _DF, "parts = {n: t for n, t in df.groupby('k')}", "parts['a']['v'] = 0", "df", "pd.concat(parts.values())"),
    Trap("categorical", _DF, "df['k'] = df.k.astype('category')", "c = df.k.cat.categories", "df['k'] = df.k.cat.add_categories('z')", "c, df.k.cat.categories"),
    Trap("names of the index", _DF, "t = df.set_index('k')", "t.index.name = 'key'", "u = t.copy()", "u.index.name = 'other'", "t.index.name, u.index.name, df"),
    Trap("one index, two tables", _DF, "a = df.set_index('k')", "b = a.copy()", "b.index is a.index", "a.index = range(4)", "b.index, a.index"),
    Trap("columns assigned", _DF, "df.columns = ['a', 'b', 'c']", "c = df.columns", "df.columns = list('xyz')", "c, df.columns"),
    Trap("attrs", _DF, "df.attrs['source'] = ['x']", "e = df.copy()", "e.attrs['source'].append('y')", "df.attrs, e.attrs"),
    Trap("query with a variable", _DF, "lo = 2", "df.query('v >= @lo')", "lo = 3", "df.query('v >= @lo')"),
    Trap("eval in place", _DF, "df.eval('z = v * 2', inplace=True)", "df.z.sum()", "n = len(df)", "df, n"),
    Trap("apply reads", _DF, "k = 2", "a = df.v.apply(lambda r: r * k)", "k = 3", "b = df.v.apply(lambda r: r * k)", "a.tolist(), b.tolist()"),
    Trap("apply counts", _DF, "calls = []", "df.v.map(calls.append);", "n = len(calls)", "n, calls", in_order=True),
    Trap("assign, pipe, chains", _DF, "def scale(t, by):\n    return t.assign(v=t.v * by)", "r = (df.pipe(scale, by=2).assign(q=lambda t: t.v + 1).query('q > 3').reset_index(drop=True))", "df", "r"),
    Trap("merge and concat", _DF, "l = df[['k', 'v']]", "r = df[['k', 'w']].drop_duplicates('k')", "m = l.merge(r, on='k')", "c = pd.concat([l, r])", "m, c"),
    Trap("update in place", _DF, "o = pd.DataFrame({'v': [100, None, None, None]})", "df.update(o)", "df", "o"),
    Trap("dates", "import pandas as pd\ni = pd.date_range('2024-01-01', periods=4, tz='UTC')", "s = pd.Series(range(4), i)", "a = s.resample('2D').sum()", "b = s.tz_convert('Europe/Paris')", "s.index.freq", "a, b", in_order=True),
    Trap("multi-index", _DF, "m = df.set_index(['k', 'v'])", "u = m.unstack()", "m.index = m.index.set_names(['K', 'V'])", "u, m"),
    Trap("styled", _DF, "s = df.style.highlight_max(subset=['v'])", "df['v'] = 0", "s"),
    Trap("rolling object", _DF, "r = df.v.rolling(2)", "a = r.sum()", "b = r.mean()", "a, b", in_order=True),
    Trap("strings", _DF, "u = df.k.str.upper()", "df['k'] = u + '!'", "u, df.k.str.len()"),
    Trap("items and rows walked", _DF, "for i, row in df.iterrows():\n    row['v'] = 0", "df", "for name, col in df.items():\n    pass", "name, col"),
    Trap("pivot and melt", _DF, "p = df.pivot_table(index='k', values='v', aggfunc='sum')", "m = df.melt(id_vars='k')", "p, m.shape"),
    Trap("arrow types", "import pandas as pd\ndf = pd.DataFrame({'s': ['a', None, 'b'], 'n': pd.array([1, None, 3], dtype='Int64')})", "a = df.dtypes", "b = df.n.sum()", "df.loc[0, 'n'] = 5", "a, b, df"),
    Trap("attribute access", _DF, "df.v = df.v + 1", "s = df.v.sum()", "df.v", "s"),
    Trap("a table in a list", _DF, "ts = [df, df]", "ts[0]['z'] = 1", "ts[1].columns, df.columns", "ts[0] is ts[1], ts[0] is df"),
    Trap("a table as an attribute", _DF, "class R: pass\nr = R()\nr.t = df", "r.t['z'] = 1", "df.columns", "r.t is df"),
    Trap("summary of a branch each", _DF, "a = df.groupby('k').v.sum()\na", "b = df.groupby('k').w.mean()\nb", "c = df.describe()\nc", "d = df.v.value_counts()\nd", "pd.concat([a, b], axis=1)"),
]  # fmt: skip

NUMPY = [
    Trap("a view", _NP, "v = a[:2]", "v[0] = 9", "print(a)", "v.base is a.base", "np.shares_memory(a, v)"),
    Trap("a view of the other way round", _NP, "v = a[:2]", "a[0] = 9", "print(v)"),
    Trap("changed in a branch", _NP, "s = a.sum()", "a += 1", "t = a.sum()", "a *= 2", "s, t, a.sum()"),
    Trap("reshaped, transposed, raveled", _NP, "b = a.reshape(4, 3)\nc = a.T\nd = a.ravel()", "b[0] = -1", "c, d", "d[5] = 100", "a, b"),
    Trap("a copy is one", _NP, "b = a.copy()", "b[0] = 7", "c = a[a > 5]", "c[0] = 0", "a, b, c"),
    Trap("out=", _NP, "b = np.zeros_like(a)", "np.multiply(a, 2, out=b)", "np.add(b, 1, b)", "b", "a"),
    Trap("strided", _NP, "s = a[:, ::2]", "s += 100", "r = a[::-1]", "r[0] = 5", "a, s"),
    Trap("broadcast", _NP, "b = np.broadcast_to(a[0], (2, 4))", "a[0] = 3", "b"),
    Trap("object array", "import numpy as np\nl = [1]\na = np.array([l, None, {}], dtype=object)", "a[0].append(2)", "l", "a[2]['x'] = l", "a, a[0] is l"),
    Trap("structured", "import numpy as np\na = np.zeros(3, dtype=[('x', 'i4'), ('y', 'f8')])", "v = a['x']", "v[:] = 5", "a", "r = a.view(np.recarray)", "r.y[0] = 2.5", "a"),
    Trap("masked", "import numpy as np\na = np.arange(4.0)\nm = np.ma.masked_array(a, mask=[0, 1, 0, 0])", "m[0] = 9", "a", "m.mean()", in_order=True),
    Trap("fortran order", "import numpy as np\na = np.asfortranarray(np.arange(6).reshape(2, 3))", "b = a.copy(order='K')", "a.flags.f_contiguous, b.flags.f_contiguous", "a.strides"),
    Trap("read-only", _NP, "a.flags.writeable = False", "s = a.sum()", ("a[0] = 1", ["raises-exception"]), "s"),
    Trap("writeable again", _NP, "b = a", "b.setflags(write=False)", "a.flags.writeable", "b.setflags(write=True)", "a[0] = 1\na"),
    Trap("scalar types", "import numpy as np\na = np.float32(1.5)\nb = np.int8(100)", "c = a + 1", "d = type(b).__name__", "c, d, a.dtype"),
    Trap("diagonal, fill, put", _NP, "np.fill_diagonal(a, 0)", "np.put(a, [1], [50])", "a.fill(2)", "a"),
    Trap("rows of a loop are views", _NP, "for row in a:\n    row *= 2", "a", "row[0] = 1000", "a"),
    Trap("a list of views", _NP, "rows = list(a)", "rows[0][0] = 77", "a", "parts = np.split(a, 3)", "parts[1][:] = 0", "a"),
    Trap("sorted in place", "import numpy as np\na = np.array([3, 1, 2])", "b = a", "o = a.argsort()", "a.sort()", "b, o"),
    Trap("resized", "import numpy as np\na = np.arange(4)", "a.resize((6,), refcheck=False)", "a", "b = np.resize(a, 3)", "a, b"),
    Trap("a big one in three branches", "import numpy as np\na = np.ones(2_000_000)", "s = a.sum()", "m = a.max()", "d = a.dot(a)", "s, m, d"),
    Trap("vectorize with a global", _NP, "k = 2\nf = np.vectorize(lambda v: v * k)", "f(a[0])", "k = 3", "f(a[0])"),
    Trap("nditer", _NP, "with np.nditer(a, op_flags=['readwrite']) as it:\n    for v in it:\n        v[...] = -v", "a"),
    Trap("sparse", "import scipy.sparse as sp\nm = sp.lil_matrix((3, 3))", "m[0, 1] = 5", "c = m.tocsr()", "m[0, 1] = 6", "c.toarray(), m.toarray()"),
]  # fmt: skip

PLOTS = [
    Trap("a plot a cell", _PLT, "plt.plot(x, x);", "plt.plot(x, x ** 2);", "plt.hist(x);", "x.sum()"),
    Trap("a figure handed on", _PLT, "fig, ax = plt.subplots()", "ax.plot(x, x)", "ax.set_title('late')", "fig"),
    Trap("two axes", _PLT, "fig, (a, b) = plt.subplots(1, 2)", "a.plot(x)", "b.plot(-x)", "a.figure is fig", "fig"),
    Trap("pyplot's current figure ends with the cell", _PLT, "plt.figure(); plt.plot(x)", "plt.title('new one')", "plt.get_fignums()"),
    Trap("drawn by pandas", _DF, "df.v.plot();", "ax = df.plot(x='v', y='w')", "ax.set_title('t')", "ax.get_title()"),
    Trap("an axes' state", _PLT, "fig, ax = plt.subplots()\nplt.close(fig)", "ax.plot(x)", "ax.set_xlim(0, 2)", "len(ax.lines), ax.get_xlim()", "fig"),
    Trap("interactive off", "import matplotlib.pyplot as plt\nplt.ioff();", "fig, ax = plt.subplots(); ax.plot([1, 2]);", "fig", "plt.ion();", "plt.plot([1]);"),
    Trap("style for a block", _PLT, "with plt.style.context('ggplot'):\n    plt.plot(x)", "plt.plot(x);"),
    Trap("figure size by settings in the middle", _PLT, "plt.plot(x);", "plt.rcParams['figure.figsize'] = (3, 2)", "plt.plot(x);", "n = 1", "plt.plot(-x); n"),
    Trap("saved and shown", _PLT, "fig, ax = plt.subplots(); ax.plot(x)", "fig.savefig('f.png', metadata={'Software': None})", "import os; size = os.path.getsize('f.png'); size > 0"),
    Trap("seaborn's theme", "import seaborn as sns\nsns.set_theme()", "import pandas as pd\ndf = pd.DataFrame({'a': [1, 2], 'b': [3, 4]})", "sns.lineplot(df, x='a', y='b');", "sns.scatterplot(df, x='b', y='a');"),
]  # fmt: skip

MODELS = [
    Trap("fitted later", _SK, "m = LinearRegression()", "m.fit(X, y)", "p = m.predict(X[:1])", "m.coef_.round(6), p.round(6)"),
    Trap("two models side by side", _SK, "a = LinearRegression().fit(X, y)", "b = Ridge(1.0).fit(X, y)", "a.score(X, y).round(6), b.score(X, y).round(6)", "a"),
    Trap("a pipeline holds its steps", _SK, "s = StandardScaler()", "m = make_pipeline(s, Ridge())", "m.fit(X, y)", "s.mean_", "m[0] is s"),
    Trap("fitted again", _SK, "m = Ridge().fit(X, y)", "c = m.coef_", "m.fit(X, -y)", "c, m.coef_"),
    Trap("set_params", _SK, "m = Ridge()", "n = m", "m.set_params(alpha=5)", "n.alpha", "n"),
    Trap("an estimator of the notebook", _SK, "from sklearn.base import BaseEstimator\nclass Mean(BaseEstimator):\n    def fit(self, X, y):\n        self.m_ = y.mean() * k\n        return self\n    def predict(self, X):\n        return np.full(len(X), self.m_)", "k = 2", "e = Mean().fit(X, y)", "e.predict(X[:2])", "from sklearn.base import clone\nclone(e).get_params(), isinstance(e, Mean)"),
    Trap("data changed after the fit", _SK, "m = LinearRegression().fit(X, y)", "X *= 0", "m.predict(X[:1]).round(6)"),
    Trap("statistics", "import numpy as np\nfrom scipy import stats\nnp.random.seed(0)", "a = stats.norm.rvs(size=3)", "b = stats.norm(1, 2)", "c = b.rvs(2)", "a, c, round(b.cdf(1), 3)"),
    Trap("symbols", "import sympy\nx = sympy.Symbol('x')", "e = (x + 1) ** 2", "d = sympy.expand(e)", "y = sympy.Symbol('x')", "y is x, y == x, d, e.subs(x, 2)"),
    Trap("graphs", "import networkx as nx\ng = nx.Graph()", "g.add_edge('a', 'b')", "h = g", "h.add_edge('b', 'c')", "sorted(g.nodes), nx.shortest_path(g, 'a', 'c')"),
    Trap("soup", "from bs4 import BeautifulSoup\ns = BeautifulSoup('<p><b>1</b></p>', 'html.parser')", "b = s.b", "b.string = '2'", "str(s)", "b.parent is s.p"),
    Trap("a parsed tree", "import xml.etree.ElementTree as ET\nt = ET.fromstring('<a><b/></a>')", "b = t[0]", "b.set('x', '1')", "ET.tostring(t)"),
    Trap("compiled patterns", "import re\np = re.compile('(a)(b)?')", "m = p.match('ab')", "m.groups(), p.findall('aab')", "p == re.compile('(a)(b)?')"),
    Trap("datetimes and paths", "from datetime import date, timedelta\nfrom pathlib import PurePath\nd = date(2024, 1, 31)", "e = d + timedelta(days=1)", "q = PurePath('a') / 'b'", "e, q, d < e"),
    Trap("counters and heaps", "from collections import Counter\nimport heapq\nc = Counter('aab')\nh = [3, 1, 2]", "heapq.heapify(h)", "c.update('bbb')", "heapq.heappop(h)", "c.most_common(), h"),
]  # fmt: skip

TRAPS = [*PANDAS, *NUMPY, *PLOTS, *MODELS]


@pytest.mark.parametrize("trap", TRAPS, ids=str)
def test_libraries(workshop, trap):
    trap.holds(workshop)
