"""papermill's own tests, run against nbflow's engine.

They come with papermill's package. A plugin registers nbflow's engine under the names of
papermill's own, so that every test that runs a notebook runs it on nbflow. Tests that fail
so are run once more, on papermill's own engine: what fails there as well, with these
versions of IPython and papermill, says nothing about nbflow. With IPython 9 that is
``TestBrokenNotebook2`` alone, which expects a display of IPython 8's before its error.

Two tests are left out by name: they replace papermill's own client class by a mock, and look at
what that is called with.
"""

import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest
from suite_runs import Suite, assert_as_good, suite_environment

_SUITE = Suite(
    root=Path(papermill.__file__).parents[1],
    plugin="nbflow_for_papermill",
    left_out=("TestNotebookHelpers and test_start_timeout", "test_default_start_timeout"),
)
_MODULES = ("test_execute", "test_autosave", "test_cli", "test_engines")
#: How many tests they have, and how many notebooks these run; fewer means that something is lost.
_TESTS, _NOTEBOOKS = 120, 20


@pytest.mark.timeout(600)  # a whole suite
def test_what_passes_on_papermills_engine_passes_on_nbflows(tmp_path):
    files = [f"papermill/tests/{module}.py" for module in _MODULES]
    run = assert_as_good(_SUITE, files, tmp_path)
    assert len(run.passed) >= _TESTS
    assert run.engine_runs >= _NOTEBOOKS


def test_the_suites_command_line_runs_on_nbflow_too(tmp_path):
    cell = nbformat.v4.new_code_cell("import os; os._exit(3)")
    text = nbformat.writes(nbformat.v4.new_notebook(cells=[cell]))
    done = subprocess.run(
        [sys.executable, "-m", "papermill", "-", "-", "-k", "python3"],
        input=text,
        env=suite_environment("nbflow", tmp_path / "report"),
        capture_output=True,
        text=True,
        check=False,
    )
    # What no other engine tells.
    assert "exited with code 3" in done.stderr
