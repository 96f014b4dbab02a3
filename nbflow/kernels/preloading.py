"""Which libraries a fork server may load before it forks.

A fork keeps the memory of its parent and only one of its threads. A library that starts threads,
opens connections or talks to a device while it is imported is broken in the child, mostly by
waiting for a lock that nobody holds any more. So modules are loaded of themselves only out of the
table below, each of which a test imports, forks, and uses in the child, multi-threaded BLAS
included. What a user names besides is trusted, unless it is known not to survive; and whatever
leaves a Python thread running is found out when it is loaded (see `forkserver`).

Some that are heavy are not loaded on purpose: `matplotlib.pyplot` (and with it seaborn) chooses its
backend, and hooks itself into IPython, when it is imported; all below it is loaded instead.
"""

from collections.abc import Iterable

#: Top-level packages whose import, and whose submodules' imports, survive a fork.
_SAFE = frozenset(
    {
        "bs4",
        "dateutil",
        "fsspec",
        "jinja2",
        "joblib",
        "jsonschema",
        "lxml",
        "matplotlib",
        "networkx",
        "numpy",
        "openpyxl",
        "pandas",
        "patsy",
        "PIL",
        "plotly",
        "pyarrow",
        "pydantic",
        "requests",
        "scipy",
        "sklearn",
        "sqlalchemy",
        "statsmodels",
        "sympy",
        "tqdm",
        "xarray",
        "yaml",
    }
)

#: Loading these in the kernel itself does more than importing them, or depends on the kernel.
_LEFT_TO_THE_KERNEL = ("matplotlib.pyplot", "matplotlib.pylab", "matplotlib.backends")
#: What pyplot is made of. ``from matplotlib import …`` may import it, too.
_BELOW_PYPLOT = (
    "matplotlib",
    "matplotlib.backends.backend_agg",
    "matplotlib.colorbar",
    "matplotlib.figure",
    "matplotlib.image",
    "matplotlib.widgets",
)

#: Runtimes with threads, devices or connections of their own, which no fork survives.
_UNSAFE = frozenset(
    {
        "cudf",
        "cuml",
        "cupy",
        "dask_cuda",
        "distributed",
        "duckdb",
        "grpc",
        "jax",
        "jaxlib",
        "mxnet",
        "polars",
        "pyspark",
        "ray",
        "tensorflow",
        "torch",
    }
)


def fork_safe(modules: Iterable[str]) -> tuple[str, ...]:
    """Return those of `modules` (dotted names) that are known to survive a fork, sorted.

    A name may stand for another: `matplotlib.pyplot` for what can be loaded ahead of it.
    """
    found: set[str] = set()
    for module in modules:
        if module.partition(".")[0] not in _SAFE:
            continue
        if module in ("matplotlib", "matplotlib.pyplot"):
            found.update(_BELOW_PYPLOT)
        elif not module.startswith(_LEFT_TO_THE_KERNEL):
            found.add(module)
    return tuple(sorted(found))


def known_unsafe(modules: Iterable[str]) -> tuple[str, ...]:
    """Return those of `modules` that are known not to survive a fork, sorted."""
    return tuple(sorted({name for name in modules if name.partition(".")[0] in _UNSAFE}))
