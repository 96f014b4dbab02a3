"""Every library that fork servers load of themselves works in the kernels that they fork."""

import asyncio

import pytest

from nbflow.kernels import Wishes, start_kernel
from nbflow.kernels.preloading import _BELOW_PYPLOT, _SAFE, fork_safe, known_unsafe

#: Something that each library does in earnest: with threads, files and locks where it has them.
USES = {
    "bs4": "import bs4; assert bs4.BeautifulSoup('<p>x</p>', 'html.parser').p.text == 'x'",
    "dateutil": "from dateutil.parser import parse; assert parse('2026-01-02').day == 2",
    "fsspec": "import fsspec; assert fsspec.filesystem('memory').ls('/') == []",
    "jinja2": "import jinja2; assert jinja2.Template('{{ 1 + 1 }}').render() == '2'",
    "joblib": (
        "import joblib; work = joblib.Parallel(2, prefer='threads');"
        "assert work(joblib.delayed(abs)(n) for n in (-1, -2)) == [1, 2]"
    ),
    "jsonschema": "import jsonschema; jsonschema.validate(1, {'type': 'integer'})",
    "lxml": "import lxml.etree; assert lxml.etree.fromstring('<a><b/></a>')[0].tag == 'b'",
    "matplotlib": (
        "import matplotlib.pyplot as plt; figure, axes = plt.subplots(); axes.plot([1, 2]);"
        "figure.savefig('figure.png'); assert 'inline' in plt.get_backend()"
    ),
    "networkx": "import networkx; assert networkx.path_graph(3).number_of_edges() == 2",
    "numpy": (
        "import numpy; a = numpy.random.rand(800, 800);"
        "assert numpy.allclose((a @ a)[0, 0], (a[0] * a[:, 0]).sum())"
    ),
    "openpyxl": "import openpyxl; book = openpyxl.Workbook(); book.save('book.xlsx')",
    "pandas": (
        "import pandas; table = pandas.DataFrame({'a': range(1000), 'b': 'x'});"
        "table.to_parquet('t.parquet'); assert pandas.read_parquet('t.parquet').equals(table);"
        "assert table.groupby('b').a.sum().iloc[0] == 499500"
    ),
    "patsy": "import patsy; assert patsy.dmatrix('x', {'x': [1, 2]}).shape == (2, 2)",
    "PIL": "import PIL.Image; PIL.Image.new('RGB', (2, 2)).save('i.png')",
    "plotly": "import plotly.graph_objects as go; assert go.Figure(go.Bar(y=[1])).to_json()",
    "pyarrow": (
        "import pyarrow, pyarrow.compute; values = pyarrow.array(range(100_000));"
        "assert pyarrow.compute.sum(values).as_py() == 4999950000"
    ),
    "pydantic": "import pydantic; assert pydantic.TypeAdapter(int).validate_python('1') == 1",
    "requests": "import requests; assert requests.Request('GET', 'http://x').prepare().url",
    "scipy": "import scipy.linalg; assert scipy.linalg.det([[2.0, 0], [0, 3]]) == 6",
    "sklearn": (
        "import numpy, sklearn.cluster, sklearn.ensemble; x = numpy.random.rand(2000, 4);"
        "sklearn.cluster.KMeans(3, n_init=2).fit(x);"
        "sklearn.ensemble.RandomForestRegressor(8, n_jobs=2).fit(x, x[:, 0])"
    ),
    "sqlalchemy": (
        "import sqlalchemy; engine = sqlalchemy.create_engine('sqlite://');"
        "assert engine.connect().execute(sqlalchemy.text('select 1')).scalar() == 1"
    ),
    "statsmodels": (
        "import numpy, statsmodels.api as sm; x = sm.add_constant(numpy.arange(9.0));"
        "assert round(sm.OLS(numpy.arange(9.0), x).fit().params[1], 6) == 1"
    ),
    "sympy": "import sympy; x = sympy.Symbol('x'); assert sympy.diff(x**2, x) == 2 * x",
    "tqdm": "import tqdm; assert sum(tqdm.tqdm(range(3))) == 3",
    "xarray": "import xarray; assert int(xarray.DataArray([1, 2]).sum()) == 3",
    "yaml": "import yaml; assert yaml.safe_load('a: 1') == {'a': 1}",
}
#: With this many threads for each of the thread pools, not the one of a small machine.
THREADS = {"OMP_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "4"}
TIMEOUT_S = 60


def test_every_library_of_the_table_is_tried():
    assert set(USES) == _SAFE


def test_every_library_works_after_a_fork_from_a_server_that_has_them_all(pool, tmp_path, do):
    modules = fork_safe([*USES, "matplotlib.pyplot", "sklearn.cluster", "sklearn.ensemble"])

    async def scenario():
        wishes = Wishes(pool=pool, preload=modules)
        # The second one comes from a server whose first child has used everything already.
        for _ in range(2):
            kernel = await start_kernel("python3", cwd=tmp_path, env=THREADS, wishes=wishes)
            try:
                assert kernel.manager.provisioner.warm
                for name, use in USES.items():
                    async with asyncio.timeout(TIMEOUT_S):
                        await do(kernel, use)
                    assert name in modules
            finally:
                await kernel.shutdown()

    asyncio.run(scenario())
    assert pool.stats().servers_started == 1


def test_what_may_be_loaded_ahead():
    asked = ["os", "numpy", "torch", "sklearn.linear_model", "mine", "pandas"]
    assert fork_safe(asked) == ("numpy", "pandas", "sklearn.linear_model")
    assert known_unsafe(asked) == ("torch",)


def test_pyplot_is_left_to_the_kernel_and_what_it_needs_is_not():
    assert fork_safe(["matplotlib.pyplot"]) == _BELOW_PYPLOT
    assert fork_safe(["matplotlib.backends.backend_tkagg"]) == ()


@pytest.mark.parametrize(
    ("source", "why"),
    [
        pytest.param(
            "import threading, time\n"
            "threading.Thread(target=time.sleep, args=(99,), daemon=True).start()",
            "leaves a thread running",
            id="leaves a thread",
        ),
        pytest.param("import os\nos._exit(3)", "exited with code 3", id="ends the process"),
        pytest.param("1 / 0", "ZeroDivisionError: division by zero", id="raises"),
        pytest.param("value = 1", None, id="harmless"),
    ],
)
def test_a_module_that_a_server_does_not_survive_is_left_to_the_kernel_and_told_once(
    pool, tmp_path, ask, monkeypatch, caplog, source, why
):
    caplog.set_level("WARNING", logger="nbflow.kernels")
    library = tmp_path / "library"
    library.mkdir()
    (library / "odd_module.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(library))

    async def scenario():
        # Another server, the second time, which tries it again.
        for variables in ({}, {"OMP_NUM_THREADS": "1"}):
            wishes = Wishes(pool=pool, preload=("odd_module", "yaml"))
            kernel = await start_kernel("python3", cwd=tmp_path, env=variables, wishes=wishes)
            try:
                assert kernel.manager.provisioner.warm
                assert await ask(kernel, "'yaml' in __import__('sys').modules")
                loaded = await ask(kernel, "'odd_module' in __import__('sys').modules")
                assert loaded is (why is None)
            finally:
                await kernel.shutdown()

    asyncio.run(scenario())
    told = [(it.module, why in it.why) for it in pool.stats().not_preloaded]
    assert told == ([("odd_module", True)] if why else [])
    logged = [record.getMessage() for record in caplog.records if "odd_module" in record.message]
    assert [why in message for message in logged] == ([True] if why else [])
