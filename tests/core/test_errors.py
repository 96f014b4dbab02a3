import inspect

import pytest

from nbflow.core import errors
from nbflow.core.errors import DefinitionError, NbflowError, Problem, RunCancelled, RunFailed


def test_a_problem_reads_as_place_node_what_and_fix():
    problem = Problem("flow.yaml:6", "there is no node 'claen'", "Did you mean 'clean'?", "train")
    assert str(problem) == (
        "flow.yaml:6: node 'train': there is no node 'claen'. Did you mean 'clean'?"
    )
    assert str(Problem("flow.yaml", "it is empty")) == "flow.yaml: it is empty"


def test_a_definition_error_has_every_problem():
    error = DefinitionError(Problem(f"f:{line}", "no") for line in (1, 2))
    assert [problem.place for problem in error.problems] == ["f:1", "f:2"]
    assert str(error) == "f:1: no\nf:2: no"


def test_the_end_of_a_run_carries_its_handle():
    handle = object()
    assert RunFailed("a failed", handle).run is handle
    assert RunCancelled("cancelled", handle).run is handle


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("RunFailed", 1),
        ("DefinitionError", 2),
        ("UnknownRun", 2),
        ("RunExists", 2),
        ("RunHeld", 3),
        ("LostLease", 3),
        ("RunCancelled", 130),
    ],
)
def test_exit_codes_are_those_of_the_interface(name, code):
    assert getattr(errors, name).exit_code == code


def test_all_errors_that_users_meet_have_one_base_and_an_explanation():
    for _, error in inspect.getmembers(errors, inspect.isclass):
        if issubclass(error, Exception):
            assert issubclass(error, NbflowError)
            assert error.__doc__
