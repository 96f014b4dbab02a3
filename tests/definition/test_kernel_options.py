import pytest

from nbflow.definition import FlowBuilder
from nbflow.definition.faults import Fault
from nbflow.definition.kernel_options import parse_preload, parse_variable


def test_variables_are_text_and_numbers_become_text():
    written = {"OMP_NUM_THREADS": 4, "RATE": 0.5, "MODE": "fast", "EMPTY": "", "lower": "$HOME"}
    assert {name: parse_variable(name, value) for name, value in written.items()} == {
        "OMP_NUM_THREADS": "4",
        "RATE": "0.5",
        "MODE": "fast",
        "EMPTY": "",
        "lower": "$HOME",
    }
    assert parse_variable("PROMPT", "$${x} costs $$5") == "${x} costs $$5"


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (("DEBUG", True), "env: DEBUG must be a text or a number, not true. Quote it"),
        (("DEBUG", None), "env: DEBUG must be a text or a number, not nothing"),
        (("LIST", [1]), "env: LIST must be a text or a number, not a list"),
        (("RATE", float("nan")), "env: RATE must be a text or a number, not nan"),
        (("A", "x\0y"), "env: A has a NUL inside"),
        (("", "x"), "env: '' cannot be the name"),
        (("A=B", "x"), "env: 'A=B' cannot be the name"),
        (("NBFLOW_RUN", "x"), "env: NBFLOW_RUN cannot be set: nbflow itself sets"),
        (("TOKEN", "${env:TOKEN}"), "a secret would with it"),
        (("DATE", "from ${params.date}"), "env: DATE is plain text, and must not refer to"),
        (("DATE", f"{FlowBuilder('f').param('date')}"), "must not refer to anything"),
        (("DATE", FlowBuilder("f").param("date")), "must be a text or a number, not flow.param"),
    ],
)
def test_what_cannot_be_a_variable_is_refused(written, words):
    with pytest.raises(Fault) as raised:
        parse_variable(*written)
    assert words in str(raised.value)


def test_modules_are_named_once_in_their_order():
    assert parse_preload(["torchlike", "a.b", "torchlike"]) == ("torchlike", "a.b")
    assert parse_preload("a.b") == ("a.b",)
    assert parse_preload(iter(["a"])) == ("a",)
    assert parse_preload(None) == parse_preload(()) == ()


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (5, "preload must be a list of modules, not 5"),
        ({"numpy": 1}, "preload must be a list of modules, not a mapping"),
        ([5], "preload must be a list of modules, but has 5"),
        (["scikit-learn"], "but has 'scikit-learn'. Write each as it stands behind import"),
        ([""], "but has ''"),
        ("a..b", "but has 'a..b'"),
    ],
)
def test_what_is_no_module_is_refused(written, words):
    with pytest.raises(Fault) as raised:
        parse_preload(written)
    assert words in str(raised.value)
