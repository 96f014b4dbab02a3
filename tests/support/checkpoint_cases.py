"""Namespaces to be stored and taken up again: cells before a checkpoint, and cells after it."""

from nbformat.v4 import new_code_cell


def raising(source):
    return new_code_cell(source, metadata={"tags": ["raises-exception"]})


#: Namespaces that can be moved.
MOVABLE = {
    "settings of Python's own modules": (
        [
            """\
import csv, logging, sys, tempfile
logging.disable(logging.ERROR)
csv.field_size_limit(77)
sys.set_int_max_str_digits(700)
tempfile.tempdir = '/var/tmp'
""",
        ],
        [
            """\
print(logging.root.manager.disable, csv.field_size_limit(), sys.get_int_max_str_digits())
print(tempfile.gettempdir())
""",
        ],
    ),
    "what libraries do to themselves when they are used": (
        [
            """\
import datetime, mimetypes, re, tempfile, urllib.parse
import numpy as np, pandas as pd, matplotlib.pyplot as plt
frame = pd.DataFrame({'a': pd.to_datetime(['2020-01-01']), 'b': ['x']})
shown = frame.to_html(), frame.groupby('b').sum(numeric_only=True), frame.to_csv()
figure = plt.hist([1, 2, 3]) and None
plt.close('all')
when = datetime.datetime.strptime('2020', '%Y'), urllib.parse.urlparse('http://a/b').netloc
found = re.findall('a+', 'caat'), np.linalg.inv(np.eye(2)).tolist(), tempfile.gettempdir()
""",
        ],
        [
            """\
print(when, found, frame.shape)
""",
        ],
    ),
    "aliases": (
        [
            """\
a = [1, 2]
b = a
c = {'a': a, 'self': None}
c['self'] = c
""",
        ],
        [
            """\
b.append(3)
print(a, c['a'] is a, c['self'] is c)
""",
        ],
    ),
    "functions see later globals": (
        [
            """\
x = 1
""",
            """\
def f():
    return x, g()

def g():
    return y
h = lambda: x
""",
        ],
        [
            """\
y = 5
print(f())
""",
            """\
x = 2
print(f(), h())
""",
        ],
    ),
    "recursion, and closures with a common variable": (
        [
            """\
def fact(n):
    return 1 if n < 2 else n * fact(n - 1)
def counter():
    n = 0
    def up():
        nonlocal n
        n += 1
        return n
    def get():
        return n
    return up, get
up, get = counter()
up()
def outer():
    def inner(n):
        return n and inner(n - 1)
    return inner
inner = outer()
""",
        ],
        [
            """\
up()
print(fact(5), get(), inner(3))
""",
        ],
    ),
    "classes": (
        [
            """\
from dataclasses import dataclass, field
import enum, collections, abc, pickle
@dataclass
class Point:
    x: int
    tags: list = field(default_factory=list)
class Colour(enum.Enum):
    RED = 1
    BLUE = 'b'
Pair = collections.namedtuple('Pair', 'left right')
class Base(abc.ABC):
    seen = []
    @abc.abstractmethod
    def who(self): ...
class Child(Base):
    def __init__(self, name):
        self.name = name
    def who(self):
        return super().__repr__()[:9] + self.name
    @property
    def loud(self):
        return self.name.upper()
p, c, r, pair = Point(1), Child('kim'), Colour.RED, Pair(1, [2])
""",
        ],
        [
            """\
@dataclass
class Point3(Point):
    z: int = 3
print(isinstance(p, Point), Point3(1), type(c) is Child, c.who(), c.loud, Base.seen)
""",
            """\
print(r is Colour.RED, Colour('b'), pair, Pair(3, 4)._replace(left=1))
print(pickle.loads(pickle.dumps(p)) == p, Point.__module__, isinstance(c, Base))
""",
        ],
    ),
    "arrays that share memory": (
        [
            """\
import numpy as np
a = np.arange(10.0)
b = a[2:]
c = a.reshape(5, 2).T
d = a[::-2]
i = np.arange(4)
bits = i.view('i4')
f = np.asfortranarray(np.eye(3))
large = np.random.default_rng(1).random((300, 300))
corner = large[100:, 100:]
""",
        ],
        [
            """\
b[0] = 99
print(a, c[0, 1], d)
print(bits[:2], b.base is a, a.flags.owndata, f.flags.f_contiguous)
corner[:] = 1
print(large.sum(), large.sum(axis=0)[:2])
""",
        ],
    ),
    "tables": (
        [
            """\
import pandas as pd, numpy as np
df = pd.DataFrame({'n': [3, 1, 2], 's': list('xyx'), 't': pd.date_range('2020', periods=3)})
s = df['n']
byx = df.set_index('t')
cat = df['s'].astype('category')
grouped = df.groupby('s')['n'].sum()
pd.set_option('display.max_rows', 2)
pd.set_option('display.float_format', lambda v: f'<{v}>')
""",
        ],
        [
            """\
df.loc[0, 'n'] = 100
print(s.tolist(), df['n'].tolist(), byx.index.freq)
df.assign(x=1.5)
""",
            """\
cat.cat.categories, grouped
""",
        ],
    ),
    "random numbers": (
        [
            """\
import random
import numpy as np
random.seed(4)
np.random.seed(5)
rng = np.random.default_rng(6)
own = random.Random(7)
other = np.random.Generator(rng.bit_generator)
random.random(), rng.random()
""",
        ],
        [
            """\
print(random.random(), np.random.rand(2), rng.random(), other.random(), own.gauss(0, 1))
""",
        ],
    ),
    "not a number, sentinels and sets": (
        [
            """\
import math
nan = float('nan')
missing = object()
xs = [nan, math.nan, missing]
def f(x=missing):
    return x is missing
words = {f'w{i}' for i in range(40)}
words.discard('w3')
print(list(words)[:5])
""",
        ],
        [
            """\
print(nan in xs, math.nan in xs, missing in xs, f(), f(missing))
print(list(words))
""",
        ],
    ),
    "settings": (
        [
            """\
import os, sys, decimal, warnings, logging, locale
os.makedirs('sub', exist_ok=True)
""",
            """\
os.environ['MINE'] = 'x'
os.environ.pop('HOME', None)
sys.path.insert(0, '/nowhere')
decimal.getcontext().prec = 5
warnings.simplefilter('always', DeprecationWarning)
logging.basicConfig(level=logging.INFO, format='%(name)s/%(message)s')
sys.setrecursionlimit(2345)
os.chdir('sub')
for _ in range(2):
    warnings.warn('once')
""",
        ],
        [
            """\
print(os.path.basename(os.getcwd()), os.environ['MINE'], 'HOME' in os.environ, sys.path[0])
print(decimal.Decimal(1) / 3, sys.getrecursionlimit())
logging.getLogger('me').info('hello')
warnings.warn('old', DeprecationWarning)
""",
        ],
    ),
    "matplotlib": (
        [
            """\
import matplotlib.pyplot as plt
plt.rcParams['lines.linewidth'] = 7
xs = [1, 2, 4]
plt.plot(xs);
""",
            """\
plt.plot(xs[::-1]);
""",
        ],
        [
            """\
plt.plot(xs);
""",
            """\
plt.rcParams['lines.linewidth']
""",
        ],
    ),
    "errors show the cells of before": (
        [
            """\
def divide(a, b):
    # a comment
    return a / b
""",
            """\
class Broken(Exception):
    pass
""",
        ],
        [
            raising("""\
divide(1, 0)
"""),
            raising("""\
raise Broken('x')
"""),
            """\
import inspect
print(inspect.getsource(divide))
""",
        ],
    ),
    "what cannot be stored is made again": (
        [
            """\
data = [1, 2, 3]
def lazily(items):
    for item in items:
        yield item * 2
g = lazily(data)
squares = (n * n for n in data)
d = {'a': 1}
""",
            """\
keys = d.keys()
import threading, functools
lock = threading.Lock()
@functools.lru_cache
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)
""",
        ],
        [
            """\
data.append(4)
d['b'] = 2
print(list(g), list(squares), list(keys), fib(30), lock.acquire())
""",
            """\
with_lock = lock.locked(), fib.cache_info()
with_lock
""",
        ],
    ),
    "models": (
        [
            """\
import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
X = np.random.default_rng(0).normal(size=(60, 3))
y = X[:, 0] > 0
m = make_pipeline(StandardScaler(), RandomForestClassifier(5, random_state=1)).fit(X, y)
""",
        ],
        [
            """\
print(m.predict_proba(X[:3]), m.score(X, y))
m[-1].set_params(n_estimators=7).fit(X, y).predict(X)[:9]
""",
        ],
    ),
    "an array that looks into a table": (
        [
            """\
import pandas as pd
df = pd.DataFrame({'n': [3.5, 1, 2], 's': list('xyx')})
y = df['n'].to_numpy()
""",
        ],
        [
            """\
df.loc[0, 'n'] = 9
print(y, df['n'].tolist())
""",
        ],
    ),
    "a table that looks into an array": (
        [
            """\
import pandas as pd, numpy as np
a = np.zeros((2, 2))
df = pd.DataFrame(a, copy=False)
""",
        ],
        [
            """\
a[0, 0] = 5
print(df.sum().tolist())
""",
        ],
    ),
    "classes that know their subclasses": (
        [
            """\
class Base:
    seen = []
    def __init_subclass__(cls):
        Base.seen.append(cls)
class Child(Base):
    pass
""",
        ],
        [
            """\
class Other(Base):
    pass
print(Base.seen, Child in Base.seen)
""",
        ],
    ),
}

#: What keeps a kernel from being left, and words of what is said, one of which is enough.
HELD = {
    "umask": ("import os\nos.umask(0o77)\n", "Umask"),
    "limit of the process": (
        "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (500, 1000))\n",
        "RLIMIT_NOFILE",
    ),
    "niceness": ("import os\nos.nice(1)\n", "niceness"),
    "dialect of csv": ("import csv\ncsv.register_dialect('mine', delimiter='|')\n", "dialect"),
    "file": (
        """\
f = open('x.txt', 'w')
""",
        "`f`|x.txt",
    ),
    "connection": (
        """\
import sqlite3
conn = sqlite3.connect(':memory:')
""",
        "`conn` (sqlite3.Connection)",
    ),
    "running generator": (
        """\
def g():
    yield 1
    yield 2
it = g()
next(it)
""",
        "`it` (builtins.generator)",
    ),
    "generator of what has changed": (
        """\
xs = [1]
it = (x for x in xs)
xs = [2]
""",
        "`it` (builtins.generator)",
    ),
    "iterator": (
        """\
it = iter([1, 2, 3])
""",
        "`it` (builtins.list_iterator)",
    ),
    "thread": (
        """\
import threading
end = threading.Event()
t = threading.Thread(target=end.wait, daemon=True)
t.start()
""",
        "thread",
    ),
    "program": (
        """\
import subprocess
p = subprocess.Popen(['sleep', '60'])
""",
        "program",
    ),
    "held lock": (
        """\
import threading
lock = threading.Lock()
lock.acquire()
""",
        "`lock` (_thread.lock)",
    ),
    "results that a function remembers": (
        """\
import functools
@functools.cache
def f(n):
    return [n]
f(1)
""",
        "`f`",
    ),
    "memory map": (
        """\
import numpy as np
m = np.memmap('m.bin', 'i4', 'w+', shape=3)
""",
        "`m` (numpy.memmap)|m.bin",
    ),
    "tables and an array that share memory": (
        """\
import pandas as pd
df = pd.DataFrame({'n': [3.5, 1, 2]})
s = df['n']
y = df['n'].to_numpy()
""",
        "share memory",
    ),
    "patched library": (
        """\
import json
json.JSONEncoder.default = lambda self, o: 'mine'
""",
        "held by something else",
    ),
    "exit hook": (
        """\
import atexit
def bye():
    pass
atexit.register(bye)
""",
        "`bye`",
    ),
    "signal handler": (
        """\
import signal
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
""",
        "signal handler",
    ),
    "magic command": (
        """\
from IPython.core.magic import register_line_magic
@register_line_magic
def mine(line):
    return 1
""",
        "magic",
    ),
    "callback of IPython": (
        """\
import IPython
ip = IPython.get_ipython()
ip.events.register('pre_run_cell', lambda info: None)
""",
        "`ip`",
    ),
    "task": (
        """\
import asyncio
async def wait():
    await asyncio.sleep(60)
task = asyncio.ensure_future(wait())
""",
        "task",
    ),
    "open figure": (
        """\
import matplotlib
matplotlib.use('agg')
import matplotlib.pyplot as plt
plt.plot([1])
None
""",
        "figure",
    ),
    "handle of a display": (
        """\
from IPython.display import display
h = display('x', display_id=True)
""",
        "display",
    ),
    "object of nobody knows which library": (
        """\
import xml.etree.ElementTree as ET
root = ET.fromstring('<a/>')
""",
        "`root` (xml.etree.ElementTree.Element)",
    ),
}
