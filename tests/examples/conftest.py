"""The examples as a user has them: one copy for the tests of a module."""

import pytest
from example_runs import Examples


@pytest.fixture(scope="module")
def examples(tmp_path_factory) -> Examples:
    return Examples(tmp_path_factory.mktemp("examples"))
