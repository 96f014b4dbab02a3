"""Every papermill process loads the engine, so it must cost nothing before it is used."""

import subprocess
import sys

import pytest

_HEAVY = ("dask", "distributed", "ipykernel", "IPython", "msgspec", "psutil", "nbflow.kernels")


def _run(program):
    return subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout


def test_papermill_loads_nothing_heavy_with_the_engine():
    loaded = _run("import sys, papermill.engines; print(*sys.modules)").split()
    assert "nbflow.engine.engine" in loaded
    assert [name for name in _HEAVY if name in loaded] == []


@pytest.mark.parametrize(
    "first",
    [
        "import papermill",
        "import nbflow.engine",
        "from nbflow.engine import NbflowEngine",
        "import nbflow.notebooks.metadata",
    ],
)
def test_any_import_may_come_first(first):
    program = f"""
{first}
from nbflow.engine import NbflowEngine
from papermill.engines import Engine, papermill_engines
assert papermill_engines.get_engine("nbflow") is NbflowEngine
assert issubclass(NbflowEngine, Engine)
print("right")
"""
    assert _run(program) == "right\n"


def test_there_is_nothing_else():
    with pytest.raises(ImportError, match="NbflowMotor"):
        from nbflow.engine import NbflowMotor  # noqa: F401
