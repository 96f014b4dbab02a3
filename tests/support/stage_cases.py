"""Cells of stages: what they must not do undeclared, and what is ordinary."""

#: Cells, what is said of each, and what is learned of it (kind and name) if that is told apart.
CONFLICTS = [
    ("y = 1", {}, "`y` was bound", "writes", "y"),
    ("del x", {"takes": ("x",)}, "`x` was bound or deleted", "writes", "x"),
    ("z.append(1)", {"takes": ("z",)}, "the value of `z` was changed", "changes", "z"),
    ("big[5] = 1", {"takes": ("big",)}, "the value of `big` was changed", "changes", "big"),
    ("df.loc[0, 'n'] = 7", {"takes": ("df",)}, "the value of `df`", "changes", "df"),
    ("random.random()", {"hides": ("no",)}, "Python's random generator was used", "barrier", ""),
    ("np.random.rand()", {"hides": ("no",)}, "numpy's random generator was used", "barrier", ""),
    ("os.environ['MINE'] = '1'", {}, "the environment variable MINE", "barrier", ""),
    ("sys.path.append('/nowhere')", {}, "sys.path", "barrier", ""),
    ("warnings.simplefilter('ignore')", {}, "filters of warnings", "barrier", ""),
    ("pd.set_option('display.max_rows', 7)", {}, "pandas' option", "barrier", ""),
    ("np.set_printoptions(precision=2)", {}, "numpy's option precision", "barrier", ""),
    ("__import__('decimal').getcontext().prec = 5", {}, "decimal's context", "barrier", ""),
    ("__import__('logging').getLogger().setLevel(10)", {}, "the logger", "barrier", ""),
    (
        (
            "__import__('threading').Thread("
            "target=__import__('time').sleep, args=(99,), daemon=True).start()"
        ),
        {},
        "still runs",
        "barrier",
        "",
    ),
    ("__import__('subprocess').run(['true'])", {}, "a program was started", "touches", "true"),
    ("open('made.txt', 'w').write('a')", {}, "made.txt was written", "touches", ""),
    ("df.to_csv('made.csv')", {}, "made.csv was written", "touches", ""),
    ("os.remove('there.txt')", {}, "there.txt was written", "touches", ""),
    ("os.chdir('/')", {}, "the working directory", "barrier", ""),
]

ERRORS = {
    "at once": "hidden",
    "as a cause": "try:\n    hidden\nexcept NameError as e:\n    raise ValueError() from e",
    "by a library that looks it up": "__import__('sys')._getframe().f_globals['hidden']",
}

#: None of these does anything that counts, but for the names that it binds.
ORDINARY = [
    "t = pd.read_csv('t.csv'); t.describe()",
    "t.groupby('k').v.sum().plot(kind='bar'); plt.title('x')",
    "fig, ax = plt.subplots(); ax.plot(t.v); ax.set(xlabel='a')",
    "plt.imshow(np.arange(9).reshape(3, 3)); plt.colorbar(); plt.show()",
    "X, y = t[['v']].to_numpy(), t.w; m = LinearRegression().fit(X, y); m.score(X, y)",
    "warnings.warn('look out'); np.log(np.array([0.0]))",
    "import decimal; decimal.Decimal(1) / 3",
    (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(2) as pool: list(pool.map(abs, [1]))"
    ),
    "import tempfile\nwith tempfile.TemporaryDirectory() as d: open(d + '/a', 'w').close()",
    "import logging; logging.getLogger('mine').warning('w')",
    "for i in range(3): pass\nz: int = 3",
    "from IPython.display import display, HTML; display(HTML('<b>a</b>'), t.head())",
    "import scipy.stats as st; st.norm.fit(t.v); t.merge(t, on='k').pivot_table(index='k')",
    "sorted({1, 2}); [n for n in range(3)]; print('a', file=sys.stderr); _",
]
