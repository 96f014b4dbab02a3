# ruff: noqa: E501 - a trap is a line, a notebook is a string
"""What makes cells depend, trap by trap: which pair, and what is said of it.

Each trap is a notebook whose last cell depends on an earlier one, or must not.
"""

import pytest

# (what it is, the cells, the earlier cell, its kind, words of the reason)
DEPENDS = [
    ("a variable", ["x = 1", "y = x"], 1, "data", "reads `x` in line 1, which cell 1 binds"),
    ("augmented", ["x = 1", "x += 1"], 1, "data", "`x`"),
    ("deleted before", ["x = 1", "del x", "x"], 2, "data", "which cell 2 deletes"),
    ("deletion reads", ["x = 1", "del x"], 1, "data", "deletes `x`"),
    ("may define", ["x = 1\nc = 0", "if c:\n    x = 2", "x"], 2, "data", "may bind"),
    ("method mutates", ["x = []", "x.append(1)", "x"], 2, "data", "changed by `x.append(1)` in line 1"),
    ("item assigned", ["x = {}", "x['a'] = 1", "x"], 2, "data", "changed by `x['a'] = 1`"),
    ("item deleted", ["x = [1]", "del x[0]", "x"], 2, "data", "`del x[0]`"),
    ("alias", ["x = []", "y = x", "y.append(1)", "x"], 3, "data", "`y.append(1)`"),
    ("alias before", ["x = []", "y = x", "x.append(1)", "y"], 3, "data", "`x.append(1)`"),
    ("changing needs the alias", ["x = []", "y = x", "x.append(1)"], 2, "data", "`x`"),
    ("in a list", ["x = []", "y = [x]", "y[0].append(1)", "x"], 3, "data", "`y[0].append(1)`"),
    ("in a dict", ["x = []", "y = {'a': x}", "y['a'].append(1)", "x"], 3, "data", ""),
    ("by attribute", ["class A: pass\na = A()\nx = []", "a.x = x", "x.append(1)", "a"], 3, "data", ""),
    ("taken out", ["y = [[1]]", "x = y[0]", "x.append(1)", "y"], 3, "data", ""),
    ("popped", ["y = [[1]]", "x = y.pop()", "y"], 2, "data", "`y.pop()`"),
    ("setdefault", ["y = {}", "y.setdefault('a', [])", "y"], 2, "data", ""),
    ("defaultdict grows", ["from collections import defaultdict\nx = defaultdict(list)", "x[1]", "x"], 2, "data", "`x`"),
    ("defaultdict inside", ["from collections import defaultdict\nx = [defaultdict(list)]", "y = x[0]['a']", "x"], 2, "data", "`x`"),
    ("setdefault is a view", ["y = {}", "x = y.setdefault('a', [])", "x.append(1)", "y"], 3, "data", ""),
    ("unpacked", ["x = []\ny = []", "a, b = x, y", "a.append(1)", "x"], 3, "data", ""),
    ("loop variable", ["y = [[1]]", "for x in y:\n    x.append(1)", "y"], 2, "data", "`x.append(1)`"),
    ("zipped", ["y = [[1]]\nz = [1]", "for a, b in zip(y, z):\n    a.append(b)", "y"], 2, "data", ""),
    ("swapped", ["x = []\ny = [1]", "x, y = y, x", "y.append(1)", "x"], 2, "data", ""),
    ("function reads late", ["def f():\n    return k", "k = 1", "f()"], 2, "data", "reads `k` through `f()`"),
    ("function reads anew", ["k = 1\ndef f():\n    return k", "k = 2", "f()"], 2, "data", "`k` through `f()`"),
    ("lambda", ["f = lambda: k", "k = 1", "f()"], 2, "data", "`k`"),
    ("through another", ["def f():\n    return k\ndef g():\n    return f()", "k = 1", "g()"], 2, "data", "`k`"),
    ("f redefined", ["def f():\n    return 1\ndef g():\n    return f()", "def f():\n    return 2", "g()"], 2, "data", "`f` through `g()`"),
    ("handed on", ["def f(x):\n    return k", "k = 1", "list(map(f, [1]))"], 2, "data", "`k`"),
    ("in a container", ["def f():\n    return k\nh = {'f': f}", "k = 1", "h['f']()"], 2, "data", "`k`"),
    ("as a key", ["def f(x):\n    return k", "k = 1", "sorted([1], key=f)"], 2, "data", "`k`"),
    ("method", ["class A:\n    def m(self):\n        return k", "k = 1", "A().m()"], 2, "data", "`k` through `m()`"),
    ("special method", ["class A:\n    def __repr__(self):\n        return k\na = A()", "k = '1'", "print(a)"], 2, "data", "`k`"),
    ("shown at the end", ["class A:\n    def _repr_html_(self):\n        return k\na = A()", "k = '1'", "a"], 2, "data", "`k`"),
    ("operator", ["class A:\n    def __add__(self, x):\n        return k\na = A()", "k = 1", "a + 1"], 2, "data", "`k`"),
    ("property", ["class A:\n    @property\n    def p(self):\n        return k\na = A()", "k = 1", "a.p"], 2, "data", "`k`"),
    ("inherited", ["class A:\n    def m(self):\n        return k\nclass B(A): pass\nb = B()", "k = 1", "b.m()"], 2, "data", "`k`"),
    ("context manager", ["class A:\n    def __enter__(self):\n        return k\n    def __exit__(self, *_):\n        pass\na = A()", "k = 1", "with a:\n    pass"], 2, "data", "`k`"),
    ("decorator wraps", ["def d(h):\n    def w():\n        return h() + k\n    return w\n@d\ndef f():\n    return 1", "k = 1", "f()"], 2, "data", "`k`"),
    ("decorated body", ["def d(h):\n    def w():\n        return h()\n    return w\n@d\ndef f():\n    return k", "k = 1", "f()"], 2, "data", "`k`"),
    ("closure state", ["def make():\n    n = []\n    def add():\n        n.append(1)\n        return n\n    return add\nf = make()", "f()", "f()"], 2, "data", ""),
    ("shared closure", ["def make():\n    n = []\n    return (lambda: n), (lambda: n.append(1))\nget, add = make()", "add()", "get()"], 2, "data", ""),
    ("global statement", ["def f():\n    global x\n    x = 1", "f()", "x"], 2, "data", "`x`"),
    ("default argument", ["k = 1", "def f(x=k):\n    return x"], 1, "data", "`k`"),
    ("mutable default", ["def f(x=[]):\n    x.append(1)\n    return x", "f()", "f()"], 2, "data", ""),
    ("parameter changed", ["def f(x):\n    x.append(1)", "y = []", "f(y)", "y"], 3, "data", "`y`"),
    ("returned alias", ["def f(x):\n    return x", "y = []", "z = f(y)", "z.append(1)", "y"], 4, "data", ""),
    ("cache in a global", ["seen = {}\ndef f(x):\n    seen[x] = 1", "f(1)", "seen"], 2, "data", "`seen`"),
    ("class attribute", ["class A:\n    n = 0\na = A()", "A.n = 1", "a.n"], 2, "data", ""),
    ("class counter", ["class A:\n    n = 0\n    def __init__(self):\n        A.n += 1", "a = A()", "A.n"], 2, "data", ""),
    ("class body", ["k = 1", "class A:\n    x = k"], 1, "data", "`k`"),
    ("comprehension in a class", ["k = [1]", "class A:\n    x = [i for i in k]"], 1, "data", "`k`"),
    ("class scope is no scope", ["x = 1", "class A:\n    x = 2\n    y = [x for _ in 'a']"], 1, "data", "`x`"),
    ("base class", ["class A: pass", "class B(A): pass"], 1, "data", "`A`"),
    ("comprehension source", ["x = [1]", "x = [x for x in x]"], 1, "data", "`x`"),
    ("walrus", ["y = 1", "if (x := y) > 0:\n    pass", "x"], 2, "data", "`x`"),
    ("walrus in comprehension", ["y = [1]", "[(x := i) for i in y]", "x"], 2, "data", "`x`"),
    ("match", ["y = [1, 2]", "match y:\n    case [x, *_]:\n        pass", "x"], 2, "data", "`x`"),
    ("except name", ["e = 1", "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    pass", "e"], 2, "data", "`e`"),
    ("annotation", ["T = int", "x: T = 1"], 1, "data", "`T`"),
    ("f-string", ["x = 1", "f'{x}'"], 1, "data", "`x`"),
    ("top-level await", ["async def f():\n    return k", "k = 1", "await f()"], 2, "data", "`k`"),
    ("generator used up", ["g = (i for i in 'ab')", "next(g)", "list(g)"], 2, "data", "`next(g)`"),
    ("generator reads late", ["g = (i + k for i in [1])", "k = 1", "list(g)"], 2, "data", "`k`"),
    ("generator function", ["def f():\n    yield k\ng = f()", "k = 1", "list(g)"], 2, "data", "`k`"),
    ("iterator", ["x = iter([1, 2])", "for i in x:\n    break", "list(x)"], 2, "data", ""),
    ("iterator in a list", ["x = [iter([1, 2])]", "next(x[0])", "list(x[0])"], 2, "data", ""),
    ("zip used up", ["x = zip('a', 'b')", "list(x)", "list(x)"], 2, "data", ""),
    ("open file", ["f = open('a', 'w')", "f.write('b')", "f.write('c')"], 2, "data", ""),
    ("written later", ["f = open('a', 'w')", "f.write('b')", "open('a').read()"], 2, "order", "file a"),
    ("frame changed in place", ["import pandas as pd\ndf = pd.read_csv('a')", "df.drop(columns='b', inplace=True)", "df"], 2, "data", "inplace=True"),
    ("frame column", ["import pandas as pd\ndf = pd.read_csv('a')", "df['b'] = 1", "df"], 2, "data", "`df['b'] = 1`"),
    ("frame view", ["import pandas as pd\ndf = pd.read_csv('a')", "v = df['b']", "v[0] = 1", "df"], 3, "data", "`v[0] = 1`"),
    ("frame popped", ["import pandas as pd\ndf = pd.read_csv('a')", "df.pop('b')", "df"], 2, "data", ""),
    ("loc", ["import pandas as pd\ndf = pd.read_csv('a')", "df.loc[0, 'b'] = 1", "df"], 2, "data", "df.loc"),
    ("query", ["import pandas as pd\ndf = pd.read_csv('a')", "k = 1", "df.query('b > @k')"], 2, "data", "`k`"),
    ("apply calls", ["import pandas as pd\ndf = pd.read_csv('a')\ndef f(x):\n    return k", "k = 1", "df.apply(f)"], 2, "data", "`k`"),
    ("array view", ["import numpy as np\na = np.zeros(3)", "b = a[:2]", "b[0] = 1", "a"], 3, "data", "`b[0] = 1`"),
    ("reshaped", ["import numpy as np\na = np.zeros(4)", "b = a.reshape(2, 2)", "b += 1", "a"], 3, "data", "`b += 1`"),
    ("out=", ["import numpy as np\na = np.zeros(3)", "np.add(1, 1, out=a)", "a"], 2, "data", "out=a"),
    ("out by position", ["import numpy as np\na = np.zeros(3)", "np.add(1, 1, a)", "a"], 2, "data", ""),
    ("fill_diagonal", ["import numpy as np\na = np.eye(3)", "np.fill_diagonal(a, 2)", "a"], 2, "data", ""),
    ("array sorted", ["import numpy as np\na = np.zeros(3)", "a.sort()", "a"], 2, "data", ""),
    ("model fitted", ["from sklearn.linear_model import Ridge\nm = Ridge()", "m.fit([[1]], [1])", "m.predict([[1]])"], 2, "data", "`m.fit("),
    ("axes drawn on", ["import matplotlib.pyplot as plt\nfig, ax = plt.subplots()", "ax.plot([1])", "fig"], 2, "data", ""),
    ("rng object", ["import numpy as np\nr = np.random.default_rng(0)", "r.random()", "r.random()"], 2, "data", ""),
    ("numpy's generator", ["import numpy as np", "np.random.seed(0)", "np.random.rand()"], 2, "data", "numpy's random generator"),
    ("numpy's generator drawn", ["import numpy as np", "np.random.rand()", "np.random.rand()"], 2, "data", "numpy's random generator"),
    ("python's generator", ["import random", "random.seed(0)", "random.random()"], 2, "data", "Python's random"),
    ("imported function draws", ["from random import shuffle\nx = [1]", "shuffle(x)", "shuffle([2])"], 2, "data", "Python's random"),
    ("sample draws", ["import numpy as np\nimport pandas as pd", "np.random.seed(0)", "pd.DataFrame({'a': [1]}).sample(1)"], 2, "data", "numpy's random"),
    ("split draws", ["import numpy as np\nfrom sklearn.model_selection import train_test_split", "np.random.seed(0)", "train_test_split([1, 2])"], 2, "data", "numpy's random"),
    ("forest draws", ["import numpy as np\nfrom sklearn.ensemble import RandomForestClassifier", "np.random.seed(0)", "RandomForestClassifier().fit([[1]], [1])"], 2, "data", "numpy's random"),
    ("handed to map", ["import random", "random.seed(0)", "list(map(random.random, []))"], 2, "data", "Python's random"),
    ("file round trip", ["open('a', 'w').write('b')", "open('a').read()"], 1, "order", "file a"),
    ("written after read", ["open('a').read()", "open('a', 'w').write('b')"], 1, "order", "file a"),
    ("written twice", ["open('a', 'w').write('b')", "open('a', 'w').write('c')"], 1, "order", "file a"),
    ("csv round trip", ["import pandas as pd\ndf = pd.DataFrame({'a': [1]})", "df.to_csv('./b.csv')", "pd.read_csv('b.csv')"], 2, "order", "file b.csv"),
    ("pathlib", ["from pathlib import Path\nroot = Path('data')", "(root / 'a').write_text('b')", "open('data/a').read()"], 2, "order", "file data/a"),
    ("folder", ["import os", "os.makedirs('out')", "open('out/a', 'w')"], 2, "order", "file out"),
    ("glob", ["import glob", "open('data/a.csv', 'w')", "glob.glob('data/*.csv')"], 2, "order", "file data/"),
    ("unknown path", ["name = input", "open('a', 'w')", "open(str(name)).read()"], 2, "order", "file"),
    ("path from a parameter", ["open('a', 'w')", ("p = 'b'", ["parameters"]), "open(p).read()"], 1, "order", "file"),
    ("removed", ["import os", "open('a', 'w')", "os.remove('a')"], 2, "order", "file a"),
    ("np.save", ["import numpy as np", "np.save('a.npy', 1)", "np.load('a.npy')"], 2, "order", "file a.npy"),
    ("sqlite", ["import sqlite3\nc = sqlite3.connect('a.db')", "c.execute('create table t (x)')", "c.execute('select 1')"], 2, "data", ""),
    ("two connections", ["import sqlite3", "sqlite3.connect('a.db').execute('x')", "sqlite3.connect('a.db')"], 2, "order", "file a.db"),
    ("the clock", ["import time", "a = time.time()", "b = time.time()"], 2, "order", "the clock"),
    ("exec", ["x = 1", "exec('x = 2')", "x"], 2, "data", "`x`"),
    ("barrier behind", ["exec('y = 1')", "z = 1"], 1, "order", "cell 1 is a barrier: it reads or changes variables by name"),
    ("barrier before", ["z = 1", "exec('y = 1')"], 1, "order", "cell 2 is a barrier"),
    ("exec may alias", ["x = []\ny = []", "exec('x = y')", "x.append(1)", "y"], 3, "data", ""),
    ("globals", ["globals()['x'] = 1", "x"], 1, "order", "is a barrier"),
    ("star import", ["from math import *", "pi"], 1, "order", "imports whatever `math` has"),
    ("history", ["x = [1]", "x", "_.append(2)", "x"], 3, "data", ""),
    ("input", ["x = input()", "1"], 1, "order", "asks for input"),
    ("monkey-patch", ["import numpy as np", "np.mean = len", "np.mean([1])"], 2, "order", "changes `numpy.mean` of a library"),
    ("monkey-patch by name", ["import math", "setattr(math, 'pi', 3)", "math.pi"], 2, "order", "changes `math` of a library"),
    ("program", ["import subprocess", "subprocess.run(['ls'])", "1"], 2, "order", "runs another program"),
    ("thread", ["import threading\nx = []", "threading.Thread(target=x.append).start()", "1", "2"], 3, "order", "left running"),
    ("unknown library keeps", ["import zoo\nx = []", "zoo.keep(x)", "zoo.feed()", "x"], 3, "data", "`zoo.feed()`"),
    ("unknown library may write", ["import zoo", "zoo.write()", "open('a').read()"], 2, "order", "calls code that is not known"),
    ("unknown object", ["import zoo\nx = zoo.X()", "x.go()", "x"], 2, "data", "`x.go()`"),
    ("unknown base", ["import zoo\nclass A(zoo.B):\n    pass\na = A()", "a.go()", "a"], 2, "data", "`a.go()`"),
    ("unknown function changes", ["import zoo\nx = []", "zoo.f(x)", "x"], 2, "data", "`zoo.f(x)`"),
    ("printed into", ["import io\nf = io.StringIO()", "print('a', file=f)", "f.getvalue()"], 2, "data", "`f`"),
    ("redirected", ["import io, contextlib\nf = io.StringIO()", "with contextlib.redirect_stdout(f):\n    print('a')", "f.getvalue()"], 2, "data", "`f`"),
    ("abs of an array", ["import numpy as np\na = np.ones(2)", "b = abs(a)", "b[0] = 2", "b"], 3, "data", "`b`"),
    ("sum of lists", ["a = [[1], [2]]", "b = sum([a, a], [])", "b[0].append(3)", "a"], 3, "data", "`b[0].append(3)`"),
    ("may fail", ["x = 1", ("1 / 0\nx = 2", ["raises-exception"]), "x"], 2, "data", "`x`"),
    ("syntax error", ["x = 1", "x ="], 1, "order", "not valid Python"),
    ("after a syntax error", ["x =", "1"], 1, "order", "not valid Python"),
    ("setting beside work", ["import warnings", "y = sorted(['ignore'])[0]\nwarnings.simplefilter(y)", "1"], 2, "order", "sets warnings beside other work"),
    ("setting by a constant of the same cell", ["import warnings", "y = 'ignore'\nwarnings.simplefilter(y)\nx = sorted(y)", "1"], 2, "order", "sets warnings beside other work"),
    ("the same setting, by work", ["import warnings", "warnings.simplefilter('ignore')\ny = sorted(['ignore'])[0]\nwarnings.simplefilter(y)", "1"], 2, "order", "sets warnings beside other work"),
    ("setting with a library that another kernel lacks", ["import warnings\ny = sorted('a')", "x = sorted('b')\nwarnings.simplefilter('ignore')", "1"], 2, "order", "sets warnings beside other work"),
    ("setting with an import that is bound anew", ["import warnings\nwarnings.simplefilter('ignore')\nwarnings = sorted('a')", "1"], 1, "order", "sets warnings beside other work"),
    ("setting with a variable that another cell binds", ["import warnings\nw = 'ignore'.lower()", "y = sorted(w)\nwarnings.simplefilter(w)", "1"], 2, "order", "sets warnings beside other work"),
    ("import", ["import math", "math.pi"], 1, "replay", "imports"),
    ("setting", ["import pandas as pd\npd.set_option('display.width', 9)", "1"], 1, "replay", "pandas options"),
    ("option by attribute", ["import pandas as pd\npd.options.display.width = 9", "1"], 1, "replay", "pandas options"),
    ("environ", ["import os\nos.environ['A'] = 'b'", "1"], 1, "replay", "environ"),
    ("chdir", ["import os\nos.chdir('a')", "1"], 1, "replay", "working directory"),
    ("rcParams", ["import matplotlib.pyplot as plt\nplt.rcParams['figure.dpi'] = 9", "1"], 1, "replay", "matplotlib"),
    ("optional import", ["try:\n    import zoo\nexcept ImportError:\n    zoo = None", "zoo"], 1, "data", "`zoo`"),
    ("tag after", [("x = 1", ["load"]), "1", ("2", ["nbflow:after=load"])], 1, "order", "nbflow:after=load"),
    ("tag after number", ["1", ("2", ["nbflow:after=1"])], 1, "order", "nbflow:after=1"),
    ("tag barrier", ["1", ("2", ["nbflow:barrier"])], 1, "order", "tagged nbflow:barrier"),
    ("tag reads", ["x = 1", ("2", ["nbflow:reads=x"])], 1, "data", "`x`"),
    ("tag writes", ["x = [1]", ("2", ["nbflow:writes=x"]), "x"], 2, "data", "`x`"),
    ("tag writes file", [("1", ["nbflow:writes=a.bin"]), "open('a.bin').read()"], 1, "order", "file a.bin"),
]  # fmt: skip

# (what it is, the cells, an earlier cell that the last one does not wait for)
DOES_NOT = [
    ("others' variables", ["x = 1", "y = 2"], 1),
    ("rebound", ["x = 1", "x = 2", "x"], 1),
    ("both branches", ["x = 1", "if 1 > 0:\n    x = 2\nelse:\n    x = 3", "x"], 1),
    ("a reader", ["x = [1]", "print(x)", "sum(x)"], 2),
    ("writing after reading", ["x = [1]", "print(x)", "x.append(1)"], 2),
    ("a local of a function", ["x = 1", "def f():\n    x = 2\n    return x", "f()"], 1),
    ("a comprehension's own", ["x = 1", "[x for x in 'ab']"], 1),
    ("a parameter", ["x = 1", "(lambda x: x)(2)"], 1),
    ("pure methods", ["import pandas as pd\ndf = pd.read_csv('a')", "df.groupby('a').mean()", "df.head()"], 2),
    ("copies", ["import pandas as pd\ndf = pd.read_csv('a')", "c = df.copy()", "c['b'] = 1", "df"], 3),
    ("arithmetic copies", ["import numpy as np\na = np.zeros(3)", "b = a + 1", "b[0] = 1", "a"], 3),
    ("two files", ["open('a', 'w')", "open('b', 'w')"], 1),
    ("two readers of a file", ["open('a').read()", "open('a').read()"], 1),
    ("two folders", ["n = 1", "open(f'x/{n}', 'w')", "open(f'y/{n}', 'w')"], 2),
    ("seeded anew", ["import numpy as np", "np.random.seed(0)", "np.random.seed(1)"], 2),
    ("two generators", ["import random, numpy as np", "random.random()", "np.random.rand()"], 2),
    ("own generators", ["import numpy as np\na = np.random.default_rng(0)\nb = np.random.default_rng(1)", "a.random()", "b.random()"], 2),
    ("fixed random_state", ["from sklearn.model_selection import train_test_split", "train_test_split([1, 2], random_state=0)", "train_test_split([1, 2], random_state=0)"], 2),
    ("figures of a cell", ["import matplotlib.pyplot as plt", "plt.plot([1])", "plt.plot([2])"], 2),
    ("a function that only reads", ["def f(df):\n    return df.mean()", "import pandas as pd\nd = pd.read_csv('a')", "f(d)", "f(d)"], 3),
    ("instances of a class", ["class A:\n    def __init__(self):\n        self.x = 0\n    def go(self):\n        self.x += 1\na = A()\nb = A()", "a.go()", "b.go()"], 2),
    ("imports are replayed", ["import math", "math.pi"], 1),
    ("settings are replayed", ["import warnings\nwarnings.simplefilter('ignore')", "1"], 1),
    ("settings beside work", ["import warnings", "warnings.simplefilter('ignore')\ny = sorted('a')", "1"], 2),
    ("settings beside a seed and constants", ["import warnings, random\nrandom.seed(1)\nn, m = 3, -1.5\nwarnings.simplefilter('ignore')", "1"], 1),
    ("settings for a block", ["import warnings", "with warnings.catch_warnings():\n    warnings.simplefilter('ignore')\n    x = 1", "1"], 2),
    ("sum of numbers", ["x = [1, 2]", "n = sum(x)\nn += 1", "x"], 2),
    ("logging", ["import logging\nlog = logging.getLogger()", "log.info('a')", "1"], 2),
    ("declared pure", ["import zoo\nx = []", ("zoo.look(x)", ["nbflow:pure"]), "x"], 2),
    ("loop variable", ["for i in range(3):\n    print(i)", "for i in range(3):\n    print(i)"], 1),
    ("within a try", ["x = 1", "try:\n    x = int('a')\n    print(x)\nexcept ValueError:\n    pass"], 1),
    ("declared path", ["open('a', 'w')", ("open(str(id), 'w')", ["nbflow:writes=b.txt"])], 1),
]  # fmt: skip

#: A cell that may leave a variable as the first one has bound it.
KEPT = [
    ("keeps the old", ["x = 1\nc = 0", "if c:\n    x = 2"]),
    ("loop may not run", ["x = 1\nn = []", "for i in n:\n    x = 2"]),
    ("try may stop", ["x = 1", "try:\n    x = int('a')\nexcept ValueError:\n    pass"]),
    ("suppressed", ["import contextlib\nx = 1", "with contextlib.suppress(ValueError):\n    x = int('a')"]),
    ("may fail, keeps", ["x = 1", ("1 / 0\nx = 2", ["raises-exception"])]),
]  # fmt: skip


def _ids(table):
    return [row[0] for row in table]


@pytest.mark.parametrize(("what", "cells", "source", "kind", "words"), DEPENDS, ids=_ids(DEPENDS))
def test_a_trap_makes_an_edge(analysed, what, cells, source, kind, words):
    analysis = analysed(*cells)
    found = analysis.between(source, len(cells))
    assert any(each.kind == kind and words in each.why for each in found), [
        (each.source, each.target, each.kind, each.why) for each in analysis.dependences
    ]


@pytest.mark.parametrize(("what", "cells", "source"), DOES_NOT, ids=_ids(DOES_NOT))
def test_nobody_waits_without_need(analysed, what, cells, source):
    found = analysed(*cells).between(source, len(cells))
    assert [each.why for each in found if each.kind != "replay"] == []


@pytest.mark.parametrize(("what", "cells"), KEPT, ids=_ids(KEPT))
def test_what_may_stay_is_handed_on_to_who_reads_it(analysed, what, cells):
    analysis = analysed(*cells, "x")
    assert [each.name for each in analysis.between(1, 2) if "keeps" in each.why] == ["x"]
    assert [each.name for each in analysis.between(2, 3) if each.kind == "data"] == ["x"]


@pytest.mark.parametrize(("what", "cells"), KEPT, ids=_ids(KEPT))
def test_nobody_hands_on_what_nobody_reads(analysed, what, cells):
    assert "x" not in {each.name for each in analysed(*cells).between(1, 2)}
