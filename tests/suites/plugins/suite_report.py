"""A pytest plugin: writes how each test ended into the file ``NBFLOW_SUITE_REPORT``."""

import json
import os
from pathlib import Path

_ended = {"passed": [], "failed": {}, "engine_runs": 0}


def engine_runs():
    """Count a notebook that nbflow's engine runs."""
    _ended["engine_runs"] += 1


def pytest_runtest_logreport(report):
    if report.failed:
        _ended["failed"][report.nodeid] = report.longreprtext
    elif report.passed and report.when == "call":
        _ended["passed"].append(report.nodeid)


def pytest_sessionfinish():
    Path(os.environ["NBFLOW_SUITE_REPORT"]).write_text(json.dumps(_ended))
