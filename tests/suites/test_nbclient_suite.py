"""nbclient's notebooks, run by nbflow's engine and compared with the outputs stored in them.

nbclient's tests come with its source distribution only. That of the installed version is
obtained from the package index once, and kept in pytest's cache. Its ``test_run_all_notebooks``
runs 16 notebooks, each with options of nbclient's, and compares by its own rules; a plugin
has nbflow's engine run them.
"""

import subprocess
import sys
import tarfile
from importlib.metadata import version

import pytest
from suite_runs import Suite, assert_as_good

_NOTEBOOKS = 16


@pytest.fixture
def nbclients_tests(request, tmp_path):
    """Return a folder with nbclient's tests, and without nbclient itself."""
    release = f"nbclient-{version('nbclient')}"
    kept = request.config.cache.mkdir("sources")
    archive = kept / f"{release}.tar.gz"
    if not archive.exists():
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", kept]
        wanted = release.replace("-", "==")
        subprocess.run([*download, "--no-binary", "nbclient", wanted], check=True)
    with tarfile.open(archive) as source:
        members = [each for each in source if each.name.startswith(f"{release}/tests/")]
        source.extractall(tmp_path, members, filter="data")
    return tmp_path / release


@pytest.mark.timeout(600)  # a whole suite
def test_notebooks_give_the_outputs_stored_in_them(nbclients_tests, tmp_path):
    suite = Suite(root=nbclients_tests, plugin="nbflow_for_nbclient")
    run = assert_as_good(suite, ["tests/test_client.py::test_run_all_notebooks"], tmp_path)
    assert len(run.passed) + len(run.failed) == run.engine_runs == _NOTEBOOKS
