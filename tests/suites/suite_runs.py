"""Run somebody else's test suite in a process of its own, and tell how each test ended."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PLUGINS = Path(__file__).parent / "plugins"


@dataclass(frozen=True)
class Suite:
    """Tests that are not ours.

    Parameters
    ----------
    root
        The folder of the package that the tests are.
    plugin
        The module in ``plugins`` that puts nbflow into their place.
    left_out
        Expressions as for pytest's ``-k``, of tests that do not apply.
    """

    root: Path
    plugin: str
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class SuiteRun:
    """Ids of tests that passed, and those of the others, with what they said.

    `engine_runs` are the notebooks that nbflow ran in the tests' own process.
    """

    passed: frozenset[str]
    failed: dict[str, str]
    engine_runs: int

    def __str__(self):
        return "\n\n".join(f"{name}\n{why}" for name, why in self.failed.items())


def run_suite(suite, engine, tests, folder):
    """Run tests, with none of this project's settings.

    Parameters
    ----------
    suite
        Where they are.
    engine
        ``"nbflow"``, or ``"own"`` for the suite's own.
    tests
        Their ids, files, or functions, in the suite's root.
    folder
        Where pytest runs, and leaves its report.
    """
    report = folder / f"{engine}.json"
    settings = folder / "pytest.ini"
    settings.write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-c", str(settings), "--rootdir", suite.root]
    command += ["-p", "no:cacheprovider", "-p", "suite_report", "-p", suite.plugin]
    command += ["-k", " and ".join(f"not ({tests})" for tests in suite.left_out)]
    done = subprocess.run(
        [*command, *(f"{suite.root}/{test}" for test in tests)],
        cwd=folder,
        env=suite_environment(engine, report),
        capture_output=True,
        text=True,
        check=False,
    )
    assert report.exists(), done.stdout + done.stderr
    ended = json.loads(report.read_text())
    return SuiteRun(frozenset(ended["passed"]), ended["failed"], ended["engine_runs"])


def suite_environment(engine, report):
    """Return the environment in which the plugins, and `sitecustomize`, do their part."""
    paths = [str(PLUGINS), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "NBFLOW_SUITE_ENGINE": engine,
        "NBFLOW_SUITE_REPORT": str(report),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }


def assert_as_good(suite, tests, folder):
    """Assert that what fails with nbflow fails with the suite's own engine too; return the run."""
    ours = run_suite(suite, "nbflow", tests, folder)
    if ours.failed:
        theirs = run_suite(suite, "own", sorted(ours.failed), folder)
        assert ours.failed.keys() == theirs.failed.keys(), str(ours)
    return ours
