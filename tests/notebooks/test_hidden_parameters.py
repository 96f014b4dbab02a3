"""Parameters with secrets: a comment in the notebook, and an assignment apart from it."""

import nbformat
import pytest

from nbflow.core.values import Artifact, Fields, Inline, Items, Secret, SecretText
from nbflow.notebooks.errors import InvalidInput
from nbflow.notebooks.parameters import hidden_assignments, inject, injected_index
from nbflow.notebooks.reading import KernelChoice, read_notebook

PYTHON = KernelChoice("python3", "python")
BASH = KernelChoice("bash", "bash")
R = KernelChoice("ir", "R")
UNKNOWN = KernelChoice("brain", "brainfuck")

TOKEN = Secret("env:TOKEN")
NOTE = "set by nbflow when this ran, and not shown: it holds"
AWKWARD = "a\"b'c\\d\ne$(f)`g`\udc80ü"


def notebook():
    cell = nbformat.v4.new_code_cell("token = 1", metadata={"tags": ["parameters"]})
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("0"), cell])
    return read_notebook(nbformat.writes(book).encode(), "a.ipynb")


def no_path(digest):
    raise AssertionError("no artifact was given")


@pytest.mark.parametrize("kernel", [PYTHON, BASH, R])
def test_the_cell_names_the_secrets_and_sets_the_rest(kernel):
    other = Secret("keyring:db/admin")
    params = {
        "token": TOKEN,
        "n": Inline(3),
        "all": Fields({"a": Items((TOKEN, SecretText(("x", other, TOKEN))))}),
    }
    injected = inject(notebook(), params, kernel, no_path)
    assert injected_index(injected) == 2
    lines = injected.cells[2].source.splitlines()
    assert lines[0] == "# Parameters"
    assert lines[1].startswith("n")
    assert lines[2:] == [
        f"# token: {NOTE} ${{env:TOKEN}}",
        f"# all: {NOTE} ${{env:TOKEN}}, ${{keyring:db/admin}}",
    ]
    assert injected.metadata.papermill["parameters"] == {
        "token": "${env:TOKEN}",
        "n": 3,
        "all": {"a": ["${env:TOKEN}", "x${keyring:db/admin}${env:TOKEN}"]},
    }


def test_without_parameters_there_is_no_cell():
    assert injected_index(inject(notebook(), {}, PYTHON, no_path)) == -1


def test_in_python_any_text_and_any_value_beside_it_is_set(tmp_path):
    (tmp_path / "d").write_bytes(b"[1, 2]")
    rows = Artifact("json", "d", 6)
    params = {"token": Inline(AWKWARD), "mixed": Items((Inline(AWKWARD), rows))}
    code = hidden_assignments(params, PYTHON, lambda digest: tmp_path / digest)
    namespace = {}
    exec(code, namespace)
    assert namespace["token"] == AWKWARD
    assert namespace["mixed"] == [AWKWARD, [1, 2]]


def test_other_languages_are_set_by_their_own_code():
    params = {"token": Inline("it's"), "n": Inline(["a b"])}
    assert hidden_assignments(params, BASH, no_path) == "token='it'\"'\"'s'\nn=('a b')"
    assert hidden_assignments(params, R, no_path) == 'token = "it\'s"\nn = list("a b")'


@pytest.mark.parametrize(
    ("kernel", "value"), [(UNKNOWN, Inline("hunter22")), (BASH, Inline({"a": "hunter22"}))]
)
def test_what_a_language_cannot_say_is_refused_without_the_secret(kernel, value):
    with pytest.raises(InvalidInput) as raised:
        hidden_assignments({"token": value}, kernel, no_path)
    assert f"for a {kernel.language} notebook" in str(raised.value)
    assert "hunter22" not in str(raised.value)


def test_an_unknown_language_is_refused_even_if_all_is_secret():
    with pytest.raises(InvalidInput):
        inject(notebook(), {"token": TOKEN}, UNKNOWN, no_path)
