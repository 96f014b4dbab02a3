"""A pytest plugin: where nbclient's tests run a notebook, nbflow's engine runs it.

With ``NBFLOW_SUITE_ENGINE=own`` nbclient runs it. Tests take the class for granted that they
import from nbclient; so the name is replaced in their module once it has been collected.
"""

import os

import suite_report

from nbflow.engine import NbflowEngine


class Executor:
    """Has as much of `NotebookClient` as the tests that run whole notebooks use."""

    def __init__(self, notebook, **options):
        self._notebook = notebook
        self._options = options

    def execute(self):
        suite_report.engine_runs()
        self._notebook.metadata["papermill"] = {}
        return NbflowEngine.execute_notebook(self._notebook, progress_bar=False, **self._options)


def pytest_collection_modifyitems(items):
    if os.environ["NBFLOW_SUITE_ENGINE"] == "nbflow":
        for module in {item.module for item in items}:
            module.NotebookClient = Executor
