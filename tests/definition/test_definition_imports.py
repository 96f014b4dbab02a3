import subprocess
import sys

import pytest

LATE = ("pydantic", "yaml", "nbformat", "papermill", "nbclient", "cloudpickle", "distributed")


@pytest.mark.parametrize("module", ["nbflow.definition.builder", "nbflow.definition.targets"])
def test_start_up_loads_nothing_heavy(module):
    program = f"import sys, {module}; print(*sorted(set(sys.modules) & set({LATE!r})))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
