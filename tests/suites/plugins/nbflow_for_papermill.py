"""A pytest plugin: where papermill's tests ask for papermill's own engine, they get nbflow's.

With ``NBFLOW_SUITE_ENGINE=own`` they keep papermill's own. A test that starts the command
line in another process is served by the `sitecustomize` beside this file.
"""

import os

import suite_report
from papermill.engines import papermill_engines

from nbflow.engine import NbflowEngine


class CountedEngine(NbflowEngine):
    @classmethod
    def execute_notebook(cls, *arguments, **options):
        suite_report.engine_runs()
        return super().execute_notebook(*arguments, **options)


if os.environ["NBFLOW_SUITE_ENGINE"] == "nbflow":
    papermill_engines.register(None, CountedEngine)
    papermill_engines.register("nbclient", CountedEngine)
